"""Describing 50 columns of a million rows in one study, and quantiles of ten million values, over four sites.

Oracles on the pooled rows: pandas' count, mean and std of the same columns; pandas' quartiles of the same values. Of
the 50 columns also the same study of one column: what is read once is paid once. Studies and oracles take turns in one
run: see `turns.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from machine import keep
from processes import processes
from turns import turns

import sojourn as sj
from sojourn.analysis.variable import Kind, Variable

ROWS, COLUMNS, VALUES, TIMES = 250_000, 50, 2_500_000, 3
NAMES = [f"x{place}" for place in range(COLUMNS)]
FRACTIONS = (0.25, 0.5, 0.75)  # others wait for a checker
PRESSURE = Variable(Kind.NUMBER, low=40, high=260)


def asked(name: str, statistic: Any) -> sj.Plan:
    """A plan of one table."""
    return sj.Plan(title=name, purpose="NRES", table="rows", analyses={"t": statistic})


def wide() -> dict[str, Any]:
    """Fifty columns, and one of them."""
    tables = {}
    for site in range(4):
        draw = np.random.default_rng(site)
        tables[f"site{site}"] = pd.DataFrame(draw.normal(size=(ROWS, COLUMNS)).round(3), columns=NAMES)
    pooled = pd.concat(tables.values(), ignore_index=True)

    def oracle(names: list[str]) -> Any:
        return pooled[names].agg(["count", "mean", "std"])

    with processes(tables) as running:
        many, results = turns(running, asked("fifty", sj.describe(*NAMES)), lambda: oracle(NAMES), TIMES)
        one, _ = turns(running, asked("one", sj.describe(NAMES[0])), lambda: oracle(NAMES[:1]), TIMES)
    table, expected = results["t"].table, oracle(NAMES)
    apart = np.abs(table["sd"].to_numpy() / expected.loc["std"].to_numpy() - 1).max()
    processor = many["hub_and_nodes_processor_s"] / one["hub_and_nodes_processor_s"]
    told = {"rounds": results["t"].rounds, "largest_relative_difference": float(apart)}
    return {
        "rows": 4 * ROWS,
        "columns": COLUMNS,
        **told,
        "fifty": many,
        "one": one,
        "processor_fifty_to_one": processor,
    }


def long() -> dict[str, Any]:
    """Ten million blood pressures in whole numbers."""
    tables = {}
    for site in range(4):
        values = np.random.default_rng(site).normal(130 + site, 18, VALUES).round().clip(40, 260)
        tables[f"site{site}"] = pd.DataFrame({"sbp": values})
    pooled = pd.concat(tables.values(), ignore_index=True)["sbp"]
    plan = asked("quantiles", sj.quantiles("sbp", precision=1))
    with processes(tables, {"sbp": PRESSURE}) as running:
        figures, results = turns(running, plan, lambda: pooled.quantile(FRACTIONS), TIMES)
    found, expected = results["t"].table["value"].to_numpy(), pooled.quantile(FRACTIONS).to_numpy()
    told = {"rounds": results["t"].rounds, "equal": bool((found == expected).all())}
    return {"values": 4 * VALUES, **told, **figures}


if __name__ == "__main__":
    keep("tables", {"describe": wide(), "quantiles": long()})
