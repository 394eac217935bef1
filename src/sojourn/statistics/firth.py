"""Firth's penalised likelihood over all sites: estimates that exist under separation, and are less biased anywhere.

    maximise l(b) + log |I(b)| / 2;   score* = sum over rows of (s_i + h_i k_i / 2) x_i

I is the information of all sites, h_i = w_i x_i' I^-1 x_i the leverage of a row in it, and k_i how its weight w_i
changes with its linear predictor, relative to w_i: 1 - 2 p under the logit, 1 for Poisson. The sum over sites needs I
before it is known at these coefficients, so that the coordinator sends what it foresees from the rounds before, and
ends when that is what came back.

Source: D. Firth, Biometrika 80, 1993; G. Heinze, M. Schemper, Statistics in Medicine 21, 2002.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from sojourn.analysis.statistic import MOST_ROUNDS, Ask, Coordinator, Estimate, Step
from sojourn.analysis.support import Support, Working
from sojourn.analysis.variable import Variables
from sojourn.errors import ConvergenceError, PlanError
from sojourn.statistics.coefficients import COLUMNS, centre_of, real, standard_errors, table, uncentred, whole
from sojourn.statistics.design import working
from sojourn.statistics.glm import GLM
from sojourn.statistics.leverage import largest_beside
from sojourn.statistics.rows import Weighed

Vector = NDArray[np.float64]
FAMILIES = ("binomial", "poisson")
SMALL = 3e-9  # length of the last step, in standard errors: what is left after it is less by the rate of convergence
DOUBT = 0.3  # share of a step that may come from an information that was not foreseen; else the place is asked again
SURE = 3e-10  # the same of the last step, in standard errors
CLOSE = 0.5  # length of the first step that is mixed from those before


@dataclass(frozen=True)
class Firth:
    """A logistic or Poisson model under Firth's penalty."""

    model: GLM

    name: ClassVar[str] = "firth"
    rules: ClassVar[tuple[str, ...]] = GLM.rules
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "formula": GLM.schema["properties"]["formula"],
            "family": {"enum": list(FAMILIES)},
            "offset": GLM.schema["properties"]["offset"],
        },
        "required": ["formula"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> Firth:
        """From arguments that fit the schema."""
        model = GLM.read({"family": "binomial"} | dict(arguments), field)
        if not model.formula.intercept:
            raise PlanError("There is no intercept.", remedy="Leave `0` or `- 1` out.", field=f"{field}.formula")
        return cls(model)

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        given = {"formula": self.model.formula.render(), "family": self.model.distribution}
        return {word: value for word, value in given.items() if (word, value) != ("family", "binomial")}

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
        return handshake, first, Step("penalised", broadcast, {**newton.partial, "penalty": (p,)})

    def rounds(self) -> int:
        """See `Statistic`; a step may take two, of which the first tells the information for the second."""
        return 2 * MOST_ROUNDS

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        if step != "penalised":
            return self.model.local(step, population, broadcast)
        return self._penalised(population, broadcast).partial

    def support(self, population: Population) -> Support:
        """See `Statistic`; as of the model without a penalty."""
        return self.model.support(population)

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Working | None:
        """See `Statistic`."""
        if step != "penalised":
            return self.model.working(step, population, broadcast)
        centre = real(broadcast["centre"])
        return working(self.model.rows(population), self._penalised(population, broadcast), centre)

    def joint_leverage(
        self, step: str, population: Population, broadcast: Mapping[str, Array], sums: Partial
    ) -> float | None:
        """As of `GLM`."""
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
        for used in range(3, self.rounds() + 1):
            broadcast = {"centre": centre, "coefficients": search.at, "foreseen": search.foreseen}
            summed = whole((yield Ask("penalised", broadcast)))
            if search.tell(summed, float(started["saturated"][0])):
                return self._estimate(layout, centre, search, n, used)
        raise ConvergenceError(
            "The penalised likelihood did not converge in the rounds that it may take.",
            remedy="Use fewer terms, or merge levels.",
        )

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
        length, doubt = float(np.linalg.norm(root @ step)), self._doubt(root, real(summed["penalty"]))
        if doubt > max(DOUBT * length, SURE):
            self.foreseen = information
            return False
        move = self.mixing.move(self.at, step, root)
        foreseen = self._foresee(information, move)
        self.origin, self.at, self.foreseen = self.at, self.at + move, foreseen
        self.known.append(information)
        return length < SMALL and doubt < SURE

    def _doubt(self, root: Vector, penalty: Vector) -> float:
        """How long a step, in standard errors, the penalty may be off by as it was not of this information."""
        half = np.linalg.solve(root.T, self.foreseen)
        off = np.abs(np.linalg.eigvalsh(np.linalg.solve(root.T, half.T) - np.eye(len(penalty)))).max()
        return float(off * np.linalg.norm(np.linalg.solve(root.T, penalty)))

    def _foresee(self, information: Vector, move: Vector) -> Vector:
        """Along the last move the information changes as it did."""
        if not self.known:
            return information
        moved = self.at - self.origin
        length = float(moved @ information @ moved)
        share = float(np.clip(move @ information @ moved / length, -1.0, 1.0)) if length > 0 else 0.0
        return information + share * (information - self.known[-1])
