"""Benchmarks of the spine, as ratios and medians of one run on one machine: `make bench`.

Real processes over TLS on loopback: one hub, four nodes, each computation in its sandbox. The oracle is statsmodels on
the pooled rows. Results go to benchmarks/results/spine.json.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm

import sojourn as sj
from sojourn.analysis.variable import Kind, Variable
from sojourn.client.login import save_login
from sojourn.client.studies import Federation, connect
from sojourn.hub import program as hub
from sojourn.identity.keys import PrivateKey
from sojourn.node import program as node
from sojourn.node.dictionary import Dictionary
from sojourn.node.sandbox import best_available
from sojourn.wire.address import Address

SITES = ("a", "b", "c", "d")
ROWS, COVARIATES = 250_000, 20
RESULTS = Path(__file__).parent / "results" / "spine.json"


def rows(site: int, count: int, covariates: int) -> pd.DataFrame:
    """Standard normal covariates and a logistic outcome; one seed a site."""
    draw = np.random.default_rng(site)
    x = draw.normal(size=(count, covariates))
    beta = np.linspace(-0.5, 0.5, covariates)
    y = draw.random(count) < 1 / (1 + np.exp(-(x @ beta - 0.3)))
    return pd.DataFrame({**{f"x{place}": x[:, place] for place in range(covariates)}, "y": y})


@contextmanager
def federation(tables: list[pd.DataFrame]) -> Iterator[Federation]:
    """One hub and a node for each table, as processes; ended whatever happens."""
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="sojourn-bench-") as scratch:
        home = Path(scratch)
        try:
            yield _started(home, tables, processes)
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                process.wait(30)


def _started(home: Path, tables: list[pd.DataFrame], processes: list[subprocess.Popen[bytes]]) -> Federation:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    hub.create(home / "hub", "bench", "127.0.0.1", port, [])
    _run(processes, "hub", home / "hub")
    _until(lambda: hub.ask(home / "hub", "show"))
    key = PrivateKey.generate()
    key.save(home / "researcher.key")
    hub.ask(home / "hub", "add_project", name="bench")
    hub.ask(home / "hub", "add_member", project="bench", key=key.public.hex)
    sandbox = "none" if best_available() is None else "bubblewrap"
    for name, table in zip(SITES, tables, strict=True):
        made = node.create(home / name, name, sandbox)
        node.join(made, hub.ask(home / "hub", "invite", site=name))
        table.to_parquet(home / f"{name}.parquet", index=False)
        kinds = {column: Kind.BOOLEAN if table[column].dtype == bool else Kind.NUMBER for column in table}
        columns = {column: Variable(kind) for column, kind in kinds.items()}
        Dictionary("rows", None, True, columns).save(home / f"{name}.yaml")
        source, dictionary = str(home / f"{name}.parquet"), str(home / f"{name}.yaml")
        node.ask(home / name, "add_dataset", source=source, dictionary=dictionary)
        node.ask(home / name, "approve", project="bench", key=key.public.hex)
        _run(processes, "node", home / name)

    def ready() -> bool:
        return all(len(site["datasets"]) == 1 for site in _sites(home)) and len(_sites(home)) == len(SITES)

    _until(ready)
    address = Address.decode(hub.ask(home / "hub", "show")["address"])
    return connect(login=save_login(address, home / "researcher.key", home / "login"))


def _sites(home: Path) -> list[dict[str, Any]]:
    return list(hub.ask(home / "hub", "show")["sites"])


def _run(processes: list[subprocess.Popen[bytes]], what: str, home: Path) -> None:
    command = [sys.executable, "-m", "sojourn", what, "start", "--home", str(home)]
    processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


def _until(ready: Any) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            if ready():
                return
        except Exception:  # not up yet
            pass
        time.sleep(0.05)
    raise TimeoutError("the federation did not start")


def empty_round() -> dict[str, float]:
    """Seconds from one round's asking to the next one's, on tables of 400 rows: transport, stores and logs alone."""
    plan = sj.Plan(title="empty", purpose="NRES", table="rows", analyses={"m": sj.glm("y ~ x0", family="binomial")})
    times: list[float] = []
    with federation([rows(site, 400, 2) for site in range(4)]) as joined:
        project = joined.project("bench")
        for _ in range(10):
            run = project.submit(plan)
            asked = [event["time"] for event in run.events(60) if event["state"] == "asked"]
            times += [later - earlier for earlier, later in pairwise(asked[1:])]
    return {"median_ms": 1000 * statistics.median(times), "least_ms": 1000 * min(times), "rounds": len(times)}


def logistic() -> dict[str, float]:
    """Federated logistic regression of 4 × 250,000 × 20 against statsmodels on the pooled million rows."""
    tables = [rows(site, ROWS, COVARIATES) for site in range(4)]
    names = [f"x{place}" for place in range(COVARIATES)]
    formula = "y ~ " + " + ".join(names)
    plan = sj.Plan(title="logistic", purpose="NRES", table="rows", analyses={"m": sj.glm(formula, family="binomial")})
    with federation(tables) as joined:
        started = time.perf_counter()
        results = joined.project("bench").submit(plan).wait(600)
        federated = time.perf_counter() - started
    table = results["m"].table
    pooled = pd.concat(tables, ignore_index=True)
    design = sm.add_constant(pooled[names])
    started = time.perf_counter()
    fit = sm.GLM(pooled["y"].astype(float), design, family=sm.families.Binomial()).fit(tol=1e-12)
    oracle = time.perf_counter() - started
    apart = np.abs(table["estimate"].to_numpy() - fit.params.to_numpy()) / fit.bse.to_numpy()
    return {
        "federated_s": federated,
        "pooled_statsmodels_s": oracle,
        "ratio": federated / oracle,
        "rounds": results["m"].rounds,
        "max_difference_se": float(apart.max()),
    }


def main() -> None:
    """Run both and write the results file."""
    measured = {
        "machine": {"cpus": len(os.sched_getaffinity(0)), "python": platform.python_version()},
        "versions": {"sojourn": sj.__version__, "numpy": np.__version__},
        "empty_round": empty_round(),
        "logistic_4x250000x20": logistic(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()
