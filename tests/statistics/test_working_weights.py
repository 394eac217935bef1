"""Sums at given coefficients rest on enough persons, or do not leave: also where every working weight underflows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import sojourn as sj
from sojourn.analysis.population import Population
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure.gate import judge
from sojourn.disclosure.output import Output, Verdict
from sojourn.disclosure.policy import StandardPolicy
from sojourn.statistics.glm import GLM

VARIABLES = with_site({"x": Variable(Kind.NUMBER), "y": Variable(Kind.BOOLEAN)}, ("here",))


def one_on_the_wrong_side() -> Population:
    """A hundred persons, all but the eighth on their own side of zero."""
    draw = np.random.default_rng(0)
    x = draw.choice([-1.0, 1.0], 100) * draw.uniform(1, 2, 100)
    y = (x > 0).astype(np.int8)
    y[7] ^= 1
    return Population("here", VARIABLES, {"x": x, "y": y}, np.arange(100, dtype=np.uint32), {})


@pytest.mark.parametrize(("steepness", "verdict"), [(0.5, Verdict.RELEASE), (5000.0, Verdict.REFUSE)])
@pytest.mark.parametrize("judged", [True, False])
def test_steep_coefficients_show_nobody(steepness: float, verdict: Verdict, judged: bool) -> None:
    model, people = sj.glm("y ~ x", family="binomial"), one_on_the_wrong_side()
    assert isinstance(model, GLM)
    broadcast = {"centre": np.zeros(2), "coefficients": np.array([0.0, steepness])}
    partial = model.local("newton", people, broadcast)
    if steepness > 1:  # what would leave without the rule: one person's row
        assert partial["score"] == pytest.approx([1.0, people.columns["x"][7]])
    support = model.support(people)
    assert support.design is not None
    if judged:
        working = model.working("newton", people, broadcast)
        support = replace(support, design=replace(support.design, working=working))
    step = next(step for step in model.steps(VARIABLES) if step.name == "newton")
    finding = judge(Output(model.name, step, partial, support, VARIABLES, model.rules), StandardPolicy())
    assert finding.verdict is (verdict if judged else Verdict.REFUSE)
