"""Federated logistic regression of 4 x 250,000 x 20 against statsmodels on the pooled million rows, wall clock.

Studies and pooled fits take turns in one run; each side's median counts. A study's time goes from submitting it to
holding the checked results. Between them the machine rests, as the nodes make their next workers ready.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import pandas as pd
import statsmodels.api as sm
from machine import keep, processor_seconds
from processes import processes, rows

import sojourn as sj

ROWS, COVARIATES, TIMES, REST = 250_000, 20, 5, 3.0
NAMES = [f"x{place}" for place in range(COVARIATES)]
PLAN = sj.Plan(
    title="logistic",
    purpose="NRES",
    table="rows",
    analyses={"m": sj.glm("y ~ " + " + ".join(NAMES), family="binomial")},
)


def main() -> None:
    """Run both sides in turn and keep the figures."""
    tables = {f"site{number}": rows(number, ROWS, COVARIATES) for number in range(4)}
    pooled = pd.concat(tables.values(), ignore_index=True)
    design, outcome = sm.add_constant(pooled[NAMES]), pooled["y"].astype(float)
    federated, oracle, processor = [], [], []
    with processes(tables) as running:
        for _ in range(TIMES):
            time.sleep(REST)
            before = sum(processor_seconds(process.pid) for process in running.running.values())
            started = time.perf_counter()
            results = running.project.submit(PLAN).wait(600)
            federated.append(time.perf_counter() - started)
            processor.append(sum(processor_seconds(process.pid) for process in running.running.values()) - before)
            started = time.perf_counter()
            fit = sm.GLM(outcome, design, family=sm.families.Binomial()).fit(tol=1e-12)
            oracle.append(time.perf_counter() - started)
    table = results["m"].table
    apart = np.abs(table["estimate"].to_numpy() - fit.params.to_numpy()) / fit.bse.to_numpy()
    keep(
        "logistic",
        {
            "federated_s": federated,
            "pooled_statsmodels_s": oracle,
            "ratio_of_medians": statistics.median(federated) / statistics.median(oracle),
            "ratio_of_first": federated[0] / oracle[0],
            "hub_and_nodes_processor_s": statistics.median(processor),
            "rounds": results["m"].rounds,
            "max_difference_se": float(apart.max()),
        },
    )


if __name__ == "__main__":
    main()
