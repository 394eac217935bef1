"""Every statistic on reference data against another program on the pooled rows: digits, rounds, bytes that left.

    python benchmarks/methods.py        # needs R: see tests/oracles/oracle.py

Data: real ones split by site (tests/data/references and R's own data sets), and made-up ones where a case needs them.
Digits: of estimates in units of their standard errors, of other numbers relative: -log10 of the largest difference, 16
at most. Bytes: of the numbers that left the site that gave most, over all rounds. Writes the table of
docs/reference/methods.md too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import methods_page
import pandas as pd
from comparing import Line
from machine import keep
from methods_models import of_missing, of_mixed, of_models, of_penalties, of_studies
from methods_tables import of_means, of_persons, of_rates, of_strata, of_tables

import oracle_data  # isort: skip (its folder is on the path after `comparing`)
from oracle import ask  # isort: skip


def measured() -> list[Line]:
    """All lines."""
    births = oracle_data.births()
    tables = ask("tables", heart=oracle_data.heart(), falls=oracle_data.falls())
    models = ask("models", birthwt_sites=pd.concat([frame.assign(site=site) for site, frame in births.items()]))
    return [
        *of_tables(tables),
        *of_strata(tables),
        *of_means(tables),
        *of_rates(tables),
        *of_models(models),
        *of_penalties(ask("penalised")),
        *of_mixed(ask("mixed", hospitals=oracle_data.hospitals())),
        *of_studies(ask("studies", heart=oracle_data.heart())),
        *of_missing(),
        of_persons(),
    ]


def grouped(lines: Sequence[Line]) -> Mapping[str, Any]:
    """By statistic."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        found.setdefault(line.statistic, []).append({k: v for k, v in asdict(line).items() if k != "statistic"})
    return dict(sorted(found.items()))


if __name__ == "__main__":
    keep("methods", {"methods": grouped(measured())})
    methods_page.write()
