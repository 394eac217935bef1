"""Stored numbers leave again only under the site's own signature, by the same rules, and where no person was asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sojourn.analysis.noise import LAPLACE, Noise
from sojourn.disclosure.gate import automatic_of, release, repeat, signed_bytes
from sojourn.disclosure.output import Tier
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.errors import IdentityError
from sojourn.identity.keys import PrivateKey

KEY = PrivateKey.generate()
POLICY = StandardPolicy()


def stored(outputs, policy=POLICY, key=KEY, **header):
    document = release(outputs.table([40, 30, 3]), policy, replace(outputs.HEADER, **header)).to_dict()
    return {"release": document, "signature": key.sign(signed_bytes(document)).hex()}


def test_the_same_numbers_leave_under_another_header(outputs):
    header = replace(outputs.HEADER, study="b" * 32, analysis="again", ask="e" * 64)
    before = stored(outputs)
    again = repeat(before, KEY.public, POLICY, header)
    assert again.partial.to_dict() == before["release"]["partial"] and again.partial.suppressed
    assert (again.header.study, again.header.analysis, again.header.ask) == ("b" * 32, "again", "e" * 64)


def test_another_s_signature_or_none_is_an_error(outputs):
    other = stored(outputs, key=PrivateKey.generate())
    changed = stored(outputs)
    changed["release"]["header"]["study"] = "c" * 32
    for document in (other, changed, {**stored(outputs), "signature": "00" * 64}):
        with pytest.raises(IdentityError):
            repeat(document, KEY.public, POLICY, outputs.HEADER)


@pytest.mark.parametrize("word", ["software", "site", "snapshot"])
def test_what_was_said_by_another_program_place_or_snapshot_is_not_repeated(outputs, word):
    assert repeat(stored(outputs, **{word: "other"}), KEY.public, POLICY, outputs.HEADER) is None


def test_other_rules_do_not_repeat(outputs):
    stricter = StandardPolicy(Parameters(threshold=20))
    rounded = StandardPolicy(Parameters(rounding="base 5"))
    for policy in (stricter, rounded, replace(POLICY, version="2")):
        assert repeat(stored(outputs), KEY.public, policy, outputs.HEADER) is None


def test_what_a_person_let_out_is_not_repeated(outputs):
    """Medium risk left by itself here, and waits for a checker there: the rules are the same but for that."""
    wide = StandardPolicy(Parameters(suppressed=Tier.MEDIUM, automatic=Tier.MEDIUM))
    narrow = StandardPolicy(Parameters(suppressed=Tier.MEDIUM))
    assert automatic_of(narrow) is Tier.LOW
    assert repeat(stored(outputs, wide), KEY.public, wide, outputs.HEADER) is not None
    assert repeat(stored(outputs, wide), KEY.public, narrow, outputs.HEADER) is None


def test_noisy_answers_are_formal_privacy_s_to_repeat(outputs):
    noise = Noise(LAPLACE, 0.1, 0.0, {"count": 10.0}).text()
    assert repeat(stored(outputs, noise=noise), KEY.public, POLICY, outputs.HEADER) is None
