"""The permit: may this plan be asked of this site? It judges questions; `disclosure` judges answers.

Law: what no line of this module allows is refused. Agreements, purposes, consent and country rules will add their own
conditions here; none can replace one that stands.
"""

from __future__ import annotations

from collections.abc import Collection

from sojourn.errors import SiteRefused
from sojourn.study.plan import Plan


def refusal(plan: Plan, approved: Collection[str]) -> str:
    """The asking form: why this plan may not run, a word of `errors.REASONS`, or nothing.

    approved: the tables that the custodian's approval of this researcher and project covers.
    """
    if plan.aggregation not in ("auto", "clear"):
        return "masked aggregation"
    if plan.missing != "complete":
        return "missing by analysis"
    if plan.table not in approved:
        return "no table"
    return ""


def permit(plan: Plan, approved: Collection[str]) -> None:
    """The raising form: SiteRefused with the reason."""
    if reason := refusal(plan, approved):
        raise SiteRefused(reason)
