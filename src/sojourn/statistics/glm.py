"""Generalised linear models by maximum likelihood over all sites, equal to the pooled fit."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import scipy
from numpy.typing import NDArray

from sojourn.analysis.formula import parse
from sojourn.analysis.likelihood import Fit, Point, System, maximise, start
from sojourn.analysis.matrix import Layout, declared
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import constant, persons_of
from sojourn.analysis.statistic import MOST_ROUNDS, Ask, Coordinator, Estimate, Gathered, Step
from sojourn.analysis.support import Support, Working
from sojourn.analysis.terms import Formula, Survival
from sojourn.analysis.variable import Kind, Variables
from sojourn.errors import ConvergenceError, DisclosureRefused, PlanError
from sojourn.statistics.argument import NAME
from sojourn.statistics.design import column_contributions, evidence, outcome_classes, working
from sojourn.statistics.families import LINKS, Family, family
from sojourn.statistics.leverage import largest_beside
from sojourn.statistics.rows import Rows, Weighed

Vector = NDArray[np.float64]
_COLUMNS = ("estimate", "std_error", "statistic", "p_value", "ci_low", "ci_high")


@dataclass(frozen=True)
class GLM:
    """A formula with a family, link and prior weights; an offset stands in the formula.

    Rounds: sums of the design's columns; one step of weighted least squares from means made of the outcomes alone;
    then Newton steps on centred columns. Standard errors are from the expected information, as in R's `glm`; steps are
    from the observed one, which differs for links that are not canonical and takes fewer rounds there.
    """

    formula: Formula
    distribution: str = "gaussian"
    link: str = "identity"
    weights: str | None = None

    name: ClassVar[str] = "glm"
    rules: ClassVar[tuple[str, ...]] = (
        "minimum frequency",
        "dominance",
        "p percent",
        "residual freedom",
        "design support",
        "events",
        "parameters to observations",
    )
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "formula": {"type": "string", "minLength": 1, "maxLength": 2_000},
            "family": {"enum": list(LINKS)},
            "link": {
                "anyOf": [{"enum": sorted({link for links in LINKS.values() for link in links})}, {"type": "null"}]
            },
            "weights": {"anyOf": [NAME, {"type": "null"}]},
            "offset": {"anyOf": [NAME, {"type": "null"}]},
        },
        "required": ["formula"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> GLM:
        """From arguments that fit the schema; FormulaError or PlanError where they do not go together."""
        formula = parse(arguments["formula"], f"{field}.formula")
        distribution = arguments.get("family", "gaussian")
        link = arguments.get("link") or LINKS[distribution][0]
        if link not in LINKS[distribution]:
            remedy = f"Use one of: {', '.join(LINKS[distribution])}."
            raise PlanError(f"The {distribution} family has no link `{link}`.", remedy=remedy, field=f"{field}.link")
        if isinstance(formula.outcome, Survival):
            remedy = "Use `cox` for times to an event, or another outcome."
            raise PlanError("`Surv` is no outcome of a `glm`.", remedy=remedy, field=f"{field}.formula")
        if offset := arguments.get("offset"):
            if formula.offset:
                remedy = "Keep one of the two."
                raise PlanError("The formula has an offset already.", remedy=remedy, field=f"{field}.offset")
            formula = replace(formula, offset=offset)
        return cls(formula, distribution, link, arguments.get("weights"))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        canonical = LINKS[self.distribution][0]
        given = {
            "family": (self.distribution, "gaussian"),
            "link": (self.link, canonical),
            "weights": (self.weights, None),
        }
        chosen = {word: value for word, (value, default) in given.items() if value != default}
        return {"formula": self.formula.render(), **chosen}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted({*self.formula.names, *([self.weights] if self.weights else [])}))

    def terms(self, variables: Variables) -> tuple[str, ...]:
        """See `meta.Model`."""
        return Layout.of(self.formula, variables).terms

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        Layout.of(self.formula, variables, "glm.formula")
        model, outcome = self._family(), self.formula.outcome
        variable = variables[outcome.names[0] if isinstance(outcome, Survival) else outcome.name]
        low, high = variable.low, variable.high
        if (low is not None and low < model.low) or (high is not None and high > model.high):
            remedy = "Use another family, or an outcome that is 0 or 1 (binomial) or not negative (poisson)."
            message = f"The outcome's declared range does not fit the {self.distribution} family."
            raise PlanError(message, remedy=remedy, field="glm.family")
        if self.weights is not None:
            weight = declared(self.weights, variables, "glm.weights")
            if weight.kind is not Kind.NUMBER or (weight.low is not None and weight.low < 0):
                remedy = "Use a column of numbers that are declared from 0."
                raise PlanError("Weights are numbers that are not negative.", remedy=remedy, field="glm.weights")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        p = Layout.of(self.formula, variables).width
        curved: dict[str, tuple[int, ...]] = {"deviance": (1,), "score": (p,), "information": (p, p), "invalid": (1,)}
        if not self._family().canonical:
            curved["curvature"] = (p, p)
        return (
            Step("handshake", {}, {"n": (1,), "sum": (p,)}),
            Step("start", {"centre": (p,)}, {"gram": (p, p), "moment": (p,), "saturated": (1,)}),
            Step("newton", {"centre": (p,), "coefficients": (p,)}, curved),
        )

    def rounds(self) -> int:
        """See `Statistic`."""
        return MOST_ROUNDS

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        if step == "handshake":
            return self._rows(population).handshake()
        return self._weighed(step, population, broadcast).partial

    def support(self, population: Population) -> Support:
        """See `Statistic`; rows of weight zero take no part."""
        rows, outcome = self._rows(population), self.formula.outcome.render()
        return Support(
            population=persons_of(rows.population.persons),
            measures=self.variables(),
            cells=outcome_classes(rows, outcome, self.distribution),
            contributions=(column_contributions(rows),),
            design=evidence(rows, outcome, self.distribution, self.weights, self.formula.offset),
            constant=constant(rows.population, self.variables()),
        )

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Working | None:
        """See `Statistic`; the coefficients, and in the first step the outcomes, decide what each row weighs."""
        if step == "handshake":
            return None
        weighed = self._weighed(step, population, broadcast)
        return working(self._rows(population), weighed, _real(broadcast["centre"]))

    def joint_leverage(
        self, step: str, population: Population, broadcast: Mapping[str, Array], sums: Partial
    ) -> float | None:
        """The largest leverage of a person here beside all sites' last sums; None where they tell none."""
        total = sums.arrays.get("information", sums.arrays.get("gram"))
        if total is None or step == "handshake":
            return None
        weight = self._weighed(step, population, broadcast).weight
        return largest_beside(self._rows(population), weight, _real(broadcast["centre"]), _real(total))

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        layout = Layout.of(self.formula, variables)
        sums = _whole((yield Ask("handshake")))
        n = int(sums["n"][0])
        if n <= layout.width:
            remedy = "Use fewer terms, or a larger population."
            raise ConvergenceError("The model has as many terms as there are rows.", remedy=remedy)
        centre = np.where([bool(column) and self.formula.intercept for column in layout.columns], sums["sum"] / n, 0.0)
        started = _whole((yield Ask("start", {"centre": centre})))
        system = System.of(layout.terms, _weight(started["gram"]), centre)
        first = start(system, _real(started["gram"]), _real(started["moment"]))
        search = maximise(system, first, self._within(started), MOST_ROUNDS - 2)
        coefficients, used = next(search), 2
        while True:
            gathered = yield Ask("newton", {"centre": centre, "coefficients": coefficients})
            used += 1
            summed = _whole(gathered)
            try:
                coefficients = search.send(self._point(summed, n, float(started["saturated"][0])))
            except StopIteration as finished:
                fit: Fit = finished.value
                break
        deviance = float(summed["deviance"][0])
        return self._estimate(layout, centre, fit, n, deviance, used)

    def _family(self) -> Family:
        return family(self.distribution, self.link)

    def _rows(self, population: Population) -> Rows:
        return _latest.rows(self, population)

    def _weighed(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Weighed:
        return _latest.weighed(self, step, population, {name: _real(array) for name, array in broadcast.items()})

    def _within(self, started: Partial) -> Vector:
        """Coefficients that are always allowed: the mean of the starting predictors, or nothing at all."""
        within = np.zeros(len(started["moment"]))
        if self.formula.intercept:
            within[0] = started["moment"][0] / started["gram"][0, 0]
        return within

    def _point(self, summed: Partial, n: int, saturated: float) -> Point:
        deviance = float(summed["deviance"][0])
        score, information = _real(summed["score"]), _real(summed["information"])
        curvature = information if self._family().canonical else _real(summed["curvature"])
        valid = not summed["invalid"][0]
        if self.distribution != "gaussian":
            return Point(valid, saturated - deviance / 2, score, information, curvature)
        if valid and deviance <= 0:
            remedy = "Leave out the terms that make up the outcome."
            raise ConvergenceError(
                "The model fits every row exactly, so that nothing is left to estimate.", remedy=remedy
            )
        dispersion = deviance / n if valid else 1.0  # the likelihood at its maximum over the dispersion
        log_likelihood = saturated - n / 2 * (np.log(2 * np.pi * dispersion) + 1)
        unit = 1 / dispersion
        return Point(valid, float(log_likelihood), score * unit, information * unit, curvature * unit)

    def _estimate(self, layout: Layout, centre: Vector, fit: Fit, n: int, deviance: float, used: int) -> Estimate:
        """The table on the scale of the raw columns, and the facts."""
        p, gaussian = layout.width, self.distribution == "gaussian"
        freedom = n - p
        raw = np.eye(p)
        if self.formula.intercept:
            raw[0] -= centre
        dispersion = deviance / freedom if gaussian else 1.0
        covariance = fit.covariance * (dispersion * n / deviance if gaussian else 1.0)
        estimate = raw @ fit.coefficients
        error = np.sqrt(np.einsum("ij,jk,ik->i", raw, covariance, raw))
        statistic = estimate / error
        tail = scipy.special.stdtr(freedom, -np.abs(statistic)) if gaussian else scipy.special.ndtr(-np.abs(statistic))
        width = error * (scipy.special.stdtrit(freedom, 0.975) if gaussian else scipy.special.ndtri(0.975))
        columns = np.stack([estimate, error, statistic, 2 * tail, estimate - width, estimate + width], axis=1)
        rows = tuple((term, *row) for term, row in zip(layout.terms, columns.tolist(), strict=True))
        log_likelihood = fit.point.log_likelihood
        facts = {
            "n": n,
            "log_likelihood": log_likelihood,
            "deviance": deviance,
            "aic": 2 * (p + gaussian) - 2 * log_likelihood,
            "dispersion": dispersion,
            "df_residual": freedom,
            "rounds_used": used,
            "newton_decrement": fit.decrement,
        }
        if gaussian and self.link == "identity" and self.formula.intercept and not self.formula.offset:
            facts["null_deviance"] = deviance + _explained(fit, deviance / n)
        return Estimate(("term",), _COLUMNS, rows, facts)


class _Latest(threading.local):
    """The rows of the population used last, so that a run's rounds build its design once; and the sums of the last ask,

    which the round's evidence and its partial share. Holds one of each a thread.
    """

    _kept: tuple[GLM, Population, Rows] | None = None
    _asked: tuple[Rows, str, dict[str, Vector], Weighed] | None = None

    def rows(self, model: GLM, population: Population) -> Rows:
        kept = self._kept
        if kept is None or kept[0] != model or kept[1] is not population:
            self._kept = self._asked = None  # before the next is built, so that there are never two
            rows = Rows.of(model.formula, model.weights, family(model.distribution, model.link), population)
            kept = self._kept = (model, population, rows)
        return kept[2]

    def weighed(self, model: GLM, step: str, population: Population, broadcast: dict[str, Vector]) -> Weighed:
        rows, asked = self.rows(model, population), self._asked
        if asked is None or asked[0] is not rows or asked[1] != step or not _equal(asked[2], broadcast):
            self._asked = None
            fitted = family(model.distribution, model.link)
            made = rows.start(fitted, **broadcast) if step == "start" else rows.newton(fitted, **broadcast)
            asked = self._asked = (rows, step, broadcast, made)
        return asked[3]


def _equal(one: Mapping[str, Vector], other: Mapping[str, Vector]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(array, other[name]) for name, array in one.items())


_latest = _Latest()


def _whole(gathered: Gathered) -> Partial:
    """The sums of a round; a model with a suppressed number cannot be fitted."""
    if any(mask.any() for mask in gathered.total.suppressed.values()):
        raise DisclosureRefused("minimum frequency")
    return gathered.total


def _real(array: Array) -> Vector:
    return np.asarray(array, dtype=np.float64)


def _weight(gram: Array) -> float:
    """An upper bound on the working weight of all rows, for telling rounding from variation."""
    return float(np.abs(gram[0, 0]))


def _explained(fit: Fit, dispersion: float) -> float:
    """The sum of squares that the terms explain beyond the intercept."""
    information = fit.point.information * dispersion
    slopes = fit.coefficients[1:]
    rest = information[1:, 1:] - np.outer(information[1:, 0], information[0, 1:]) / information[0, 0]
    return float(slopes @ rest @ slopes)
