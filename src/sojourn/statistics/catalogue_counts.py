"""How an analyst asks for counts, descriptions and persons in common."""

from __future__ import annotations

from collections.abc import Iterable

from sojourn.analysis.statistic import Statistic
from sojourn.statistics.catalogue import make
from sojourn.statistics.overlap import Overlap
from sojourn.statistics.quantiles import QUARTILES
from sojourn.statistics.written import given, numbers, several


def count(by: str | Iterable[str] | None = None) -> Statistic:
    """Distinct persons, in all or by up to three dimensions.

    by: categories or booleans, one name or several; `site` too. Every combination of their declared levels is a cell;
    a person with rows in several cells is counted in each. Without `by` the table has one row.
    Result: a row a cell with `n`; a cell that a site suppressed shows its bounds.
    Leaves a site: one number a cell, small ones suppressed. Rounds: 1.
    """
    return make("count", given(by=several(by)))


def at_least(k: int, by: str | Iterable[str] | None = None) -> Statistic:
    """Whether there are at least k persons, yes or no, in all or by up to three dimensions.

    k: a multiple of 10 up to 10,000; where the sites' threshold is above 10, of 20, 40, 80 and so on, whichever is the
    first that is not below it. by: as of `count`, but not `site` in a masked plan.
    Result: a row a cell with `reached`: true, false, or suppressed where a count might not be shown either. Facts: `k`.
    A masked plan compares on secret shares and adds nothing: no count exists anywhere. A cell is told where a count of
    it might be shown, and is remembered as one.
    Leaves a site: in a clear plan the numbers of `count`; in a masked one shares that look random. Rounds: 1.
    """
    return make("at_least", {"k": k.item() if hasattr(k, "item") else k, **given(by=several(by))})


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
    group that a site suppressed are suppressed; of a column with two values also where one value is rare. `sd` alone is
    suppressed where one or two persons would be most of the squares, and with it others of the same table.
    Leaves a site: n, sums, and sums of squares about the pooled mean, for each group; persons with a missing value.
    Rounds: 2. Source: T. F. Chan, G. H. Golub, R. J. LeVeque, The American Statistician 37, 1983.
    """
    return make("describe", {"columns": list(columns), **given(by=several(by))})


def histogram(column: str, edges: Iterable[float]) -> Statistic:
    """Distinct persons in declared bins of a number.

    edges: strictly increasing, at least two, in the column's unit; never taken from the data. Bins are closed at the
    left, the last one at both ends. Result: a row a bin with `low`, `high` and `n`; the first and last row are below
    and above all edges (None for the open end).
    Leaves a site: one number a bin, small ones suppressed. Rounds: 1.
    """
    return make("histogram", {"column": column, "edges": numbers(edges)})


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
    more = given(by=several(by), precision=numbers(precision), bins=bins)
    return make("quantiles", {"columns": list(columns), "q": numbers(q), **more})


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
