"""What a hostile worker can carry out of a site, in bits, by everything that is not a declared number.

A secret of two bits is drawn; the encoder hides it; everything that a hub sees is collected. The figure is the mutual
information of both over all secrets: 0 where an outsider cannot tell one secret from another. `channels.md` holds the
table of what is closed and what is open, and is compared with these lists.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
from encoders import IN_ANSWERS, IN_DEEDS, SECRETS, Spy
from hostile import HEART, HostileHub, heart_dictionary
from listed_channels import CLOSED, OPEN

import sojourn as sj
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask
from sojourn.disclosure.artifact import BITS_A_NUMBER, canonical_csv, canonical_json
from sojourn.disclosure.gate import Header, of_one_type
from sojourn.errors import REASONS, SiteRefused
from sojourn.messages import Delivery, Join, Poll, Publish
from sojourn.node.backup import _files
from sojourn.node.computing import WORDS
from sojourn.node.sandbox import PlainProcess
from sojourn.study.plan import Plan
from sojourn.wire.seal import padded_length

pytestmark = pytest.mark.long

SITE = "Cleveland"
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "channels.md"
PLAN = Plan(
    table="patients",
    analyses={"table": sj.crosstab("sex", "disease"), "sums": sj.describe("age", "thalch", by="sex")},
    min_sites=1,
)


def bits(pairs: Sequence[tuple[int, str]]) -> float:
    """Mutual information of secrets and observations, in bits, by their frequencies."""
    total = len(pairs)
    both, secrets, seen = Counter(pairs), Counter(pair[0] for pair in pairs), Counter(pair[1] for pair in pairs)
    return sum(
        times / total * math.log2(times * total / (secrets[secret] * seen[word]))
        for (secret, word), times in both.items()
    )


def test_the_measure_measures() -> None:
    assert bits([(secret, str(secret)) for secret in SECRETS]) == 2.0
    assert bits([(secret, "same") for secret in SECRETS]) == 0.0
    assert bits([(secret, str(secret & 1)) for secret in SECRETS]) == 1.0


@pytest.fixture(scope="module")
def spied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HostileHub, Spy]]:
    """A node as it is installed whose worker is hostile, behind a hub that reads everything."""
    spy = Spy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hostile, "InProcess", lambda: spy)
        folder = tmp_path_factory.mktemp("spied")
        with HostileHub(folder, {SITE: (HEART[SITE], heart_dictionary())}) as hub:
            yield hub, spy


def observed(hub: HostileHub, analysis: str) -> str:
    """All that a hub sees of a study's first round but what names the study: the word, the release, the length."""
    study = hub.study(PLAN)
    ask = hub.next(study, analysis, [])
    assert isinstance(ask, Ask)
    task = hub.task(study, analysis, ask)
    reply = hub.ask(study, SITE, task)
    row = hub.sites[SITE].node.store.release(study.request.study, analysis, task.key())
    if reply.document is None:
        return f"refused: {reply.reason}"
    document = json.loads(json.dumps(reply.document["release"]))
    for word in ("study", "plan", "ask"):
        document["header"].pop(word)
    return json.dumps(document) + f" {len(row['sealed'])}"


def measured(spied: tuple[HostileHub, Spy], analysis: str) -> tuple[float, set[str]]:
    hub, spy = spied
    pairs = []
    for secret in SECRETS:
        spy.secret = secret
        pairs.append((secret, observed(hub, analysis)))
    assert not spy.failed
    return bits(pairs), {word for _, word in pairs}


@pytest.fixture(autouse=True)
def honest(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "spied" in request.fixturenames:
        spy = request.getfixturevalue("spied")[1]
        spy.__init__()


@pytest.mark.parametrize("channel", IN_ANSWERS)
@pytest.mark.parametrize("analysis", ["table", "sums"])
def test_no_bit_leaves_by_the_form_of_an_answer(spied: tuple[HostileHub, Spy], channel: str, analysis: str) -> None:
    spied[1].encoder = IN_ANSWERS[channel]
    assert measured(spied, analysis)[0] == 0.0, channel


@pytest.mark.parametrize("channel", IN_DEEDS)
def test_no_bit_leaves_by_what_a_worker_does(
    spied: tuple[HostileHub, Spy], channel: str, capfd: pytest.CaptureFixture[str]
) -> None:
    spied[1].deed = IN_DEEDS[channel]
    assert measured(spied, "table")[0] == 0.0, channel


def test_the_encoders_would_be_read_without_the_border(spied: tuple[HostileHub, Spy]) -> None:
    """Each really carries two bits up to where the node takes the answer; and the honest answer is released."""
    hub, _ = spied
    honest = observed(hub, "table")
    assert "refused" not in honest
    arrays = {name: np.array([number, 0.0, 1.0, 2.5]) for number, name in enumerate("abcd")}
    answer = {"partial": Partial(arrays).to_dict(), "working": {"effective": 9.0}}
    for channel, encoder in IN_ANSWERS.items():
        pairs = [(secret, json.dumps(encoder(json.loads(json.dumps(answer)), secret))) for secret in SECRETS]
        assert bits(pairs) == 2.0, channel


def careless(values: Any) -> Any:
    """`canonical` without what it is for."""
    array = np.asarray(values)
    return np.ascontiguousarray(array, dtype="<i8" if array.dtype.kind in "iub" else "<f8")


@pytest.mark.parametrize(
    ("channel", "analysis", "opens"),
    [
        ("type of whole numbers", "sums", ("sojourn.disclosure.gate.of_one_type", lambda numbers: numbers)),
        ("words that are not a worker's to say", "table", ("sojourn.node.computing.WORDS", tuple(REASONS))),
        ("minus zero", "sums", ("sojourn.analysis.partial.canonical", careless)),
    ],
)
def test_where_a_closing_is_taken_out_the_bits_are_read(
    spied: tuple[HostileHub, Spy], channel: str, analysis: str, opens: tuple[str, Any]
) -> None:
    """A planted defect each: the measure sees it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*opens)
        if channel == "minus zero":
            patch.setattr("sojourn.disclosure.gate.canonical", careless)
            patch.setattr("sojourn.disclosure.gate.of_one_type", lambda numbers: numbers)
        spied[1].encoder = IN_ANSWERS[channel]
        assert measured(spied, analysis)[0] >= 1.0
    spied[1].encoder = IN_ANSWERS[channel]
    assert measured(spied, analysis)[0] == 0.0


def test_a_refusal_is_one_of_few_words(spied: tuple[HostileHub, Spy]) -> None:
    """The open channel of failing: three words are a worker's own; by forged evidence the gate may say others."""
    hub, spy = spied
    said = set()
    for word in (*WORDS, *list(REASONS)[:3], "", "no word"):
        spy.encoder = lambda answer, secret, word=word: {"refused": word}
        said.add(observed(hub, "table"))
    assert said == {f"refused: {word}" for word in WORDS}
    assert OPEN["refusal of one ask"] == "at most 6 bits an ask"
    assert math.log2(len(REASONS) + 1) <= 6


def test_numbers_carry_what_they_carry(spied: tuple[HostileHub, Spy]) -> None:
    """The declared channel: low digits of a certified number are not cut, so a hostile worker has all of them."""

    def digits(answer: dict[str, Any], secret: int) -> dict[str, Any]:
        arrays = answer["partial"]["arrays"]
        array = arrays[max(arrays, key=lambda name: len(arrays[name]["data"]))]
        numbers = np.frombuffer(base64.b64decode(array["data"]), array["dtype"]).astype("<f8")
        numbers[0] += secret * 1e-9
        array |= {"dtype": "<f8", "data": base64.b64encode(numbers.tobytes()).decode()}
        return answer

    spied[1].encoder = digits
    assert measured(spied, "sums")[0] == 2.0


def test_nothing_of_a_worker_s_output_is_in_messages_or_backups(spied: tuple[HostileHub, Spy], tmp_path: Path) -> None:
    hub, spy = spied
    spy.deed, spy.secret = IN_DEEDS["names and sizes of files"], 3
    observed(hub, "table")
    kept = [path.name for path in _files(hub.sites[SITE].node.home, data=True)]
    assert kept and not [name for name in kept if "secret" in name or "worker" in name or "journal" in name]


def test_a_real_process_says_no_more_by_how_it_ends(tmp_path: Path) -> None:
    """Exit code, signal, output: the node's word is the same for all, and so is the error's text."""
    ends = [f"print('secret {secret}' * {secret}); sys.exit({secret})" for secret in SECRETS]
    ends += ["os.kill(os.getpid(), 9)", "raise ValueError('secret')", "sys.stderr.write('secret'); os._exit(77)"]
    said = set()
    for place, end in enumerate(ends):
        session = PlainProcess(program=("-c", f"import os, sys; {end}")).start(tmp_path / str(place))
        with pytest.raises(SiteRefused) as error:
            session.ask({"hello": None}, 30.0)
        session.close()
        said.add((error.value.reason, str(error.value)))
    assert len(said) == 1


def test_answers_of_one_ask_have_one_length(spied: tuple[HostileHub, Spy], figures: Callable[..., None]) -> None:
    """A26: the numbers do not show in the length; which cells are hidden may, and is declared."""
    lengths = {padded_length(size) for size in (10, 11)}
    assert len(lengths) == 1
    hub, spy = spied
    seen = set()
    for scale in (1.0, 1e-300, 1e300, 123456789.123):
        spy.encoder = lambda answer, secret, scale=scale: _scaled(answer, scale)
        seen.add(observed(hub, "sums").rpartition(" ")[2])
    assert len(seen) == 1
    figures(
        "A26",
        "answers with numbers of four sizes to one ask",
        without="the length is the text's",
        with_defence="one length",
        mark="10 and 11 bytes: one length",
        benign="the honest answer has that length too",
    )


def _scaled(answer: dict[str, Any], scale: float) -> dict[str, Any]:
    for array in answer["partial"]["arrays"].values():
        numbers = np.frombuffer(base64.b64decode(array["data"]), array["dtype"]).astype("<f8") * scale
        array |= {"dtype": "<f8", "data": base64.b64encode(numbers.tobytes()).decode()}
    return answer


def test_no_message_tells_how_long_anything_took(figures: Callable[..., None]) -> None:
    """A25: what a node reports of time is nothing. When a message comes is an open channel."""
    fields = {name for kind in (Delivery, Join, Poll, Publish) for name in kind.model_fields}
    assert not [name for name in fields if re.search(r"second|duration|elapsed|took|began|started|ended|time", name)]
    header = set(Header.__dataclass_fields__)
    assert not [name for name in header if re.search(r"second|duration|elapsed|time|made", name)]
    figures(
        "A25",
        "durations in all messages of a node and in every release",
        without="a number of seconds would tell what was computed",
        with_defence="no message has a field for it: 1 value, 0 bits; when it arrives is declared as open",
        mark="at most 5 values, at most 1 bit a run",
        benign="releases arrive",
    )


class TestOwnCode:
    """Output of analysts' own code: canonical, six digits; a person reads it before it leaves."""

    def test_digits_beyond_the_sixth(self, figures: Callable[..., None]) -> None:
        """A29: four digits of a value in the 7th to 10th decimal are gone; the visible six are declared."""
        pairs = []
        for secret in range(64):
            number = 0.123456 + secret * 1e-10
            pairs.append((secret, canonical_csv(f"a,b\n{number!r},x\n".encode()).decode()))
        assert bits(pairs) == 0.0
        plain = [(secret, repr(0.123456 + secret * 1e-10)) for secret in range(64)]
        assert bits(plain) == 6.0
        figures(
            "A29",
            "six bits in the 7th to 10th decimal of a number",
            without="6.0 bits read",
            with_defence="0.0 bits; a number carries at most 19.9 bits in its six digits",
            mark="0 bits beyond the visible digits",
            benign="the number itself, to six digits",
        )
        assert pytest.approx(19.93, abs=0.01) == BITS_A_NUMBER

    @pytest.mark.parametrize(
        "forms",
        [
            [b"a,b\n1,x\n2,y\n", b"a,b\n2,y\n1,x\n", b"b,a\nx,1\ny,2\n", b"b,a\ny,2\nx,1\n"],
            [b"a,b\n0,x\n", b"a,b\n-0,x\n", b"a,b\n0.0,x\n", b"a,b\n-0e5,x\n"],
            [b"a,b\n1,x\n", b'"a","b"\n1,x\n', b"a,b\r\n1,x\r\n", b"a;b\n1;x"],
            [b"a,b\n1,x\n", b"a,b\n1.0,x\n", b"a,b\n1e0,x\n", b"a,b\n 1 ,x \n"],
        ],
        ids=["order of rows and columns", "signs of zero", "quotes and line ends", "ways to write a number"],
    )
    def test_tables(self, forms: list[bytes]) -> None:
        assert bits([(secret, str(form)) for secret, form in zip(SECRETS, forms, strict=True)]) == 2.0
        assert bits([(secret, str(canonical_csv(form))) for secret, form in zip(SECRETS, forms, strict=True)]) == 0.0

    @pytest.mark.parametrize(
        "forms",
        [
            [b'{"a":1,"b":2}', b'{"b":2,"a":1}', b'{"a": 1,"b":2}', b'{"a":1,\n"b":2}'],
            [b'{"a":1}', b'{"\\u0061":1}', b'{"a":1.0}', b'{"a":10e-1}'],
        ],
        ids=["order and spaces", "escapes and numbers"],
    )
    def test_documents(self, forms: list[bytes]) -> None:
        assert bits([(secret, str(canonical_json(form))) for secret, form in zip(SECRETS, forms, strict=True)]) == 0.0


def test_the_gate_gives_one_type_to_whole_numbers(figures: Callable[..., None]) -> None:
    """Also where a caller skips the node's reading of the worker."""
    whole = np.array([40, 50])
    assert {of_one_type(whole.astype(kind)).dtype.str for kind in ("<i8", "<f8")} == {"<i8"}
    assert of_one_type(np.array([0.5])).dtype == "<f8" and of_one_type(np.array([2**60])).dtype == "<f8"
    figures(
        "A30",
        f"{len(IN_ANSWERS) + len(IN_DEEDS)} encoders of two bits in whatever is not a number",
        without="2.0 bits each, up to the border",
        with_defence="0.0 bits each",
        mark="0 bits except declared numbers",
        benign="the honest answer is released",
    )


def test_the_page_lists_every_channel() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    listed = {name.strip(): figure.strip() for name, figure in rows}
    assert {name: listed.get(name) for name in CLOSED} == dict.fromkeys(CLOSED, "0")
    assert {name: listed.get(name) for name in OPEN} == OPEN
    assert set(CLOSED) >= {*IN_ANSWERS, *IN_DEEDS}
