"""Federated logistic regression of 4 x 250,000 x 20 against statsmodels on the pooled million rows, wall clock.

Studies and pooled fits take turns in one run: see `turns.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from machine import keep
from processes import processes, rows
from turns import turns

import sojourn as sj

ROWS, COVARIATES, TIMES = 250_000, 20, 3
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

    def oracle() -> Any:
        return sm.GLM(outcome, design, family=sm.families.Binomial()).fit(tol=1e-12)

    with processes(tables) as running:
        figures, results = turns(running, PLAN, oracle, TIMES)
    fit = oracle()
    table = results["m"].table
    apart = np.abs(table["estimate"].to_numpy() - fit.params.to_numpy()) / fit.bse.to_numpy()
    keep("logistic", {**figures, "rounds": results["m"].rounds, "max_difference_se": float(apart.max())})


if __name__ == "__main__":
    main()
