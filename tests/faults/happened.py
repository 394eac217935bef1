"""What happened to a study, read from the databases of the parties by somebody else."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

from federation_processes import SITES, Processes
from patience import eventually

import sojourn as sj
from sojourn.client.studies import Run


def count(**words: Any) -> sj.Plan:
    return sj.Plan(table="patients", purpose="HMB", analyses={"count": sj.count(by="sick")}, **words)


def model(**words: Any) -> sj.Plan:
    return sj.Plan(
        table="patients", purpose="HMB", analyses={"model": sj.glm("sick ~ age + lab", family="binomial")}, **words
    )


def states(run: Run) -> list[str]:
    return [event["state"] for event in run.view().events]


def log(wards: Processes, party: str, run: Run) -> list[dict[str, Any]]:
    """The entries of a party's log about a study, read from its database by somebody else."""
    query = "SELECT data FROM log_entry WHERE study = ? ORDER BY position"
    return [json.loads(data) for (data,) in rows(wards, party, query, run.study)]


def rows(wards: Processes, party: str, query: str, *words: str) -> list[Any]:
    file = wards.home / party / ("hub.db" if party == "hub" else "node.db")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(query, words).fetchall()


def nothing_doubled(wards: Processes, run: Run, rounds: int, sites: tuple[str, ...] = SITES) -> None:
    """One release, one charge, one acceptance and one acknowledgement for each site, analysis and round."""
    for site in sites:
        eventually("the acknowledgements", lambda site=site: acknowledged(wards, site, run), 60)
        entries = log(wards, site, run)
        assert kinds(entries, "release.sealed") == kinds(entries, "release.acknowledged") == rounds, site
        assert kinds(entries, "ledger.charged") == kinds(entries, "run.admitted") == 1
        assert wards.node(site, "verify")["ok"]
    answered = [entry["facts"] for entry in log(wards, "hub", run) if entry["kind"] == "round.answered"]
    places = [(facts["site"], facts["ask"]) for facts in answered]
    assert len(places) == len(set(places)) == rounds * len(sites)
    for kind in ("study.submitted", "analysis.concluded", "study.completed"):
        assert kinds(log(wards, "hub", run), kind) == 1
    assert wards.hub("verify")["ok"]


def acknowledged(wards: Processes, site: str, run: Run) -> bool:
    found = wards.node(site, "released", study=run.study)
    return bool(found) and all(row["acknowledged"] for row in found)


def kinds(entries: list[dict[str, Any]], kind: str) -> int:
    return sum(entry["kind"] == kind for entry in entries)
