"""How an analyst asks for comparisons of groups, for rates and for standardised rates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sojourn.analysis.statistic import Statistic
from sojourn.statistics import standard as standards
from sojourn.statistics.catalogue import make
from sojourn.statistics.written import given, listed, number, numbers, several


def t_test(*columns: str, by: str, variance: str = "unequal") -> Statistic:
    """Whether the means of two groups differ: Welch's t-test, or Student's, of numbers and booleans.

    by: a category or boolean with two levels. variance: `unequal` (Welch) or `equal` (Student).
    Result: a row a column with `estimate` (mean of the second level less that of the first), `std_error`, `statistic`,
    `df`, `p_value`, `ci_low`, `ci_high` (95 %). Facts: `difference` (which less which), and `groups` with `n` (rows),
    `mean` and `sd`. Where a site may not show a group, nothing of that column is computed; where it may not show how
    far a group spreads, the estimate alone.
    Leaves a site: n, sums, and sums of squares about the pooled mean, for each group. Rounds: 2.
    Source: B. L. Welch, Biometrika 34, 1947; Student, Biometrika 6, 1908.
    """
    return make("t_test", {"columns": list(columns), "by": by, "variance": variance})


def anova(*columns: str, by: str, variance: str = "equal") -> Statistic:
    """Whether the means of several groups differ: one-way analysis of variance of numbers and booleans.

    by: a category or boolean; `site` too in a clear plan. variance: `equal` (Fisher's F) or `unequal` (Welch's).
    Result: a row a column with `statistic`, `df_between`, `df_within`, `p_value` and `eta_squared` (share of the sum of
    squares that lies between groups). Facts: `groups` with `n` (rows), `mean` and `sd`. Where a site may not show a
    group, or how far it spreads, nothing of that column is computed: merge levels that few have. Levels without rows
    take no part, where sites show zeros.
    Leaves a site: n, sums, and sums of squares about the pooled mean, for each group. Rounds: 2.
    Source: R. A. Fisher, Statistical Methods for Research Workers, 1925; B. L. Welch, Biometrika 38, 1951.
    """
    return make("anova", {"columns": list(columns), "by": by, "variance": variance})


def correlation(*columns: str) -> Statistic:
    """Pearson's correlation of each pair of numbers or booleans, over rows that have them all.

    Result: a row a pair with `n` (rows), `estimate`, `statistic` (t), `p_value`, `ci_low`, `ci_high` (95 %, from
    Fisher's z). More than ten pairs wait for a checker. Judged like a linear model of these columns: leaves whole or
    not at all.
    Leaves a site: n, sums, and the cross-products of the columns about the pooled means. Rounds: 2.
    Source: K. Pearson, Phil. Trans. R. Soc. A 187, 1896; R. A. Fisher, Metron 1, 1921.
    """
    return make("correlation", {"columns": list(columns)})


def trend(outcome: str, by: str, scores: Iterable[float] | None = None) -> Statistic:
    """Whether a share of persons rises or falls over ordered groups: the Cochran-Armitage test.

    outcome: a boolean. by: a category, its declared levels in order. scores: a number for each level; 1, 2, 3, … unless
    given. Result: a row a level with `n` (persons), `cases`, `share`. Facts: `trend` (statistic, normal, and p,
    two-sided), `scores`. Where a site suppressed a cell, no trend is computed. The test takes persons to be
    independent.
    Leaves a site: one number a cell, small ones suppressed. Rounds: 1.
    Source: P. Armitage, Biometrics 11, 1955; W. G. Cochran, Biometrics 10, 1954.
    """
    return make("trend", {"outcome": outcome, "by": by, **given(scores=numbers(scores))})


def mantel_haenszel(outcome: str, exposure: str, strata: str | Iterable[str]) -> Statistic:
    """Odds ratio, risk ratio and risk difference over strata, with tests: Mantel and Haenszel's estimates.

    outcome, exposure: booleans or categories with two levels; the second level of each counts. strata: a category or
    boolean, or `site`, or one of either beside the other. Result: a row a measure with `value`, `std_error` (of a ratio
    that of its logarithm), `ci_low`, `ci_high` (95 %). Facts: `cmh` and `cmh_corrected` (chi-squared and p, without and
    with a continuity correction), `breslow_day` and `tarone` (whether all strata have one odds ratio), `strata` (those
    of which no margin is zero), `n`. Where a site suppressed a cell, nothing is computed.
    Leaves a site: one number a cell, small ones suppressed. Rounds: 1.
    Source: N. Mantel, W. Haenszel, J. Natl. Cancer Inst. 22, 1959; K. J. Rothman, S. Greenland, T. L. Lash, Modern
    Epidemiology, 3rd ed. 2008, ch. 15.
    """
    return make("mantel_haenszel", {"outcome": outcome, "exposure": exposure, "strata": listed(strata)})


def balance(*columns: str, by: str, weights: str | None = None) -> Statistic:
    """How far two groups are apart in each column: standardised mean differences, for a love plot.

    columns: numbers, booleans, categories. by: a category or boolean with two levels. Result: a row a column, of a
    category a row a level (`stage[II]`), with `first` and `second` (mean or share in either level's rows),
    `smd` (second less first, over the root of the mean of the two variances; of a share p (1 - p)) and `variance_ratio`
    (numbers only). Where a site may not show a column in a group, its row is suppressed. A level that is rare in a
    group may take the numbers of rows of both groups with it, since it would follow from them: then all rows are
    suppressed, so merge rare levels before. Where a site may not show how far a group spreads, all but the means are.
    weights: a column, e.g. of inverse probabilities, in plans that are not masked. Then also `weighted_first`,
    `weighted_second` and `weighted_smd`: the weighted means and their difference over the same root, that of the rows
    without weights. Facts: `effective`, Kish's effective number of rows of each group.
    Leaves a site: n, sums, and sums of squares about the pooled mean, for each group and row; with weights their sums
    and squares, and a weighted sum for each group and row. Rounds: 2.
    Source: P. C. Austin, Statistics in Medicine 28, 2009; P. C. Austin, E. A. Stuart, Statistics in Medicine 34, 2015.
    """
    return make("balance", {"columns": list(columns), "by": by, **given(weights=weights)})


def prevalence(*columns: str, by: str | Iterable[str] | None = None, interval: str = "wilson") -> Statistic:
    """The share of persons with a condition, in all and by groups, with 95 % intervals.

    columns: booleans; who has any row that is true is a case. by: categories or booleans, one name or two. interval:
    `wilson` (score) or `exact` (Clopper and Pearson). Result: for each column the overall row (group `all`), then a row
    a group, with `n` (persons), `cases`, `prevalence`, `ci_low`, `ci_high`. Suppressed where a site may not show the
    persons with the condition, or those without.
    Leaves a site: persons with and without, for each column and group. Rounds: 1.
    Source: E. B. Wilson, JASA 22, 1927; C. J. Clopper, E. S. Pearson, Biometrika 26, 1934.
    """
    chosen = {"interval": interval} if interval != "wilson" else {}
    return make("prevalence", {"columns": list(columns), **given(by=several(by)), **chosen})


def incidence(events: str, time: str, by: str | Iterable[str] | None = None, per: float = 1) -> Statistic:
    """Incidence rates: events by person-time, in all and by groups, with exact Poisson intervals (95 %).

    events: a boolean, or a whole number of events a row. time: a number, how long each row was watched. by: categories
    or booleans, up to three. per: the person-time that a rate is of, e.g. 1000.
    Result: the overall row (group `all`), then a row a group, with `events`, `time`, `rate`, `ci_low`, `ci_high`.
    Suppressed where a site may not show the events or the time: persons with an event, and those without, are counted.
    Leaves a site: events and person-time, in all and of each group. Rounds: 1.
    Source: F. Garwood, Biometrika 28, 1936; K. J. Rothman, Epidemiology, 2nd ed. 2012, ch. 4.
    """
    return make("incidence", {"events": events, "time": time, **given(by=several(by)), "per": number(per)})


def direct_standardisation(
    events: str,
    time: str,
    strata: str | Iterable[str],
    standard: Mapping[Any, float] | Iterable[Mapping[str, Any]],
    by: str | Iterable[str] | None = None,
    per: float = 1,
) -> Statistic:
    """Directly standardised rates: what a standard population would have with the strata's rates found here.

    events, time, per: as of `incidence`. strata: one or two columns. standard: level (or pair of levels) → persons of
    the standard population, for every declared stratum. by: groups; at most three columns with the strata.
    Result: a row a group (one without `by`) with `events`, `time`, `crude` (rate), `rate` (standardised), `std_error`,
    `ci_low`, `ci_high` (95 %, gamma). Where a site may not show a stratum, its group's rate is not computed.
    Leaves a site: events and person-time of each group and stratum. Rounds: 1.
    Source: M. P. Fay, E. J. Feuer, Statistics in Medicine 16, 1997.
    """
    more = {"events": events, "time": time, "strata": listed(strata), "standard": standards.items(standard, "weight")}
    return make("direct_standardisation", {**more, **given(by=several(by)), "per": number(per)})


def indirect_standardisation(
    events: str,
    time: str,
    strata: str | Iterable[str],
    rates: Mapping[Any, float] | Iterable[Mapping[str, Any]],
    by: str | Iterable[str] | None = None,
    per: float = 1,
) -> Statistic:
    """Standardised mortality (or incidence) ratios: events beside those expected from reference rates.

    events, time: as of `incidence`. strata: one or two columns. rates: level (or pair of levels) → reference rate per
    `per` of person-time, for every declared stratum. by: groups, categories or booleans.
    Result: a row a group (one without `by`) with `events`, `expected`, `ratio`, `ci_low`, `ci_high` (95 %, exact).
    Where a site may not show a group, or a stratum of it, no ratio is computed.
    Leaves a site: events and expected events of each group; no stratum. Rounds: 1.
    Source: N. E. Breslow, N. E. Day, Statistical Methods in Cancer Research II, 1987, ch. 2.
    """
    more = {"events": events, "time": time, "strata": listed(strata), "rates": standards.items(rates, "rate")}
    return make("indirect_standardisation", {**more, **given(by=several(by)), "per": number(per)})
