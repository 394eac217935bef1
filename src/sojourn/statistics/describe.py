"""Numbers, means and standard deviations of columns, in all and by groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pyroaring import BitMap

from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_of
from sojourn.analysis.statistic import Ask, Cell, Coordinator, Estimate, Gathered, Step, Suppressed
from sojourn.analysis.support import Cells, Contributions, Support
from sojourn.analysis.table import Table
from sojourn.analysis.variable import SITE, Variables
from sojourn.statistics.argument import MOST_DIMENSIONS, NAME, check_dimensions, check_number, names, unpack
from sojourn.statistics.by_group import Sites, spread_note
from sojourn.statistics.cells import counts, remainders
from sojourn.statistics.moments import Group, Moments

MOST_COLUMNS = 100
EVERYONE = "all"  # label of the overall row
_NOISY = "Where no mean or deviation is shown, noise may have left fewer than two rows, or a variance below zero."


@dataclass(frozen=True)
class Describe:
    """Rows, persons with a missing value, mean and standard deviation of numbers and booleans.

    Two rounds: see `moments`. Arrays of the overall row start with `all_`, of the groups with `group_`.
    """

    columns: tuple[str, ...]
    by: tuple[str, ...] = ()

    name: ClassVar[str] = "describe"
    squared: ClassVar[str] = "squares"
    rules: ClassVar[tuple[str, ...]] = (
        "minimum frequency",
        "dominance",
        "p percent",
        "residual freedom",
        "text",
    )
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "columns": names(1, MOST_COLUMNS),
            "by": {"anyOf": [NAME, names(0, MOST_DIMENSIONS - 1), {"type": "null"}]},
        },
        "required": ["columns"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> Describe:
        """From arguments that fit the schema."""
        return cls(tuple(arguments["columns"]), unpack(arguments.get("by")))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        return {"columns": list(self.columns), **({"by": list(self.by)} if self.by else {})}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted({*self.columns, *self.by} - {SITE}))

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        for column in self.columns:
            check_number(column, variables, "describe.columns")
        check_dimensions(self.by, variables, "describe.by")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        moments = self._moments(variables)
        sums = {"missing": (len(self.columns),), **moments.of_sums()}
        return Step("sums", {}, sums), Step("squares", moments.of_centres(), moments.of_squares())

    def rounds(self) -> int:
        """See `Statistic`."""
        return 2

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        moments = self._moments(population.variables)
        if step == "squares":
            return Partial(moments.squares(population, broadcast))
        missing = np.array([len(cell) for cell in self._missing(population)], dtype=np.int64)
        return Partial({"missing": missing, **moments.sums(population)})

    def support(self, population: Population) -> Support:
        """See `Statistic`."""
        missing = Cells(("missing",), (len(self.columns),), self._missing(population))
        cells, contributions = self._moments(population.variables).evidence(population, self.variables())
        return Support(
            population=persons_of(population.persons),
            measures=self.variables(),
            cells=(missing, *cells),
            contributions=tuple(contributions),
            squares=self.distances(population),
        )

    def distances(
        self, population: Population, broadcast: Mapping[str, Array] | None = None
    ) -> tuple[Contributions, ...]:
        """See `Squared`."""
        return self._moments(population.variables).distances(population, broadcast)

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> None:
        """See `Statistic`; no broadcast changes what stands behind a number."""

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        moments = self._moments(variables)
        sums = yield Ask("sums")
        squares = yield Ask("squares", moments.centres(sums))
        missing, noisy = counts(sums, "missing", table=False), bool(sums.noise or squares.noise)
        rows: list[tuple[Cell, ...]] = []
        for position, column in enumerate(self.columns):
            for prefix, table in moments.tables.items():
                everyone = prefix == "all"
                index = [(EVERYONE,) * len(self.by)] if everyone else table.index()
                numbers = counts(sums, "all_n") if everyone else remainders(sums, "group_n", "all_n")
                groups = moments.groups(sums, squares, prefix, column)
                for labels, n, group in zip(index, numbers, groups, strict=True):
                    lacking = missing[position] if everyone else None
                    rows.append((column, *labels, n, lacking, *_mean_and_sd(group, noisy)))
        shown = [column for column in self.columns if sums.noise or not _spread_hidden(column, rows)]
        told = tuple(
            spread_note(column, _hiding(moments, squares, column), "in all or in a group")
            for column in self.columns
            if column not in shown
        )
        if sums.noise and any(isinstance(row[-1], Suppressed) for row in rows):
            told += (_NOISY,)
        return Estimate(("variable", *self.by), ("n", "missing", "mean", "sd"), tuple(rows), _size(sums), warnings=told)

    def _moments(self, variables: Variables) -> Moments:
        """Of the overall row and, where asked for, the groups."""
        groups = {"group": Table.of(self.by, variables)} if self.by else {}
        return Moments(self.columns, {"all": Table.of((), variables), **groups})

    def _missing(self, population: Population) -> tuple[BitMap, ...]:
        none = np.empty(0, dtype=np.uint32)
        return tuple(persons_of(population.missing.get(column, none)) for column in self.columns)


def _size(sums: Gathered) -> dict[str, Any]:
    """The rows of the population, in all and, where the sites' parts are known, by site."""
    parts = {site: Gathered(part, {site: part}, sums.hidden, sums.noise) for site, part in sums.by_site.items()}
    by_site = {site: counts(part, "all_n", table=False)[0] for site, part in parts.items()}
    return {"n": counts(sums, "all_n", table=False)[0], **({"n_by_site": by_site} if by_site else {})}


def _hiding(moments: Moments, squares: Gathered, column: str) -> Sites:
    """The sites that hide how far a column spreads, in all or in a group."""
    return tuple(sorted({site for prefix in moments.tables for site in moments.hiding(squares, prefix, column)}))


def _spread_hidden(column: str, rows: Sequence[tuple[Cell, ...]]) -> bool:
    """Whether a deviation is not shown beside its mean."""
    own = (row for row in rows if row[0] == column)
    return any(isinstance(row[-1], Suppressed) and not isinstance(row[-2], Suppressed) for row in own)


def _mean_and_sd(group: Group | None, noisy: bool) -> tuple[Cell, Cell]:
    """As shown; where noise left fewer than two rows, or a variance below zero, there is nothing to show."""
    if group is None or (noisy and group.n < 2):
        return Suppressed(), Suppressed()
    if noisy and group.squares is not None and group.squares < 0:
        return group.mean, Suppressed()
    return group.mean, group.sd
