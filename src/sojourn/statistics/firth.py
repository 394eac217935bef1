"""Firth's penalised likelihood over all sites: estimates that exist under separation, and are less biased anywhere.

    maximise l(b) + log |I(b)| / 2;   score* = sum over rows of (s_i + h_i k_i / 2) x_i

I is the information of all sites, h_i = w_i x_i' I^-1 x_i the leverage of a row in it, and k_i how its weight w_i
changes with its linear predictor, relative to w_i: 1 - 2 p under the logit, 1 for Poisson. The sum over sites needs I
before it is known at these coefficients, so that the coordinator sends what it foresees from the rounds before, and
ends when that is what came back.

Source: D. Firth, Biometrika 80, 1993; G. Heinze, M. Schemper, Statistics in Medicine 21, 2002.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from sojourn.analysis.likelihood import System, start
from sojourn.analysis.matrix import Layout
from sojourn.analysis.mixing import Mixing
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import MOST_ROUNDS, Ask, Coordinator, Estimate, Gathered, Step
from sojourn.analysis.support import Support, Working
from sojourn.analysis.variable import Variables
from sojourn.errors import ConvergenceError, PlanError
from sojourn.statistics.coefficients import COLUMNS, centre_of, real, standard_errors, table, uncentred, whole
from sojourn.statistics.design import working
from sojourn.statistics.glm import GLM
from sojourn.statistics.leverage import largest_beside
from sojourn.statistics.profile_ends import SIDES, End, row_of
from sojourn.statistics.profile_ends import doubt as doubting
from sojourn.statistics.rows import Weighed

Vector = NDArray[np.float64]
FAMILIES = ("binomial", "poisson")
WALD, PROFILE = "wald", "profile"
_UNFOUND = "Ends or tests of {} were not found in the rounds that they may take: Wald's are not put in their place."
SMALL = 3e-9  # length of the last step, in standard errors: what is left after it is less by the rate of convergence
DOUBT = 0.3  # share of a step that may come from an information that was not foreseen; else the place is asked again
SURE = 3e-10  # the same of the last step, in standard errors
CLOSE = 0.5  # length of the first step that is mixed from those before


@dataclass(frozen=True)
class Firth:
    """A logistic or Poisson model under Firth's penalty. interval: `wald`, or `profile` of the penalised likelihood."""

    model: GLM
    interval: str = WALD

    name: ClassVar[str] = "firth"
    rules: ClassVar[tuple[str, ...]] = GLM.rules
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "formula": GLM.schema["properties"]["formula"],
            "family": {"enum": list(FAMILIES)},
            "offset": GLM.schema["properties"]["offset"],
            "interval": {"enum": [WALD, PROFILE]},
        },
        "required": ["formula"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> Firth:
        """From arguments that fit the schema."""
        own = {word: value for word, value in arguments.items() if word != "interval"}
        model = GLM.read({"family": "binomial"} | own, field)
        if not model.formula.intercept:
            raise PlanError("There is no intercept.", remedy="Leave `0` or `- 1` out.", field=f"{field}.formula")
        return cls(model, arguments.get("interval", WALD))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        given = {"family": (self.model.distribution, "binomial"), "interval": (self.interval, WALD)}
        chosen = {word: value for word, (value, default) in given.items() if value != default}
        return {"formula": self.model.formula.render(), **chosen}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return self.model.variables()

    def terms(self, variables: Variables) -> tuple[str, ...]:
        """See `meta.Model`."""
        return self.model.terms(variables)

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        self.model.check(variables)

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        handshake, first, newton = self.model.steps(variables)
        p = newton.broadcast["centre"][0]
        broadcast = {**newton.broadcast, "foreseen": (p, p)}
        penalised = Step("penalised", broadcast, {**newton.partial, "penalty": (p,)})
        if self.interval == WALD:
            return handshake, first, penalised
        lines = len(SIDES) * p
        at = {word: shape if word == "centre" else (lines, *shape) for word, shape in broadcast.items()}
        sums = {word: (lines, *(() if shape == (1,) else shape)) for word, shape in penalised.partial.items()}
        return handshake, first, penalised, Step("profile", at, sums)

    def rounds(self) -> int:
        """See `Statistic`; a step may take two, of which the first tells the information for the second."""
        return 2 * MOST_ROUNDS * (2 if self.interval == PROFILE else 1)

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        if step == "profile":
            parts = [self._penalised(population, line).partial for line in _lines(broadcast)]
            return Partial({name: np.array([_flat(part[name]) for part in parts]) for name in parts[0].arrays})
        if step != "penalised":
            return self.model.local(step, population, broadcast)
        return self._penalised(population, broadcast).partial

    def support(self, population: Population) -> Support:
        """See `Statistic`; as of the model without a penalty."""
        return self.model.support(population)

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Working | None:
        """See `Statistic`."""
        if step not in ("penalised", "profile"):
            return self.model.working(step, population, broadcast)
        rows, centre = self.model.rows(population), real(broadcast["centre"])
        lines = _lines(broadcast) if step == "profile" else [broadcast]
        found = [working(rows, self._penalised(population, line), centre) for line in lines]
        known = [one for one in found if one is not None]
        if len(known) < len(found):
            return None
        return Working(min(one.effective for one in known), max(one.leverage for one in known))

    def joint_leverage(
        self, step: str, population: Population, broadcast: Mapping[str, Array], sums: Partial
    ) -> float | None:
        """As of `GLM`, the largest over all lines of coefficients."""
        if step == "profile":
            found = [
                self.joint_leverage("penalised", population, line, _of_line(sums, place))
                for place, line in enumerate(_lines(broadcast))
            ]
            return None if None in found else max(one for one in found if one is not None)
        if step != "penalised":
            return self.model.joint_leverage(step, population, broadcast, sums)
        total = sums.arrays.get("information", sums.arrays.get("gram"))
        if total is None:
            return None
        weight = self._penalised(population, broadcast).weight
        return largest_beside(self.model.rows(population), weight, real(broadcast["centre"]), real(total))

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        layout = Layout.of(self.model.formula, variables)
        sums = whole((yield Ask("handshake")))
        n = int(sums["n"][0])
        if n <= layout.width:
            remedy = "Use fewer terms, or a larger population."
            raise ConvergenceError("The model has as many terms as there are rows.", remedy=remedy)
        centre = centre_of(layout, True, real(sums["sum"]), n)
        started = whole((yield Ask("start", {"centre": centre})))
        gram = real(started["gram"])
        system = System.of(layout.terms, float(np.abs(gram[0, 0])), centre)
        search = _Search(start(system, gram, real(started["moment"])), gram)
        saturated = float(started["saturated"][0])
        for used in range(3, 2 * MOST_ROUNDS + 1):
            broadcast = {"centre": centre, "coefficients": search.at, "foreseen": search.foreseen}
            summed = whole((yield Ask("penalised", broadcast)))
            if search.tell(summed, saturated):
                found = self._estimate(layout, centre, search, n, used)
                return found if self.interval == WALD else (yield from self._profiled(found, centre, search, saturated))
        raise ConvergenceError(
            "The penalised likelihood did not converge in the rounds that it may take.",
            remedy="Use fewer terms, or merge levels.",
        )

    def _profiled(
        self, found: Estimate, centre: Vector, search: _Search, saturated: float
    ) -> Generator[Ask, Gathered, Estimate]:
        """The estimate with intervals and tests of its profile, all coefficients at once."""
        turn, used = uncentred(centre, True), int(found.facts["rounds_used"])
        ends = [
            {side: End.of(along, side, search.best, search.at, search.foreseen) for side in SIDES} for along in turn
        ]
        lines = [one for of_term in ends for one in of_term.values()]
        while used < self.rounds() and not all(one.done for one in lines):
            asked = {"coefficients": np.array([one.at for one in lines])}
            foreseen = np.array([one.foreseen for one in lines])
            summed = whole((yield Ask("profile", {"centre": centre, **asked, "foreseen": foreseen})))
            used += 1
            for place, one in enumerate(lines):
                part = _of_line(summed, place)
                information = real(part["information"]) * (0.0 if part["invalid"][0] else 1.0)
                likelihood = saturated - float(part["deviance"][0]) / 2
                one.tell(likelihood, real(part["score"]), real(part["penalty"]), information)
        values = turn @ search.at
        rows = tuple(
            (*row[:3], *row_of(of_term, search.best, float(value)))
            for row, of_term, value in zip(found.rows, ends, values, strict=True)
        )
        lacking = [str(row[0]) for row in rows if None in row]
        facts = {**found.facts, "interval": PROFILE, "rounds_used": used}
        warnings = (_UNFOUND.format(", ".join(lacking[:8])),) if lacking else ()
        return replace(found, rows=rows, facts=facts, warnings=(*found.warnings, *warnings))

    def _penalised(self, population: Population, broadcast: Mapping[str, Array]) -> Weighed:
        """A Newton round's sums, and the penalty's part of the score."""
        rows, at = self.model.rows(population), {name: real(array) for name, array in broadcast.items()}
        weighed = self.model.weighed("newton", population, {word: at[word] for word in ("centre", "coefficients")})
        x = rows.x - at["centre"]
        eta = x @ at["coefficients"] + rows.offset
        with np.errstate(all="ignore"):
            leverage = weighed.weight * np.einsum("ij,ji->i", x, np.linalg.solve(at["foreseen"], x.T))
            term = leverage / 2 * (-np.tanh(eta / 2) if self.model.distribution == "binomial" else 1.0)
            penalty = x.T @ term
        if not np.isfinite(penalty).all():
            penalty, term = np.zeros_like(penalty), np.full_like(term, np.nan)
        terms = (*weighed.terms, np.abs(term))
        return replace(weighed, partial=Partial({**weighed.partial.arrays, "penalty": penalty}), terms=terms)

    def _estimate(self, layout: Layout, centre: Vector, search: _Search, n: int, used: int) -> Estimate:
        turn = uncentred(centre, True)
        error = standard_errors(turn, real(np.linalg.inv(search.foreseen)))
        facts = {
            "n": n,
            "log_likelihood": search.log_likelihood,
            "penalised_log_likelihood": search.best,
            "df_residual": n - layout.width,
            "rounds_used": used,
        }
        return Estimate(("term",), COLUMNS, table(layout.terms, turn @ search.at, error), facts)


def _lines(broadcast: Mapping[str, Array]) -> list[dict[str, Array]]:
    """What is asked about each line of coefficients."""
    pairs = zip(broadcast["coefficients"], broadcast["foreseen"], strict=True)
    return [{"centre": broadcast["centre"], "coefficients": at, "foreseen": foreseen} for at, foreseen in pairs]


def _of_line(sums: Partial, place: int) -> Partial:
    """One line of summed arrays."""
    return Partial({name: np.atleast_1d(array[place]) for name, array in sums.arrays.items()})


def _flat(array: Array) -> Array:
    """A single number without its axis."""
    return array[0] if array.shape == (1,) else array


@dataclass
class _Search:
    """Scoring steps, mixed from those before, halved where the penalised likelihood falls.

    at: where to ask next; foreseen: the information expected there.
    """

    at: Vector
    foreseen: Vector
    best: float = -np.inf
    log_likelihood: float = np.nan
    origin: Vector = field(default_factory=lambda: np.zeros(0))
    mixing: Mixing = field(default_factory=lambda: Mixing(CLOSE))
    known: list[Vector] = field(default_factory=list)

    def tell(self, summed: Partial, saturated: float) -> bool:
        """Take in what came back; whether this was the last round."""
        information = real(summed["information"])
        value = saturated - float(summed["deviance"][0]) / 2
        try:
            sign, size = np.linalg.slogdet(information)
            step = real(np.linalg.solve(information, real(summed["score"]) + real(summed["penalty"])))
        except LinAlgError:
            sign, size, step = 0.0, 0.0, np.zeros_like(self.at)
        penalised = value + size / 2
        if summed["invalid"][0] or sign <= 0 or penalised < self.best - 1e-8 * (abs(self.best) + 1):
            if not len(self.origin):
                raise ConvergenceError("The information vanishes.", remedy="Use fewer terms, or merge levels.")
            self.foreseen = (self.foreseen + self.known[-1]) / 2
            self.at = (self.at + self.origin) / 2
            return False
        self.best, self.log_likelihood = max(self.best, penalised), value
        root = real(np.linalg.cholesky(information)).T
        length, doubt = float(np.linalg.norm(root @ step)), doubting(root, self.foreseen, real(summed["penalty"]))
        if doubt > max(DOUBT * length, SURE):
            self.foreseen = information
            return False
        move = self.mixing.move(self.at, step, root)
        foreseen = self._foresee(information, move)
        self.origin, self.at, self.foreseen = self.at, self.at + move, foreseen
        self.known.append(information)
        return length < SMALL and doubt < SURE

    def _foresee(self, information: Vector, move: Vector) -> Vector:
        """Along the last move the information changes as it did."""
        if not self.known:
            return information
        moved = self.at - self.origin
        length = float(moved @ information @ moved)
        share = float(np.clip(move @ information @ moved / length, -1.0, 1.0)) if length > 0 else 0.0
        return information + share * (information - self.known[-1])
