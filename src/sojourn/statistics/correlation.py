"""Pearson's correlations of numbers, centred in two trips."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import scipy
from numpy.typing import NDArray

from sojourn.analysis.matrix import INTERCEPT, Layout, Piece, design
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import constant, largest_two, persons_of
from sojourn.analysis.statistic import Ask, Cell, Coordinator, Estimate, Step
from sojourn.analysis.support import Contributions, Pairs, Support, Working
from sojourn.analysis.terms import Column
from sojourn.analysis.variable import Kind, Variables
from sojourn.errors import ConvergenceError, DisclosureRefused
from sojourn.statistics.argument import check_number, names
from sojourn.statistics.design import column_contributions, evidence, working
from sojourn.statistics.families import family
from sojourn.statistics.level_sums import level_contributions
from sojourn.statistics.moments import width_of
from sojourn.statistics.rows import Rows, Weighed

Vector = NDArray[np.float64]
MOST_COLUMNS = 30
_COLUMNS = ("n", "estimate", "statistic", "p_value", "ci_low", "ci_high")
_ROUNDING = 1e-13  # share of a column's squares about the broadcast centre that may be rounding alone
_NORMAL = family("gaussian", "identity")


@dataclass(frozen=True)
class Correlation:
    """Each pair of the columns over the same complete rows.

    Sums, then cross-products about the pooled means. They say as much as a linear model's, so that they are judged
    like a model with all the columns as terms.
    """

    columns: tuple[str, ...]

    name: ClassVar[str] = "correlation"
    squared: ClassVar[str] = "products"
    rules: ClassVar[tuple[str, ...]] = (
        "minimum frequency",
        "dominance",
        "p percent",
        "residual freedom",
        "design support",
        "parameters to observations",
        "correlation",
    )
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"columns": names(2, MOST_COLUMNS)},
        "required": ["columns"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> Correlation:
        """From arguments that fit the schema."""
        return cls(tuple(arguments["columns"]))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        return {"columns": list(self.columns)}

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted(self.columns))

    def check(self, variables: Variables) -> None:
        """See `Statistic`."""
        for column in self.columns:
            check_number(column, variables, "correlation.columns")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`; the first column of all is the constant."""
        width = len(self.columns) + 1
        return (
            Step("sums", {}, {"n": (1,), "sum": (width,)}),
            Step("products", {"centre": (width,)}, {"products": (width, width)}),
        )

    def rounds(self) -> int:
        """See `Statistic`."""
        return 2

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        rows = self._rows(population)
        return rows.handshake(_NORMAL) if step == "sums" else self._weighed(rows, broadcast).partial

    def support(self, population: Population) -> Support:
        """See `Statistic`."""
        rows = self._rows(population)
        shown = evidence(rows, self.columns[0], "gaussian", None, None)
        pairs = np.full(len(self.columns) * (len(self.columns) - 1) // 2, shown.persons)
        return Support(
            population=persons_of(population.persons),
            measures=self.variables(),
            contributions=(column_contributions(rows), *level_contributions(rows, None, "gaussian")),
            squares=self.distances(population),
            design=shown,
            pairs=Pairs(pairs, len(self.columns), 0, shown.levels),
            constant=constant(population, self.columns),
        )

    def distances(
        self, population: Population, broadcast: Mapping[str, Array] | None = None
    ) -> tuple[Contributions, ...]:
        """See `Squared`; squares of booleans follow from their means."""
        rows, found = self._rows(population), []
        for place, name in enumerate(self.columns, start=1):
            variable, values = population.variables[name], population.numeric(name)
            if variable.kind is Kind.BOOLEAN:
                continue
            own = values.mean() if len(values) else 0.0
            centre = own if broadcast is None else _real(broadcast["centre"])[place]
            of_person = rows.per_person((values - centre) ** 2)
            largest, second = largest_two(of_person[:, None])
            most = np.array([width_of(variable) ** 2])
            found.append(Contributions((f"squares of {name}",), largest, second, np.array([of_person.sum()]), most))
        return tuple(found)

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Working | None:
        """See `Statistic`; the centre decides how far each row is from it."""
        if step == "sums":
            return None
        rows = self._rows(population)
        return working(rows, self._weighed(rows, broadcast), _real(broadcast["centre"]))

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        sums = (yield Ask("sums")).total
        n = int(sums["n"][0])
        if any(sums.hidden(name).any() for name in sums.arrays):
            raise DisclosureRefused("correlation")
        if n < 3:
            raise ConvergenceError("Fewer than three rows are left.", remedy="Use a larger population.")
        centre = np.concatenate([[0.0], sums["sum"][1:] / n])
        products = (yield Ask("products", {"centre": centre})).total
        if products.hidden("products").any():
            raise DisclosureRefused("correlation")
        matrix = _correlations(_real(products["products"]), n)
        rows = tuple(
            (self.columns[i], self.columns[j], n, *_tested(matrix[i, j], n))
            for i, j in combinations(range(len(self.columns)), 2)
        )
        fixed = [name for name, one in zip(self.columns, np.diag(matrix), strict=True) if np.isnan(one)]
        warnings = (f"{', '.join(fixed)}: does not vary, so that it has no correlation.",) if fixed else ()
        return Estimate(("variable", "other"), _COLUMNS, rows, {"n": n}, warnings=warnings)

    def _rows(self, population: Population) -> Rows:
        """A design of the columns as they are; the first one stands for the outcome."""
        pieces = [(Piece(Column(name), name),) for name in self.columns]
        layout = Layout(((), *pieces))
        assert layout.terms[0] == INTERCEPT
        ones, zeros = np.ones(population.rows), np.zeros(population.rows)
        return Rows(population, layout, design(layout, population), population.numeric(self.columns[0]), ones, zeros)

    def _weighed(self, rows: Rows, broadcast: Mapping[str, Array]) -> Weighed:
        """Cross-products about the centre; the distances from it are what they are made of."""
        centred = rows.x - _real(broadcast["centre"])
        gram = centred.T @ centred
        distances = tuple(np.abs(centred[:, place]) for place in range(1, centred.shape[1]))
        return Weighed(Partial({"products": (gram + gram.T) / 2}), rows.w, distances, gram)


def _correlations(products: Vector, n: int) -> Vector:
    """The matrix of correlations from cross-products about a centre; NaN of a column that does not vary."""
    drift = products[0, 1:]
    own = products[1:, 1:] - np.outer(drift, drift) / n
    squares = np.diag(own)
    varies = squares > _ROUNDING * np.diag(products[1:, 1:])
    scale = np.sqrt(np.where(varies, squares, np.nan))
    return np.asarray(np.clip(own / np.outer(scale, scale), -1.0, 1.0))


def _tested(r: float, n: int) -> tuple[Cell, ...]:
    """The values of `_COLUMNS` after n: t with n - 2 degrees of freedom, and Fisher's z for the interval."""
    if math.isnan(r):
        return (None,) * (len(_COLUMNS) - 1)
    left = (1 - r) * (1 + r)
    statistic = r * math.sqrt((n - 2) / left) if left > 0 else None
    p_value = 2 * float(scipy.special.stdtr(n - 2, -abs(statistic))) if statistic is not None else 0.0
    if n < 4 or left <= 0:
        return float(r), statistic, p_value, None, None
    middle, width = math.atanh(r), float(scipy.special.ndtri(0.975)) / math.sqrt(n - 3)
    return float(r), statistic, p_value, math.tanh(middle - width), math.tanh(middle + width)


def _real(array: Array) -> Vector:
    return np.asarray(array, dtype=np.float64)
