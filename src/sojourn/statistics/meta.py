"""Each site's own fit of a model, combined as studies are: a meta-analysis instead of, or beside, the pooled fit."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.heterogeneity import METHODS, REML
from sojourn.analysis.meta_analysis import ADJUSTED, INTERVALS
from sojourn.analysis.partial import Array, Partial, total
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Ask, Coordinator, Estimate, Gathered, Statistic, Step
from sojourn.analysis.support import Support, Working
from sojourn.analysis.variable import SITE, Variables
from sojourn.errors import ConvergenceError, DisclosureRefused, PlanError
from sojourn.statistics.side_by_side import OwnFit, answer

POOLED, META, BOTH = "pooled", "meta", "both"
FIT = "own fit"
MOST_MODERATORS = 10
# What must hold of a model of one site alone, whatever its pooled form asks.
_RULES = ("minimum frequency", "residual freedom", "design support", "events", "parameters to observations")
OF_SITES: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": {"type": "number"}}
WORDS: dict[str, Any] = {
    "combine": {"enum": [POOLED, META, BOTH]},
    "meta": {
        "type": "object",
        "properties": {
            "method": {"enum": sorted(METHODS)},
            "interval": {"enum": sorted(INTERVALS)},
            "moderators": {"type": "object", "properties": {}, "additionalProperties": OF_SITES},
        },
        "additionalProperties": False,
    },
}


Moderators = tuple[tuple[str, tuple[tuple[str, float], ...]], ...]


@runtime_checkable
class Model(Statistic, Protocol):
    """A statistic whose answer is a table of coefficients, and which can be fitted to one site alone."""

    def terms(self, variables: Variables) -> tuple[str, ...]:
        """The names of its coefficients, in the order of its table; known from the plan alone."""


@dataclass(frozen=True)
class MetaAnalysis:
    """A model whose coefficients each site estimates by itself; they are combined coefficient by coefficient.

    how: `meta`, or `both` for the pooled fit beside it. A site's part is its estimates and their variances, never their
    covariances. moderators: numbers of the sites that the plan states, in name order.
    """

    model: Model
    how: str = META
    method: str = REML
    interval: str = ADJUSTED
    moderators: Moderators = field(default=())

    by_site: ClassVar[bool] = True

    @classmethod
    def read(cls, model: Model, arguments: Mapping[str, Any], place: str) -> Statistic:
        """The model itself where `combine` is pooled; PlanError where the words do not go together."""
        said = words(arguments, place)
        return model if said is None else cls(model, *said)

    @property
    def name(self) -> str:
        """The model's: its own name stands in the plan, with `combine` among its arguments."""
        return self.model.name

    @property
    def rules(self) -> tuple[str, ...]:
        """The model's, and what must hold of a fit at one site."""
        return tuple(dict.fromkeys((*self.model.rules, *_RULES)))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        return {**self.model.arguments(), **written(self.how, self.method, self.interval, self.moderators)}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return self.model.variables()

    def check(self, variables: Variables) -> None:
        """See `Statistic`; at a single site the column `site` does not vary."""
        self.model.check(variables)
        formula = getattr(self.model, "formula", None)
        named = {factor.name for term in formula.terms for factor in term.factors} if formula else set()
        if SITE in named or getattr(self.model, "by_site", False):
            remedy = "Leave `site` out: each site's own fit has its own intercept."
            raise PlanError(
                "A model that each site fits by itself has no `site`.", remedy=remedy, field=f"{self.name}.formula"
            )
        check_moderators(self.moderators, variables, self.name)

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        p = len(self.model.terms(variables))
        own = Step(FIT, {}, {"n": (1,), "estimate": (p,), "variance": (p,), "exists": (p,)}, additive=False)
        return (own, *(self.model.steps(variables) if self.how == BOTH else ()))

    def rounds(self) -> int:
        """See `Statistic`; two fits."""
        return 1 + (self.model.rounds() if self.how == BOTH else 0)

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        return self._own(population)[0] if step == FIT else self.model.local(step, population, broadcast)

    def support(self, population: Population) -> Support:
        """See `Statistic`."""
        return self.model.support(population)

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Working | None:
        """See `Statistic`; of a site's own fit, at its own coefficients."""
        return self._own(population)[1] if step == FIT else self.model.working(step, population, broadcast)

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        told = yield Ask(FIT)
        if not told.by_site:
            raise DisclosureRefused("by site")
        fits = {site: _read(part) for site, part in told.by_site.items()}
        terms, moderators = self.model.terms(variables), {name: dict(values) for name, values in self.moderators}
        pooled = (yield from self.model.coordinator(variables)) if self.how == BOTH else None
        return answer(terms, fits, pooled, self.method, self.interval, moderators)

    def _own(self, population: Population) -> tuple[Partial, Working | None]:
        return _latest.own(self.model, population)


def words(arguments: Mapping[str, Any], place: str) -> tuple[str, str, str, Moderators] | None:
    """How, method, interval and moderators as a plan says them; None where `combine` is pooled."""
    how, said = arguments.get("combine", POOLED), arguments.get("meta", {})
    if how == POOLED:
        if said:
            remedy = "Add `combine: meta`, or leave `meta` out."
            raise PlanError("A pooled answer has no meta-analysis.", remedy=remedy, field=f"{place}.meta")
        return None
    moderators = {
        name: tuple(sorted((site, float(value)) for site, value in of_sites.items()))
        for name, of_sites in sorted(said.get("moderators", {}).items())
    }
    if len(moderators) > MOST_MODERATORS or any(not 1 <= len(name) <= 80 for name in moderators):
        remedy = f"Use at most {MOST_MODERATORS}, with names of 1 to 80 characters."
        raise PlanError("These are no moderators.", remedy=remedy, field=f"{place}.meta.moderators")
    return how, said.get("method", REML), said.get("interval", ADJUSTED), tuple(moderators.items())


def written(how: str, method: str, interval: str, moderators: Moderators) -> dict[str, Any]:
    """The same as it stands in a plan, defaults left out."""
    said: dict[str, Any] = {"method": method} if method != REML else {}
    said |= {"interval": interval} if interval != ADJUSTED else {}
    if moderators:
        said["moderators"] = {name: dict(of_sites) for name, of_sites in moderators}
    return {"combine": how, **({"meta": said} if said else {})}


def check_moderators(moderators: Moderators, variables: Variables, kind: str) -> None:
    """PlanError unless each gives every site of the study a number."""
    roster = variables[SITE].levels if SITE in variables else ()
    for name, of_sites in moderators:
        if len(roster) > 1 and {site for site, _ in of_sites} != set(roster):
            remedy = f"Give one number to each of: {', '.join(roster)}."
            place = f"{kind}.meta.moderators.{name}"
            raise PlanError("A moderator does not name the sites of the study.", remedy=remedy, field=place)


def own_fit(model: Model, population: Population) -> tuple[Partial, Working | None]:
    """A model's fit to one site alone, by the very steps that it would take over all; and how few persons it rests on.

    Where there is no fit (separation, a column that does not vary) every number is 0, and `exists` says so.
    """
    terms, fitted, working = model.terms(population.variables), None, None
    with contextlib.suppress(ConvergenceError):
        fitted, working = _alone(model, population)
    rows = {} if fitted is None else {row[0]: dict(zip(fitted.columns, row[1:], strict=True)) for row in fitted.rows}
    pairs = [(rows.get(term, {}).get("estimate"), rows.get(term, {}).get("std_error")) for term in terms]
    exists = np.array([_is_fit(*pair) for pair in pairs], dtype=np.int64)
    numbers = np.array([pair if there else (0.0, 0.0) for pair, there in zip(pairs, exists, strict=True)], dtype=float)
    numbers = numbers.reshape(len(terms), 2)
    partial = {"n": np.array([population.rows]), "estimate": numbers[:, 0], "variance": numbers[:, 1] ** 2}
    return Partial({**partial, "exists": exists}), working


def _alone(model: Model, population: Population) -> tuple[Estimate, Working | None]:
    """The estimate as if there were one site, and the evidence of its last round: at the estimate itself."""
    coordinator, working = model.coordinator(population.variables), None
    ask = next(coordinator)
    while True:
        working = model.working(ask.step, population, ask.broadcast)
        part = total([model.local(ask.step, population, ask.broadcast)])
        try:
            ask = coordinator.send(Gathered(part, {population.site: part}))
        except StopIteration as end:
            if working is None and ask.broadcast:  # nobody can judge what the coefficients make of the rows
                raise ConvergenceError("The fit has no evidence.", remedy="Use fewer terms.") from None
            return end.value, working


def _is_fit(estimate: object, error: object) -> bool:
    numbers = isinstance(estimate, float) and isinstance(error, float)
    return numbers and bool(np.isfinite([estimate, error]).all()) and float(error) > 0  # type: ignore[arg-type]


def _read(part: Partial) -> OwnFit:
    """A site's part as the coordinator reads it; what is suppressed does not exist."""
    hidden = part.hidden("estimate") | part.hidden("variance") | part.hidden("exists")
    exists: NDArray[np.bool_] = (part["exists"] > 0) & (part["variance"] > 0) & ~hidden
    n = None if part.hidden("n").any() else int(part["n"][0])
    return OwnFit(n, np.asarray(part["estimate"], dtype=float), np.asarray(part["variance"], dtype=float), exists)


class _Latest(threading.local):
    """The fit made last, which a round's evidence and its partial share. Holds one a thread."""

    _kept: tuple[Model, Population, tuple[Partial, Working | None]] | None = None

    def own(self, model: Model, population: Population) -> tuple[Partial, Working | None]:
        kept = self._kept
        if kept is None or kept[0] != model or kept[1] is not population:
            self._kept = None
            kept = self._kept = (model, population, own_fit(model, population))
        return kept[2]


_latest = _Latest()
