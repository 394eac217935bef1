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
from sojourn.statistics.at_least import AtLeast
from sojourn.statistics.count import Count
from sojourn.statistics.crosstab import Crosstab
from sojourn.statistics.describe import Describe
from sojourn.statistics.glm import GLM
from sojourn.statistics.histogram import Histogram
from sojourn.statistics.overlap import Overlap
from sojourn.statistics.quantiles import QUARTILES, Quantiles
from sojourn.statistics.schema import conform

_KINDS = (AtLeast, Count, Crosstab, Describe, GLM, Histogram, Overlap, Quantiles)
_STATISTICS = MappingProxyType({kind.name: kind for kind in _KINDS})
NAMES: tuple[str, ...] = tuple(sorted(_STATISTICS))


def make(kind: str, arguments: Mapping[str, Any], field: str = "") -> Statistic:
    """A statistic from its name and arguments as they stand in a plan.

    field: the place in the plan, e.g. `analyses.model`. PlanError names the place, e.g. `analyses.model.glm.family`,
    and the nearest known word.
    """
    if kind not in _STATISTICS:
        remedy = did_you_mean(str(kind), NAMES) or f"Use one of: {', '.join(NAMES)}."
        raise PlanError(f"There is no statistic `{str(kind)[:40]}`.", remedy=remedy, field=field)
    place = f"{field}.{kind}" if field else kind
    chosen = _STATISTICS[kind]
    conform(arguments, chosen.schema, place)
    return chosen.read(arguments, place)


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema (2020-12) of every statistic's arguments, by name."""
    return {name: dict(_STATISTICS[name].schema) for name in NAMES}


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

    columns: categories or booleans; `site` too. Result: a row a cell with `n`. Facts: `margins` (sums of the cells),
    Pearson's `chi_squared` (statistic, df, p; of mutual independence for three columns; levels without persons are left
    out), and for two by two `chi_squared_yates` and `fisher` (exact, two-sided; sample odds ratio). Where a site
    suppressed a cell, there are neither margins nor tests. The tests take persons to be independent: they mean nothing
    where a person has rows in several cells.
    Leaves a site: one number a cell, small ones suppressed. Rounds: 1.
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
) -> Statistic:
    """A generalised linear model over all sites, equal to the fit on pooled rows to rounding.

    formula: R style, e.g. `"died ~ age + C(sex) + age:bmi + C(site)"`. family: `gaussian`, `binomial` or `poisson`.
    link: `identity`, `log` (gaussian, poisson, binomial), `logit`, `probit`, `cloglog` (binomial); None for the
    canonical one. weights: column of prior weights as in R's `glm`: the variance of a row is the dispersion over its
    weight; of a binomial proportion its number of trials; rows of weight 0 take no part. offset: column that is added
    to the linear predictor. Outcomes: binomial 0 to 1 or boolean, poisson not negative.
    Result: a row a term with `estimate`, `std_error`, `statistic`, `p_value`, `ci_low`, `ci_high` (95 %; t for
    gaussian, else normal). Facts: `n` (rows), `log_likelihood`, `deviance`, `aic`, `dispersion`, `df_residual`,
    `rounds_used`, `newton_decrement`; `null_deviance` for gaussian with identity link. Errors: ConvergenceError names
    a collinear term, or the term that separates the outcomes.
    Leaves a site, for p terms: n and p sums; then each round at most 2 + p + p^2 numbers: deviance, score and
    information, and the observed information too where the link is not canonical. Rounds: usually 5 or 6, at most 12.
    Source: P. McCullagh, J. A. Nelder, Generalized Linear Models, 2nd ed. 1989; R's `glm.fit`.
    """
    return make("glm", {"formula": formula, "family": family, **_given(link=link, weights=weights, offset=offset)})


def _given(**arguments: Any) -> dict[str, Any]:
    return {word: value for word, value in arguments.items() if value is not None}


def _several(names: Any) -> Any:
    """One name as it is, several as a list; anything else goes on to the check of types."""
    return list(names) if isinstance(names, Iterable) and not isinstance(names, str | Mapping) else names


def _numbers(values: Any) -> Any:
    """NumPy's and other numbers as plain ones; anything else goes on to the check of types."""
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        return values
    return [value.item() if hasattr(value, "item") else value for value in values]
