"""R as an oracle: one start a topic, data in and answers out as CSV in 17 digits; skipped where R is not installed."""

from __future__ import annotations

import csv
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from federated import NUMBER, category, column, federation

from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Estimate

HERE = Path(__file__).parent
PACKAGES = "r-base-core r-cran-lme4 r-cran-metafor r-cran-glmnet r-cran-mass r-cran-brglm2 r-cran-sandwich"
NO_PACKAGE = 3


@dataclass(frozen=True)
class Answers:
    """What R said: `data` it computed from, and its numbers by case and quantity, by R's names in R's order."""

    data: Mapping[str, pd.DataFrame]
    numbers: Mapping[tuple[str, str], Mapping[str, float]]

    def of(self, case: str, quantity: str) -> np.ndarray:
        """In R's order."""
        return np.array(list(self.numbers[case, quantity].values()))

    def named(self, case: str, quantity: str) -> Mapping[str, float]:
        """By R's names."""
        return self.numbers[case, quantity]


def ask(topic: str, **tables: pd.DataFrame) -> Answers:
    """Run one script; the test is skipped, with the reason, where R or one of its packages is missing."""
    if shutil.which("Rscript") is None:
        pytest.skip(f"R is not installed (Debian: apt-get install --no-install-recommends {PACKAGES})")
    with tempfile.TemporaryDirectory(prefix="sojourn-oracle-") as folder:
        for name, table in tables.items():
            table.to_csv(Path(folder) / f"{name}.csv", index=False, float_format="%.17g")
        command = ["Rscript", "--vanilla", f"{topic}.R", folder]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=100)
        if done.returncode == NO_PACKAGE:
            pytest.skip(f"{done.stdout.strip()} (Debian: apt-get install --no-install-recommends {PACKAGES})")
        assert done.returncode == 0, done.stderr
        return _read(Path(folder), set(tables))


def _read(folder: Path, given: set[str]) -> Answers:
    numbers: dict[tuple[str, str], dict[str, float]] = {}
    with (folder / "answers.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            value = float(row["value"]) if row["value"] else float("nan")
            numbers.setdefault((row["case"], row["quantity"]), {})[row["name"]] = value
    own = [path for path in folder.glob("*.csv") if path.stem not in given | {"answers"}]
    return Answers({path.stem: pd.read_csv(path, dtype=str).apply(_numbers) for path in own}, numbers)


def _numbers(words: pd.Series) -> pd.Series:
    """As numbers where all are; Python reads the nearest double, which pandas does not promise."""
    try:
        return words.map(float)
    except ValueError:
        return words


def split(table: pd.DataFrame, cluster: str | None = None, sites: int = 3, **kinds: Sequence[str]) -> list[Population]:
    """Rows over sites, whole clusters together; text is a category, its levels sorted or as of `kinds`."""
    variables, columns = {}, {}
    for name in table:
        values = table[name].to_numpy()
        text = values.dtype == object or str(values.dtype).startswith("str")
        if text:
            variables[name] = category(*kinds.get(name, sorted(set(values))))
        else:
            variables[name], values = NUMBER, values.astype(float)
        columns[name] = values
    codes = np.arange(len(table)) if cluster is None else pd.factorize(table[cluster])[0]
    parts = {f"s{i}": {name: values[codes % sites == i] for name, values in columns.items()} for i in range(sites)}
    return federation(variables, parts)


def agrees(estimate: Estimate, expected: np.ndarray, errors: np.ndarray, near: float, near_errors: float) -> None:
    """Estimates to `near` of R's standard errors, those to a relative `near_errors`."""
    apart = np.abs(column(estimate, "estimate") - expected) / errors
    assert apart.max() <= near, apart
    assert column(estimate, "std_error") == pytest.approx(errors, rel=near_errors)
