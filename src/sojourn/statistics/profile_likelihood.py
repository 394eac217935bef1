"""The profile likelihood of one coefficient at each site, and their synthesis: for outcomes that are rare."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from sojourn.analysis.matrix import INTERCEPT
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.profile_likelihood import Likeliest, common, random_effects
from sojourn.analysis.statistic import Ask, Cell, Coordinator, Estimate, Gathered, Step, Suppressed
from sojourn.analysis.support import Support, Working
from sojourn.analysis.variable import Variables
from sojourn.errors import ConvergenceError, DisclosureRefused, PlanError
from sojourn.statistics.argument import NAME
from sojourn.statistics.glm import GLM

Vector = NDArray[np.float64]
PROFILE = "profile"
FAMILIES = ("binomial", "poisson")
LEAST_POINTS, POINTS, MOST_POINTS = 5, 41, 101
_STEPS, _HALVINGS = 60, 30
_FLAT = 1e-6  # of a log-likelihood
_COLUMNS = ("estimate", "p_value", "ci_low", "ci_high")


@dataclass(frozen=True)
class ProfileLikelihood:
    """A model, one of its terms, and the grid of its coefficient that the plan fixes.

    A site gives the log-likelihood at each value of the grid, the other coefficients being the likeliest there.
    """

    model: GLM
    term: str
    low: float
    high: float
    points: int = POINTS

    name: ClassVar[str] = "profile_likelihood"
    by_site: ClassVar[bool] = True
    rules: ClassVar[tuple[str, ...]] = GLM.rules
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "formula": {"type": "string", "minLength": 1, "maxLength": 2_000},
            "family": {"enum": list(FAMILIES)},
            "offset": {"anyOf": [NAME, {"type": "null"}]},
            "term": {"type": "string", "minLength": 1, "maxLength": 200},
            "low": {"type": "number"},
            "high": {"type": "number"},
            "points": {"type": "number", "minimum": LEAST_POINTS, "maximum": MOST_POINTS, "multipleOf": 1},
        },
        "required": ["formula", "term", "low", "high"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> ProfileLikelihood:
        """From arguments that fit the schema; PlanError where the grid is none."""
        family = {"family": arguments.get("family", "binomial")}
        model = GLM.read({word: arguments[word] for word in ("formula", "offset") if word in arguments} | family, field)
        low, high, points = float(arguments["low"]), float(arguments["high"]), arguments.get("points", POINTS)
        if not low < high or not abs(low) < 100 > abs(high) or not LEAST_POINTS <= points <= MOST_POINTS or points % 1:
            remedy = f"Give `low` below `high`, within 100 of 0, and {LEAST_POINTS} to {MOST_POINTS} `points`."
            raise PlanError("This is no grid for a coefficient.", remedy=remedy, field=f"{field}.points")
        return cls(model, str(arguments["term"]), low, high, int(points))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        given = self.model.arguments()
        family = {} if self.model.distribution == "binomial" else {"family": self.model.distribution}
        grid = {"points": self.points} if self.points != POINTS else {}
        return {
            "formula": given["formula"],
            **family,
            "term": self.term,
            "low": self.low,
            "high": self.high,
            **grid,
        }

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return self.model.variables()

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        self.model.check(variables)
        terms = self.model.terms(variables)
        if self.term not in terms:
            remedy = f"Use one of: {', '.join(terms[:20])}."
            raise PlanError("The model has no such term.", remedy=remedy, field=f"{self.name}.term")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        return (Step(PROFILE, {}, {"n": (1,), "profile": (self.points,)}, additive=False),)

    def rounds(self) -> int:
        """See `Statistic`."""
        return 1

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`; all zeros where the other coefficients have no finite maximum."""
        profile, _ = _latest.of(self, population)
        return Partial({"n": np.array([population.rows]), "profile": profile})

    def support(self, population: Population) -> Support:
        """See `Statistic`."""
        return self.model.support(population)

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Working | None:
        """See `Statistic`; the strictest over the grid."""
        return _latest.of(self, population)[1]

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        told = yield Ask(PROFILE)
        if not told.by_site:
            raise DisclosureRefused("by site")
        profiles = _shown(told)
        lacking = sorted(set(told.by_site) - set(profiles))
        if not profiles:
            remedy = "Use fewer terms beside it."
            raise ConvergenceError("No site has a profile likelihood of this term.", remedy=remedy)
        values = np.stack(list(profiles.values()))
        one, varying = common(self.grid, values), random_effects(self.grid, values)
        rows = ((self.term, *_row(one)), (f"{self.term} (differs by site)", *_row(varying)))
        sizes: dict[str, Cell] = {
            site: Suppressed() if part.hidden("n").any() else int(part["n"][0]) for site, part in told.by_site.items()
        }
        facts: dict[str, Any] = {
            "tau": varying.tau,
            "grid": self.grid.tolist(),
            "profiles": {site: (one - one.max()).tolist() for site, one in profiles.items()},
            "n_by_site": sizes,
        }
        warnings = (f"Without a profile, so not in the answer: {', '.join(lacking)}.",) if lacking else ()
        why = "approximate: the sites' profile likelihoods, each with its own other coefficients"
        return Estimate(("term",), _COLUMNS, rows, facts, why, warnings)

    @property
    def grid(self) -> Vector:
        """The values of the coefficient."""
        return np.linspace(self.low, self.high, self.points)


def _row(found: Likeliest) -> tuple[Cell, ...]:
    return found.estimate, found.p_value, found.ci_low, found.ci_high


def _shown(told: Gathered) -> dict[str, Vector]:
    """The profiles that vary; a flat one says that the site has none, or no event."""
    return {
        site: np.asarray(part["profile"], dtype=float)
        for site, part in sorted(told.by_site.items())
        if not part.hidden("profile").any() and np.ptp(part["profile"]) > _FLAT
    }


def profile_of(asked: ProfileLikelihood, population: Population) -> tuple[Vector, Working | None]:
    """The log-likelihood along the grid less its maximum, by the model's own rounds; and the strictest evidence.

    Zeros where the other coefficients have no finite maximum, or a column does not vary here.
    """
    model, none = asked.model, np.zeros(asked.points)
    first = model.local("handshake", population, {})
    n = int(first["n"][0])
    if n == 0:
        return none, None
    terms = model.terms(population.variables)
    free = np.array([term != asked.term for term in terms])
    inner = np.array([bool(free[place]) and term != INTERCEPT for place, term in enumerate(terms)])
    centre = np.where(inner & (INTERCEPT in terms), np.asarray(first["sum"], dtype=float) / n, 0.0)
    values, evidence = np.zeros(asked.points), list[Working | None]()
    order = np.argsort(np.abs(asked.grid))  # outward from 0, each from the solution beside it
    solved: dict[int, Vector] = {}
    for place in order.tolist():
        near = min(solved, key=lambda other: abs(other - place), default=None)
        start = np.zeros(len(terms)) if near is None else solved[near].copy()
        start[~free] = asked.grid[place]
        at = _maximum(model, population, centre, start, free)
        if at is None:
            return none, None
        solved[place], values[place] = at
        evidence.append(model.working("newton", population, {"centre": centre, "coefficients": at[0]}))
    told = [one for one in evidence if one is not None]
    if len(told) < len(evidence):
        return none, None
    strictest = Working(min(one.effective for one in told), max(one.leverage for one in told))
    return values - values.max(), strictest


def _maximum(
    model: GLM, population: Population, centre: Vector, start: Vector, free: NDArray[np.bool_]
) -> tuple[Vector, float] | None:
    """Newton's steps in the free coefficients, halved where the deviance rises; None where they do not end."""

    def sums(at: Vector) -> Partial:
        return model.local("newton", population, {"centre": centre, "coefficients": at})

    at, here = start, sums(start)
    for _ in range(_STEPS):
        if here["invalid"][0]:
            return None
        score = np.asarray(here["score"], dtype=float)[free]
        information = np.asarray(here["information"], dtype=float)[np.ix_(free, free)]
        try:
            step = np.linalg.solve(information, score)
        except LinAlgError:
            return None
        if float(score @ step) < 1e-10:
            return at, -float(here["deviance"][0]) / 2
        for _ in range(_HALVINGS):
            trial = at.copy()
            trial[free] += step
            there = sums(trial)
            if not there["invalid"][0] and there["deviance"][0] <= here["deviance"][0]:
                break
            step /= 2
        else:
            return None
        at, here = trial, there
    return None


class _Latest(threading.local):
    """The profile made last, which a round's evidence and its partial share. Holds one a thread."""

    _kept: tuple[ProfileLikelihood, Population, tuple[Vector, Working | None]] | None = None

    def of(self, asked: ProfileLikelihood, population: Population) -> tuple[Vector, Working | None]:
        kept = self._kept
        if kept is None or kept[0] != asked or kept[1] is not population:
            self._kept = None
            kept = self._kept = (asked, population, profile_of(asked, population))
        return kept[2]


_latest = _Latest()
