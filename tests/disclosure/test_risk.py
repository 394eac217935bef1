"""The model of risk: it raises and never lowers, says nothing without history, and learns the same from the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.disclosure.output import Finding, Tier, Verdict, strictness
from sojourn.disclosure.risk import LEAST, WORDS, features, train
from sojourn.disclosure.rules import joined

NUMBER = st.floats(-5, 20, allow_nan=False)
SEEN = st.fixed_dictionaries(dict.fromkeys(WORDS, NUMBER))
DECISIONS = st.lists(st.tuples(SEEN, st.booleans()), max_size=40)
FINDINGS = st.builds(
    Finding,
    st.sampled_from(list(Verdict)),
    st.just("events"),
    tier=st.sampled_from(list(Tier)),
)


@given(DECISIONS, SEEN, FINDINGS)
def test_it_never_lowers_anything(decisions, seen, finding):
    model = train(decisions)
    kinds = [word for _, word in decisions]
    assert (model is None) == (min(kinds.count(True), kinds.count(False)) < LEAST)
    if model is None:
        return
    after = joined([finding, model.judge(finding, seen)])
    assert strictness(after.tier) >= strictness(finding.tier)
    assert strictness(after.verdict) >= strictness(finding.verdict)
    assert train(decisions) == model
    assert 0 <= model.probability(seen) <= 1


def learnt(rejects_small=True, each=40):
    """Decisions of a site that rejects what rests on few persons."""
    random = np.random.default_rng(3)
    decisions = []
    for number in range(2 * each):
        few = number % 2 == 0
        seen = {name: float(random.normal()) * 0.1 for name in WORDS}
        seen["smallest"] = -np.log1p(12 if few else 200) + 0.01 * random.normal()
        decisions.append((seen, few == rejects_small))
    return decisions


def test_it_learns_what_a_site_rejects_and_says_why():
    model = train(learnt())
    few = dict.fromkeys(WORDS, 0.0) | {"smallest": -np.log1p(11)}
    many = dict.fromkeys(WORDS, 0.0) | {"smallest": -np.log1p(300)}
    assert model.probability(few) > 0.9 > 0.2 > model.probability(many)
    raised = model.judge(Finding(Verdict.RELEASE), few)
    assert raised.tier is Tier.HIGH
    assert raised.raised == "review"
    assert "how few persons stand behind the smallest number" in raised.note
    assert model.reasons(few)[0] == WORDS["smallest"]
    assert model.judge(Finding(Verdict.RELEASE), many) == Finding(Verdict.RELEASE)
    assert model.judge(Finding(Verdict.RELEASE, tier=Tier.HIGH), few) == Finding(Verdict.RELEASE)


def test_a_model_that_lowered_would_be_seen(monkeypatch):
    """The planted defect: where the finding is replaced and not joined, the property above fails."""
    model = train(learnt())
    many = dict.fromkeys(WORDS, 0.0) | {"smallest": -np.log1p(300)}
    replaced = model.judge(Finding(Verdict.RELEASE, tier=Tier.MEDIUM), many)
    assert strictness(replaced.tier) < strictness(Tier.MEDIUM)
    assert joined([Finding(Verdict.RELEASE, tier=Tier.MEDIUM), replaced]).tier is Tier.MEDIUM


def test_few_decisions_of_one_kind_teach_nothing():
    decisions = learnt()
    approvals = [pair for pair in decisions if not pair[1]]
    rejections = [pair for pair in decisions if pair[1]]
    assert train([]) is None
    assert train(approvals + rejections[: LEAST - 1]) is None
    assert train(approvals + rejections[:LEAST]) is not None


def test_features_are_of_output_request_and_history(outputs):
    output = outputs.table([[30, 12], [60, 70]], dimensions=("region", "sex"))
    seen = features(output, Finding(Verdict.RELEASE), {"left": 7, "refused": 1, "rejected": 1}, overlap=0.25)
    assert set(seen) == set(WORDS)
    assert seen["smallest"] == pytest.approx(-np.log1p(12))
    assert (seen["dimensions"], seen["geography"], seen["overlap"], seen["refused"]) == (2.0, 1.0, 0.25, 0.125)
    model = features(outputs.model(rules=("design support",), leverage=0.2), Finding(Verdict.RELEASE), {})
    assert model["leverage"] == 0.2
    assert model["parameters"] == pytest.approx(np.log1p(4))
