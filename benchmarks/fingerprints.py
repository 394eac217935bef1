"""Fingerprints: what an import of many persons costs more, how large the file is, how long a search takes.

Run: .venv/bin/python benchmarks/fingerprints.py [PERSONS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from machine import keep

from sojourn.analysis.variable import Kind, Variable
from sojourn.disclosure.fingerprints import Prints, scan
from sojourn.node.dataset import import_dataset
from sojourn.node.dictionary import Dictionary
from sojourn.node.prints import load_prints, prints_key, write_prints
from sojourn.node.source import open_source

PERSONS = 1_000_000
SENTENCE = "Odds ratio 1.23 (95 % CI 1.10-1.38), p = 0.0004 in patients with angina and elevated cholesterol. "
NUMBERS = 10_000


def people(persons: int) -> pd.DataFrame:
    """A person a row: a number, a name out of a hundred million, a day of birth, a postcode, a sex, a measurement."""
    chosen = np.random.default_rng(1)
    first, last = (np.array([f"{sort}{number:05d}" for number in range(10_000)]) for sort in ("given", "family"))
    return pd.DataFrame(
        {
            "nhs": np.char.mod("%d", 9_000_000_000 + np.arange(persons) * 97),
            "name": np.char.add(np.char.add(chosen.choice(first, persons), " "), chosen.choice(last, persons)),
            "born": (np.datetime64("1930-01-01") + chosen.integers(0, 30_000, persons)).astype(str),
            "zip": np.char.mod("%d", chosen.integers(10_000, 99_999, persons)),
            "sex": np.where(chosen.random(persons) < 0.5, "F", "M"),
            "chol": np.round(chosen.normal(200, 30, persons), 2),
        }
    )


def searched(text: str, prints: Prints) -> float:
    """Seconds of one search."""
    started = time.perf_counter()
    scan(text, prints)
    return time.perf_counter() - started


def main(persons: int = PERSONS) -> None:
    """Import, weigh, search."""
    columns = {"sex": Variable(Kind.CATEGORY, levels=("F", "M")), "chol": Variable(Kind.NUMBER, low=-1e3, high=1e3)}
    dictionary = Dictionary("patients", "nhs", False, columns, ("name", "born", "zip"))
    with tempfile.TemporaryDirectory(prefix="sojourn-bench-", dir=".") as name:
        folder = Path(name)
        source = folder / "people.parquet"
        people(persons).to_parquet(source)
        started = time.perf_counter()
        snapshot = import_dataset(folder, "patients", source, dictionary)
        whole = time.perf_counter() - started
        with open_source(source, folder / "again.duckdb") as read:
            started = time.perf_counter()
            record = write_prints(folder / "again.prints", read, dictionary, prints_key(folder), 10)
            making = time.perf_counter() - started
        path = snapshot.path.with_suffix(".prints")
        prints = load_prints(path, prints_key(folder))
        chosen = np.random.default_rng(2)
        table = "\n".join(",".join(f"{x:.6g}" for x in chosen.normal(size=10)) for _ in range(NUMBERS // 10))
        figures = {
            "persons": persons,
            "fingerprints": record["count"],
            "megabytes": path.stat().st_size / 1e6,
            "import_s": whole,
            "of_which_fingerprints_s": making,
            "search_of_100_kB_of_prose_s": searched((SENTENCE * 2_000)[:100_000], prints),
            "search_of_10000_numbers_s": searched(table, prints),
        }
    keep("fingerprints", figures)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
