"""C22: sites and hub killed in each stage of a masked study: there is the whole sum at the end, and never another."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pandas as pd
import pytest
from federation_processes import PROJECT, SITES, patients
from mortal_processes import (
    Mortals,
    Point,
    mortals_fixture,  # noqa: F401  (pytest finds it here)
    same_bytes,
    shared_mortals_fixture,  # noqa: F401
)

import sojourn as sj
from sojourn.analysis.variable import Kind, Variable
from sojourn.messages import SiteView
from sojourn.node.config import NodeHome
from sojourn.node.dictionary import Dictionary

pytestmark = [pytest.mark.timeout(300), pytest.mark.nightly]

# A life for each: before and after terms, share and two multiplications are sealed; then about the first numbers.
EACH: list[Point] = [("before", "release.sealed", 1), ("after", "release.sealed", 1)]
NODE = [*EACH, *EACH, *EACH, *EACH, ("before", "ledger.charged", 1), ("after", "ledger.charged", 1)]
HUB: list[Point] = [("before", "round.answered", 4), ("after", "round.answered", 9), ("after", "round.answered", 9)]
HUB += [("before", "analysis.concluded", 1), ("after", "analysis.concluded", 1)]
PLAN = sj.Plan(table="rare", purpose="HMB", analyses={"n": sj.count(by="sick")}, aggregation="masked")


def frames() -> dict[str, object]:
    return {site: patients(number + 40, 60) for number, site in enumerate(SITES)}


def test_c22_killed_in_each_stage_of_a_masked_study(mortals: Mortals) -> None:
    keys = {site: mortals.node(site, "pins")[0]["whole_key"] for site in SITES}
    for site, rows in frames().items():
        mortals.add(site, "rare", rows)  # type: ignore[arg-type]
        mortals.node(site, "approve", project=PROJECT, key=mortals.key.public.hex)
        for other in set(SITES) - {site}:
            mortals.node(site, "pin", site=other, key=keys[other])
    project = mortals.project()
    mortals.tended("the table", lambda: len([v for v in project.sites() if len(v.datasets) > 1]) == len(SITES))
    mortals.armed(hub=HUB, Brent=NODE)
    run = mortals.submit(mortals.insist(mortals.project), PLAN)
    assert mortals.finish(run) == "completed"
    assert [death.point for death in mortals.deaths if death.party == "Brent"] == NODE
    assert len([death for death in mortals.deaths if death.party == "hub"]) == len(HUB)
    results = mortals.insist(lambda: mortals.researcher().study(run.study).results())
    sick = sum(int(rows["sick"].sum()) for rows in frames().values())  # type: ignore[index]
    assert results.trusted
    assert results["n"].table["n"].to_dict() == {False: 60 * len(SITES) - sick, True: sick}
    for site in SITES:
        same_bytes(mortals, site, run)  # what was sealed under masks is sent again, and never made again
        rows = mortals.rows(site, "SELECT count(*), count(DISTINCT label) FROM masked_set WHERE study = ?", run.study)
        assert rows[0][0] == rows[0][1] > 0
        kinds = [entry["kind"] for entry in mortals.log(site, run.study)]
        assert (
            kinds.count("ledger.charged") == 1
            and kinds.count("release.sealed")
            == mortals.rows(site, "SELECT count(*) FROM release WHERE study = ?", run.study)[0][0]
        )


# Terms, lists (with their charge), what is sent on, shares: before and after each is sealed.
LISTS = [*EACH, ("before", "ledger.charged", 1), ("after", "ledger.charged", 1), *EACH, *EACH]
OVERLAP = sj.Plan(table="linked", purpose="HMB", analyses={"n": sj.overlap(most=100)}, aggregation="masked")


def linked(mortals: Mortals) -> None:
    """A table of forty persons at each site, of whom neighbours have twenty in common, and agreements on it."""
    keys = {site: mortals.node(site, "pins")[0]["whole_key"] for site in SITES}
    words = Dictionary("linked", "pid", False, {"old": Variable(Kind.BOOLEAN)}, linkage="national_id")
    for number, site in enumerate(SITES):
        path, source = mortals.home / f"{site}-linked.yaml", mortals.home / f"{site}-linked.parquet"
        words.save(path)
        persons = range(20 * number, 20 * number + 40)
        pd.DataFrame({"pid": [f"NL-{pid}" for pid in persons], "old": [True, False] * 20}).to_parquet(source)
        mortals.node(site, "add_dataset", source=str(source), dictionary=str(path))
        mortals.node(site, "approve", project=PROJECT, key=mortals.key.public.hex)
        for other in set(SITES) - {site}:
            mortals.node(site, "pin", site=other, key=keys[other])
        home = NodeHome.load(mortals.home / site)
        replace(home, overlaps={"linked": sorted(set(SITES) - {site})}, masked_pace=0.2).save()


def tables(view: SiteView) -> set[str]:
    return {str(data["table"]) for data in view.datasets}


def test_c22_killed_in_each_stage_of_an_overlap(mortals: Mortals) -> None:
    """One list for each partner there is in the end, sent once, and the numbers are right."""
    linked(mortals)
    mortals.armed(**{site: [] for site in SITES if site != "Brent"})  # with the new settings
    project = mortals.project()
    mortals.tended("the table", lambda: all("linked" in tables(view) for view in project.sites()))
    mortals.armed(hub=HUB[:2], Brent=LISTS)
    run = mortals.submit(mortals.insist(mortals.project), OVERLAP)
    assert mortals.finish(run) == "completed"
    assert [death.point for death in mortals.deaths if death.party == "Brent"] == LISTS
    results = mortals.insist(lambda: mortals.researcher().study(run.study).results())
    told = {place: row["persons"] for place, row in results["n"].table.iterrows()}
    assert results.trusted and [told[one] for one in itertools.pairwise(SITES)] == [20] * (len(SITES) - 1)
    for site in SITES:
        same_bytes(mortals, site, run)
        rows = mortals.rows(
            site, "SELECT count(*), count(DISTINCT partner) FROM overlap_list WHERE study = ?", run.study
        )
        assert rows[0][0] == rows[0][1] == len(SITES) - 1
        kinds = [entry["kind"] for entry in mortals.log(site, run.study)]
        assert kinds.count("ledger.charged") == 1
