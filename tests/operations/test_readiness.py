"""Ready means: the store was just written, the log is at its checkpoint, the program does not end."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import event

from sojourn.errors import AuditError
from sojourn.hub.api import application
from sojourn.operations.readiness import AGE, Readiness
from sojourn.testbed import Federation
from sojourn.wire.transport import Loop, in_memory_client


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    with Federation({"Avon": {"people": pd.DataFrame({"age": np.arange(40.0, 80.0)})}}) as federation:
        yield federation


def no(error: BaseException) -> None:
    raise error


def test_a_proof_is_what_makes_it_ready() -> None:
    assert Readiness(lambda: None, lambda: False).reasons() == []
    assert Readiness(lambda: no(OSError()), lambda: False).reasons() == ["store"]
    assert Readiness(lambda: no(AuditError("x", remedy="y")), lambda: False).reasons() == ["log"]
    assert Readiness(lambda: None, lambda: True).reasons() == ["closing"]
    assert Readiness(lambda: None, lambda: False, {"hub": lambda: False}).reasons() == ["hub"]


def test_many_questions_are_one_proof() -> None:
    proofs: list[int] = []
    ready = Readiness(lambda: proofs.append(1), lambda: False)
    assert [ready.reasons() for _ in range(50)] == [[]] * 50
    assert len(proofs) == 1 and AGE >= 1


def test_nobody_waits_for_a_disk_that_hangs() -> None:
    hanging, proving = threading.Event(), threading.Event()
    ready = Readiness(lambda: (proving.set(), hanging.wait(30), None)[-1], lambda: False)
    first = threading.Thread(target=ready.reasons)
    first.start()
    assert proving.wait(10)
    assert ready.reasons() == ["store"]  # not proved yet, and answered at once
    hanging.set()
    first.join(10)
    assert ready.reasons() == []


def test_a_hub_says_over_http_that_it_is_ready(federation: Federation) -> None:
    with Loop() as loop, in_memory_client(application(federation.hub), None, loop) as client:
        answer = client.get("/v1/ready")
        assert (answer.status_code, answer.json()["reasons"]) == (200, [])
        federation.hub.bell.closed = True
        try:
            answer = client.get("/v1/ready")
        finally:
            federation.hub.bell.closed = False
        assert (answer.status_code, answer.json()["reasons"]) == (503, ["closing"])
        assert client.get("/v1/health").status_code == 200


def test_a_proof_writes_to_the_disk_and_changes_nothing(federation: Federation) -> None:
    store, log = federation.hub.store, federation.folder / "hub" / "hub.db-wal"
    before = (log.stat().st_mtime_ns, store.checkpoint(), store.tail())
    store.prove()
    assert log.stat().st_mtime_ns > before[0]
    assert (store.checkpoint(), store.tail()) == before[1:]
    assert store.verify().ok


def test_a_store_that_cannot_commit_is_not_proved(federation: Federation) -> None:
    def full(connection: object) -> None:
        raise OSError(28, os.strerror(28))

    store = federation.hub.store
    event.listen(store._engine, "commit", full)
    try:
        with pytest.raises(OSError, match="No space"):
            store.prove()
    finally:
        event.remove(store._engine, "commit", full)
    store.prove()
