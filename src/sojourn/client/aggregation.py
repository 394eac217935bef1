"""Clear or masked: decided before anything runs, from the plan and from what the sites publish, never from counts."""

from __future__ import annotations

from collections.abc import Sequence

from sojourn.analysis.statistic import Matched
from sojourn.errors import REASONS, PlanError
from sojourn.messages import SiteView
from sojourn.study.plan import Plan

THRESHOLD = 10  # of a site that publishes none: the rules' own default
LEAST = 3


def aggregation_of(plan: Plan, sites: Sequence[SiteView]) -> str:
    """`clear` or `masked`, as it is written into the signed plan; PlanError where the sites cannot do it.

    `auto` is masked where a site answers masked plans only or an overlap is asked, or where the plan expects fewer
    persons at a site than the sites' threshold, as far as all sites take part; else clear, as wherever single sites'
    estimates are asked for.
    """
    required = sorted(site.site for site in sites if site.rules.get("masking") == "required")
    unable = sorted(site.site for site in sites if not _takes_part(site))
    threshold = max(int(site.rules.get("threshold", THRESHOLD)) for site in sites)
    few = plan.expected is not None and plan.expected < threshold and not plan.shows_sites
    only = required or any(isinstance(statistic, Matched) for statistic in plan.analyses.values())
    if plan.aggregation == "clear" or (plan.aggregation == "auto" and not only and not (few and not unable)):
        if required:
            raise _refused("masking required", required)
        return "clear"
    if unable:
        raise _refused("masked aggregation", unable)
    least = max(LEAST, *(int(site.rules.get("least_masked", LEAST)) for site in sites))
    if len(sites) < least:
        raise PlanError(
            f"A masked plan needs {least} sites and is for {len(sites)}.",
            remedy="Ask more sites: in a smaller sum each could tell the others' parts.",
            field="aggregation",
        )
    return "masked"


def _takes_part(site: SiteView) -> bool:
    return "exchange" in site.rules and site.rules.get("masking") != "refused"


def _refused(reason: str, sites: Sequence[str]) -> PlanError:
    words = f"{', '.join(sites)}: {REASONS[reason].sentence}"
    return PlanError(words, remedy=REASONS[reason].remedy, field="aggregation")
