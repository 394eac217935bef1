"""Design support

What a regression sends shows every column of its design: how many persons each level has, how many have two
levels together, how many of a level have the outcome. So each of them needs at least T persons, or none. The
classical attack is a column that is 1 for one person: constant + coefficient is then that person's outcome. A
number with two values is such a column.

No person may carry too much of the model either. Leverage is the share of a fitted value that is the person's
own outcome. Above 1/3 the model is refused. Between 1/T and 1/3 it is of medium risk: a checker must see it,
and as long as a site has no checker it does not leave. Weights must leave at least T persons effectively, and a
saturated model, which is a table, at least T persons in its rarest pattern. Where a column names clusters, for
robust errors or random effects, there are at least T of them.
"""

from __future__ import annotations

import pytest

CASES = (
    ({"levels": {"sex=male": 120, "sex=female": 80}}, "released", "common levels"),
    ({"levels": {"is_mr_x=1": 1, "is_mr_x=0": 199}}, "refused: design support", "a column for one person"),
    ({"levels": {"sex=male": 120, "male & disease": 9}}, "refused: design support", "a rare pair"),
    ({"levels": {"site=Bern": 0, "site=Cleveland": 200}}, "released", "nobody is in an empty level"),
    ({"leverage": 0.08}, "released", "nobody stands out"),
    ({"leverage": 0.2}, "refused: design support", "medium risk: a checker must see it"),
    ({"leverage": 0.5}, "refused: design support", "half of a fitted value is the person's own outcome"),
    ({"effective": 150.5}, "released", "weights that spread"),
    ({"effective": 8.2}, "refused: design support", "the weights leave eight persons"),
    ({"clusters": 25}, "released", "many clusters"),
    ({"clusters": 9}, "refused: design support", "the sums are of nine clusters"),
    ({"patterns": 25}, "released", "saturated, every pattern is common"),
    ({"patterns": 2}, "refused: design support", "saturated, with a rare pattern"),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_design_support(given, verdict, why, spec):
    assert spec.model(given, ("design support",)) == verdict
