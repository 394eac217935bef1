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
from sojourn.analysis.likelihood import Endless, Fit, Point, System, maximise, start
from sojourn.analysis.matrix import Layout, declared
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import constant, persons_of
from sojourn.analysis.statistic import MOST_ROUNDS, Ask, Coordinator, Step
from sojourn.analysis.support import Contributions, Support, Working
from sojourn.analysis.terms import Formula, Survival
from sojourn.analysis.variable import SITE, Kind, Variables
from sojourn.errors import ConvergenceError, PlanError
from sojourn.statistics.argument import NAME
from sojourn.statistics.coefficients import centre_of, real, whole
from sojourn.statistics.design import evidence, outcome_classes, working
from sojourn.statistics.families import LINKS, START_SHAPE, Family, check_share, family
from sojourn.statistics.fitted import Fitted
from sojourn.statistics.level_sums import model_contributions
from sojourn.statistics.leverage import largest_beside
from sojourn.statistics.outcome_squares import outcome_squares, squares_left
from sojourn.statistics.robust import CHOICES, Meat, clusters, meat_step, sandwich
from sojourn.statistics.rows import Rows, Weighed, sums_of

Vector = NDArray[np.float64]
_ROUNDING = 1e-14  # what is left of an outcome less its mean, relative to that, where it is rounding


@dataclass(frozen=True)
class GLM:
    """A formula with a family, link and prior weights; an offset stands in the formula.

    Rounds: sums of the design's columns; one step of weighted least squares from means made of the outcomes alone;
    then Newton steps on centred columns, of a negative binomial together with the logarithm of theta; for robust
    standard errors one more. Others are from the expected information, as in R's `glm`; steps are from the observed
    one, which differs for links that are not canonical and takes fewer rounds there.
    """

    formula: Formula
    distribution: str = "gaussian"
    link: str = "identity"
    weights: str | None = None
    robust: str | None = None
    cluster: str | None = None

    name: ClassVar[str] = "glm"
    squared: ClassVar[str] = "newton"
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
            "robust": {"anyOf": [{"enum": list(CHOICES)}, {"type": "null"}]},
            "cluster": {"anyOf": [NAME, {"type": "null"}]},
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
        robust, cluster = arguments.get("robust"), arguments.get("cluster")
        if cluster is not None and (robust or "cluster") != "cluster":
            remedy = "Leave one of the two out."
            raise PlanError(f"`{robust}` has no clusters.", remedy=remedy, field=f"{field}.cluster")
        if cluster == SITE:
            remedy = "Put `C(site)` into the formula, or name clusters inside the sites."
            raise PlanError("Sites are no clusters.", remedy=remedy, field=f"{field}.cluster")
        robust = "cluster" if cluster is not None else robust
        return cls(formula, distribution, link, arguments.get("weights"), robust, cluster)

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        given = {
            "family": (self.distribution, "gaussian"),
            "link": (self.link, LINKS[self.distribution][0]),
            "weights": (self.weights, None),
            "robust": (self.robust, "cluster" if self.cluster else None),
            "cluster": (self.cluster, None),
        }
        chosen = {word: value for word, (value, default) in given.items() if value != default}
        return {"formula": self.formula.render(), **chosen}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted({*self.formula.names, *(name for name in (self.weights, self.cluster) if name)}))

    def terms(self, variables: Variables) -> tuple[str, ...]:
        """See `meta.Model`."""
        return Layout.of(self.formula, variables).terms

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        Layout.of(self.formula, variables, "glm.formula")
        model, outcome = self._family(), self.formula.outcome
        name = outcome.names[0] if isinstance(outcome, Survival) else outcome.name
        variable = variables[name]
        low, high = variable.low, variable.high
        if self.distribution == "binomial" and variable.kind is Kind.NUMBER:
            check_share(name, variable)
        if (low is not None and low < model.low) or (high is not None and high > model.high):
            remedy = "Use another family, or an outcome that is 0 or 1 (binomial) or not negative (the others)."
            message = f"The outcome's declared range does not fit the {self.distribution} family."
            raise PlanError(message, remedy=remedy, field="glm.family")
        if self.weights is not None:
            weight = declared(self.weights, variables, "glm.weights")
            if weight.kind is not Kind.NUMBER or (weight.low is not None and weight.low < 0):
                remedy = "Use a column of numbers that are declared from 0."
                raise PlanError("Weights are numbers that are not negative.", remedy=remedy, field="glm.weights")

        if self.cluster is not None:
            declared(self.cluster, variables, "glm.cluster")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        p, model = Layout.of(self.formula, variables).width, self._family()
        first: dict[str, tuple[int, ...]] = {"gram": (p, p), "moment": (p,)}
        first |= {} if model.shape else {"saturated": (1,)}
        first |= {"weight": (1,)} if self.distribution == "gamma" else {}
        sums, width = sums_of(model, p), p + bool(model.shape)
        level: dict[str, tuple[int, ...]] = {"level": (1,)} if model.shifts else {}
        newton = Step("newton", {"centre": (p,), "coefficients": (width,), **level}, {**sums, "invalid": (1,)})
        steps = (
            Step("handshake", {}, {"n": (1,), "sum": (p,)} | ({"outcome": (2,)} if model.levelled else {})),
            Step("start", {"centre": (p,)} | ({"mean": (1,)} if model.levelled else {}), first),
            newton,
        )
        return (*steps, meat_step(newton)) if self.robust else steps

    def rounds(self) -> int:
        """See `Statistic`."""
        return MOST_ROUNDS

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        if step == "handshake":
            return self.rows(population).handshake(self._family())
        if step == "meat":
            return self._meat(population, broadcast).partial()
        return self.weighed(step, population, broadcast).partial

    def support(self, population: Population) -> Support:
        """See `Statistic`; rows of weight zero take no part."""
        rows, outcome = self.rows(population), self.formula.outcome.render()
        asked = self.distribution, self.weights, self.formula.offset
        design = evidence(rows, outcome, *asked)
        design = replace(design, parameters=design.parameters + bool(self._family().shape))
        if self.cluster is not None:
            design = replace(design, clusters=len(np.unique(clusters(rows, self.cluster))))
        return Support(
            population=persons_of(rows.population.persons),
            measures=self.variables(),
            cells=outcome_classes(rows, outcome, self.distribution),
            contributions=model_contributions(rows, self.formula.outcome, *asked),
            squares=self.distances(population),
            design=design,
            constant=constant(rows.population, [name for name in self.variables() if name != self.cluster]),
        )

    def distances(
        self, population: Population, broadcast: Mapping[str, Array] | None = None
    ) -> tuple[Contributions, ...]:
        """See `Squared`: of a normal model the squares that are left at these coefficients, at first of the fit."""
        rows, outcome = self.rows(population), self.formula.outcome
        if broadcast is None or self.distribution != "gaussian":
            return outcome_squares(rows, outcome, self.distribution)
        at = {name: real(array) for name, array in broadcast.items()}
        return squares_left(rows, outcome, rows.left(self._family(), **at))

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Working | None:
        """See `Statistic`; the coefficients, and in the first step the outcomes, decide what each row weighs."""
        if step == "handshake":
            return None
        if step == "meat":
            return self._meat(population, broadcast).working()
        weighed = self.weighed(step, population, broadcast)
        return working(self.rows(population), weighed, real(broadcast["centre"]))

    def joint_leverage(
        self, step: str, population: Population, broadcast: Mapping[str, Array], sums: Partial
    ) -> float | None:
        """The largest leverage of a person here beside all sites' last sums; None where they tell none."""
        total = sums.arrays.get("information", sums.arrays.get("gram"))
        if total is None or step == "handshake":
            return None
        rows, centre = self.rows(population), real(broadcast["centre"])
        total = real(total)[: len(centre), : len(centre)]
        if step == "meat":
            return self._meat(population, broadcast).beside(total, float(broadcast["dispersion"][0]))
        return largest_beside(rows, self.weighed(step, population, broadcast).weight, centre, total)

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        layout, model = Layout.of(self.formula, variables), self._family()
        sums = whole((yield Ask("handshake")))
        n = int(sums["n"][0])
        if n <= layout.width:
            remedy = "Use fewer terms, or a larger population."
            raise ConvergenceError("The model has as many terms as there are rows.", remedy=remedy)
        centre = centre_of(layout, self.formula.intercept, real(sums["sum"]), n)
        started = whole((yield Ask("start", {"centre": centre} | self._level(sums))))
        system = System.of(layout.terms, _weight(started["gram"]), centre)
        first, within = start(system, real(started["gram"]), real(started["moment"])), self._within(started)
        broadcast: dict[str, Array] = {"centre": centre}
        if model.shifts:
            # Around the mean of all outcomes, which an intercept takes up: near 1e9 they keep their digits.
            broadcast["level"] = within[:1].copy() if self.formula.intercept else np.zeros(1)
            first, within = _less(first, broadcast["level"]), _less(within, broadcast["level"])
        if model.shape:
            shape = float(np.log(START_SHAPE))
            system, first, within = _with_shape(system, model), np.append(first, shape), np.append(within, shape)
        level = float(broadcast.get("level", np.zeros(1))[0])
        search = maximise(system, first, within, MOST_ROUNDS - 2 - bool(self.robust))
        coefficients, used = next(search), 2
        while True:
            gathered = yield Ask("newton", {**broadcast, "coefficients": coefficients})
            used += 1
            summed = whole(gathered)
            try:
                coefficients = search.send(self._point(summed, n, started, level))
            except StopIteration as finished:
                fit: Fit = finished.value
                break
            except Endless as endless:
                raise _without_shape(endless, model) from endless
        found = Fitted(self.formula, model, layout, centre, level, fit, n, float(summed["deviance"][0]), used)
        if self.robust is None:
            return found.estimate(found.dispersion * found.unscaled, None)
        at = {**broadcast, "coefficients": fit.coefficients, "dispersion": np.array([found.dispersion])}
        meat = whole((yield Ask("meat", at)))
        groups = int(meat["clusters"][0])
        if groups < 2:
            raise ConvergenceError("There is only one cluster.", remedy="Name another column of clusters.")
        covariance = sandwich(found.unscaled, real(meat["meat"]), self.robust, n, groups)
        return replace(found, used=used + 1).estimate(covariance, groups if self.robust == "cluster" else None)

    def _family(self) -> Family:
        return family(self.distribution, self.link)

    def rows(self, population: Population) -> Rows:
        """The rows of a site, kept for the rounds that follow."""
        return _latest.rows(self, population)

    def weighed(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Weighed:
        """The sums of one round by weights, kept for the evidence about them."""
        made = _latest.made(self, step, population, {name: real(array) for name, array in broadcast.items()})
        if not isinstance(made, Weighed):
            raise TypeError("not a round of sums by weights")
        return made

    def _meat(self, population: Population, broadcast: Mapping[str, Array]) -> Meat:
        made = _latest.made(self, "meat", population, {name: real(array) for name, array in broadcast.items()})
        if not isinstance(made, Meat):
            raise TypeError("not a round of robust errors")
        return made

    def _level(self, sums: Partial) -> dict[str, Array]:
        """The mean of all outcomes, where the family starts from it."""
        if not self._family().levelled:
            return {}
        total, weight = real(sums["outcome"])
        if not 0 < total < weight:
            remedy = "Use a larger population, or another outcome."
            raise ConvergenceError("All outcomes are the same, so that there is nothing to explain.", remedy=remedy)
        return {"mean": np.array([total / weight])}

    def _within(self, started: Partial) -> Vector:
        """Coefficients that are always allowed: the mean of the starting predictors, or nothing at all."""
        within = np.zeros(len(started["moment"]))
        if self.formula.intercept:
            within[0] = started["moment"][0] / started["gram"][0, 0]
        return within

    def _point(self, summed: Partial, n: int, started: Partial, level: float) -> Point:
        deviance = float(summed["deviance"][0])
        score, information = real(summed["score"]), real(summed["information"])
        curvature = information if self._family().canonical else real(summed["curvature"])
        valid = not summed["invalid"][0]
        more = np.array([])
        if self._family().shape:
            more = curvature[-1, -1:]
        elif self.distribution == "gamma":
            more = real(summed["pearson"])
        saturated = float(summed.arrays.get("saturated", started.arrays.get("saturated"))[0])  # type: ignore[index]
        if not self._family().dispersed:
            return Point(valid, saturated - deviance / 2, score, information, curvature, more)
        if valid and deviance <= n * (_ROUNDING * level) ** 2:
            remedy = "Leave out the terms that make up the outcome."
            raise ConvergenceError(
                "The model fits every row exactly, so that nothing is left to estimate.", remedy=remedy
            )
        # The likelihood at its maximum over the dispersion; for gamma, as in R, at the mean deviance.
        unit = (n / deviance) if valid else 1.0
        log_likelihood = saturated + n / 2 * (np.log(unit / (2 * np.pi)) - 1)
        if self.distribution == "gamma":
            weight = float(started["weight"][0])
            k = weight / deviance if valid else 1.0
            log_likelihood = saturated + weight * (k * np.log(k) - scipy.special.gammaln(k) - k - 0.5)
        return Point(valid, float(log_likelihood), score * unit, information * unit, curvature * unit, more)


def _with_shape(system: System, model: Family) -> System:
    return System((*system.terms, model.shape), np.append(system.floor, 0.0))


def _without_shape(endless: Endless, model: Family) -> ConvergenceError:
    """In the words of the family."""
    if endless.term != model.shape:
        return endless
    remedy = "Use the poisson family."
    return ConvergenceError("The outcome varies no more than a Poisson's, so that theta has no end.", remedy=remedy)


class _Latest(threading.local):
    """The rows of the population used last, so that a run's rounds build its design once; and the sums of the last ask,

    which the round's evidence and its partial share. Holds one of each a thread.
    """

    _kept: tuple[GLM, Population, Rows] | None = None
    _asked: tuple[Rows, str, dict[str, Vector], Weighed | Meat] | None = None

    def rows(self, model: GLM, population: Population) -> Rows:
        kept = self._kept
        if kept is None or kept[0] != model or kept[1] is not population:
            self._kept = self._asked = None  # before the next is built, so that there are never two
            rows = Rows.of(model.formula, model.weights, family(model.distribution, model.link), population)
            kept = self._kept = (model, population, rows)
        return kept[2]

    def made(self, model: GLM, step: str, population: Population, broadcast: dict[str, Vector]) -> Weighed | Meat:
        rows, asked = self.rows(model, population), self._asked
        if asked is None or asked[0] is not rows or asked[1] != step or not _equal(asked[2], broadcast):
            self._asked = None
            fitted = family(model.distribution, model.link)
            made: Weighed | Meat
            if step == "meat" and model.robust:
                made = Meat.of(rows, fitted, model.robust, model.cluster, broadcast)
            else:
                made = rows.start(fitted, **broadcast) if step == "start" else rows.newton(fitted, **broadcast)
            asked = self._asked = (rows, step, broadcast, made)
        return asked[3]


def _equal(one: Mapping[str, Vector], other: Mapping[str, Vector]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(array, other[name]) for name, array in one.items())


_latest = _Latest()


def _less(coefficients: Vector, level: Array) -> Vector:
    return np.concatenate([coefficients[:1] - level, coefficients[1:]])


def _weight(gram: Array) -> float:
    """An upper bound on the working weight of all rows, for telling rounding from variation."""
    return float(np.abs(gram[0, 0]))
