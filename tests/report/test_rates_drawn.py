"""Shares, rates and ratios are drawn with their intervals; what is suppressed is said beside an empty line."""

from __future__ import annotations

import pytest

from sojourn.analysis.statistic import Estimate, Suppressed
from sojourn.report import figures
from sojourn.report.rates import MOST_GROUPS, rates
from sojourn.report.record import AnalysisRecord

HIDDEN = (Suppressed(),) * 3
PREVALENCE = Estimate(
    ("variable", "sex"),
    ("n", "cases", "prevalence", "ci_low", "ci_high"),
    (
        ("dead", "all", 40, 10, 0.25, 0.142, 0.402),
        ("dead", "F", Suppressed(), 4, *HIDDEN),
        ("ill <b>", "all", 40, 20, 0.5, 0.352, 0.648),
        ("ill <b>", "F", 0, 0, None, None, None),
    ),
)
RATES = Estimate(
    ("sex",),
    ("events", "time", "rate", "ci_low", "ci_high"),
    (("all", 30, 1000.0, 30.0, 20.2, 42.8), ("F", 12, 500.0, 24.0, 12.4, 41.9)),
    {"per": 1000},
)
RATIO = Estimate((), ("events", "expected", "ratio", "ci_low", "ci_high"), ((30, 20.0, 1.5, 1.01, 2.14),))


@pytest.mark.parametrize(
    ("kind", "estimate", "words"),
    [
        ("prevalence", PREVALENCE, ("0.250 (0.142 to 0.402)", "suppressed", "nobody", "ill &lt;b&gt;", "Prevalence")),
        ("incidence", RATES, ("30 (20.2 to 42.8)", "Rate per 1,000 of person-time, 95 % CI", ">F<")),
        ("direct_standardisation", RATES, ("24 (12.4 to 41.9)", "Standardised rate per 1,000")),
        ("indirect_standardisation", RATIO, ("1.50 (1.01 to 2.14)", "Standardised ratio")),
    ],
)
def test_every_number_stands_beside_its_line(kind: str, estimate: Estimate, words: tuple[str, ...]) -> None:
    drawn = figures.figure(AnalysisRecord(kind, {}, estimate, 1), kind, "Rehearsal")
    assert drawn is not None
    svg = figures.svg(drawn)
    assert all(word in svg for word in (*words, "Rehearsal"))
    assert "<b>" not in svg


def test_nothing_is_drawn_of_what_is_hidden_or_too_much() -> None:
    assert rates("prevalence", Estimate(PREVALENCE.index, PREVALENCE.columns, PREVALENCE.rows[1:2])) is None
    assert (
        rates("incidence", Estimate(RATES.index, RATES.columns, RATES.rows[:1] * (MOST_GROUPS + 1), {"per": 1})) is None
    )
    assert rates("count", RATES) is None
