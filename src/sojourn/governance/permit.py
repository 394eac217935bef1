"""The permit: may this plan be asked of this site? It judges questions; `disclosure` judges answers.

Law: what no line of this module allows is refused. Agreements, purposes, consent and country rules will add their own
conditions here; none can replace one that stands.
"""

from __future__ import annotations

from collections.abc import Collection

from sojourn.errors import SiteRefused
from sojourn.study.plan import Plan


def refusal(plan: Plan, approved: Collection[str], masking: str = "allowed") -> str:
    """The asking form: why this plan may not run, a word of `errors.REASONS`, or nothing.

    approved: the tables that the custodian's approval of this researcher and project covers. masking: whether the site
    takes part in masked plans: `allowed`, `required` or `refused`. That a table is not approved refuses a clear plan;
    in a masked one the site takes part with nothing, see `withheld`.
    """
    if plan.aggregation == "masked":
        if masking == "refused":
            return "masked aggregation"
    elif masking == "required":
        return "masking required"
    if plan.missing != "complete":
        return "missing by analysis"
    if plan.aggregation != "masked" and plan.table not in approved:
        return "no table"
    return ""


def withheld(plan: Plan, approved: Collection[str]) -> str:
    """Why a masked plan gets nothing of this site, though it takes part: a word of `errors.REASONS`, or nothing."""
    return "no table" if plan.table not in approved else ""


def permit(plan: Plan, approved: Collection[str], masking: str = "allowed") -> None:
    """The raising form: SiteRefused with the reason."""
    if reason := refusal(plan, approved, masking):
        raise SiteRefused(reason)
