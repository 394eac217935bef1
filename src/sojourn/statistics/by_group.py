"""What statistics of means by one grouping column have in common: their trips, parts and evidence."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_of
from sojourn.analysis.statistic import Ask, Cell, Gathered, Step
from sojourn.analysis.support import Contributions, Support
from sojourn.analysis.table import Table
from sojourn.analysis.variable import SITE, Variables
from sojourn.errors import PlanError
from sojourn.statistics.argument import NAME, check_dimensions, check_number, names
from sojourn.statistics.moments import Group, Moments

MOST_COLUMNS = 100
SUPPRESSED = "A site may not show a group of {}, so that nothing is computed from what is left."
Groups = list[Group | None]
Sites = tuple[str, ...]


def spread_note(column: str, sites: Sites, where: str = "in a group") -> str:
    """Why a deviation is not shown. sites: those that may not show it; none where their parts are not known."""
    return (
        f"{', '.join(sites) or 'A site'} may not show how far {column} spreads {where}, since one or two persons would "
        "be most of it: no deviation, and nothing that follows from one. Look for an extreme value or a unit error "
        "there, ask for `quantiles`, or merge groups."
    )


@dataclass(frozen=True)
class ByGroup:
    """Rows, means and squares of columns in the groups of one column; no group of all."""

    columns: tuple[str, ...]
    by: str

    name: ClassVar[str]
    squared: ClassVar[str] = "squares"
    rules: ClassVar[tuple[str, ...]] = ("minimum frequency", "dominance", "p percent", "residual freedom", "text")
    properties: ClassVar[Mapping[str, Any]] = {"columns": names(1, MOST_COLUMNS), "by": NAME}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted({*self.columns, self.by} - {SITE}))

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        for column in self.columns:
            check_number(column, variables, f"{self.name}.columns")
        self.check_groups(variables)

    def check_groups(self, variables: Variables) -> None:
        """PlanError unless the groups are of another column, with levels."""
        check_dimensions((self.by,), variables, f"{self.name}.by")
        if self.by in self.columns:
            remedy = "Leave it out of the columns."
            raise PlanError(f"`{self.by}` is there twice.", remedy=remedy, field=f"{self.name}.columns")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        moments = self.moments(variables)
        return Step("sums", {}, moments.of_sums()), Step("squares", moments.of_centres(), moments.of_squares())

    def rounds(self) -> int:
        """See `Statistic`."""
        return 2

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        moments = self.moments(population.variables)
        return Partial(moments.sums(population) if step == "sums" else moments.squares(population, broadcast))

    def support(self, population: Population) -> Support:
        """See `Statistic`."""
        cells, contributions = self.moments(population.variables).evidence(population, self.variables())
        everyone = persons_of(population.persons)
        sums, squares = tuple(contributions), self.distances(population)
        return Support(everyone, self.variables(), cells=tuple(cells), contributions=sums, squares=squares)

    def distances(
        self, population: Population, broadcast: Mapping[str, Array] | None = None
    ) -> tuple[Contributions, ...]:
        """See `Squared`."""
        return self.moments(population.variables).distances(population, broadcast)

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> None:
        """See `Statistic`; no broadcast changes what stands behind a number."""

    def moments(self, variables: Variables) -> Moments:
        """Of the one table of groups."""
        return Moments(self.columns, {"group": Table.of((self.by,), variables)})

    def gather(self, variables: Variables) -> Generator[Ask, Gathered, tuple[dict[str, Groups], dict[str, Sites]]]:
        """Both trips of the hub: of each column its groups, in the order of their levels, None where one is hidden; and
        of each column the sites that hide how far it spreads.
        """
        sums, squares = yield from self.trips(variables)
        return self.told(variables, sums, squares)

    def trips(self, variables: Variables) -> Generator[Ask, Gathered, tuple[Gathered, Gathered]]:
        """What both bring: sums, and squares about the means that follow from these."""
        sums = yield Ask("sums")
        squares = yield Ask("squares", self.moments(variables).centres(sums))
        return sums, squares

    def told(
        self, variables: Variables, sums: Gathered, squares: Gathered
    ) -> tuple[dict[str, Groups], dict[str, Sites]]:
        """As of `gather`."""
        moments = self.moments(variables)
        found = {column: moments.groups(sums, squares, "group", column) for column in moments.columns}
        return found, {column: moments.hiding(squares, "group", column) for column in moments.columns}


def whole(groups: Groups) -> list[Group]:
    """All groups, or none where one is hidden."""
    shown = [group for group in groups if group is not None]
    return shown if len(shown) == len(groups) else []


def spread_known(groups: list[Group]) -> bool:
    """Whether the squares of all these groups are shown."""
    return all(group.squares is not None for group in groups)


def described(groups: Groups, labels: tuple[Any, ...]) -> list[dict[str, Cell]]:
    """Facts of a column's groups, those that are shown."""
    pairs = zip(labels, groups, strict=True)
    return [{"group": str(label), "n": group.n, "mean": group.mean, "sd": group.sd} for label, group in pairs if group]
