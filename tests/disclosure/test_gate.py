"""The gate: what it zeroes, what it refuses, and that its Release is made once and read back exactly."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.analysis.partial import Partial
from sojourn.disclosure.gate import Header, Looked, ReceivedRelease, Release, judge, look, release
from sojourn.disclosure.output import Finding, Tier, Verdict
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.errors import DisclosureRefused

SMALL = [[30, 4, 50], [60, 70, 80]]


@dataclass(frozen=True)
class Says:
    """A policy that says what it is told, or fails."""

    finding: object
    name: str = "says"
    version: str = "1"
    watermark: str = ""
    hidden: int = field(default=9)

    def hidden_max(self):
        return self.hidden

    def differencing(self):
        return None

    def judge(self, output):
        if isinstance(self.finding, Exception):
            raise self.finding
        return self.finding


@pytest.fixture
def cleared(outputs):
    return release(outputs.table(SMALL, mean=np.array(SMALL) / 7), StandardPolicy(), outputs.HEADER)


def test_hidden_cells_are_zero_and_marked_in_every_array_of_the_cells(cleared):
    hidden = cleared.partial.hidden("count")
    assert hidden.tolist() == [[True, True, False], [True, True, False]]
    assert cleared.partial.hidden("mean").tolist() == hidden.tolist()
    assert not cleared.partial["count"][hidden].any()
    assert not cleared.partial["mean"][hidden].any()
    assert cleared.partial["count"][~hidden].tolist() == [50, 80]


def test_a_release_is_read_back_bit_for_bit_and_has_one_digest(cleared):
    received = ReceivedRelease.from_dict(cleared.to_dict())
    assert received.to_dict() == cleared.to_dict()
    assert received.digest() == cleared.digest()
    assert received.header == cleared.header
    assert received.partial["mean"].tobytes() == cleared.partial["mean"].tobytes()


def test_a_release_cannot_be_made_changed_copied_or_derived(cleared):
    with pytest.raises(TypeError):
        Release(cleared.header, cleared.partial, "low")
    with pytest.raises(TypeError, match="only the disclosure gate"):
        Release(cleared.header, cleared.partial, "low", object())
    with pytest.raises(TypeError, match="no other kinds"):
        type("Forged", (Release,), {})
    with pytest.raises(AttributeError):
        cleared.tier = "low"
    with pytest.raises(AttributeError):
        del cleared.tier
    for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="not copied"):
            duplicate(cleared)


def test_the_numbers_of_a_release_do_not_change(outputs):
    output = outputs.table([40, 30])
    cleared = release(output, StandardPolicy(), outputs.HEADER)
    before = cleared.digest()
    output.partial.arrays["count"][0] = 7
    assert cleared.digest() == before
    with pytest.raises(ValueError, match="read-only"):
        cleared.partial["count"][0] = 7
    with pytest.raises(TypeError):
        cleared.partial.arrays["count"] = np.zeros(2)


def test_the_gate_writes_the_policy_into_the_header(outputs):
    claims = replace(outputs.HEADER, policy="default", policy_version="1", watermark="")
    header = release(outputs.table([4, 30]), UnsafeReleaseAll(), claims).header
    assert header.watermark == "UnsafeReleaseAll: no disclosure control, for tests only"
    assert (header.policy, header.hidden_max) == ("UnsafeReleaseAll", 0)
    assert release(outputs.table([40, 30]), StandardPolicy(), claims).header.hidden_max == 9


def test_negative_zero_is_one_number(outputs):
    def digest(zero):
        return release(outputs.table([40, 30], mean=[zero, 1.5]), StandardPolicy(), outputs.HEADER).digest()

    assert digest(-0.0) == digest(0.0)


@pytest.mark.parametrize(
    "finding",
    [
        RuntimeError("value 123 of Mr X"),
        None,
        "release",
        Finding(Verdict.SUPPRESS, "events"),
        Finding(Verdict.RELEASE, cells={"count": np.array([True, False])}),
        Finding(Verdict.SUPPRESS, "events", {"count": np.array([True])}),
        Finding(Verdict.SUPPRESS, "events", {"other": np.array([True, False])}),
        Finding(Verdict.SUPPRESS, "events", {"count": np.array([1, 0])}),
        Finding(Verdict.REFUSE, "Mr X is 47"),
    ],
    ids=str,
)
def test_a_policy_that_fails_or_contradicts_itself_is_a_refusal_without_its_text(finding, outputs):
    policy = Says(finding)
    asked = judge(outputs.table([40, 30]), policy)
    assert (asked.verdict, asked.family) == (Verdict.REFUSE, "check failed")
    with pytest.raises(DisclosureRefused) as refusal:
        release(outputs.table([40, 30]), policy, outputs.HEADER)
    assert "Mr X" not in f"{refusal.value!s}{asked.note}"
    assert refusal.value.__cause__ is None


def test_every_small_population_looks_the_same_whatever_its_numbers(outputs):
    said = set()
    for n in range(10):
        output = outputs.table([n, 0], mean=[np.nan if n == 0 else 1.0, 0.0], population=n, rules=("class disclosure",))
        finding = judge(output, StandardPolicy())
        said.add((finding.verdict, finding.family))
        with pytest.raises(DisclosureRefused):
            release(output, StandardPolicy(), outputs.HEADER)
    assert said == {(Verdict.REFUSE, "minimum frequency")}


def test_a_form_that_the_unsafe_policy_would_let_out_is_refused(outputs):
    output = replace(outputs.table([40, 30]), partial=Partial({"secret": np.array([1, 2])}))
    assert judge(output, UnsafeReleaseAll()).family == "output schema"
    assert judge(replace(outputs.table([40, 30]), rules=()), UnsafeReleaseAll()).family == "output schema"
    assert judge(outputs.table([40, 30]), UnsafeReleaseAll()).verdict is Verdict.RELEASE


def test_a_refusal_tells_the_family_and_keeps_the_note_inside(outputs):
    output = outputs.model(rules=("design support",), levels={"is_mr_x=1": 1})
    assert "is_mr_x" in judge(output, StandardPolicy()).note
    with pytest.raises(DisclosureRefused) as refusal:
        release(output, StandardPolicy(), outputs.HEADER)
    assert "is_mr_x" not in str(refusal.value)


def test_marks_that_a_statistic_set_itself_are_kept(outputs):
    output = outputs.table([40, 30])
    marked = Partial(output.partial.arrays, {"count": np.array([True, False])})
    cleared = release(replace(output, partial=marked), StandardPolicy(), outputs.HEADER)
    assert cleared.partial["count"].tolist() == [0, 30]


def spoil(document, change):
    spoilt = copy.deepcopy(document)
    change(spoilt)
    return spoilt


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("tier"),
        lambda d: d.update(extra=1),
        lambda d: d.update(tier="none"),
        lambda d: d.update(tier=["low"]),
        lambda d: d.update(header=None),
        lambda d: d["header"].pop("site"),
        lambda d: d["header"].update(extra=""),
        lambda d: d["header"].update(round=True),
        lambda d: d["header"].update(round="0"),
        lambda d: d["header"].update(round=-1),
        lambda d: d["header"].update(site=7),
        lambda d: d.update(partial=[]),
        lambda d: d["partial"].update(extra={}),
        lambda d: d["partial"]["suppressed"].update(count=[99]),
        lambda d: d["partial"]["suppressed"].update(count=[-1]),
        lambda d: d["partial"]["suppressed"].update(count=[1, 0, 3, 4]),
        lambda d: d["partial"]["suppressed"].update(count=[0, 0, 1, 3, 4]),
        lambda d: d["partial"]["suppressed"].update(count=[0, 1, 2, 3, 4]),
        lambda d: d["partial"]["suppressed"].update(count=[10**30]),
        lambda d: d["partial"]["suppressed"].update(other=[0]),
        lambda d: d["partial"]["suppressed"].update(count=[]),
        lambda d: d["partial"]["arrays"]["count"].update(shape=["2", 3]),
        lambda d: d["partial"]["arrays"]["count"].update(shape=[2.5, 3]),
        lambda d: d["partial"]["arrays"]["count"].update(shape=[1e400, 3]),
        lambda d: d["partial"]["arrays"]["count"].update(note="x"),
    ],
)
def test_anything_but_a_release_is_not_read(change, cleared):
    with pytest.raises(ValueError, match=r"."):
        ReceivedRelease.from_dict(spoil(cleared.to_dict(), change))


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5), lambda inner: st.dictionaries(st.text(max_size=7), inner)
    )
)
def test_no_document_makes_the_reader_fail_in_another_way(document):
    with pytest.raises(ValueError, match=r"."):
        ReceivedRelease.from_dict({"header": document, "tier": "low", "partial": document})


def test_a_header_is_read_back(outputs):
    assert Header.from_dict(outputs.HEADER.to_dict()) == outputs.HEADER


def test_medium_risk_leaves_only_where_a_site_says_so(outputs):
    output = outputs.model(rules=("design support",), leverage=0.2)
    policy = StandardPolicy()
    assert (judge(output, policy).tier, judge(output, policy).raised) == (Tier.MEDIUM, "design support")
    with pytest.raises(DisclosureRefused) as refused:
        release(output, policy, outputs.HEADER)
    assert refused.value.family == "design support"
    wider = StandardPolicy(replace(policy.parameters, automatic=Tier.MEDIUM))
    cleared = release(output, wider, outputs.HEADER)
    assert cleared.tier == "medium"
    assert judge(outputs.model(rules=("design support",), leverage=0.5), wider).verdict is Verdict.REFUSE


def test_who_looked_with_another_policy_has_not_looked(outputs):
    """One look serves judging, holding and releasing, and only under the very policy that looked."""
    output, lax, strict = outputs.table([40, 12]), StandardPolicy(), StandardPolicy(Parameters(threshold=20))
    looked = look(output, lax)
    assert looked.finding.verdict is Verdict.RELEASE
    assert judge(looked, lax) is looked.finding
    assert judge(looked, strict).verdict is judge(output, strict).verdict is Verdict.SUPPRESS
    with pytest.raises(TypeError):
        Looked(output, strict, output, looked.finding, object())
    with pytest.raises(AttributeError):
        looked.finding = None


def test_each_rule_is_asked_once_for_a_release(outputs):
    asked = []

    class Counting(StandardPolicy):
        def judge(self, output):
            asked.append(output)
            return super().judge(output)

    policy = Counting()
    looked = look(outputs.table([40, 30]), policy)
    judge(looked, policy)
    release(looked, policy, outputs.HEADER)
    assert len(asked) == 1
