"""Lasso and elastic net over all sites: the whole path, and the penalty chosen by leaving out one site at a time.

    RSS / (2 n), or -log-likelihood / n, plus lambda (alpha |b| + (1 - alpha) b^2 / 2) over standardised columns

Linear: everything follows from one round's cross-products. Logistic: Newton rounds, each for all lambdas at once; the
penalised quadratic forms are minimised by the coordinator (`analysis.penalised`).

Source: J. Friedman, T. Hastie, R. Tibshirani, J. of Statistical Software 33(1), 2010; J. D. Lee, Y. Sun, M. A.
Saunders, SIAM J. on Optimization 24, 2014 (proximal Newton).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.formula import parse
from sojourn.analysis.matrix import Layout
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import constant, persons_of
from sojourn.analysis.statistic import MOST_ROUNDS, Ask, Coordinator, Gathered, Step
from sojourn.analysis.support import Contributions, Support, Working
from sojourn.analysis.terms import Formula, Survival
from sojourn.analysis.variable import SITE, Variables
from sojourn.errors import ConvergenceError, PlanError
from sojourn.statistics.coefficients import centre_of, real, whole
from sojourn.statistics.design import (
    column_contributions,
    evidence,
    offset_contributions,
    outcome_classes,
    outcome_contributions,
    weight_contributions,
    working,
)
from sojourn.statistics.families import LINKS, Family, family
from sojourn.statistics.glm import GLM
from sojourn.statistics.level_sums import level_contributions
from sojourn.statistics.leverage import largest_beside
from sojourn.statistics.outcome_squares import outcome_squares, squares_about
from sojourn.statistics.regularisation_path import Fold, Path
from sojourn.statistics.rows import Rows, Weighed

Vector = NDArray[np.float64]
FAMILIES = ("gaussian", "binomial")
COUNT, MOST_LAMBDAS = 30, 100
_SMALLEST = 1e-3  # of the lambdas, as a share of the largest


@dataclass(frozen=True)
class ElasticNet:
    """A formula with a penalty; the intercept is not penalised.

    alpha: share of the absolute values. lambdas: the penalties, the greatest first; none: `count` of them, evenly
    spaced by logarithm down to a thousandth of the one from which all coefficients are zero. weights: column of prior
    weights.
    """

    formula: Formula
    distribution: str = "gaussian"
    alpha: float = 1.0
    lambdas: tuple[float, ...] = ()
    count: int = COUNT
    standardise: bool = True
    cross_validate: bool = False
    weights: str | None = None

    name: ClassVar[str] = "elastic_net"
    squared: ClassVar[str] = "products"
    rules: ClassVar[tuple[str, ...]] = GLM.rules
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "formula": {"type": "string", "minLength": 1, "maxLength": 2_000},
            "family": {"enum": list(FAMILIES)},
            "alpha": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "lambdas": {
                "anyOf": [
                    {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": MOST_LAMBDAS},
                    {"type": "null"},
                ]
            },
            "count": {"type": "number", "minimum": 2, "maximum": MOST_LAMBDAS, "multipleOf": 1},
            "standardise": {"type": "boolean"},
            "cross_validate": {"type": "boolean"},
            "weights": GLM.schema["properties"]["weights"],
            "offset": GLM.schema["properties"]["offset"],
        },
        "required": ["formula"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> ElasticNet:
        """From arguments that fit the schema; PlanError where a number is out of its range."""
        formula = parse(arguments["formula"], f"{field}.formula")
        if isinstance(formula.outcome, Survival) or not formula.intercept:
            remedy = "Use an outcome that is one column, and an intercept."
            raise PlanError("This formula has no elastic net.", remedy=remedy, field=f"{field}.formula")
        distribution = arguments.get("family", "gaussian")
        formula = _with_offset(formula, arguments.get("offset"), f"{field}.offset")
        alpha, count = float(arguments.get("alpha", 1.0)), arguments.get("count", COUNT)
        lambdas = tuple(sorted({float(one) for one in arguments.get("lambdas") or ()}, reverse=True))
        if not 0 < alpha <= 1:
            raise PlanError("alpha is a share.", remedy="Give a number above 0, at most 1.", field=f"{field}.alpha")
        if lambdas and lambdas[-1] <= 0:
            raise PlanError("A lambda is not above 0.", remedy="Use `glm` for none.", field=f"{field}.lambdas")
        if count != int(count) or not 2 <= count <= MOST_LAMBDAS:
            remedy = f"Give a whole number from 2 to {MOST_LAMBDAS}."
            raise PlanError("This is no number of lambdas.", remedy=remedy, field=f"{field}.count")
        if formula.offset and distribution == "binomial" and not lambdas:
            remedy = "Name `lambdas`, e.g. as a fit without the offset found them."
            raise PlanError("With an offset nobody knows the largest lambda.", remedy=remedy, field=f"{field}.lambdas")
        chosen = (arguments.get("standardise", True), arguments.get("cross_validate", False))
        return cls(formula, distribution, alpha, lambdas, int(count), *chosen, arguments.get("weights"))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        given: dict[str, tuple[Any, Any]] = {
            "family": (self.distribution, "gaussian"),
            "alpha": (self.alpha, 1.0),
            "lambdas": (list(self.lambdas), []),
            "count": (self.count, COUNT),
            "standardise": (self.standardise, True),
            "cross_validate": (self.cross_validate, False),
            "weights": (self.weights, None),
        }
        return {"formula": self.formula.render()} | {
            w: value for w, (value, default) in given.items() if value != default
        }

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return self._model.variables()

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        self._model.check(variables)
        if Layout.of(self.formula, variables, "elastic_net.formula").width < 2:
            raise PlanError("There is no term.", remedy="Add terms to the formula.", field="elastic_net.formula")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`; one line of coefficients for each lambda, of all sites and, to choose, of all but each."""
        p, fits = Layout.of(self.formula, variables).width, self._fits(variables)
        products = Step("products", {"centre": (p,), "mean": (1,)}, {"gram": (p, p), "moment": (p,), "square": (1,)})
        weight: dict[str, tuple[int, ...]] = {"weight": (1,)} if self.weights else {}
        offset: dict[str, tuple[int, ...]] = {"offset": (1,)} if self._shifted else {}
        steps = (Step("handshake", {}, {"n": (1,), "sum": (p,), "outcome": (1,), **weight, **offset}), products)
        if self.distribution == "gaussian":
            return steps
        sums = {"deviance": (fits,), "score": (fits, p), "information": (fits, p, p)}
        return (*steps, Step("newton", {"centre": (p,), "coefficients": (fits, p)}, sums))

    def rounds(self) -> int:
        """See `Statistic`."""
        return 2 if self.distribution == "gaussian" else MOST_ROUNDS

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        rows = self._rows(population)
        if step == "handshake":
            weight = {"weight": np.array([rows.w.sum()])} if self.weights else {}
            taken = rows.y if self._shifted else rows.y - rows.offset
            offset = {"offset": np.array([rows.w @ rows.offset])} if self._shifted else {}
            arrays = {"outcome": np.array([rows.w @ taken]), **weight, **offset}
            return Partial({**rows.handshake(self._family).arrays, **arrays})
        if step == "products":
            return self._products(rows, broadcast).partial
        parts = [one.partial for one in self._newton(rows, broadcast)]
        stacked = {name: np.array([part[name] for part in parts]) for name in ("deviance", "score", "information")}
        return Partial({**stacked, "deviance": stacked["deviance"].ravel()})

    def support(self, population: Population) -> Support:
        """See `Statistic`; as of a model without a penalty."""
        rows, outcome = self._rows(population), self.formula.outcome.render()
        return Support(
            population=persons_of(rows.population.persons),
            measures=self.variables(),
            cells=outcome_classes(rows, outcome, self.distribution),
            contributions=(
                column_contributions(rows),
                *outcome_contributions(rows, self.formula.outcome, self.distribution),
                *offset_contributions(rows, self.formula.offset),
                *weight_contributions(rows, self.weights),
                *level_contributions(rows, self.formula.outcome, self.distribution, self.weights, self.formula.offset),
            ),
            squares=self.distances(population),
            design=evidence(rows, outcome, self.distribution, self.weights, self.formula.offset),
            constant=constant(rows.population, self.variables()),
        )

    def distances(
        self, population: Population, broadcast: Mapping[str, Array] | None = None
    ) -> tuple[Contributions, ...]:
        """See `Squared`: of a normal outcome; what the terms leave of its squares is not known before these are."""
        rows, outcome = self._rows(population), self.formula.outcome
        if broadcast is None:
            return outcome_squares(rows, outcome, self.distribution)
        if self.distribution != "gaussian":
            return ()
        return squares_about(rows, outcome, float(broadcast["mean"][0]))

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Working | None:
        """See `Statistic`; of all lines of coefficients the worst."""
        if step == "handshake":
            return None
        rows, centre = self._rows(population), real(broadcast["centre"])
        made = [self._products(rows, broadcast)] if step == "products" else self._newton(rows, broadcast)
        found = [working(rows, one, centre) for one in made]
        if any(one is None for one in found):
            return None
        known = [one for one in found if one is not None]
        return Working(min(one.effective for one in known), max(one.leverage for one in known))

    def joint_leverage(
        self, step: str, population: Population, broadcast: Mapping[str, Array], sums: Partial
    ) -> float | None:
        """As of `GLM`, the largest over all lines of coefficients."""
        if step != "newton":
            return None
        rows, centre = self._rows(population), real(broadcast["centre"])
        found = []
        for place, one in enumerate(self._newton(rows, broadcast)):
            if "information" in sums.arrays:
                total = real(sums["information"])[place]
            else:  # as if all sites' rows weighed what those here do
                total = real(sums["gram"]) * float(one.weight.mean() if len(one.weight) else 1.0)
            found.append(largest_beside(rows, one.weight, centre, total))
        return max(found)

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        layout = Layout.of(self.formula, variables)
        gathered = yield Ask("handshake")
        sums = whole(gathered)
        n, total = int(sums["n"][0]), float(sums["outcome"][0])
        if n < 2:
            raise ConvergenceError("There is nobody to fit.", remedy="Use a larger population.")
        weight = float(sums["weight"][0]) if self.weights else float(n)
        centre, mean = centre_of(layout, True, real(sums["sum"]), n), total / weight
        if self.distribution == "binomial" and not 0 < mean < 1:
            remedy = "Use a larger population, or another outcome."
            raise ConvergenceError("All outcomes are the same, so that there is nothing to explain.", remedy=remedy)
        broadcast = {"centre": centre, "mean": np.array([mean])}
        products = yield Ask("products", broadcast)
        folds = self._folds(gathered, products, variables)
        path = Path(layout.terms, centre, mean, folds, self._lambdas(folds[0]), self.alpha, self.standardise)
        if self.distribution == "gaussian":
            fits = [path.quadratic(fold) for fold in folds]
            errors = [fold.out.left_over(fit) for fold, fit in zip(folds, fits, strict=True) if fold.out]
            answer, deviance, used, fitted = fits[0], folds[0].left_over(fits[0]), 2, 0.0
        else:
            shift = float(sums["offset"][0]) / weight if self._shifted else None
            answer, deviance, errors, used, fitted = yield from path.logistic(
                self._fits(variables), MOST_ROUNDS - 2, shift
            )
            used += 2
        null = folds[0].square if self.distribution == "gaussian" else -2 * weight * _entropy(mean)
        null = fitted if self._shifted else null
        return path.estimate(answer, deviance, errors, null, self.distribution, n, used)

    @property
    def _shifted(self) -> bool:
        """Whether an offset moves a linear predictor, instead of the outcome."""
        return bool(self.formula.offset) and self.distribution == "binomial"

    @property
    def _model(self) -> GLM:
        return GLM(self.formula, self.distribution, self._link, self.weights)

    @property
    def _link(self) -> str:
        return LINKS[self.distribution][0]

    @property
    def _family(self) -> Family:
        return family(self.distribution, self._link)

    def _fits(self, variables: Variables) -> int:
        lines = (len(self.lambdas) or self.count) * (1 + (len(variables[SITE].levels) if self.cross_validate else 0))
        return lines + self._shifted  # and one of the intercept alone

    def _rows(self, population: Population) -> Rows:
        return self._model.rows(population)

    def _products(self, rows: Rows, broadcast: Mapping[str, Array]) -> Weighed:
        """Cross-products of the centred columns with one another and with the outcome less its mean."""
        centre, mean = real(broadcast["centre"]), float(broadcast["mean"][0])
        width, rest = rows.layout.width, rows.y - mean - (0.0 if self._shifted else rows.offset)
        gram, moment = np.zeros((width, width)), np.zeros(width)
        for part in rows.blocks():
            x = rows.x[part] - centre
            weighed = x * rows.w[part][:, None]
            gram += x.T @ weighed
            moment += weighed.T @ rest[part]
        gram = (gram + gram.T) / 2
        partial = Partial({"gram": gram, "moment": moment, "square": np.array([rest @ (rows.w * rest)])})
        return Weighed(partial, rows.w, (np.abs(rows.w * rest),), gram)

    def _newton(self, rows: Rows, broadcast: Mapping[str, Array]) -> list[Weighed]:
        centre, lines = real(broadcast["centre"]), real(broadcast["coefficients"])
        return [rows.newton(self._family, centre, line) for line in lines]

    def _lambdas(self, fold: Fold) -> tuple[float, ...]:
        if self.lambdas:
            return self.lambdas
        scale = fold.scale(self.standardise)
        pull = np.abs(fold.moment[1:]) / np.where(scale[1:] > 0, scale[1:], np.inf)
        greatest = float(pull.max()) / fold.n / self.alpha
        if greatest <= 0:
            raise ConvergenceError("No term has to do with the outcome.", remedy="Leave the terms out.")
        return tuple(np.geomspace(greatest, greatest * _SMALLEST, self.count).tolist())

    def _folds(self, handshake: Gathered, products: Gathered, variables: Variables) -> list[Fold]:
        """All sites; and to choose a lambda, all but each."""
        size = "weight" if self.weights else "n"
        everybody = Fold.of(float(handshake.total[size][0]), whole(products))
        if not self.cross_validate:
            return [everybody]
        sizes = {site: float(part[size][0]) for site, part in handshake.by_site.items()}
        known = [site for site in variables[SITE].levels if sizes.get(site) and site in products.by_site]
        if len(known) < 3:
            remedy = "Leave `cross_validate` out, ask at least three sites, or make a clear plan; see `lambda_bic`."
            message = "To leave out one site after the other takes each site's own sums, of three sites at least."
            raise PlanError(message, remedy=remedy, field="elastic_net.cross_validate")
        own = {site: Fold.of(sizes[site], products.by_site[site]) for site in known}
        return [everybody, *(everybody.without(own[site], site) for site in known)]


def _with_offset(formula: Formula, offset: str | None, field: str) -> Formula:
    """The formula with an offset, however it was said."""
    if offset and formula.offset:
        raise PlanError("The formula has an offset already.", remedy="Keep one of the two.", field=field)
    return replace(formula, offset=offset) if offset else formula


def _entropy(mean: float) -> float:
    return mean * math.log(mean) + (1 - mean) * math.log1p(-mean)
