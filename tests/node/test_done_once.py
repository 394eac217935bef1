"""What a node notes once: the same acknowledgement, or the same end, comes twice where its answer was lost."""

from __future__ import annotations

import time

import pandas as pd
from sqlalchemy import select

import sojourn as sj
from sojourn.audit.entry import Entry
from sojourn.node.tables import releases, runs
from sojourn.testbed import Federation


def test_a_second_acknowledgement_and_a_second_end_leave_no_entry() -> None:
    rows = pd.DataFrame({"sick": [True, False] * 50})
    plan = sj.Plan(table="rows", purpose="NRES", analyses={"n": sj.count(by="sick")})
    with Federation({"one": {"rows": rows}}) as federation:
        run = federation.project().submit(plan)
        run.wait(60)
        store = federation.nodes["one"].store
        store.end(run.study, "completed", Entry("run.ended", "node:one", study=run.study))  # it may have heard already
        end = time.monotonic() + 60
        while not (release := store.rows(select(releases))[0])["acknowledged"] and time.monotonic() < end:
            time.sleep(0.01)
        before = store.checkpoint()
        key = (run.study, "n", release["ask"])
        store.acknowledge(key, "another", True, Entry("release.acknowledged", "node:one", study=run.study))
        store.end(run.study, "failed", Entry("run.ended", "node:one", study=run.study))
        assert store.checkpoint() == before
        assert store.rows(select(releases)) == [release] and release["acknowledged"]
        assert store.rows(select(runs.c.ended)) == [{"ended": "completed"}]
