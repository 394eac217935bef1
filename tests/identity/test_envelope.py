"""What a node accepts as a researcher's request, against a hub that may do anything but sign as the researcher."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import fields, replace

import pytest
import rfc8785
from hypothesis import assume, given
from hypothesis import strategies as st

from sojourn.errors import EnvelopeRefused
from sojourn.identity.envelope import MAX_LIFETIME, REQUEST_TYPE, Envelope, Request, admit, sign
from sojourn.identity.keys import PrivateKey

NOW = 1_800_000_000
RESEARCHER, STRANGER = PrivateKey.generate(), PrivateKey.generate()
NODES = {site: PrivateKey.generate() for site in ("Cleveland", "Hungary", "Zurich")}
PLAN = {"title": "Angina", "table": "patients", "analyses": {"n": {"count": {}}}}


def plan_hash(plan):
    return hashlib.sha256(rfc8785.dumps(plan)).hexdigest()


REQUEST = Request(
    study="0" * 31 + "1",
    project="heart",
    plan=PLAN,
    plan_hash=plan_hash(PLAN),
    roster={site: key.public.hex for site, key in NODES.items()},
    min_sites=3,
    seal_key="ab" * 32,
    software="0.1.0",
    policy_version="2",
    issued=NOW,
    expires=NOW + 3600,
    nonce="0" * 31 + "2",
)


def signed(request=REQUEST, key=RESEARCHER):
    return sign(REQUEST_TYPE, request.encode(), key)


def signed_bytes(payload, key=RESEARCHER):
    return sign(REQUEST_TYPE, payload, key)


def judge(envelope, **changes):
    """`admit` at Cleveland, which approved the researcher for `heart`; the envelope travels as JSON."""
    settings = {
        "approved": {"heart": {RESEARCHER.public.hex}, "lungs": set()},
        "site": "Cleveland",
        "own_key": NODES["Cleveland"].public,
        "now": NOW,
        "seen": lambda nonce: False,
        "policy_version": "2",
        "least_sites": 3,
        "plan_hash": plan_hash,
    }
    received = Envelope.from_dict(json.loads(json.dumps(envelope.to_dict())))
    return admit(received, **{**settings, **changes})


def refusal(envelope, **changes):
    with pytest.raises(EnvelopeRefused) as caught:
        judge(envelope, **changes)
    return caught.value.reason


# ---- the sixteen cases of the security plan ----------------------------------------------------------------------


def test_valid_request_is_admitted_as_it_was_signed():
    assert judge(signed()) == REQUEST


def test_exact_replay_is_refused():
    used = set()

    def seen(nonce):
        return nonce in used or used.add(nonce) is not None

    assert judge(signed(), seen=seen) == REQUEST
    assert refusal(signed(), seen=seen) == "replayed"


def test_hub_that_edits_the_plan_is_refused():
    edited = {**PLAN, "table": "everyone"}
    forged = replace(REQUEST, plan=edited, plan_hash=plan_hash(edited))
    assert refusal(replace(signed(), payload=forged.encode())) == "signature"


def test_signature_does_not_carry_over_to_another_payload_type():
    assert refusal(replace(signed(), payload_type="application/vnd.sojourn.approval+json")) == "signature"


def test_envelope_of_another_type_is_no_request_even_when_well_signed():
    assert refusal(sign("application/vnd.sojourn.approval+json", REQUEST.encode(), RESEARCHER)) == "malformed"


def test_request_redirected_to_a_node_outside_the_roster_is_refused():
    assert refusal(signed(), site="Long Beach", own_key=PrivateKey.generate().public) == "roster"


def test_node_that_stands_in_the_roster_under_another_key_refuses():
    assert refusal(signed(), own_key=STRANGER.public) == "roster"


@pytest.mark.parametrize(("late", "reason"), [(3599, None), (3600, "expired"), (86400, "expired")])
def test_late_delivery_is_refused_from_the_expiry_on(late, reason):
    if reason is None:
        assert judge(signed(), now=NOW + late) == REQUEST
    else:
        assert refusal(signed(), now=NOW + late) == reason


def test_request_from_the_future_is_tolerated_for_60_seconds():
    assert judge(signed(), now=NOW - 59) == REQUEST
    assert judge(signed(), now=NOW - 60) == REQUEST
    assert refusal(signed(), now=NOW - 61) == "clock"


def test_revoked_key_is_refused():
    assert refusal(signed(), approved={"heart": set()}) == "not approved"


def test_key_approved_for_another_project_is_refused():
    assert refusal(signed(), approved={"lungs": {RESEARCHER.public.hex}}) == "not approved"


def test_ten_year_request_is_refused():
    assert refusal(signed(replace(REQUEST, expires=NOW + 10 * 365 * 86400))) == "lifetime"


def test_one_day_is_the_longest_life():
    assert judge(signed(replace(REQUEST, expires=NOW + MAX_LIFETIME))).expires == NOW + MAX_LIFETIME
    assert refusal(signed(replace(REQUEST, expires=NOW + MAX_LIFETIME + 1))) == "lifetime"


def test_duplicate_keys_are_refused():
    payload = REQUEST.encode().replace(b'"min_sites":3', b'"min_sites":1,"min_sites":3')
    assert json.loads(payload) == json.loads(REQUEST.encode())
    assert refusal(signed_bytes(payload)) == "malformed"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e400"])
def test_numbers_that_json_does_not_have_are_refused(number):
    payload = signed(replace(REQUEST, plan={"x": 1})).payload.replace(b'{"x":1}', b'{"x":' + number + b"}")
    assert refusal(signed_bytes(payload)) == "malformed"


def test_key_made_by_the_hub_is_refused():
    assert refusal(signed(key=STRANGER)) == "not approved"


def test_key_made_by_the_hub_cannot_claim_the_researchers_name():
    assert refusal(replace(signed(key=STRANGER), key=RESEARCHER.public.hex)) == "signature"


@pytest.mark.parametrize("length", [0, 1, 32, 63])
def test_truncated_signature_is_refused(length):
    assert refusal(replace(signed(), signature=signed().signature[:length])) == "signature"


def test_plan_whose_hash_differs_from_the_signed_one_is_refused():
    assert refusal(signed(replace(REQUEST, plan={**PLAN, "table": "everyone"}))) == "plan"


@pytest.mark.parametrize("version", ["1", "3", "02"])
def test_other_policy_version_than_the_nodes_is_refused(version):
    assert refusal(signed(replace(REQUEST, policy_version=version))) == "policy version"


# ---- sites ----------------------------------------------------------------------------------------------------------


def test_node_demands_its_own_smallest_number_of_sites():
    assert refusal(signed(replace(REQUEST, min_sites=1)), least_sites=4) == "minimum sites"


def test_node_holds_the_researcher_to_the_plans_smallest_number_of_sites():
    assert refusal(signed(replace(REQUEST, min_sites=4)), least_sites=1) == "minimum sites"


def test_one_key_under_two_names_is_not_two_sites():
    with pytest.raises(EnvelopeRefused) as caught:
        replace(REQUEST, roster={"Cleveland": "ab" * 32, "Hungary": "ab" * 32})
    assert caught.value.reason == "malformed"


# ---- order and failures ---------------------------------------------------------------------------------------------


def test_first_reason_that_applies_is_given():
    """Each step mends the first fault of the request before it."""
    bad_plan = replace(REQUEST, plan={}, policy_version="1", min_sites=9, issued=NOW + 61, expires=NOW + 10 * 86400)
    assert refusal(replace(signed(bad_plan), signature=b"\0" * 64)) == "signature"
    assert refusal(signed(bad_plan), approved={}, now=NOW + 11 * 86400) == "not approved"
    assert refusal(signed(bad_plan), now=NOW + 11 * 86400) == "expired"
    assert refusal(signed(bad_plan)) == "clock"
    assert refusal(signed(bad_plan), now=NOW + 1) == "lifetime"
    bad_plan = replace(bad_plan, issued=NOW, expires=NOW + 60)
    assert refusal(signed(bad_plan), site="Nowhere") == "policy version"
    bad_plan = replace(bad_plan, policy_version="2")
    assert refusal(signed(bad_plan), site="Nowhere") == "roster"
    assert refusal(signed(bad_plan)) == "minimum sites"
    assert refusal(signed(replace(bad_plan, min_sites=3)), seen=lambda nonce: True) == "plan"
    assert refusal(signed(), seen=lambda nonce: True) == "replayed"


def test_nonce_is_asked_for_only_when_all_else_holds():
    asked = []
    refusal(signed(), seen=asked.append, own_key=STRANGER.public)
    assert asked == []


def test_plan_that_cannot_be_hashed_is_refused():
    def failing(plan):
        raise ZeroDivisionError

    assert refusal(signed(), plan_hash=failing) == "plan"


def test_approvals_kept_as_a_text_are_not_searched_for_a_part():
    assert refusal(signed(), approved={"heart": "00" + RESEARCHER.public.hex}) == "not approved"


# ---- forms ----------------------------------------------------------------------------------------------------------


def test_signature_is_over_the_published_encoding():
    """The example of DSSE's protocol.md."""
    key = PrivateKey.generate()
    envelope = sign("http://example.com/HelloWorld", b"hello world", key)
    assert key.public.verify(envelope.signature, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world")


@given(st.data(), st.sampled_from(["payload", "signature", "key"]))
def test_any_changed_byte_is_refused(data, part):
    document = signed().to_dict()
    place = document if part == "payload" else document["signatures"][0]
    name = {"payload": "payload", "signature": "sig", "key": "keyid"}[part]
    raw = bytearray(bytes.fromhex(place[name]) if part == "key" else base64.b64decode(place[name]))
    index = data.draw(st.integers(0, len(raw) - 1))
    raw[index] ^= data.draw(st.integers(1, 255))
    place[name] = raw.hex() if part == "key" else base64.b64encode(raw).decode()

    assert refusal(Envelope.from_dict(document)) == "signature"


@given(st.data())
def test_any_changed_character_of_the_written_envelope_is_refused(data):
    """Also where base64 would decode to the same bytes."""
    text = json.dumps(signed().to_dict())
    index = data.draw(st.integers(0, len(text) - 1))
    changed = text[:index] + data.draw(st.characters(codec="utf-8")) + text[index + 1 :]
    assume(changed != text)
    try:
        document = json.loads(changed)
    except ValueError:
        return
    assume(document != signed().to_dict())

    with pytest.raises(EnvelopeRefused):
        admit(
            Envelope.from_dict(document),
            approved={"heart": {RESEARCHER.public.hex}},
            site="Cleveland",
            own_key=NODES["Cleveland"].public,
            now=NOW,
            seen=lambda nonce: False,
            policy_version="2",
            least_sites=3,
            plan_hash=plan_hash,
        )


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "envelope",
        {},
        {**signed().to_dict(), "more": 1},
        {**signed().to_dict(), "signatures": []},
        {**signed().to_dict(), "signatures": signed().to_dict()["signatures"] * 2},
        {**signed().to_dict(), "signatures": [{**signed().to_dict()["signatures"][0], "cert": ""}]},
        {**signed().to_dict(), "payload": 1},
        {**signed().to_dict(), "payload": "é"},
        {**signed().to_dict(), "payload": signed().to_dict()["payload"] + "\n"},
        {**signed().to_dict(), "payloadType": "\ud800"},
        {**signed().to_dict(), "payloadType": ""},
        {**signed().to_dict(), "signatures": [{"keyid": "AB" * 32, "sig": ""}]},
    ],
)
def test_envelope_of_another_form_is_malformed(document):
    with pytest.raises(EnvelopeRefused) as caught:
        Envelope.from_dict(document)
    assert caught.value.reason == "malformed"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # codec: JSON has no lone surrogates
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), json_values, max_size=4))
def test_every_plan_is_read_as_it_was_signed(plan):
    envelope = signed(replace(REQUEST, plan=plan, plan_hash=plan_hash(plan)))
    assert Request.read(envelope).encode() == envelope.payload
    assert judge(envelope).plan == plan


@given(json_values)
def test_other_json_than_a_request_is_malformed(value):
    assert refusal(signed_bytes(rfc8785.dumps(value))) == "malformed"


@given(st.binary(max_size=200))
def test_other_bytes_than_json_are_malformed(payload):
    assert refusal(signed_bytes(payload)) == "malformed"


def test_nesting_without_end_is_malformed():
    assert refusal(signed_bytes(b"[" * 200_000)) == "malformed"


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: text + b" ",
        lambda text: text.replace(b":", b": "),
        lambda text: text.replace(b'"heart"', b'"\\u0068eart"'),
        lambda text: text.replace(b'"min_sites":3', b'"min_sites":3.0'),
        lambda text: text.replace(b'"version":1', b'"version":true'),
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.decode().encode("utf-16"),
    ],
)
def test_second_way_to_write_the_same_request_is_malformed(rewrite):
    payload = rewrite(REQUEST.encode())
    assert payload != REQUEST.encode()
    assert refusal(signed_bytes(payload)) == "malformed"


@pytest.mark.parametrize("name", [field.name for field in fields(Request)])
def test_every_field_is_bound_and_needed(name):
    document = json.loads(REQUEST.encode())
    del document[name]
    assert refusal(signed_bytes(rfc8785.dumps(document))) == "malformed"


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"study": "1"},
        {"study": "G" * 32},
        {"nonce": "A" * 32},
        {"project": ""},
        {"project": "a\nb"},
        {"plan": []},
        {"plan_hash": "00"},
        {"seal_key": 7},
        {"roster": {}},
        {"roster": {"Cleveland": "00"}},
        {"roster": {"": "ab" * 32}},
        {"min_sites": 0},
        {"min_sites": True},
        {"issued": -1},
        {"issued": 1.5},
        {"expires": NOW},
        {"policy_version": ""},
        {"software": None},
    ],
)
def test_field_of_another_form_is_malformed(change):
    document = {**json.loads(REQUEST.encode()), **change}
    assert refusal(signed_bytes(rfc8785.dumps(document))) == "malformed"
    with pytest.raises(EnvelopeRefused):
        replace(REQUEST, **change)


# ---- rehearsals


BEFORE_REHEARSALS = (
    "study project plan plan_hash roster min_sites seal_key software policy_version issued expires nonce version"
)


def test_a_rehearsal_says_so_in_the_signed_bytes():
    rehearsal = replace(REQUEST, rehearsal=True)
    assert b'"rehearsal":true' in signed(rehearsal).payload
    assert judge(signed(rehearsal)) == rehearsal != REQUEST


def test_a_program_that_does_not_know_rehearsals_refuses_them_and_takes_studies():
    """What is read has exactly the known words, else it is malformed: the law of `Request.read` since version 0.1."""
    studied, rehearsed = (json.loads(signed(replace(REQUEST, rehearsal=is_one)).payload) for is_one in (False, True))
    assert studied.keys() == set(BEFORE_REHEARSALS.split())
    assert rehearsed.keys() != set(BEFORE_REHEARSALS.split())


def test_the_word_cannot_be_added_or_taken_away():
    study, rehearsal = signed(), signed(replace(REQUEST, rehearsal=True))
    assert refusal(replace(study, payload=rehearsal.payload)) == "signature"
    assert refusal(replace(rehearsal, payload=study.payload)) == "signature"


@pytest.mark.parametrize("word", [False, None, 1, "true", []], ids=str)
def test_the_word_is_true_or_not_there(word):
    document = {**json.loads(REQUEST.encode()), "rehearsal": word}
    assert refusal(signed_bytes(rfc8785.dumps(document))) == "malformed"
