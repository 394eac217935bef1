"""Results as analysts hold them: pandas tables in which a suppressed cell can be neither lost nor computed with."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sojourn import errors
from sojourn.analysis.statistic import Estimate, Suppressed
from sojourn.client.results import Results, frame
from sojourn.report.record import Refusal, StudyRecord

RECORD = Path(__file__).parents[1] / "data" / "records" / "four_hospitals.json"


@pytest.fixture
def study() -> StudyRecord:
    return StudyRecord.from_dict(json.loads(RECORD.read_text(encoding="utf-8")))


@pytest.fixture
def results(study: StudyRecord) -> Results:
    return Results(study)


def test_results_are_a_mapping_by_the_names_of_the_plan(results: Results) -> None:
    assert list(results) == ["model", "pain by site", "baseline", "age", "vessels"]
    assert len(results) == 5
    assert "model" in results
    with pytest.raises(KeyError):
        results["nothing"]


def test_a_model_table(results: Results) -> None:
    table = results["model"].table
    assert table.index.name == "term"
    assert list(table.columns) == ["estimate", "std_error", "statistic", "p_value", "ci_low", "ci_high"]
    assert (table.dtypes == "float64").all()
    assert table.loc["male", "estimate"] == 1.401833


def test_ratios_keep_the_standard_error_on_its_scale(results: Results) -> None:
    ratios, table = results["model"].exponentiate(), results["model"].table
    np.testing.assert_allclose(ratios["estimate"], np.exp(table["estimate"]), rtol=1e-15)
    np.testing.assert_allclose(ratios["ci_high"], np.exp(table["ci_high"]), rtol=1e-15)
    assert ratios["std_error_log"].equals(table["std_error"].rename("std_error_log"))
    assert "std_error" not in ratios
    with pytest.raises(errors.SojournError, match="no coefficients"):
        results["age"].exponentiate()


def test_suppressed_cells_are_objects_that_print_and_do_not_add(results: Results) -> None:
    table = results["pain by site"].table
    cell = table.loc[("Long Beach", "typical"), "n"]
    assert cell == Suppressed(1, 9)
    assert str(cell) == "suppressed [1, 9]"
    assert str(Suppressed()) == "suppressed"
    assert str(Suppressed(low=3)) == "suppressed [3, ?]"
    assert not table["n"].isna().any()
    assert "suppressed [1, 9]" in repr(table)
    assert "suppressed [1, 9]" in table.to_csv()
    with pytest.raises(TypeError):
        table["n"].sum()
    with pytest.raises(TypeError):
        float(cell)


def test_only_columns_with_a_suppressed_cell_are_objects(results: Results) -> None:
    table = results["baseline"].table
    assert table["n"].dtype == "int64"
    assert [table[name].dtype for name in ("missing", "mean", "sd")] == [object] * 3
    assert table.index.names == ["variable", "sex"]
    assert table.loc[("oldpeak", "male"), "mean"] == Suppressed()


def test_types_of_columns() -> None:
    estimate = Estimate((), ("n", "mean", "word", "some"), ((1, 1.5, "a", None), (None, None, "b", 2.0)))
    table = frame(estimate)
    assert str(table["n"].dtype) == "Int64"
    assert table["n"].isna().tolist() == [False, True]
    assert str(table["mean"].dtype) == "float64"
    assert math.isnan(table["some"][0])
    assert isinstance(table.index, pd.RangeIndex)


def test_an_empty_answer_is_an_empty_table() -> None:
    for index in ((), ("term",), ("a", "b")):
        table = frame(Estimate(index, ("n",), ()))
        assert len(table) == 0
        assert list(table.columns) == ["n"]


def test_a_table_is_the_readers_own_copy(results: Results) -> None:
    table = results["model"].table
    table.loc["male", "estimate"] = 0.0
    assert results["model"].table.loc["male", "estimate"] == 1.401833


def test_what_stands_beside_the_table(results: Results) -> None:
    model, crosstab = results["model"], results["pain by site"]
    assert (model.n, model.rounds, model.exactness, model.warnings[1:]) == (854, 6, "pooled", [])
    assert model.warnings[0].startswith("Long Beach (no answer) did not contribute: ")
    assert crosstab.n == Suppressed(911, 927)
    assert model.n_by_site is None
    assert crosstab.warnings == ["Tests on this table were not computed, because a cell is suppressed."]
    assert model.sites["Cleveland"] == "contributed"
    assert model.sites["Long Beach"] == "no answer"
    assert results["vessels"].sites["Budapest"] == "not released: minimum frequency"
    assert results.sites["Long Beach"]["age"] == "contributed"


def test_a_refused_analysis_raises_where_a_number_is_read(results: Results) -> None:
    vessels = results["vessels"]
    for read in (
        lambda: vessels.table,
        vessels.exponentiate,
        vessels.plot,
        lambda: vessels.n,
        lambda: vessels.n_by_site,
        lambda: vessels.exactness,
    ):
        with pytest.raises(errors.DisclosureRefused) as caught:
            read()
        assert caught.value.family == "minimum frequency"
        assert "Merge categories" in caught.value.remedy
    assert "refused" in repr(vessels)
    assert "No result was released." in vessels._repr_html_()
    assert vessels.to_dict()["refused"]["family"] == "minimum frequency"


@pytest.mark.parametrize("name", ["TooFewSites", "ConvergenceError", "StudyFailed"])
def test_other_failures_have_their_own_errors(study: StudyRecord, name: str) -> None:
    broken = replace(study.analyses["vessels"], refused=Refusal(name, "It failed.", "Mend it."))  # type: ignore[arg-type]
    result = Results(replace(study, analyses={"vessels": broken}))["vessels"]
    with pytest.raises(getattr(errors, name)) as caught:
        _ = result.table
    assert caught.value.remedy == "Mend it."


def test_the_report_is_written_although_an_analysis_was_refused(results: Results, tmp_path: Path) -> None:
    path = results.report(tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    assert "No result was released." in text
    assert "Merge categories" in text


def test_dicts_keep_suppressed_cells_and_come_back(results: Results, study: StudyRecord) -> None:
    document = json.loads(json.dumps(results.to_dict(), allow_nan=False))
    assert StudyRecord.from_dict(document) == study
    rows = results["pain by site"].to_dict()["estimate"]["rows"]
    assert ["Long Beach", "typical", {"suppressed": [1, 9]}] in rows
    assert results["model"].to_dict()["sites"]["Cleveland"] == "contributed"


def test_plots_and_notebooks(results: Results) -> None:
    assert results["model"].plot() is not None
    shown = results["pain by site"]._repr_html_()
    assert "suppressed" in shown
    assert "<script" not in shown
    assert results._repr_html_().count("<table") == 6


def test_a_watermark_is_on_everything(study: StudyRecord) -> None:
    words = "UNSAFE RULES"
    results = Results(replace(study, watermark=words))
    assert results.watermark == words
    assert results["model"].table.attrs["watermark"] == words
    assert words in repr(results)
    assert words in repr(results["model"])
    assert words in results["model"]._repr_html_()
    assert words in str(results["model"].plot().to_dict())  # type: ignore[union-attr]
    assert results["model"].to_dict()["watermark"] == words


def test_trust_needs_checks_that_hold(study: StudyRecord) -> None:
    assert Results(study).trusted
    assert not Results(replace(study, checks=())).trusted
    assert not Results(replace(study, checks=(replace(study.checks[0], ok=False),))).trusted


def test_results_load_neither_pandas_nor_figures() -> None:
    words = "import sys, sojourn.client.results; print([n for n in ('pandas', 'altair', 'jinja2') if n in sys.modules])"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
