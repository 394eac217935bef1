"""Logistic and Poisson mixed models by penalised quasi-likelihood, which is approximate, over all sites.

Every round a site finds the random effects of its own clusters at the coefficients and covariance that were sent, and
gives the sums of the linear mixed model of its working outcomes there (`analysis.mixed`). The effects stay inside. The
coordinator steps to what those sums say, until it stays where it is.

Source: N. E. Breslow, D. G. Clayton, J. of the American Statistical Association 88, 1993. Its variances are too small
where clusters hold few rows or events are rare: X. Lin, N. E. Breslow, ibid. 91, 1996.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from sojourn.analysis.likelihood import Endless
from sojourn.analysis.matrix import Layout
from sojourn.analysis.mixed import Criterion, Profile, elements, newton, profile, shapes, triangle
from sojourn.analysis.mixing import Mixing
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import constant, persons_of
from sojourn.analysis.statistic import MOST_ROUNDS, Ask, Coordinator, Estimate, Step
from sojourn.analysis.support import Support, Working
from sojourn.analysis.variable import Variables
from sojourn.errors import ConvergenceError, PlanError
from sojourn.statistics.clusters import Clusters
from sojourn.statistics.coefficients import COLUMNS, centre_of, real, standard_errors, table, uncentred, whole
from sojourn.statistics.design import (
    column_contributions,
    evidence,
    offset_contributions,
    outcome_classes,
    outcome_contributions,
)
from sojourn.statistics.families import LINKS, Family, family
from sojourn.statistics.glm import GLM
from sojourn.statistics.level_sums import level_contributions
from sojourn.statistics.lmm import LMM, check_columns, squares, start_factor
from sojourn.statistics.random_effects import Effects

Vector = NDArray[np.float64]
FAMILIES = ("binomial", "poisson")
EXACTNESS = "approximate: penalised quasi-likelihood, whose variances are too small where clusters hold few rows"
SMALL = 1e-8  # length of the last step, in standard errors
CLOSE = 1.0  # length of the first step that is mixed from those before
LONGEST = 1.0  # step of an element of the factor
ENDLESS = 0.1  # length of the last step, in standard errors of the first round, of a coefficient without an end


@dataclass(frozen=True)
class GLMM:
    """A mixed model as of `LMM`, of a family with its canonical link."""

    mixed: LMM
    distribution: str = "binomial"

    name: ClassVar[str] = "glmm"
    rules: ClassVar[tuple[str, ...]] = GLM.rules
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            **{word: schema for word, schema in LMM.schema["properties"].items() if word != "weights"},
            "family": {"enum": list(FAMILIES)},
            "offset": GLM.schema["properties"]["offset"],
        },
        "required": ["formula"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> GLMM:
        """From arguments that fit the schema; PlanError where the formula has no such model."""
        own = {word: value for word, value in arguments.items() if word not in ("family", "offset")}
        mixed = LMM.read(own, field, with_offset=True)
        if offset := arguments.get("offset"):
            if mixed.formula.offset:
                remedy = "Keep one of the two."
                raise PlanError("The formula has an offset already.", remedy=remedy, field=f"{field}.offset")
            mixed = replace(mixed, formula=replace(mixed.formula, offset=offset))
        if mixed.by_site:
            remedy = "Put `C(site)` into the formula, or name clusters inside the sites."
            raise PlanError("Sites are no clusters of this model.", remedy=remedy, field=f"{field}.group")
        if not mixed.formula.intercept:
            raise PlanError("There is no intercept.", remedy="Leave `0` or `- 1` out.", field=f"{field}.formula")
        return cls(mixed, arguments.get("family", "binomial"))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        return self.mixed.arguments() | ({"family": self.distribution} if self.distribution != "binomial" else {})

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return self.mixed.variables()

    def terms(self, variables: Variables) -> tuple[str, ...]:
        """See `meta.Model`."""
        return self.mixed.terms(variables)

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        self.mixed.check(variables)
        self._model.check(variables)

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        handshake, _ = self.mixed.steps(variables)
        if self.mixed.formula.offset:
            handshake = replace(handshake, partial={**handshake.partial, "offset": (1,)})
        p, q = Layout.of(self.mixed.formula, variables).width, self.mixed.effects
        broadcast = {"centre": (p,), "origin": (q,), "coefficients": (p,), "covariance": (q, q)}
        return handshake, Step("effects", broadcast, {**shapes(p, q), "likelihood": (1,)})

    def rounds(self) -> int:
        """See `Statistic`; its steps are to a fixed point, so that they take twice those of a linear model."""
        return 2 * self.mixed.rounds() + MOST_ROUNDS

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        if step == "handshake":
            given = self._clusters(population).handshake(with_clusters=True).arrays
            offset = {"offset": np.array([self._clusters(population).rows.offset.sum()])}
            return Partial({**given, **(offset if self.mixed.formula.offset else {})})
        found = self._effects(population, broadcast)
        centre, origin = np.append(real(broadcast["centre"]), 0.0), real(broadcast["origin"])
        blocks = found.clusters.blocks(centre, origin, found.response, found.weight)
        sums = profile(blocks, real(broadcast["covariance"]))
        likelihood = found.log_likelihood - float(sums.volume[0]) / 2
        return Partial({**sums.arrays(), "likelihood": np.array([likelihood])})

    def support(self, population: Population) -> Support:
        """See `Statistic`; the random effects' covariance is of parameters too."""
        rows, outcome = self._clusters(population).rows, self.mixed.formula.outcome.render()
        design = evidence(rows, outcome, self.distribution, None, self.mixed.formula.offset)
        design = replace(design, parameters=design.parameters + len(elements(self.mixed.effects)))
        if self.mixed.group is not None:
            design = replace(design, clusters=self._clusters(population).count)
        return Support(
            population=persons_of(rows.population.persons),
            measures=self.variables(),
            cells=outcome_classes(rows, outcome, self.distribution),
            contributions=(
                column_contributions(rows),
                *outcome_contributions(rows, self.mixed.formula.outcome, self.distribution),
                *offset_contributions(rows, self.mixed.formula.offset),
                *level_contributions(
                    rows, self.mixed.formula.outcome, self.distribution, offset=self.mixed.formula.offset
                ),
            ),
            design=design,
            constant=constant(rows.population, [name for name in self.variables() if name != self.mixed.group]),
        )

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Working | None:
        """See `Statistic`."""
        if step == "handshake":
            return None
        found, centre = self._effects(population, broadcast), np.append(real(broadcast["centre"]), 0.0)
        origin, covariance = real(broadcast["origin"]), real(broadcast["covariance"])
        blocks = found.clusters.blocks(centre, origin, found.response, found.weight)
        return found.clusters.working(centre, origin, covariance, found.weight, found.response, blocks)

    def joint_leverage(
        self, step: str, population: Population, broadcast: Mapping[str, Array], sums: Partial
    ) -> float | None:
        """As of `LMM`."""
        if step != "effects" or "quadratic" not in sums.arrays:
            return None
        found, centre = self._effects(population, broadcast), np.append(real(broadcast["centre"]), 0.0)
        origin, covariance = real(broadcast["origin"]), real(broadcast["covariance"])
        blocks = found.clusters.blocks(centre, origin, found.response, found.weight)
        total, totals = real(sums["quadratic"])[:-1, :-1], squares(sums, self.mixed.effects)
        share = found.clusters.largest_share(centre, origin, covariance, total, found.weight)
        return max(share, found.clusters.beside_one_another(blocks, covariance, totals)[1])

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        layout, q = Layout.of(self.mixed.formula, variables), self.mixed.effects
        sums = whole((yield Ask("handshake")))
        n, p = int(sums["n"][0]), layout.width
        if n <= p + len(elements(q)):
            remedy = "Use fewer terms, or a larger population."
            raise ConvergenceError("The model has as many terms as there are rows.", remedy=remedy)
        centre, origin = centre_of(layout, True, real(sums["sum"]), n), real(sums["slopes"])[0] / n
        origin[0] = 0.0
        factor = np.diag(start_factor(real(sums["slopes"]), n)) / 2
        at = np.concatenate([self._first(sums, p), factor[np.tril_indices(q)]])
        first, step = np.eye(p), np.zeros(len(at))
        mixing, criterion = Mixing(CLOSE), Criterion(n, self.mixed.method == "REML", scale=1.0)
        for used in range(2, self.rounds() + 1):
            factor = triangle(at[p:], q)
            broadcast = {"centre": centre, "origin": origin, "coefficients": at[:p], "covariance": factor @ factor.T}
            summed = whole((yield Ask("effects", broadcast)))
            found = Profile.of({name: real(array) for name, array in summed.arrays.items()})
            if used == 2:
                check_columns(found.quadratic, layout, centre)
                first = found.quadratic[:p, :p]
            solved = _plain(criterion, found, at, q)
            if solved is None:
                break
            step, root = solved
            if np.linalg.norm(root @ step) < SMALL:
                told = {"n": n, "clusters": int(sums["clusters"][0]), "method": self.mixed.method, "rounds_used": used}
                told |= {"laplace_log_likelihood": float(summed["likelihood"][0])}
                return self._estimate(layout, centre, origin, at, found, told)
            at = at + mixing.move(at, step, root)
        raise _unsettled(layout.terms, first, step[:p])

    @property
    def _model(self) -> GLM:
        return GLM(self.mixed.formula, self.distribution, LINKS[self.distribution][0])

    @property
    def _family(self) -> Family:
        return family(self.distribution, LINKS[self.distribution][0])

    def _clusters(self, population: Population) -> Clusters:
        return Clusters.of(self._model.rows(population), self.mixed.group, self.mixed.slopes)

    def _effects(self, population: Population, broadcast: Mapping[str, Array]) -> Effects:
        at = {name: real(array) for name, array in broadcast.items()}
        clusters = self._clusters(population)
        eta = (clusters.rows.x - at["centre"]) @ at["coefficients"] + clusters.rows.offset
        return Effects.at_mode(self._family, clusters, eta, at["origin"], at["covariance"])

    def _first(self, sums: Partial, p: int) -> Vector:
        """The mean of all outcomes less that of the offset, and nothing else."""
        mean = float(sums["outcome"][0]) / float(sums["n"][0])
        if mean <= 0 or (self.distribution == "binomial" and mean >= 1):
            remedy = "Use a larger population, or another outcome."
            raise ConvergenceError("All outcomes are the same, so that there is nothing to explain.", remedy=remedy)
        first = np.zeros(p)
        first[0] = np.log(mean / (1 - mean)) if self.distribution == "binomial" else np.log(mean)
        if self.mixed.formula.offset:
            first[0] -= float(sums["offset"][0]) / float(sums["n"][0])
        return first

    def _estimate(
        self, layout: Layout, centre: Vector, origin: Vector, at: Vector, found: Profile, told: Mapping[str, Any]
    ) -> Estimate:
        p, q = layout.width, self.mixed.effects
        turn, back, factor = uncentred(centre, True), np.eye(q), triangle(at[p:], q)
        back[0] -= origin
        covariance = back @ factor @ factor.T @ back.T
        error = standard_errors(turn, real(np.linalg.inv(found.quadratic[:p, :p])))
        random = {
            "effects": ["Intercept", *self.mixed.slopes],
            "std_dev": np.sqrt(np.diag(covariance)).tolist(),
            "covariance": covariance.tolist(),
        }
        rows = table(layout.terms, turn @ at[:p], error)
        return Estimate(("term",), COLUMNS, rows, {**told, "random": random}, EXACTNESS)


def _unsettled(terms: tuple[str, ...], first: Vector, step: Vector) -> ConvergenceError:
    """Why no answer was found. first: information at the start, in whose measure endless steps never become shorter."""
    run = np.abs(step) * np.sqrt(np.diag(first))
    run[0] = 0.0  # the intercept goes with the term
    worst = int(np.argmax(run))
    if run[worst] > ENDLESS:
        return Endless(terms[worst])
    return ConvergenceError(
        "The mixed model did not converge in the rounds that it may take.",
        remedy="Use fewer random slopes or terms; look for terms that separate the outcomes.",
    )


def _plain(criterion: Criterion, found: Profile, at: Vector, q: int) -> tuple[Vector, Vector] | None:
    """To the coefficients and factor of the linear mixed model of the working outcomes, and a root of its bend.

    None where the sums have no solution.
    """
    p = len(found.quadratic) - 1
    form = found.quadratic[:p, :p]
    try:
        coefficients = np.linalg.solve(form, found.quadratic[:p, p])
        _, slope, bend = criterion.at(found)
        step, _, hessian = newton(triangle(at[p:], q), slope, bend)
        root = np.zeros((len(at), len(at)))
        root[:p, :p] = np.linalg.cholesky(form).T
        root[p:, p:] = np.linalg.cholesky(hessian / 2).T
    except LinAlgError:
        return None
    moved = np.clip(step[np.tril_indices(q)], -LONGEST, LONGEST)
    return np.concatenate([coefficients - at[:p], moved]), root
