"""Each site's own answer of a statistic, combined as studies are: of shares, rates, differences and correlations.

Nothing more leaves a site than the statistic's own parts: in a plan that is not masked each of them is a release, and
the coordinator's steps over one site's parts alone give what that site would have found.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, ClassVar

from sojourn.analysis.heterogeneity import REML
from sojourn.analysis.meta_analysis import ADJUSTED
from sojourn.analysis.partial import Array, Partial, total
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Ask, Cell, Coordinator, Estimate, Gathered, Statistic, Step, Suppressed
from sojourn.analysis.support import Support, Working
from sojourn.analysis.variable import SITE, Variables
from sojourn.errors import ConvergenceError, DisclosureRefused, PlanError
from sojourn.statistics.by_group import ByGroup
from sojourn.statistics.effects import effects_of, read_back, scale_of
from sojourn.statistics.meta import BOTH, META, Moderators, check_moderators, words, written
from sojourn.statistics.side_by_side import (
    BESIDE,
    BETWEEN,
    COLUMNS,
    PREFIX,
    beside_of,
    combined,
    few_sites,
    in_words,
    label_of,
    row_of,
)

VALUE = ("value", "value_low", "value_high")
# What an effect of 0 on the scale of these is: a test against it is seldom what anybody asks.
_NOTHING: Mapping[str, str] = MappingProxyType(
    {
        "prevalence": "a share of one half",
        "incidence": "a rate of 1",
        "direct_standardisation": "a rate of 1",
    }
)
Told = list[tuple[Ask, Gathered]]


@dataclass(frozen=True)
class StudyLevel:
    """A statistic whose rows are effects, e.g. a share or a difference; combined row by row.

    how: `meta`, or `both` for the pooled answer beside it. method, interval, moderators: as of `MetaAnalysis`.
    """

    inner: Statistic
    how: str = META
    method: str = REML
    interval: str = ADJUSTED
    moderators: Moderators = field(default=())

    by_site: ClassVar[bool] = True

    @classmethod
    def read(cls, inner: Statistic, arguments: Mapping[str, Any], place: str) -> Statistic:
        """The statistic itself where `combine` is pooled; PlanError where the words do not go together."""
        said = words(arguments, place)
        if said is not None and "weights" in inner.arguments():
            remedy = "Leave `weights` out, or ask for the pooled answer."
            raise PlanError("Sites' own answers are combined without weights.", remedy=remedy, field=f"{place}.weights")
        return inner if said is None else cls(inner, *said)

    @property
    def name(self) -> str:
        """The statistic's: `combine` stands among its arguments."""
        return self.inner.name

    @property
    def rules(self) -> tuple[str, ...]:
        """The statistic's: what leaves a site is the same."""
        return self.inner.rules

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        return {**self.inner.arguments(), **written(self.how, self.method, self.interval, self.moderators)}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return self.inner.variables()

    def check(self, variables: Variables) -> None:
        """See `Statistic`; groups by site are what is combined."""
        self.inner.check(variables)
        if SITE in (by := getattr(self.inner, "by", ())) or by == SITE:
            remedy = "Leave `site` out of `by`: sites are what is combined."
            raise PlanError("There is nothing to combine by site.", remedy=remedy, field=f"{self.name}.by")
        check_moderators(self.moderators, variables, self.name)

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`; each site's part is read by itself."""
        return tuple(replace(step, additive=False) for step in self.inner.steps(variables))

    def rounds(self) -> int:
        """See `Statistic`."""
        return self.inner.rounds()

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        return self.inner.local(step, population, broadcast)

    def support(self, population: Population) -> Support:
        """See `Statistic`."""
        return self.inner.support(population)

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Working | None:
        """See `Statistic`."""
        return self.inner.working(step, population, broadcast)

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        pooled, told = yield from _recorded(self.inner.coordinator(variables))
        if not told[0][1].by_site:
            raise DisclosureRefused("by site")
        noisy = {site for _, gathered in told for site in gathered.noise}
        sites = [site for site in sorted(told[0][1].by_site) if site not in noisy]
        alone = {site: self._alone(variables, told, site) for site in sites}
        values = {site: {} if found is None else effects_of(self.name, found) for site, found in alone.items()}
        return self._answer(pooled, values, sorted(noisy))

    def _alone(self, variables: Variables, told: Told, site: str) -> Estimate | None:
        """What a site would have found: the coordinator's steps over its parts; None where it would find nothing."""
        coordinator = self.inner.coordinator(variables)
        ask = next(coordinator)
        sums: Partial | None = None
        try:
            for asked, gathered in told:
                part = gathered.by_site[site]
                if isinstance(self.inner, ByGroup) and sums is not None:
                    part = self.inner.moments(variables).about(sums, part, asked.broadcast, ask.broadcast)
                sums, own = part, {site: gathered.hidden[site]} if site in gathered.hidden else {}
                ask = coordinator.send(Gathered(total([part]), {site: part}, own))
        except StopIteration as end:
            return end.value if isinstance(end.value, Estimate) else None
        except (ConvergenceError, DisclosureRefused):
            return None
        return None

    def _answer(
        self, pooled: Estimate, values: Mapping[str, Mapping[str, tuple[float, float]]], noisy: list[str]
    ) -> Estimate:
        width, moderators = len(pooled.index), {name: dict(of_sites) for name, of_sites in self.moderators}
        labels = [label_of(row, width) for row in pooled.rows]
        found, beside = combined(labels, values, self.method, self.interval, moderators)
        scales = {label: scale_of(self.name, label) for label in labels}
        told = {"combine": self.how, "method": self.method, "interval": self.interval, "scale": scales} | beside
        said = (*_lacking(labels, values, noisy), *few_sites(found, self.interval, beside=self.how == BOTH))
        if found and self.name in _NOTHING:
            p = PREFIX + "p_value" if self.how == BOTH else "p_value"
            said += (f"`{p}` is of a test against {_NOTHING[self.name]}: read the interval instead.",)
        read = {label: _read(scales[label], found.get(label)) for label in labels}
        if self.how == BOTH:
            columns = (*pooled.columns, *(PREFIX + name for name in (*BESIDE, *VALUE)), *BETWEEN)
            each = [beside_of(found.get(label)) for label in labels]
            cut, facts, warnings = len(BESIDE), {**pooled.facts, **told}, (*pooled.warnings, *said)
            starts: list[tuple[Cell, ...]] = list(pooled.rows)
            exactness = pooled.exactness
        else:
            columns = (*COLUMNS, *VALUE, *BETWEEN)
            each = [row_of(found.get(label)) for label in labels]
            cut, facts, warnings = len(COLUMNS), told, said
            starts = [row[:width] for row in pooled.rows]
            exactness = f"approximate: each site's own answer, combined by {in_words(self.method, self.interval)}"
        rows = tuple(
            (*start, *_hidden_as((*own[:cut], *read[label], *own[cut:]), row, label in found))
            for row, start, own, label in zip(pooled.rows, starts, each, labels, strict=True)
        )
        return Estimate(pooled.index, columns, rows, facts, exactness, warnings)


def _hidden_as(cells: tuple[Cell, ...], pooled: Sequence[Cell], there: bool) -> tuple[Cell, ...]:
    """What no site has because it is hidden is suppressed, and not merely not available."""
    if there or not any(isinstance(cell, Suppressed) for cell in pooled):
        return cells
    return (Suppressed(),) * len(cells)


def _recorded(coordinator: Coordinator) -> Generator[Ask, Gathered, tuple[Estimate, Told]]:
    """The coordinator's answer, and every round that led to it."""
    told: Told = []
    ask = next(coordinator)
    while True:
        gathered = yield ask
        told.append((ask, gathered))
        try:
            ask = coordinator.send(gathered)
        except StopIteration as end:
            return end.value, told


def _read(scale: str, made: Any) -> tuple[Cell, ...]:
    """The values of `VALUE`."""
    if made is None:
        return (None,) * len(VALUE)
    return tuple(read_back(scale, float(ends[0])) for ends in (made.estimate, made.ci_low, made.ci_high))


def _lacking(
    labels: list[str], values: Mapping[str, Mapping[str, tuple[float, float]]], noisy: list[str]
) -> tuple[str, ...]:
    """Sentences on sites that are not combined, and rows that some of them lack."""
    said = []
    if noisy:
        said.append(f"Noise was drawn into the counts of {', '.join(noisy)}, so that they are not combined.")
    if none := [site for site, of_site in values.items() if not of_site]:
        said.append(
            f"{', '.join(none)} has no effect of its own (suppressed, without events, or too few rows), so that the "
            "combination is without it."
        )
    some = [label for label in labels if any(label not in of_site for of_site in values.values() if of_site)]
    if some:
        listed = "; ".join(some[:8]) + ("; …" if len(some) > 8 else "")
        said.append(f"Not every site has an effect of: {listed}. Sites without one are left out of that row.")
    return tuple(said)
