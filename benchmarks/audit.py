"""The audit log: appends in batches of 100, each batch durable (WAL, synchronous FULL), and the full verification."""

from __future__ import annotations

import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from machine import keep
from sqlalchemy import MetaData

from sojourn.audit.entry import Entry
from sojourn.hub.tables import metadata
from sojourn.identity.keys import PrivateKey
from sojourn.storage.engine import open_engine
from sojourn.storage.migrate import upgrade
from sojourn.storage.store import Store

BATCH, BATCHES, TIMES = 100, 1_000, 5


def entry(number: int) -> Entry:
    """As a hub writes it for every answer."""
    facts = {"analysis": "model", "site": "site-7", "ask": f"{number:064x}", "release": f"{~number & 2**256 - 1:064x}"}
    return Entry("round.answered", "node:site-7", study=f"{number:032x}", facts=facts)


def main() -> None:
    """Append and verify a log of 100,000 entries."""
    with tempfile.TemporaryDirectory(prefix="sojourn-bench-", dir=".") as folder:
        engine = open_engine(Path(folder) / "audit.sqlite")
        upgrade(engine, "sojourn.hub.migrations")
        known: MetaData = metadata
        with Store(engine, known, PrivateKey.generate(), "bench", lambda: datetime.now(UTC)) as store:
            taken = []
            for batch in range(BATCHES):
                entries = [entry(batch * BATCH + place) for place in range(BATCH)]
                started = time.perf_counter()
                store.write(entries, lambda connection: None)
                taken.append(time.perf_counter() - started)
            speeds = []
            for _ in range(TIMES):
                started = time.perf_counter()
                report = store.verify()
                speeds.append(report.entries / (time.perf_counter() - started))
                assert report.ok
            alone = time.perf_counter()
            for number in range(BATCHES):
                store.write(entry(number), lambda connection: None)
            alone = time.perf_counter() - alone
    keep(
        "audit",
        {
            "appends_per_s_in_batches_of_100": BATCH * BATCHES / sum(taken),
            "batch_ms_median": 1000 * statistics.median(taken),
            "writes_per_s_of_one_entry": BATCHES / alone,
            "verified_per_s_median": statistics.median(speeds),
            "verified_per_s_most": max(speeds),
            "entries": report.entries,
        },
    )


if __name__ == "__main__":
    main()
