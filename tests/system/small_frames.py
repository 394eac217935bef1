"""Small frames with canaries in them, and what every test of bad input asks of a federation afterwards."""

from __future__ import annotations

import json
import os
import re
import struct

import numpy as np
import pandas as pd
from sqlalchemy import select

import sojourn as sj
from sojourn.analysis.partial import Partial
from sojourn.client.results import Result, Results
from sojourn.client.studies import Run
from sojourn.hub.tables import tasks
from sojourn.testbed import Federation

SITES = ("amber", "beryl", "coral")
PERSON = "zqcanary"  # begins every person's identifier and note
RARE = 987654.321  # one person's cost at each site
T = 10
ENTRIES = "SELECT data FROM log_entry"


def frame(site: str, n: int = 520, seed: int = 0) -> pd.DataFrame:
    """One row a person. `rank` numbers the persons; `note` is free text, which no dictionary has."""
    rng = np.random.default_rng([seed, *site.encode()])
    age = rng.normal(60, 10, n).round(1)
    smoker = rng.random(n) < 0.4
    made = {
        "person_id": [f"{PERSON}-{site}-{i}" for i in range(n)],
        "note": [f"{PERSON} note {site} {i}" for i in range(n)],
        "rank": np.arange(1, n + 1, dtype=float),
        "age": age,
        "sex": rng.choice(["F", "M"], n),
        "stage": rng.choice(["I", "II", "III"], n),
        "smoker": smoker,
        "y": 0.05 * age - 0.3 * smoker + rng.normal(size=n),
        "ill": rng.random(n) < 0.35,
        "cost": np.r_[RARE, rng.normal(100, 10, n - 1).round(1)],
    }
    return pd.DataFrame(made)


def federation(frames: dict[str, pd.DataFrame] | None = None, **settings: object) -> Federation:
    """A federation of these frames, by default of three sound sites, each with its table `patients`."""
    frames = frames or {site: frame(site) for site in SITES}
    return Federation({site: {"patients": made} for site, made in frames.items()}, **settings)


def plan(where: str = "", **analyses: object) -> sj.Plan:
    """A plan over `patients`; without analyses one that every sound site answers."""
    return sj.Plan(table="patients", purpose="HMB", where=where, analyses=analyses or {"n": sj.count(by="sex")})


def still_works(one: Federation) -> None:
    """Nothing was lost, and nothing of a patient was said: the next study runs, every log verifies."""
    table = one.run(plan())["n"].table
    assert table["n"].map(lambda n: isinstance(n, int) and n > 100).all()
    for store in (one.hub.store, *(node.store for node in one.nodes.values())):
        assert store.verify().ok
        entries = store.read(lambda connection: [row[0] for row in connection.exec_driver_sql(ENTRIES)])
        assert entries
        silent(*entries)
    silent(*(os.path.join(where, name) for where, *names in os.walk(one.folder) for name in names[0] + names[1]))
    silent(*(path.read_bytes() for path in (one.folder / "hub").rglob("*") if path.is_file()))
    for row in one.hub.store.rows(select(tasks.c.answer).where(tasks.c.answer.is_not(None))):
        partial = Partial.from_dict(json.loads(row["answer"])["release"]["partial"])
        assert not any((np.abs(array) == RARE).any() for array in partial.arrays.values())


def silent(*said: object) -> None:
    """None of these texts or bytes holds a canary; an error counts with its remedy and its causes."""
    number = struct.pack("<d", RARE)
    for one in said:
        if isinstance(one, BaseException):
            silent(*(text for text in (str(one), repr(one.args), one.__cause__) if text))
            continue
        body = one if isinstance(one, bytes) else str(one).encode()
        assert PERSON.encode() not in body and str(RARE).encode() not in body and number not in body


def outcome(results: Results) -> dict[str, object]:
    """What the analyst sees of each analysis, without identifiers, times and what the plan itself says."""
    seen: dict[str, object] = {}
    for name, result in results.items():
        document = result.to_dict()
        document.pop("arguments")
        try:
            document["table"] = result.table.to_json(default_handler=str)
        except sj.errors.SojournError as error:
            document["error"] = (type(error).__name__, str(error), error.remedy)
        seen[name] = document
    return seen


def events(run: Run) -> list[object]:
    """A study's progress without times and hashes, in one order."""
    said = [{word: event[word] for word in event if word not in ("time", "number")} for event in run.view().events]
    return sorted(json.dumps(event, sort_keys=True) for event in said)


def families(result: Result) -> dict[str, str]:
    """The word after `not released`, by site; empty where the site contributed."""
    return {site: re.sub("^(contributed|not released: )", "", words) for site, words in result.sites.items()}
