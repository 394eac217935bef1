"""The pages of statistics: their examples run as one study under the product's own rules, and equal the pooled rows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from sojourn.statistics import catalogue

FOLDER = Path(__file__).parents[2] / "docs" / "reference" / "statistics"
PAGES = tuple(sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "index"))
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
PARTS = ("Meaning.", "Formula.", "What leaves a site.", "Risks.", "Source.")


def blocks(page: str) -> list[str]:
    """The examples of a page: the ask, then what is read from the answer."""
    return BLOCK.findall((FOLDER / f"{page}.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    """The cohort, every page's ask in one plan, and the results."""
    names: dict[str, Any] = {}
    cohort, ask = blocks("index")
    exec(cohort, names)
    for page in PAGES:
        exec(blocks(page)[0], names)
    exec(ask, names)
    return names


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_all_and_its_example_runs(page: str, study: dict[str, Any]) -> None:
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    assert page in catalogue.NAMES
    assert all(f"**{part}**" in text for part in PARTS)
    assert text.startswith(f"# `{page}`: ")
    exec(blocks(page)[1], dict(study))


def test_the_index_names_every_page() -> None:
    text = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((\w+)\.md\)", text)) == set(PAGES)


def test_nothing_is_hidden_and_answers_are_those_of_the_pooled_rows(study: dict[str, Any]) -> None:
    results = study["results"]
    pooled = pd.concat(tables["cohort"] for tables in study["sites"].values())
    assert results.trusted
    assert not results.watermark
    assert all(set(result.sites.values()) == {"contributed"} and not result.warnings for result in results.values())
    no, yes = (part for _, part in pooled.groupby("treated"))
    welch = stats.ttest_ind(yes["bmi"], no["bmi"], equal_var=False)
    assert results["t_test"].table.loc["bmi", "statistic"] == pytest.approx(welch.statistic, rel=1e-10)
    f = stats.f_oneway(*(part["bmi"] for _, part in pooled.groupby("band")))
    assert results["anova"].table.loc["bmi", "statistic"] == pytest.approx(f.statistic, rel=1e-10)
    r = stats.pearsonr(pooled["age"], pooled["bmi"])
    assert results["correlation"].table.loc[("age", "bmi"), "estimate"] == pytest.approx(r.statistic, rel=1e-11)
    rounds = {
        name: results[name].rounds for name in ("t_test", "anova", "correlation", "balance", "incidence", "trend")
    }
    assert rounds == {"t_test": 2, "anova": 2, "correlation": 2, "balance": 2, "incidence": 1, "trend": 1}


def test_every_answer_is_shown_and_recorded(study: dict[str, Any]) -> None:
    results = study["results"]
    for result in results.values():
        assert "<table" in result._repr_html_()
    assert set(results.to_dict()["analyses"]) == set(study["analyses"])
