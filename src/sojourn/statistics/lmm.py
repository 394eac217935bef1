"""Linear mixed models over all sites: random effects of clusters inside the sites, or of the sites themselves.

Clusters inside sites: Newton rounds in the covariance of the random effects, for which every site gives sums over its
clusters (`analysis.mixed`). Sites: each site is one cluster, whose cross-products say everything in one round; those
are its own, so that there is no masked form.

Source: D. Bates, M. Maechler, B. Bolker, S. Walker, J. of Statistical Software 67(1), 2015.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.formula import parse
from sojourn.analysis.likelihood import System
from sojourn.analysis.matrix import Layout, declared
from sojourn.analysis.mixed import Blocks, Criterion, Maximum, Profile, elements, profile, search, shapes, variances
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import constant, persons_of
from sojourn.analysis.statistic import MOST_ROUNDS, Ask, Coordinator, Estimate, Gathered, Step
from sojourn.analysis.support import Contributions, Support, Working
from sojourn.analysis.terms import Column, Formula, Survival
from sojourn.analysis.variable import SITE, Kind, Variables
from sojourn.errors import ConvergenceError, PlanError
from sojourn.statistics.argument import NAME, names, unpack
from sojourn.statistics.clusters import Clusters
from sojourn.statistics.coefficients import COLUMNS, centre_of, real, standard_errors, table, uncentred, whole
from sojourn.statistics.design import (
    column_contributions,
    evidence,
    outcome_classes,
    outcome_contributions,
    weight_contributions,
)
from sojourn.statistics.glm import GLM
from sojourn.statistics.level_sums import level_contributions
from sojourn.statistics.outcome_squares import outcome_squares, squares_about

Vector = NDArray[np.float64]
METHODS = ("REML", "ML")
MOST_SLOPES = 3
_FEW = 20  # clusters under which normal tests are too liberal


@dataclass(frozen=True)
class LMM:
    """Fixed effects by a formula; a random intercept and random slopes of clusters.

    group: the column that names the clusters, `site`, or none for persons. slopes: columns of numbers. weights: column
    of prior weights, the variance of a row being that of the residuals over its weight.
    """

    formula: Formula
    group: str | None = None
    slopes: tuple[str, ...] = ()
    method: str = "REML"
    weights: str | None = None

    name: ClassVar[str] = "lmm"
    squared: ClassVar[str] = "profile"
    rules: ClassVar[tuple[str, ...]] = GLM.rules
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "formula": {"type": "string", "minLength": 1, "maxLength": 2_000},
            "group": {"anyOf": [NAME, {"type": "null"}]},
            "slopes": {"anyOf": [NAME, names(0, MOST_SLOPES), {"type": "null"}]},
            "method": {"enum": list(METHODS)},
            "weights": GLM.schema["properties"]["weights"],
        },
        "required": ["formula"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str, with_offset: bool = False) -> LMM:
        """From arguments that fit the schema; PlanError where the formula has no mixed model.

        with_offset: whether the formula may have an offset, which a linear model has no need of.
        """
        formula = parse(arguments["formula"], f"{field}.formula")
        if isinstance(formula.outcome, Survival) or (formula.offset and not with_offset):
            remedy = "Use an outcome that is one column, and no offset."
            raise PlanError("This formula has no mixed model.", remedy=remedy, field=f"{field}.formula")
        slopes = unpack(arguments.get("slopes"))
        if SITE in slopes:
            raise PlanError("`site` is no number.", remedy="Name columns of numbers.", field=f"{field}.slopes")
        return cls(formula, arguments.get("group"), slopes, arguments.get("method", "REML"), arguments.get("weights"))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        given: dict[str, tuple[Any, Any]] = {
            "group": (self.group, None),
            "slopes": (list(self.slopes), []),
            "method": (self.method, "REML"),
            "weights": (self.weights, None),
        }
        chosen = {word: value for word, (value, default) in given.items() if value != default}
        return {"formula": self.formula.render(), **chosen}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        more = {*self.slopes, *(name for name in (self.group, self.weights) if name not in (None, SITE))}
        return tuple(sorted({*self.formula.names, *more}))

    def terms(self, variables: Variables) -> tuple[str, ...]:
        """See `meta.Model`."""
        return Layout.of(self.formula, variables).terms

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        self._model.check(variables)
        if self.group is not None:
            declared(self.group, variables, "lmm.group")
        # What rules ask of the columns of the formula then holds for these too.
        fixed = {term.factors[0] for term in self.formula.terms if len(term.factors) == 1}
        for name in self.slopes:
            if declared(name, variables, "lmm.slopes").kind is not Kind.NUMBER:
                raise PlanError(f"`{name}` is no number.", remedy="Name columns of numbers.", field="lmm.slopes")
            if Column(name) not in fixed:
                remedy = f"Add `{name}` to the formula."
                raise PlanError("A random slope varies around a fixed one.", remedy=remedy, field="lmm.slopes")

    @property
    def effects(self) -> int:
        """Random effects of a cluster."""
        return 1 + len(self.slopes)

    @property
    def by_site(self) -> bool:
        """Whether the sites are the clusters."""
        return self.group == SITE

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        p, q = Layout.of(self.formula, variables).width, self.effects
        first = {"n": (1,), "sum": (p,), "outcome": (1,), "slopes": (2, q)} | (
            {} if self.by_site else {"clusters": (1,)}
        )
        first |= {"log_weight": (1,)} if self.weights else {}
        centred = {"centre": (p + 1,), "origin": (q,)}
        if self.by_site:
            block = {"products": (p + 1, p + 1), "cross": (q, p + 1), "within": (q, q)}
            return Step("handshake", {}, first), Step("block", centred, block, additive=False)
        return Step("handshake", {}, first), Step("profile", {**centred, "covariance": (q, q)}, shapes(p, q))

    def rounds(self) -> int:
        """See `Statistic`; each element of the covariance beyond the first may take four more."""
        return 2 if self.by_site else MOST_ROUNDS + 4 * (len(elements(self.effects)) - 1)

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        clusters = self._clusters(population)
        if step == "handshake":
            given = clusters.handshake(with_clusters=not self.by_site)
            more = {"log_weight": np.array([np.log(clusters.rows.w).sum()])} if self.weights else {}
            return Partial({**given.arrays, **more})
        blocks = clusters.blocks(real(broadcast["centre"]), real(broadcast["origin"]), w=self._weights(clusters))
        if step == "block":
            return Partial({"products": blocks.products, "cross": blocks.cross[0], "within": blocks.within[0]})
        return Partial(profile(blocks, real(broadcast["covariance"])).arrays())

    def support(self, population: Population) -> Support:
        """See `Statistic`; the random effects' covariance and the residual variance are parameters too."""
        rows, outcome = self._clusters(population).rows, self.formula.outcome.render()
        design = evidence(rows, outcome, "gaussian", self.weights, None)
        more = len(elements(self.effects)) + 1
        design = replace(design, parameters=design.parameters + more, by_site=design.by_site or self.by_site)
        if self.group is not None and not self.by_site:
            design = replace(design, clusters=self._clusters(population).count)
        return Support(
            population=persons_of(rows.population.persons),
            measures=self.variables(),
            cells=outcome_classes(rows, outcome, "gaussian"),
            contributions=(
                column_contributions(rows),
                *outcome_contributions(rows, self.formula.outcome, "gaussian"),
                *weight_contributions(rows, self.weights, log=True),
                *level_contributions(rows, self.formula.outcome, "gaussian", self.weights),
            ),
            squares=self.distances(population),
            design=design,
            constant=constant(rows.population, [name for name in self.variables() if name != self.group]),
        )

    def distances(
        self, population: Population, broadcast: Mapping[str, Array] | None = None
    ) -> tuple[Contributions, ...]:
        """See `Squared`: of a normal outcome; what the terms leave of its squares is not known before these are."""
        rows, outcome = self._clusters(population).rows, self.formula.outcome
        if broadcast is None:
            return outcome_squares(rows, outcome, "gaussian")
        return squares_about(rows, outcome, float(broadcast["centre"][-1]))

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Working | None:
        """See `Statistic`; each row weighs what it does beside the others of its cluster."""
        if step == "handshake":
            return None
        clusters, q = self._clusters(population), self.effects
        centre, origin = real(broadcast["centre"]), real(broadcast["origin"])
        w = self._weights(clusters)
        if step == "block":
            return clusters.working(centre, origin, np.zeros((q, q)), w)
        covariance = real(broadcast["covariance"])
        return clusters.working(centre, origin, covariance, w, blocks=clusters.blocks(centre, origin, w=w))

    def joint_leverage(
        self, step: str, population: Population, broadcast: Mapping[str, Array], sums: Partial
    ) -> float | None:
        """The largest share of a person here in all sites' last sums; None where they tell none."""
        if step != "profile" or "quadratic" not in sums.arrays:
            return None
        clusters = self._clusters(population)
        centre, origin, covariance = (real(broadcast[word]) for word in ("centre", "origin", "covariance"))
        w = self._weights(clusters)
        blocks, totals = clusters.blocks(centre, origin, w=w), squares(sums, self.effects)
        share = clusters.largest_share(centre, origin, covariance, real(sums["quadratic"])[:-1, :-1], w)
        return max(share, clusters.beside_one_another(blocks, covariance, totals)[1])

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        layout = Layout.of(self.formula, variables)
        sums = whole((yield Ask("handshake")))
        n, intercept = int(sums["n"][0]), self.formula.intercept
        if n <= layout.width + len(elements(self.effects)):
            remedy = "Use fewer terms, or a larger population."
            raise ConvergenceError("The model has as many terms as there are rows.", remedy=remedy)
        if not (self.by_site or self.weights) and sums["clusters"][0] >= n:
            remedy = "Name the column of the clusters in `group`, or use `glm`."
            raise ConvergenceError("Each cluster has one row: what is between and what within is one.", remedy=remedy)
        centre = np.append(centre_of(layout, intercept, real(sums["sum"]), n), sums["outcome"][0] / n * intercept)
        origin = real(sums["slopes"])[0] / n
        origin[0] = 0.0
        broadcast = {"centre": centre, "origin": origin}
        criterion = Criterion(n, restricted=self.method == "REML")
        steps = search(
            criterion, np.diag(start_factor(real(sums["slopes"]), n)), self.rounds() - 1 if not self.by_site else 100
        )
        if self.by_site:
            found, groups, used = _at_once(steps, (yield Ask("block", broadcast)), layout, centre)
        else:
            found, used = yield from _over_rounds(steps, broadcast, layout, centre)
            groups = int(sums["clusters"][0])
        if self.weights:  # of W^-1 the determinant, which no covariance changes
            found = replace(found, value=found.value - float(sums["log_weight"][0]))
        return self._estimate(layout, centre, origin, criterion, found, groups, used)

    @property
    def _model(self) -> GLM:
        return GLM(self.formula, weights=self.weights)

    def _clusters(self, population: Population) -> Clusters:
        return Clusters.of(self._model.rows(population), self.group, self.slopes)

    def _weights(self, clusters: Clusters) -> Vector | None:
        return clusters.rows.w if self.weights else None

    def _estimate(
        self,
        layout: Layout,
        centre: Vector,
        origin: Vector,
        criterion: Criterion,
        found: Maximum,
        groups: int,
        used: int,
    ) -> Estimate:
        """Fixed effects on the scale of the raw columns; the covariance of random ones where their columns are 0."""
        q, p = found.sums.quadratic, layout.width
        inverse = real(np.linalg.inv(q[:p, :p]))
        coefficients = inverse @ q[:p, p]
        variance = float(q[p, p] - q[:p, p] @ coefficients) / criterion.freedom(p)
        turn = uncentred(centre[:-1], self.formula.intercept)
        estimate = turn @ coefficients
        if self.formula.intercept:
            estimate[0] += centre[-1]
        error = standard_errors(turn, variance * inverse)
        back = np.eye(self.effects)
        back[0] -= origin
        covariance = variance * back @ found.factor @ found.factor.T @ back.T
        deviations = np.sqrt(np.diag(covariance))
        facts: dict[str, Any] = {
            "n": criterion.n,
            "clusters": groups,
            "method": self.method,
            "log_likelihood": -found.value / 2,
            "sigma": math.sqrt(variance),
            "random": {
                "effects": ["Intercept", *self.slopes],
                "std_dev": deviations.tolist(),
                "covariance": covariance.tolist(),
            },
            "rounds_used": used,
            "newton_decrement": found.decrement,
        }
        if not self.slopes:
            facts["intraclass_correlation"] = float(covariance[0, 0] / (covariance[0, 0] + variance))
        rows = table(layout.terms, estimate, error)
        return Estimate(("term",), COLUMNS, rows, facts, warnings=_warnings(found, groups))


def squares(sums: Partial, effects: int) -> list[Vector]:
    """The sums of squares of all sites, one a random effect: minus the derivatives by their variances."""
    return [-real(sums["first"])[place] for place in variances(effects)]


def start_factor(slopes: Vector, n: int) -> Vector:
    """The diagonal of the first factor: 1, and of each slope 1 over its spread. slopes: sums and sums of squares."""
    mean = slopes[0] / n
    variance = np.maximum(slopes[1] / n - mean**2, 1e-8 * mean**2)
    found = 1 / np.sqrt(np.where(variance > 0, variance, 1.0))
    found[0] = 1.0
    return np.asarray(found)


def _over_rounds(
    steps: Generator[Vector, Profile, Maximum], broadcast: Mapping[str, Array], layout: Layout, centre: Vector
) -> Generator[Ask, Gathered, tuple[Maximum, int]]:
    """Ask every site for its sums at each covariance."""
    covariance, used = next(steps), 1
    while True:
        summed = whole((yield Ask("profile", {**broadcast, "covariance": covariance})))
        used += 1
        sums = Profile.of({name: real(array) for name, array in summed.arrays.items()})
        if used == 2:
            check_columns(sums.quadratic, layout, centre[:-1])
        try:
            covariance = steps.send(sums)
        except StopIteration as finished:
            return finished.value, used


def _at_once(
    steps: Generator[Vector, Profile, Maximum], gathered: Gathered, layout: Layout, centre: Vector
) -> tuple[Maximum, int, int]:
    """From each site's own cross-products; a site without rows is no cluster."""
    whole(gathered)
    parts = [part for _, part in sorted(gathered.by_site.items()) if part["within"][0, 0] > 0]
    if len(parts) < 2:
        remedy = "Ask more sites in a clear plan, or put `C(site)` into the formula."
        raise ConvergenceError("Random effects of sites take each site's own sums, of two at least.", remedy=remedy)
    products = np.sum([real(part["products"]) for part in parts], axis=0)
    cross, within = (np.array([real(part[name]) for part in parts]) for name in ("cross", "within"))
    blocks = Blocks(products, cross, within)
    check_columns(products, layout, centre[:-1])
    covariance = next(steps)
    while True:
        try:
            covariance = steps.send(profile(blocks, covariance))
        except StopIteration as finished:
            return finished.value, len(parts), 2


def check_columns(quadratic: Vector, layout: Layout, centre: Vector) -> None:
    """ConvergenceError where the fixed effects' columns are collinear. centre: of the columns."""
    gram = quadratic[:-1, :-1]
    if collinear := System.of(layout.terms, float(np.abs(gram[0, 0])), centre).dependent(gram):
        raise ConvergenceError(
            f"Not every coefficient exists: {', '.join(collinear[:8])} does not vary or follows from those before it.",
            remedy="Leave these terms out, or merge levels that hold nobody.",
        )


def _warnings(found: Maximum, groups: int) -> tuple[str, ...]:
    said = []
    if groups < _FEW:
        said.append(f"There are only {groups} clusters: tests and intervals, which are normal, are too narrow.")
    if np.abs(np.diag(found.factor)).min() < 1e-4:
        said.append("A variance of the random effects is estimated as zero: a simpler model says the same.")
    return tuple(said)
