"""All statistics by name, and the functions by which an analyst asks for them.

A new statistic is one file and one line of `_STATISTICS`, with a function here where analysts write Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from sojourn.analysis.statistic import Statistic
from sojourn.analysis.suggestion import did_you_mean
from sojourn.errors import PlanError
from sojourn.statistics import standard as standards
from sojourn.statistics.anova import Anova
from sojourn.statistics.at_least import AtLeast
from sojourn.statistics.balance import Balance
from sojourn.statistics.correlation import Correlation
from sojourn.statistics.count import Count
from sojourn.statistics.crosstab import Crosstab
from sojourn.statistics.describe import Describe
from sojourn.statistics.direct_standardisation import DirectStandardisation
from sojourn.statistics.elastic_net import ElasticNet
from sojourn.statistics.firth import Firth
from sojourn.statistics.glm import GLM
from sojourn.statistics.glmm import GLMM
from sojourn.statistics.histogram import Histogram
from sojourn.statistics.incidence import Incidence
from sojourn.statistics.indirect_standardisation import IndirectStandardisation
from sojourn.statistics.lmm import LMM
from sojourn.statistics.mantel_haenszel import MantelHaenszel
from sojourn.statistics.meta import BOTH, META, POOLED, WORDS, MetaAnalysis
from sojourn.statistics.overlap import Overlap
from sojourn.statistics.prevalence import Prevalence
from sojourn.statistics.profile_likelihood import POINTS, ProfileLikelihood
from sojourn.statistics.quantiles import QUARTILES, Quantiles
from sojourn.statistics.schema import conform
from sojourn.statistics.t_test import TTest
from sojourn.statistics.trend import Trend

_KINDS = (
    Anova,
    AtLeast,
    Balance,
    Correlation,
    Count,
    Crosstab,
    Describe,
    DirectStandardisation,
    ElasticNet,
    Firth,
    GLM,
    GLMM,
    Histogram,
    Incidence,
    IndirectStandardisation,
    LMM,
    MantelHaenszel,
    Overlap,
    Prevalence,
    ProfileLikelihood,
    Quantiles,
    TTest,
    Trend,
)
_STATISTICS = MappingProxyType({kind.name: kind for kind in _KINDS})
_MODELS = MappingProxyType({kind.name: kind for kind in (GLM,)})  # each site can fit it by itself
NAMES: tuple[str, ...] = tuple(sorted(_STATISTICS))
_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    name: {**kind.schema, "properties": {**kind.schema["properties"], **(WORDS if name in _MODELS else {})}}
    for name, kind in sorted(_STATISTICS.items())
}


def make(kind: str, arguments: Mapping[str, Any], field: str = "") -> Statistic:
    """A statistic from its name and arguments as they stand in a plan.

    field: the place in the plan, e.g. `analyses.model`. PlanError names the place, e.g. `analyses.model.glm.family`,
    and the nearest known word.
    """
    if kind not in _STATISTICS:
        remedy = did_you_mean(str(kind), NAMES) or f"Use one of: {', '.join(NAMES)}."
        raise PlanError(f"There is no statistic `{str(kind)[:40]}`.", remedy=remedy, field=field)
    place = f"{field}.{kind}" if field else kind
    conform(arguments, _SCHEMAS[kind], place)
    if kind not in _MODELS:
        return _STATISTICS[kind].read(arguments, place)
    own = {word: value for word, value in arguments.items() if word not in WORDS}
    return MetaAnalysis.read(_MODELS[kind].read(own, place), arguments, place)


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema (2020-12) of every statistic's arguments, by name; models take `combine` and `meta` too."""
    return {name: dict(schema) for name, schema in _SCHEMAS.items()}


def count(by: str | Iterable[str] | None = None) -> Statistic:
    """Distinct persons, in all or by up to three dimensions.

    by: categories or booleans, one name or several; `site` too. Every combination of their declared levels is a cell;
    a person with rows in several cells is counted in each. Without `by` the table has one row.
    Result: a row a cell with `n`; a cell that a site suppressed shows its bounds.
    Leaves a site: one number a cell, small ones suppressed. Rounds: 1.
    """
    return make("count", _given(by=_several(by)))


def at_least(k: int, by: str | Iterable[str] | None = None) -> Statistic:
    """Whether there are at least k persons, yes or no, in all or by up to three dimensions.

    k: a multiple of 10 up to 10,000; where the sites' threshold is above 10, of 20, 40, 80 and so on, whichever is the
    first that is not below it. by: as of `count`, but not `site` in a masked plan.
    Result: a row a cell with `reached`: true, false, or suppressed where a count might not be shown either. Facts: `k`.
    A masked plan compares on secret shares and adds nothing: no count exists anywhere. A cell is told where a count of
    it might be shown, and is remembered as one.
    Leaves a site: in a clear plan the numbers of `count`; in a masked one shares that look random. Rounds: 1.
    """
    return make("at_least", {"k": k.item() if hasattr(k, "item") else k, **_given(by=_several(by))})


def crosstab(*columns: str) -> Statistic:
    """A contingency table of distinct persons over two or three columns, with tests of independence.

    columns: categories or booleans; `site` too. Result: a row a cell with `n`. Facts: `margins` (persons of each level,
    shown by themselves: also where cells are not), `n`, Pearson's `chi_squared` (statistic, df, p; of mutual
    independence for three columns; levels without persons are left out), and for two by two `chi_squared_yates` and
    `fisher` (exact, two-sided; sample odds ratio). Where a site suppressed a cell, there are no tests. They take
    persons to be independent: they mean nothing where a person has rows in several cells.
    Leaves a site: one number a cell and a level, small ones suppressed. Rounds: 1.
    Source: A. Agresti, Categorical Data Analysis, 3rd ed. 2013, ch. 3.
    """
    return make("crosstab", {"columns": list(columns)})


def describe(*columns: str, by: str | Iterable[str] | None = None) -> Statistic:
    """Number, missing values, mean and standard deviation of numbers and booleans, in all and by groups.

    by: categories or booleans, one name or two. Result: for each column the overall row (group `all`), then a row a
    group, with `n` (rows), `missing` (persons without a value, overall row only), `mean` and `sd` (n - 1). Numbers of a
    group that a site suppressed are suppressed; of a column with two values also where one value is rare.
    Leaves a site: n, sums, and sums of squares about the pooled mean, for each group; persons with a missing value.
    Rounds: 2. Source: T. F. Chan, G. H. Golub, R. J. LeVeque, The American Statistician 37, 1983.
    """
    return make("describe", {"columns": list(columns), **_given(by=_several(by))})


def t_test(*columns: str, by: str, variance: str = "unequal") -> Statistic:
    """Whether the means of two groups differ: Welch's t-test, or Student's, of numbers and booleans.

    by: a category or boolean with two levels. variance: `unequal` (Welch) or `equal` (Student).
    Result: a row a column with `estimate` (mean of the second level less that of the first), `std_error`, `statistic`,
    `df`, `p_value`, `ci_low`, `ci_high` (95 %). Facts: `difference` (which less which), and `groups` with `n` (rows),
    `mean` and `sd`. Where a site may not show a group, nothing of that column is computed.
    Leaves a site: n, sums, and sums of squares about the pooled mean, for each group. Rounds: 2.
    Source: B. L. Welch, Biometrika 34, 1947; Student, Biometrika 6, 1908.
    """
    return make("t_test", {"columns": list(columns), "by": by, "variance": variance})


def anova(*columns: str, by: str, variance: str = "equal") -> Statistic:
    """Whether the means of several groups differ: one-way analysis of variance of numbers and booleans.

    by: a category or boolean; `site` too in a clear plan. variance: `equal` (Fisher's F) or `unequal` (Welch's).
    Result: a row a column with `statistic`, `df_between`, `df_within`, `p_value` and `eta_squared` (share of the sum of
    squares that lies between groups). Facts: `groups` with `n` (rows), `mean` and `sd`. Where a site may not show a
    group, nothing of that column is computed: merge levels that few have. Levels without rows take no part, where
    sites show zeros.
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
    return make("prevalence", {"columns": list(columns), **_given(by=_several(by)), **chosen})


def incidence(events: str, time: str, by: str | Iterable[str] | None = None, per: float = 1) -> Statistic:
    """Incidence rates: events by person-time, in all and by groups, with exact Poisson intervals (95 %).

    events: a boolean, or a whole number of events a row. time: a number, how long each row was watched. by: categories
    or booleans, up to three. per: the person-time that a rate is of, e.g. 1000.
    Result: the overall row (group `all`), then a row a group, with `events`, `time`, `rate`, `ci_low`, `ci_high`.
    Suppressed where a site may not show the events or the time: persons with an event, and those without, are counted.
    Leaves a site: events and person-time, in all and of each group. Rounds: 1.
    Source: F. Garwood, Biometrika 28, 1936; K. J. Rothman, Epidemiology, 2nd ed. 2012, ch. 4.
    """
    return make("incidence", {"events": events, "time": time, **_given(by=_several(by)), "per": _number(per)})


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
    given = {"events": events, "time": time, "strata": _list(strata), "standard": standards.items(standard, "weight")}
    return make("direct_standardisation", {**given, **_given(by=_several(by)), "per": _number(per)})


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
    given = {"events": events, "time": time, "strata": _list(strata), "rates": standards.items(rates, "rate")}
    return make("indirect_standardisation", {**given, **_given(by=_several(by)), "per": _number(per)})


def trend(outcome: str, by: str, scores: Iterable[float] | None = None) -> Statistic:
    """Whether a share of persons rises or falls over ordered groups: the Cochran-Armitage test.

    outcome: a boolean. by: a category, its declared levels in order. scores: a number for each level; 1, 2, 3, … unless
    given. Result: a row a level with `n` (persons), `cases`, `share`. Facts: `trend` (statistic, normal, and p,
    two-sided), `scores`. Where a site suppressed a cell, no trend is computed. The test takes persons to be
    independent.
    Leaves a site: one number a cell, small ones suppressed. Rounds: 1.
    Source: P. Armitage, Biometrics 11, 1955; W. G. Cochran, Biometrics 10, 1954.
    """
    return make("trend", {"outcome": outcome, "by": by, **_given(scores=_numbers(scores))})


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
    return make("mantel_haenszel", {"outcome": outcome, "exposure": exposure, "strata": _list(strata)})


def balance(*columns: str, by: str) -> Statistic:
    """How far two groups are apart in each column: standardised mean differences, for a love plot.

    columns: numbers, booleans, categories. by: a category or boolean with two levels. Result: a row a column, of a
    category a row a level (`stage[II]`), with `first` and `second` (mean or share in either level's rows),
    `smd` (second less first, over the root of the mean of the two variances; of a share p (1 - p)) and `variance_ratio`
    (numbers only). Where a site may not show a group, or who has a level in it, the row is suppressed.
    Leaves a site: n, sums, and sums of squares about the pooled mean, for each group and row. Rounds: 2.
    Source: P. C. Austin, Statistics in Medicine 28, 2009.
    """
    return make("balance", {"columns": list(columns), "by": by})


def histogram(column: str, edges: Iterable[float]) -> Statistic:
    """Distinct persons in declared bins of a number.

    edges: strictly increasing, at least two, in the column's unit; never taken from the data. Bins are closed at the
    left, the last one at both ends. Result: a row a bin with `low`, `high` and `n`; the first and last row are below
    and above all edges (None for the open end).
    Leaves a site: one number a bin, small ones suppressed. Rounds: 1.
    """
    return make("histogram", {"column": column, "edges": _numbers(edges)})


def overlap(most: int = Overlap.most) -> Statistic:
    """How many persons each two sites have in common, by an identifier that both have: of whole tables, masked only.

    most: the most persons of a site, 100 to 50,000; each list is filled up to it, and a site with more puts in nobody.
    A plan with it has no `where`, one `overlap`, and beside it only analyses that name no columns, such as `count()`.
    Result: a row a pair of sites with `persons` and `why`: empty where the number is told, `no agreement` of both
    custodians, `not released`, `asked before` where one site has a new snapshot and the other not, or `contradicted`,
    where sites say different things. A number is told where it is at least T and leaves at least T of
    either site, T being the strictest threshold of all sites. Facts: `counted_again_at_least` and, where all pairs are
    told, `counted_again_at_most`: how often a person is counted again where each site counts its own.
    Leaves a site: its persons as points that only two sites together could compare, each under a number of one site,
    sealed to one site; the number in common, where it is told. Rounds: 5, and those of a joint test.
    Sources: C. Meadows, IEEE Symposium on Security and Privacy 1986; E. De Cristofaro, P. Gasti, G. Tsudik, CANS 2012.
    """
    return make("overlap", {} if most == Overlap.most else {"most": most})


def quantiles(
    *columns: str,
    by: str | Iterable[str] | None = None,
    q: Iterable[float] = QUARTILES,
    precision: float | Iterable[float] | None = None,
    bins: int | None = None,
) -> Statistic:
    """Quantiles of numbers, in all or by groups, equal to those of the pooled rows where the counts may be shown.

    columns: numbers with a declared range (`low`, `high`). by: categories or booleans, one name or two. q: fractions
    between 0 and 1; others than the median and quartiles wait for a checker, or are refused where masked. precision:
    the distance between two values that a column can have, e.g. 1 for whole years, one for all columns or one each;
    values are rounded to it. Without it, about two hundred steps of the range are counted, and the answer is
    approximate. bins: the most values at which rows are counted, at most 1,000; a masked plan needs 16 or fewer.
    Result: a row a column, group and quantile with `n` (rows), `value`, and the ends `low` and `high` between which it
    lies: equal where it is exact. Interpolated as in pandas, NumPy and R (type 7). Values that part fewer than T
    persons from the others are not told apart; the answer is then laid between them as if rows were spread evenly, and
    is suppressed, with its ends, where it is beyond the lowest or highest count shown.
    Facts: `extremes`, for each column and group how far out rows are told of: the minimum is at `low` or below, the
    maximum at `high` or above, and so are T persons or more each; nothing says how far beyond. None: not told.
    Leaves a site: for each group its rows, and the rows at or below each value that may be told apart. Rounds: 1.
    Source: R. J. Hyndman, Y. Fan, The American Statistician 50, 1996.
    """
    given = _given(by=_several(by), precision=_numbers(precision), bins=bins)
    return make("quantiles", {"columns": list(columns), "q": _numbers(q), **given})


def glm(
    formula: str,
    family: str = "gaussian",
    link: str | None = None,
    weights: str | None = None,
    offset: str | None = None,
    robust: str | None = None,
    cluster: str | None = None,
    combine: str = POOLED,
) -> Statistic:
    """A generalised linear model over all sites, equal to the fit on pooled rows to rounding.

    formula: R style, e.g. `"died ~ age + C(sex) + age:bmi + C(site)"`. family: `gaussian`, `binomial`, `poisson`,
    `gamma` or `negative_binomial`. link: `identity`, `log` (for all; negative_binomial has no other), `logit`,
    `probit`, `cloglog` (binomial), `inverse` (gamma); None for `identity`, `logit`, and `log` of the last three.
    weights: column of prior weights as in R's `glm`: the variance of a row is the dispersion over its weight; of a
    binomial proportion its number of trials; rows of weight 0 take no part. offset: column that is added to the linear
    predictor. robust: `HC0` or `HC1` for standard errors that hold where the variance is not the family's, `cluster`
    where rows of a person depend on one another; cluster: a column whose values are clusters inside each site. combine:
    `pooled`, `meta` for each site's own fit, combined as studies are, or `both`: see `meta`.
    Outcomes: binomial 0 to 1 or boolean, gamma above 0, poisson and negative_binomial not negative.
    Result: a row a term with `estimate`, `std_error`, `statistic`, `p_value`, `ci_low`, `ci_high` (95 %; t for
    gaussian and gamma, else normal). Facts: `n` (rows), `log_likelihood`, `deviance`, `aic`, `dispersion`,
    `df_residual`, `rounds_used`, `newton_decrement`; `null_deviance` for gaussian with identity link; `theta` and
    `theta_std_error` for negative_binomial, whose variance is mu + mu^2 / theta; `clusters`. Errors: ConvergenceError
    names a collinear term, or the term that separates the outcomes.
    Leaves a site, for p terms: n and p sums; then each round at most 2 + p + p^2 numbers: deviance, score and
    information, and the observed information too where the link is not canonical; for robust errors once p^2 numbers
    more, the squares of the clusters' parts of the score. Rounds: usually 5 or 6, at most 12.
    Source: P. McCullagh, J. A. Nelder, Generalized Linear Models, 2nd ed. 1989; R's `glm.fit`; J. F. Lawless, Canadian
    J. of Statistics 15, 1987 (negative binomial); J. G. MacKinnon, H. White, J. of Econometrics 29, 1985 (robust).
    """
    how = combine if combine != POOLED else None
    given = _given(link=link, weights=weights, offset=offset, robust=robust, cluster=cluster, combine=how)
    return make("glm", {"formula": formula, "family": family, **given})


def elastic_net(
    formula: str,
    family: str = "gaussian",
    alpha: float = 1.0,
    lambdas: Iterable[float] | None = None,
    count: int | None = None,
    standardise: bool | None = None,
    cross_validate: bool | None = None,
) -> Statistic:
    """Lasso and elastic net over all sites: the coefficients under a range of penalties, equal to those of pooled rows.

    formula: as of `glm`, with an intercept, which is not penalised, and without an offset. family: `gaussian` or
    `binomial` (logit). alpha: share of the absolute values in the penalty: 1 is the lasso, near 0 the ridge. lambdas:
    the penalties, as in glmnet and scikit-learn upon the mean of squares / 2 or of minus the log-likelihood; None for
    `count` of them (30), down to a thousandth of the one from which all coefficients are 0. standardise: whether the
    penalty is upon columns over their standard deviation (with n), as it is unless you say no. cross_validate: leave
    out one site after the other; clear plans alone.
    Result: a row a lambda and term with `estimate`; there are no standard errors after a choice. Facts: `n`,
    `lambdas`, `nonzero` and `deviance_ratio` of each, `lambda_bic`, `rounds_used`; with cross-validation its curve
    `cross_validation`, `lambda_min`, `lambda_1se`.
    Leaves a site, for p terms: n, p sums and the outcome's, once 1 + p + p^2 numbers; binomial for each lambda, and
    with cross-validation for each site, so many again each round. Rounds: 2; binomial usually 7 to 10, at most 12.
    Source: J. Friedman, T. Hastie, R. Tibshirani, J. of Statistical Software 33(1), 2010.
    """
    given = _given(lambdas=_numbers(lambdas), count=count, standardise=standardise, cross_validate=cross_validate)
    return make("elastic_net", {"formula": formula, "family": family, "alpha": alpha, **given})


def firth(formula: str, family: str = "binomial", offset: str | None = None) -> Statistic:
    """A logistic or Poisson model under Firth's penalty, whose estimates exist where a term separates the outcomes.

    formula: as of `glm`, with an intercept. family: `binomial` (logit) or `poisson` (log). offset: column that is added
    to the linear predictor. Equal to the fit on pooled rows to rounding.
    Result: a row a term as of `glm`; intervals and p-values are Wald's, which under separation are only a rough guide.
    Facts: `n`, `log_likelihood`, `penalised_log_likelihood`, `df_residual`, `rounds_used`.
    Leaves a site, for p terms: as of `glm`, and each round p numbers more, the penalty's part of the score.
    Rounds: usually 14 to 21, at most 24.
    Source: D. Firth, Biometrika 80, 1993; G. Heinze, M. Schemper, Statistics in Medicine 21, 2002.
    """
    return make("firth", {"formula": formula, "family": family, **_given(offset=offset)})


def lmm(
    formula: str, group: str | None = None, slopes: str | Iterable[str] | None = None, method: str = "REML"
) -> Statistic:
    """A linear mixed model over all sites: fixed effects, and random intercepts and slopes of clusters.

    formula: fixed effects as of `glm`, without an offset. group: the column that names the clusters, each inside one
    site; `site` for random effects of the sites themselves, in clear plans alone; None for persons. slopes: columns of
    numbers of the formula, up to three, whose coefficients differ between clusters. method: `REML` or `ML`. Equal to
    the pooled fit.
    Result: a row a fixed effect as of `glm`, with normal tests. Facts: `n`, `clusters`, `log_likelihood` (restricted
    under REML), `sigma` (of the residuals), `random` (`effects`, `std_dev`, `covariance`), `intraclass_correlation`
    (without slopes), `rounds_used`, `newton_decrement`. No random effect of a cluster is ever shown.
    Leaves a site, for p terms and q random effects: n, the number of clusters, p + 2 q + 1 sums; each round, with
    m = q (q + 1) / 2, at most (1 + m + m (m + 1) / 2) (p + 2)^2 numbers, sums over its clusters. Of `site`: once
    (p + 1)^2 + q (p + q + 1) cross-products. Rounds: usually 6 to 10; of `site` 2.
    Source: D. Bates, M. Maechler, B. Bolker, S. Walker, J. of Statistical Software 67(1), 2015.
    """
    given = _given(group=group, slopes=_several(slopes))
    return make("lmm", {"formula": formula, "method": method, **given})


def glmm(
    formula: str,
    group: str | None = None,
    slopes: str | Iterable[str] | None = None,
    family: str = "binomial",
    method: str = "REML",
) -> Statistic:
    """A logistic or Poisson mixed model by penalised quasi-likelihood: approximate, and says so.

    formula, group, slopes, method: as of `lmm`, with an intercept; clusters lie inside sites. family: `binomial`
    (logit) or `poisson` (log). Equal to the same approximation on pooled rows.
    Result: a row a fixed effect as of `glm`, within clusters. Facts: `n`, `clusters`, `random` as of `lmm`,
    `laplace_log_likelihood` at the estimates, `rounds_used`. Variances come out too small where clusters hold few rows
    or events are rare. No random effect of a cluster is ever shown.
    Leaves a site: as of `lmm`, of working outcomes, and each round one number more.
    Rounds: usually 12 to 20, at most 36, and 8 more for each element of the covariance beyond the first.
    Source: N. E. Breslow, D. G. Clayton, J. of the American Statistical Association 88, 1993.
    """
    given = _given(group=group, slopes=_several(slopes))
    return make("glmm", {"formula": formula, "family": family, "method": method, **given})


def meta(
    model: Statistic,
    method: str = "REML",
    interval: str = "hartung_knapp_adjusted",
    moderators: Mapping[str, Mapping[str, float]] | None = None,
    combine: str = META,
) -> Statistic:
    """A meta-analysis of each site's own fit of a model, coefficient by coefficient, in plans that are not masked.

    model: e.g. `glm("died ~ age", "binomial")`. method: the variance between sites, `REML`, `DL`, `PM`, `ML`, `SJ`,
    `EB`, `HE`, `HS`, or `fixed` for none. interval: `hartung_knapp` (t), `hartung_knapp_adjusted` (the same with an
    error that is never below the normal one) or `normal`. moderators: numbers of the sites for a meta-regression, e.g.
    `{"latitude": {"uk": 52, "sg": 1}}`; they stand in the plan. combine: `meta`, or `both` (beside the pooled).
    Result: as of the model, of the mean over sites, and `prediction_low`, `prediction_high` (where a further site is
    expected), `tau2`, `i_squared` (percent), `sites` (how many could fit the model). Under `both` the model's columns
    are the pooled fit's, and `meta_estimate`, `meta_std_error`, `meta_p_value`, `meta_ci_low`, `meta_ci_high` stand
    beside. Facts: `by_site` (each site's estimates, intervals and weights), `n_by_site`, and under `meta` for each
    coefficient Q, the interval of tau² (Q profile), `fixed`, `leave_one_out`, `influence` (Baujat; deleted residuals),
    `regression`, and `egger` from ten sites on.
    Leaves a site, for p terms: n, and p estimates with their variances; each is a release of that site, by all rules
    for models, judged at its own coefficients. Rounds: 1, and the model's own under `both`.
    Source: W. Viechtbauer, Journal of Statistical Software 36(3), 2010; J. Hartung, G. Knapp, Statistics in Medicine
    20, 2001.
    """
    if combine not in (META, BOTH):
        remedy = f"Use `{META}` or `{BOTH}`; a pooled fit is the model itself."
        raise PlanError("This is no way to combine sites in a meta-analysis.", remedy=remedy, field="meta.combine")
    said = _given(method=method, interval=interval, moderators=moderators)
    return make(model.name, {**model.arguments(), "combine": combine, "meta": said})


def profile_likelihood(
    formula: str,
    term: str,
    low: float,
    high: float,
    family: str = "binomial",
    points: int = POINTS,
    offset: str | None = None,
) -> Statistic:
    """One coefficient from the sites' profile likelihoods, where events are too rare for estimates and their errors.

    formula: as of `glm`. term: the coefficient, by its name in the table of the model, e.g. `drug[T.True]`. low, high,
    points: the grid of its values, on the scale of the coefficient (a log ratio), fixed before any data are seen.
    family: `binomial` (logit) or `poisson` (log). offset: column that is added to the linear predictor.
    Each site's other coefficients are its own. A site without events in one group has a profile and no estimate.
    Result: a row for a value that all sites share, and one for the mean of values that differ by site (normal), with
    `estimate`, `p_value` (likelihood ratio), `ci_low`, `ci_high` (likelihood interval; None beyond the grid). Facts:
    `tau` (standard deviation between sites), `grid`, `profiles` by site, `n_by_site`.
    Leaves a site, in plans that are not masked: n, and one log-likelihood a value of the grid, less its maximum; by all
    rules for models, judged at the strictest value. Rounds: 1.
    Source: M. J. Schuemie et al., Statistical Methods in Medical Research 31, 2022.
    """
    given = _given(offset=offset, points=points if points != POINTS else None)
    grid = {"term": term, "low": low, "high": high}
    return make("profile_likelihood", {"formula": formula, "family": family, **grid, **given})


def _given(**arguments: Any) -> dict[str, Any]:
    return {word: value for word, value in arguments.items() if value is not None}


def _several(names: Any) -> Any:
    """One name as it is, several as a list; anything else goes on to the check of types."""
    return list(names) if isinstance(names, Iterable) and not isinstance(names, str | Mapping) else names


def _list(names: Any) -> Any:
    """One name or several as a list."""
    return [names] if isinstance(names, str) else _several(names)


def _number(value: Any) -> Any:
    """NumPy's and other numbers as plain ones."""
    return value.item() if hasattr(value, "item") else value


def _numbers(values: Any) -> Any:
    """NumPy's and other numbers as plain ones; anything else goes on to the check of types."""
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        return values
    return [value.item() if hasattr(value, "item") else value for value in values]
