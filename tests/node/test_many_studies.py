"""Many studies at once at one node: a bounded number of workers, and every study gets its turn and its answer."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

import sojourn as sj
from sojourn.node import runner
from sojourn.node.sandbox import InProcess, Session
from sojourn.testbed import Federation

STUDIES = 8


class Counted(InProcess):
    """Workers that are counted from their start to their end."""

    lock = threading.Lock()
    alive: ClassVar[set[int]] = set()
    most = 0
    started = 0

    def start(self, job: Path) -> Session:
        session = super().start(job)
        kill = session.kill

        def counted() -> None:
            kill()
            with Counted.lock:
                Counted.alive.discard(id(session))

        session.kill = counted  # type: ignore[method-assign]
        with Counted.lock:
            Counted.alive.add(id(session))
            Counted.started += 1
            Counted.most = max(Counted.most, len(Counted.alive))
        return session


@pytest.mark.long
def test_more_studies_than_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "AT_ONCE", 2)
    monkeypatch.setattr(runner, "WARM", 2)
    draw = np.random.default_rng(1)
    x = draw.normal(size=400)
    rows = pd.DataFrame({"x": x, "y": draw.random(400) < 1 / (1 + np.exp(-x))})
    plan = sj.Plan(table="rows", purpose="NRES", analyses={"m": sj.glm("y ~ x", family="binomial")})
    with Federation({"one": {"rows": rows}}, sandbox=Counted, repeats=False) as federation:
        project = federation.project()
        runs = [project.submit(plan) for _ in range(STUDIES)]
        found = [run.wait(60)["m"].table["estimate"].to_numpy() for run in runs]
    assert all(np.array_equal(one, found[0]) for one in found)
    assert Counted.started > STUDIES  # some were ended between two rounds of their study, and another went on
    assert Counted.most <= 2 + 2 + 1  # warm, just opened, in stock
