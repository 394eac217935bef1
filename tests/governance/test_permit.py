"""May this plan be asked here?"""

from __future__ import annotations

import pytest

import sojourn as sj
from sojourn.errors import REASONS, SiteRefused
from sojourn.governance.permit import permit, refusal, withheld

PLAN = sj.Plan(table="patients", analyses={"n": sj.count()})
MASKED = PLAN.replace(aggregation="masked")


def test_an_approved_table_is_permitted() -> None:
    permit(PLAN, {"patients", "visits"})
    assert refusal(PLAN, {"patients"}) == ""


@pytest.mark.parametrize(
    ("plan", "approved", "masking", "reason"),
    [
        (PLAN, set(), "allowed", "no table"),
        (PLAN, {"visits"}, "allowed", "no table"),
        (PLAN, {"patients"}, "required", "masking required"),
        (PLAN.replace(aggregation="clear"), {"patients"}, "required", "masking required"),
        (MASKED, {"patients"}, "refused", "masked aggregation"),
        (PLAN.replace(missing="by analysis"), {"patients"}, "allowed", "missing by analysis"),
        (MASKED.replace(missing="by analysis"), {"patients"}, "required", "missing by analysis"),
    ],
)
def test_everything_else_is_refused_with_its_reason(
    plan: sj.Plan, approved: set[str], masking: str, reason: str
) -> None:
    assert refusal(plan, approved, masking) == reason
    assert reason in REASONS
    with pytest.raises(SiteRefused) as refused:
        permit(plan, approved, masking)
    assert refused.value.reason == reason


@pytest.mark.parametrize("masking", ["allowed", "required"])
def test_a_masked_plan_runs_and_gets_nothing_where_its_table_is_not_approved(masking: str) -> None:
    permit(MASKED, set(), masking)
    assert withheld(MASKED, {"visits"}) == "no table"
    assert withheld(MASKED, {"patients"}) == ""
