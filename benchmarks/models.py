"""Negative binomial regression and a lasso path over four sites of 250,000 x 20, against their oracles on pooled rows.

Oracles: statsmodels' NegativeBinomial by Newton's method; scikit-learn's `lasso_path` over the same 30 penalties, from
the same rows: it wants centred columns of one scale, which somebody has to make first.
Studies and oracles take turns in one run: see `turns.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from machine import keep
from processes import processes
from sklearn.linear_model import lasso_path
from turns import turns

import sojourn as sj

ROWS, COVARIATES, TIMES = 250_000, 20, 3
NAMES = [f"x{place}" for place in range(COVARIATES)]
TERMS = " + ".join(NAMES)


def rows(site: int) -> pd.DataFrame:
    """Counts with theta 2, and a number, of the same linear predictor."""
    draw = np.random.default_rng(site)
    x = draw.normal(size=(ROWS, COVARIATES)).round(3)
    eta = 0.5 + x[:, :3] @ [0.3, -0.2, 0.1]
    counts = draw.poisson(np.exp(eta) * draw.gamma(2.0, 0.5, ROWS)).astype(float)
    return pd.DataFrame(
        {**dict(zip(NAMES, x.T, strict=True)), "c": counts, "y": (eta + draw.normal(size=ROWS)).round(3)}
    )


def asked(name: str, statistic: Any) -> sj.Plan:
    """A plan of one model."""
    return sj.Plan(title=name, purpose="NRES", table="rows", analyses={"m": statistic})


def main() -> None:
    """Both models, and keep the figures."""
    tables = {f"site{number}": rows(number) for number in range(4)}
    pooled = pd.concat(tables.values(), ignore_index=True)
    design, centred = sm.add_constant(pooled[NAMES]), (pooled[NAMES] - pooled[NAMES].mean()).to_numpy()
    deviation = (pooled["y"] - pooled["y"].mean()).to_numpy()
    last: dict[str, Any] = {}

    def negative() -> None:
        last["nb"] = sm.NegativeBinomial(pooled["c"], design).fit(disp=0, method="newton")

    raw, outcome = pooled[NAMES].to_numpy(), pooled["y"].to_numpy()

    def path() -> Any:
        columns = raw - raw.mean(axis=0)
        return lasso_path(columns / columns.std(axis=0), outcome - outcome.mean(), alphas=30)

    with processes(tables) as running:
        counts, fitted = turns(running, asked("nb", sj.glm(f"c ~ {TERMS}", "negative_binomial")), negative, TIMES)
        lasso, chosen = turns(running, asked("lasso", sj.elastic_net(f"y ~ {TERMS}")), path, TIMES)
    table, fit = fitted["m"].table, last["nb"]
    apart = np.abs(table["estimate"].to_numpy() - fit.params.to_numpy()[:-1]) / fit.bse.to_numpy()[:-1]
    lambdas = np.array(chosen["m"].facts["lambdas"])
    found = chosen["m"].table["estimate"].to_numpy().reshape(len(lambdas), -1)[:, 1:] * centred.std(axis=0)
    expected = lasso_path(centred / centred.std(axis=0), deviation, alphas=lambdas, tol=1e-12)[1].T
    counts |= {"rounds": fitted["m"].rounds, "max_difference_se": float(apart.max())}
    lasso |= {"rounds": chosen["m"].rounds, "max_difference": float(np.abs(found - expected).max())}
    keep("models", {"sites": 4, "rows": 4 * ROWS, "negative_binomial": counts, "lasso_path": lasso})


if __name__ == "__main__":
    main()
