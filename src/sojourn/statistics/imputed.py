"""A model of several imputed sets: each site fills its own rows in, each set is fitted over all sites, and Rubin's

rules combine the fits. A round carries the sums of all sets that ask for it, side by side.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sojourn.analysis.imputation import Chain
from sojourn.analysis.matrix import declared, levels_of
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Ask, Coordinator, Estimate, Gathered, Squared, Step, clear_only
from sojourn.analysis.support import Contributions, Support, Working
from sojourn.analysis.variable import Kind, Variables
from sojourn.errors import PlanError
from sojourn.statistics.imputed_evidence import support_of
from sojourn.statistics.meta import Model
from sojourn.statistics.rubin_table import answer

SETS = 5
MOST_LEVELS = 20
ACTIVE = "active"


@dataclass(frozen=True)
class Imputed:
    """A model whose `columns` may lack values. m: how many sets. using: columns of which only the draws know.

    The draws depend on the site's rows and on these columns alone, so that equal asks give equal bytes.
    """

    model: Model
    columns: tuple[str, ...]
    m: int = SETS
    using: tuple[str, ...] = ()

    @property
    def clear_only(self) -> str:
        """The model's: why a masked plan has none of it; empty where it may have."""
        return clear_only(self.model)

    @property
    def squared(self) -> str:
        """See `Squared`: the model's; empty where it gives no squares."""
        return self.model.squared if isinstance(self.model, Squared) else ""

    @property
    def name(self) -> str:
        """The model's: its own name stands in the plan, with `missing` among its arguments."""
        return self.model.name

    @property
    def rules(self) -> tuple[str, ...]:
        """The model's, and what must hold of the models that fill values in."""
        return tuple(dict.fromkeys((*self.model.rules, "residual freedom", "design support")))

    @property
    def incomplete(self) -> tuple[str, ...]:
        """The columns in which a row need not be complete."""
        return self.columns

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        said: dict[str, Any] = {"method": "impute", "columns": list(self.columns)}
        said |= {"m": self.m} if self.m != SETS else {}
        said |= {"using": list(self.using)} if self.using else {}
        return {**self.model.arguments(), "missing": said}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted({*self.model.variables(), *self.using}))

    def check(self, variables: Variables) -> None:
        """See `Statistic`; each column to fill in, or that helps to, has a kind and levels that a model can use."""
        self.model.check(variables)
        for name in (*self.columns, *self.using):
            word = "columns" if name in self.columns else "using"
            variable = declared(name, variables, f"{self.name}.missing.{word}")
            if variable.kind is Kind.CATEGORY and not 2 <= len(levels_of(variable)) <= MOST_LEVELS:
                raise PlanError(
                    f"`{name}` has no levels that can be drawn.",
                    remedy=f"Use a category of 2 to {MOST_LEVELS} declared levels, or merge some.",
                    field=f"{self.name}.missing.{word}",
                )

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`: the model's, each with one copy a set; what sets ask for a round is marked `active`."""
        return tuple(
            Step(
                step.name,
                self._copies(step.broadcast) | ({ACTIVE: (self.m,)} if step.broadcast else {}),
                self._copies(step.partial),
                step.additive,
            )
            for step in self.model.steps(variables)
        )

    def rounds(self) -> int:
        """See `Statistic`; sets wait for one another at each step, and none takes more of them than the model may."""
        return self.model.rounds()

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`; a set that does not ask gives zeros."""
        parts = _latest.round(self, step, population, broadcast)
        arrays = {_copy(name, k): array for k, (part, _) in parts.items() for name, array in part.arrays.items()}
        shapes = next(one.partial for one in self.steps(population.variables) if one.name == step)
        return Partial({name: arrays.get(name, np.zeros(shape)) for name, shape in shapes.items()})

    def support(self, population: Population) -> Support:
        """See `Statistic`: what all sets show, and what they show by differing."""
        sets = _latest.sets(self, population)
        return support_of(self.model, self.columns, self.variables(), population, sets, _copy)

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Working | None:
        """See `Statistic`; the strictest over the sets. A set whose sums nobody can judge has none, or all have not."""
        found = []
        for part, working in _latest.round(self, step, population, broadcast).values():
            if working is not None:
                found.append(working)
            elif any(array.dtype.kind == "f" and array.any() for array in part.arrays.values()):
                return None
        if not found:
            return None
        return Working(min(one.effective for one in found), max(one.leverage for one in found))

    def distances(
        self, population: Population, broadcast: Mapping[str, Array] | None = None
    ) -> tuple[Contributions, ...]:
        """See `Squared`: of all sets, one after the other."""
        model = self.model
        if not isinstance(model, Squared):
            return ()
        sets = enumerate(_latest.sets(self, population), start=1)
        return tuple(
            one
            for k, completed in sets
            for one in model.distances(completed, None if broadcast is None else _own(broadcast, k))
        )

    def joint_leverage(
        self, step: str, population: Population, broadcast: Mapping[str, Array], sums: Partial
    ) -> float | None:
        """The largest leverage of a person here beside all sites' last sums, over the sets that ask."""
        judge = getattr(self.model, "joint_leverage", None)
        if judge is None:
            return None
        found = []
        for k, completed in enumerate(_latest.sets(self, population), start=1):
            if not _asks(broadcast, k):
                continue
            own, last = _own(broadcast, k), _own(sums.arrays, k)
            if any(array.any() for array in last.values()):
                found.append(judge(step, completed, own, Partial(last)))
            elif (working := self.model.working(step, completed, own)) is not None:
                found.append(working.leverage)  # of a set that waited there are no last sums: beside its own site's
        return max((one for one in found if one is not None), default=None)

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`; the earliest step that any set asks for comes first."""
        steps = {step.name: step for step in self.model.steps(variables)}
        order = list(steps)
        searches = {k: self.model.coordinator(variables) for k in range(1, self.m + 1)}
        asks, found, used = {k: next(search) for k, search in searches.items()}, {}, 0
        while asks:
            name = min((ask.step for ask in asks.values()), key=order.index)
            turn = {k: ask for k, ask in asks.items() if ask.step == name}
            gathered, used = (yield self._together(steps[name], turn)), used + 1
            for k in turn:
                try:
                    asks[k] = searches[k].send(_of_set(gathered, k, steps[name]))
                except StopIteration as end:
                    found[k] = end.value
                    del asks[k]
        fits: list[Estimate] = [found[k] for k in sorted(found)]
        said: dict[str, Any] = {"imputed": list(self.columns), "m": self.m, "rounds_used": used}
        return answer(fits, said | ({"using": list(self.using)} if self.using else {}))

    def _copies(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        return {_copy(name, k): shape for k in range(1, self.m + 1) for name, shape in shapes.items()}

    def _together(self, step: Step, turn: Mapping[int, Ask]) -> Ask:
        """One ask for several sets; what a set that does not ask would be sent is 0."""
        if not step.broadcast:
            if len(turn) < self.m:
                raise ValueError("a set asks again for what no broadcast tells apart")
            return Ask(step.name)
        sent: dict[str, Array] = {ACTIVE: np.array([int(k in turn) for k in range(1, self.m + 1)])}
        for k in range(1, self.m + 1):
            for name, shape in step.broadcast.items():
                sent[_copy(name, k)] = turn[k].broadcast[name] if k in turn else np.zeros(shape)
        return Ask(step.name, sent)


def _copy(name: str, k: int) -> str:
    """The name of a set's own array."""
    return f"{name}_{k}"


def _own(arrays: Mapping[str, Array], k: int) -> dict[str, Array]:
    """A set's own arrays, by their names in the model."""
    ending = f"_{k}"
    return {name.removesuffix(ending): array for name, array in arrays.items() if name.endswith(ending)}


def _asks(broadcast: Mapping[str, Array], k: int) -> bool:
    return ACTIVE not in broadcast or bool(broadcast[ACTIVE][k - 1])


def _of_set(gathered: Gathered, k: int, step: Step) -> Gathered:
    def own(part: Partial) -> Partial:
        arrays = {name: part.arrays[_copy(name, k)] for name in step.partial}
        masks = {name: part.suppressed[_copy(name, k)] for name in step.partial if _copy(name, k) in part.suppressed}
        return Partial(arrays, masks)

    by_site = {site: own(part) for site, part in gathered.by_site.items()}
    return Gathered(own(gathered.total), by_site, gathered.hidden, gathered.noise)


Parts = dict[int, tuple[Partial, Working | None]]


class _Latest(threading.local):
    """The sets of the population used last, and the parts of the last ask, which its evidence shares. One a thread."""

    _kept: tuple[Imputed, Population, tuple[Population, ...]] | None = None
    _asked: tuple[tuple[Population, ...], str, dict[str, Array], Parts] | None = None

    def sets(self, asked: Imputed, population: Population) -> tuple[Population, ...]:
        kept = self._kept
        if kept is None or kept[0] != asked or kept[1] is not population:
            self._kept = self._asked = None  # before the next are made, so that there are never two
            made = Chain(asked.columns, asked.variables()).completed(population, asked.m)
            kept = self._kept = (asked, population, made)
        return kept[2]

    def round(self, asked: Imputed, step: str, population: Population, broadcast: Mapping[str, Array]) -> Parts:
        sets, before = self.sets(asked, population), self._asked
        if before is None or before[0] is not sets or before[1] != step or not _equal(before[2], broadcast):
            parts: Parts = {}
            for k, completed in enumerate(sets, start=1):
                if not _asks(broadcast, k):
                    continue
                own = _own(broadcast, k)
                working = asked.model.working(step, completed, own)
                parts[k] = (asked.model.local(step, completed, own), working)
            before = self._asked = (sets, step, dict(broadcast), parts)
        return before[3]


def _equal(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(array, other[name]) for name, array in one.items())


_latest = _Latest()
