"""May this plan be asked here?"""

from __future__ import annotations

import pytest

import sojourn as sj
from sojourn.errors import REASONS, SiteRefused
from sojourn.governance.permit import permit, refusal

PLAN = sj.Plan(table="patients", analyses={"n": sj.count()})


def test_an_approved_table_is_permitted() -> None:
    permit(PLAN, {"patients", "visits"})
    assert refusal(PLAN, {"patients"}) == ""


@pytest.mark.parametrize(
    ("plan", "approved", "reason"),
    [
        (PLAN, set(), "no table"),
        (PLAN, {"visits"}, "no table"),
        (PLAN.replace(aggregation="masked"), {"patients"}, "masked aggregation"),
        (PLAN.replace(missing="by analysis"), {"patients"}, "missing by analysis"),
    ],
)
def test_everything_else_is_refused_with_its_reason(plan: sj.Plan, approved: set[str], reason: str) -> None:
    assert refusal(plan, approved) == reason
    assert reason in REASONS
    with pytest.raises(SiteRefused) as refused:
        permit(plan, approved)
    assert refused.value.reason == reason
