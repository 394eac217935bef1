"""The rows that R and the federation get alike: real ones from tests/data/references, and made-up ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from federated import BOOLEAN, NUMBER, category, federation, read_reference

from sojourn.analysis.population import Population
from sojourn.analysis.variable import Kind, Variable

BANDS = ("young", "middle", "old")
LEVELS = {"Admit": ("Rejected", "Admitted"), "Gender": ("Male", "Female"), "Dept": tuple("ABCDEF")}
AGE = Variable(Kind.NUMBER, low=20, high=90)


def heart() -> pd.DataFrame:
    """Patients of four hospitals who have an age, a kind of chest pain and an ST depression (858)."""
    made = pd.concat([pd.DataFrame(rows).assign(site=site) for site, rows in read_reference("glm_heart_uci").items()])
    made = made[(made[["age", "cp", "oldpeak", "num"]] != "").all(axis=1)].reset_index(drop=True)
    numbers = made[["age", "oldpeak", "num"]].astype(float)
    grade = pd.cut(numbers["age"], [0, 45, 55, 65, 100], labels=["a", "b", "c", "d"]).astype(str)
    told = {"male": (made["sex"] == "Male") * 1, "disease": (numbers["num"] > 0) * 1, "grade": grade}
    return made[["site", "cp"]].join(numbers).assign(**told)


def patients() -> list[Population]:
    """The same as populations."""
    table = heart()
    kinds = {"age": AGE, "num": NUMBER, "oldpeak": NUMBER, "male": BOOLEAN, "disease": BOOLEAN}
    kinds |= {"grade": category(*"abcd"), "cp": category(*sorted(set(table["cp"])))}
    return of_sites(kinds, dict(iter(table.groupby("site", sort=False))))


def weighted(populations: list[Population]) -> list[Population]:
    """Patients with the weights that the script makes up."""
    return [
        replace(
            one, columns={**one.columns, "w": 1 + one.columns["age"] % 4 / 2}, variables={**one.variables, "w": NUMBER}
        )
        for one in populations
    ]


def admissions(table: pd.DataFrame) -> list[Population]:
    """R's admissions to Berkeley, each department a site."""
    return of_sites({name: category(*of) for name, of in LEVELS.items()}, dict(iter(table.groupby("Dept"))))


def births() -> dict[str, pd.DataFrame]:
    """Weights at birth by site."""
    rows = read_reference("glm_birthwt")
    return {site: pd.DataFrame(found)[["low", "lwt", "smoke"]].astype(float) for site, found in rows.items()}


def falls() -> pd.DataFrame:
    """Years watched, falls in them, and bands of age: made up."""
    rng = np.random.default_rng(7)
    years = np.round(rng.uniform(0.2, 9, 400), 2)
    return pd.DataFrame({"years": years, "falls": rng.poisson(0.2 * years), "band": rng.choice(BANDS, 400)})


def watched() -> list[Population]:
    """The same over three sites."""
    table, kinds = falls(), {"years": NUMBER, "falls": NUMBER, "band": category(*BANDS)}
    return of_sites(kinds, {f"s{i}": table[np.arange(len(table)) % 3 == i] for i in range(3)})


def hospitals() -> pd.DataFrame:
    """Twelve hospitals whose means differ: made up."""
    rng = np.random.default_rng(7)
    site = np.repeat(np.arange(12), rng.integers(20, 60, 12))
    x, z = rng.normal(size=(2, len(site)))
    y = 1 + 0.5 * x - z + 0.7 * rng.normal(size=12)[site] + rng.normal(size=len(site))
    return pd.DataFrame({"site": [f"h{number:02}" for number in site], "x": x, "z": z, "y": y})


def of_sites(kinds: dict[str, Variable], parts: dict[str, pd.DataFrame]) -> list[Population]:
    """A population a site, of these columns."""
    return federation(kinds, {site: {name: part[name].tolist() for name in kinds} for site, part in parts.items()})
