"""Numbers as readers expect them; suppressed cells as what they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.analysis.statistic import Cell, Estimate, Suppressed
from sojourn.report import tables
from sojourn.report.ratios import exponentiated, ratio_name
from sojourn.report.record import AnalysisRecord, StudyRecord
from sojourn.report.table_one import path_table, table_one
from sojourn.report.words import analysis_in_words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234567, "1,234,567"),
        (12.0, "12"),
        (0.5370577, "0.537"),
        (53.5109, "53.5"),
        (1234.56, "1,235"),
        (0.000012345, "1.23e-05"),
        (1.5e16, "1.50e+16"),
        (-0.04999, "-0.0500"),
        (float("inf"), "∞"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert tables.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "< 0.001"), (0.00099, "< 0.001"), (0.001, "0.001"), (0.0146, "0.015"), (0.9999, "> 0.999"), (1, "> 0.999")],
)
def test_p_values(value: float, text: str) -> None:
    assert tables.p_value(value) == text


def test_intervals_and_sizes() -> None:
    assert tables.interval(-1.19365, 0.36923, 3) == "-1.194 to 0.369"
    assert tables.interval(-0.0001, 0.2, 2) == "0.00 to 0.20"
    assert [tables.size_in_bytes(n) for n in (0, 9999, 12345, 23_400_000)] == ["0 B", "9,999 B", "12.3 kB", "23.4 MB"]


def test_a_model_shares_the_decimals_of_its_standard_error(record: StudyRecord) -> None:
    ratios, coefficients = tables.present("model", record.analyses["model"])
    assert list(map(str, coefficients.rows[2])) == ["male", "1.402", "0.215", "0.981 to 1.823", "6.53", "< 0.001"]
    assert ratios.heads == ("Term", "Odds ratio", "95 % CI", "p")
    assert list(map(str, ratios.rows[1])) == ["male", "4.06", "2.67 to 6.19", "< 0.001"]
    assert "(Intercept)" not in {str(row[0]) for row in ratios.rows}  # its exponential is not a ratio


def test_describe_shares_decimals_within_a_variable(record: StudyRecord) -> None:
    _, table = tables.present("baseline", record.analyses["baseline"])
    assert list(map(str, table.rows[0])) == ["age", "all", "854", "0", "53.51", "9.42"]
    assert list(map(str, table.rows[4])) == ["trestbps", "female", "187", "suppressed [1 to 18]", "132.2", "20.9"]
    assert list(map(str, table.rows[8]))[-2:] == ["suppressed", "suppressed"]


def test_groups_stand_side_by_side_as_in_a_papers_table_1(record: StudyRecord) -> None:
    table, _ = tables.present("baseline", record.analyses["baseline"])
    assert table.heads == ("Variable", "all (n = 854)", "female (n = 187)", "male (n = 667)", "SMD")
    assert list(map(str, table.rows[0])) == ["age, mean (SD)", "53.5 (9.4)", "52.5 (9.5)", "53.8 (9.4)", "0.14"]
    assert str(table.rows[2][3]) == str(table.rows[2][4]) == "suppressed"
    assert "SMD: male less female, in standard deviations." in table.notes


def numbers(n: int, mean: float, sd: float) -> tuple[int, int, float, float]:
    return n, 0, mean, sd


def test_a_variable_of_zeros_and_ones_is_a_percentage() -> None:
    share = (0.2 * 0.8 * 50 / 49) ** 0.5
    rows = (("ill", None, *numbers(50, 0.2, share)), ("dose", None, *numbers(50, 0.2, 0.3)))
    one = table_one("t", Estimate(("variable", "sex"), ("n", "missing", "mean", "sd"), rows))
    assert [list(map(str, row)) for row in one.rows] == [
        ["ill, n (%)", "10 (20.0 %)"],
        ["dose, mean (SD)", "0.20 (0.30)"],
    ]


def test_table_1_tells_two_groups_apart_in_standard_deviations() -> None:
    def share(n: int, p: float) -> tuple[int, int, float, float]:
        return numbers(n, p, (p * (1 - p) * n / (n - 1)) ** 0.5)

    rows = (
        *(("ill", group, *share(n, p)) for group, n, p in ((None, 100, 0.3), ("F", 50, 0.2), ("M", 50, 0.4))),
        *(("dose", group, *numbers(50, mean, 2.0)) for group, mean in ((None, 5.0), ("F", 4.0), ("M", 5.0))),
    )
    one = table_one("t", Estimate(("variable", "sex"), ("n", "missing", "mean", "sd"), rows))
    assert [str(row[-1]) for row in one.rows] == [f"{0.2 / ((0.16 + 0.24) / 2) ** 0.5:.2f}", "0.50"]


def test_a_table_of_means_says_of_whom_n_and_missing_are() -> None:
    rows = (("age", "all", 90, Suppressed(0, 27), 60.0, 9.0), ("age", "F", 40, None, 61.0, 9.0))
    means = {"oslo": {"age": {"n": 60, "missing": 12}}, "pisa": {"age": {"n": 30, "missing": Suppressed()}}}
    estimate = Estimate(("variable", "sex"), ("n", "missing", "mean", "sd"), rows)
    first, long = tables.present("t", AnalysisRecord("describe", {}, estimate, 2, by_site={"means": means}))
    assert "complete in every column that the plan's analyses name (oslo 60, pisa 30)" in first.notes[0]
    assert long.heads[3] == "Missing, before completeness"
    assert long.notes[0] == first.notes[0]
    assert "By site: age (oslo 12, pisa suppressed)." in long.notes[1]
    masked = tables.present("t", AnalysisRecord("describe", {}, estimate, 2))
    assert "By site" not in masked[1].notes[1] and "(" not in masked[0].notes[0]


def test_a_path_is_a_column_a_penalty() -> None:
    lambdas = [2.0**-k for k in range(12)]
    rows = tuple((size, term, -size) for size in lambdas for term in ("Intercept", "x"))
    table = path_table("p", Estimate(("lambda", "term"), ("estimate",), rows, {"lambda_bic": lambdas[3]}))
    assert len(table.rows) == 2
    assert table.heads[1] == "1" and "0.125 *" in table.heads
    assert str(table.rows[1][-1]) == "-0.000488"
    assert "7 of 12 penalties" in table.notes[0]


def test_bins_are_named_by_their_edges(record: StudyRecord) -> None:
    (table,) = tables.present("age", record.analyses["age"])
    assert [str(row[0]) for row in table.rows][:2] == ["below 20", "20 to 30"]
    assert str(table.rows[-1][0]) == "above 80"


def test_no_percentage_is_computed_over_a_suppressed_cell(record: StudyRecord) -> None:
    (table,) = tables.present("pain by site", record.analyses["pain by site"])
    lines = {str(row[0]): [str(cell) for cell in row[1:]] for row in table.rows}
    assert lines["Budapest"] == ["11 (3.7 %)", "106 (36.1 %)", "54 (18.4 %)", "123 (41.8 %)"]
    assert lines["Long Beach"] == ["suppressed [1 to 9]", "14", "47", "130"]
    assert not any("%" in cell for cell in lines["Zurich-Basel"])


counts = st.lists(
    st.integers(0, 1000) | st.just(None) | st.builds(Suppressed, st.integers(0, 5)), min_size=1, max_size=6
)


@given(counts)
def test_shares_exist_only_where_all_cells_are_known(cells: list[Cell]) -> None:
    shares = tables.shares(cells)
    known = [cell for cell in cells if isinstance(cell, int)]
    if len(known) == len(cells) and sum(known) > 0:
        assert sum(share for share in shares if share is not None) == pytest.approx(1.0)
    else:
        assert shares == [None] * len(cells)


@given(st.none() | st.floats(0, 1e9), st.none() | st.floats(0, 1e9), st.sampled_from(["n", "p_value", "mean", ""]))
def test_a_suppressed_cell_always_says_so(low: float | None, high: float | None, column: str) -> None:
    shown = tables.shown(Suppressed(low, high), column)
    assert shown.suppressed
    assert shown.text == "suppressed"


@given(st.text())
def test_text_holds_no_control_character(text: str) -> None:
    assert not any(
        ord(sign) < 32 or 127 <= ord(sign) < 160 or "\u202a" <= sign <= "\u202e" for sign in tables.plain(text)
    )


def test_facts_show_tests_and_suppressed_numbers(record: StudyRecord) -> None:
    assert dict(tables.facts(record.analyses["model"].estimate))["wald"].text == "statistic 131.4, df 6, p < 0.001"
    assert str(dict(tables.facts(record.analyses["pain by site"].estimate))["n"]) == "suppressed [911 to 927]"


def test_a_refused_analysis_has_no_table(record: StudyRecord) -> None:
    assert tables.present("vessels", record.analyses["vessels"]) == ()


@pytest.mark.parametrize(
    ("kind", "arguments", "name"),
    [
        ("glm", {"family": "binomial"}, "odds ratio"),
        ("glm", {"family": "binomial", "link": "log"}, "risk ratio"),
        ("glm", {"family": "binomial", "link": "probit"}, ""),
        ("glm", {"family": "poisson"}, "rate ratio"),
        ("glm", {}, ""),
        ("glm", {"family": "gamma", "link": "inverse"}, ""),
        ("firth", {}, "odds ratio"),
        ("glmm", {"family": "poisson"}, "rate ratio"),
        ("lmm", {}, ""),
        ("elastic_net", {"family": "binomial"}, ""),
        ("cox", {}, "hazard ratio"),
        ("describe", {}, ""),
    ],
)
def test_what_an_exponential_is_called(kind: str, arguments: dict[str, str], name: str) -> None:
    assert ratio_name(kind, arguments) == name


@pytest.mark.parametrize(
    ("kind", "arguments", "said"),
    [
        ("glm", {"family": "gamma", "formula": "c ~ a"}, "Gamma regression: c ~ a"),
        ("firth", {"formula": "y ~ a"}, "Logistic regression under Firth's penalty: y ~ a"),
        ("elastic_net", {"formula": "y ~ a"}, "Linear regression under an elastic net penalty: y ~ a"),
        ("lmm", {"formula": "y ~ a", "group": "ward"}, "Linear mixed model, clusters by ward: y ~ a"),
        ("glmm", {"formula": "y ~ a"}, "Logistic mixed model by penalised quasi-likelihood, clusters by person: y ~ a"),
    ],
)
def test_models_in_words(kind: str, arguments: dict[str, str], said: str) -> None:
    assert analysis_in_words(AnalysisRecord(kind, arguments, Estimate((), (), ()), 1)) == said


def test_exponentials_keep_what_is_suppressed_and_never_overflow() -> None:
    estimate = Estimate(("term",), ("estimate", "std_error", "ci_high"), (("a", Suppressed(), 0.5, 5000.0),))
    assert exponentiated(estimate).rows == (("a", Suppressed(), 0.5, float("inf")),)
    assert exponentiated(estimate).columns == ("estimate", "std_error_log", "ci_high")
    record = AnalysisRecord("cox", {}, replace(estimate, columns=("estimate", "std_error", "ci_low")), 3)
    assert "suppressed" in [cell.text for table in tables.present("m", record) for row in table.rows for cell in row]


def test_a_crosstab_shows_its_margins_also_where_cells_are_hidden() -> None:
    margins = {"ward": {"a": 50, "b": Suppressed()}, "dead": {"False": 40, "True": 30}}
    rows = (("a", False, 30), ("a", True, Suppressed()), ("b", False, 10), ("b", True, Suppressed()))
    estimate = Estimate(("ward", "dead"), ("n",), rows, {"n": 70, "margins": margins})
    table = tables.two_way("x", estimate)
    assert table.heads == ("ward", "no", "yes", "Total")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["a", "30", "suppressed", "50"],
        ["b", "10", "suppressed", "suppressed"],
        ["Total", "40", "30", "70"],
    ]
    assert "Total" not in tables.two_way("x", Estimate(("ward", "dead"), ("n",), rows)).heads
