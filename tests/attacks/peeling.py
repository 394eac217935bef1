"""Reading rows off the sums of a regression whose coefficients the reader chooses.

With steep coefficients the working weights of a complementary log-log model fall by orders of magnitude from one
patient to the next. The largest one makes up nearly all of a row of X'WX, so that this row divided by its weight is the
patient's covariates, exact once they are rounded to the grid on which they are recorded. The patient is subtracted, and
the next one appears. The observed information weighs a patient differently by outcome, which gives the outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.matrix import Layout, design
from sojourn.analysis.population import Population
from sojourn.analysis.variable import Variables
from sojourn.statistics.families import family
from sojourn.statistics.glm import GLM

Vector = NDArray[np.float64]
Row = tuple[tuple[float, ...], int]
GRID = {"oldpeak": 0.1}  # everything else is recorded in whole numbers
USUAL = {"age": (54.0, 9.0), "oldpeak": (1.0, 1.1), "thalch": (140.0, 25.0)}  # public knowledge: mean and spread
STEEP = 60.0
_CLOGLOG = family("binomial", "cloglog")


@dataclass
class Reader:
    """What the reader of one model's sums knows of each site's rows."""

    model: GLM
    variables: Variables
    known: dict[str, list[Row]] = field(default_factory=dict)

    @property
    def terms(self) -> tuple[str, ...]:
        return Layout.of(self.model.formula, self.variables).terms

    def coefficients(self, number: int) -> Vector:
        """The number-th choice: a steep slope in a random direction of the measurements, its foot beyond all rows."""
        random = np.random.default_rng(number)
        slopes = {name: random.normal() for name in USUAL if name in self.terms}
        length = np.sqrt(sum(slope**2 for slope in slopes.values()))
        chosen = random.normal(size=len(self.terms)) * 3
        foot = 0.0
        for name, slope in slopes.items():
            mean, spread = USUAL[name]
            chosen[self.terms.index(name)] = STEEP * slope / length / spread
            foot += STEEP * slope / length / spread * mean
        chosen[0] = -foot - 2.6 * STEEP
        return chosen

    def read(self, site: str, chosen: Vector, information: Vector, curvature: Vector) -> None:
        """Peel rows off one site's sums about a centre of zero."""
        rows = self.known.setdefault(site, [])
        rest = [information.copy(), curvature.copy()]
        for row in rows:
            self._subtract(rest, chosen, row)
        while found := self._next(rest, np.diag(information), chosen):
            for row in found:
                self._subtract(rest, chosen, row)
            rows += found

    def right(self, site: str, people: Population) -> int:
        """How many rows of this site are known exactly: covariates and outcome."""
        layout = Layout.of(self.model.formula, people.variables)
        truth = _counted(zip(map(tuple, design(layout, people)), people.columns["disease"].tolist(), strict=True))
        return sum((_counted(self.known.get(site, [])) & truth).values())

    def _next(self, rest: list[Vector], whole: Vector, chosen: Vector) -> list[Row]:
        grid = np.array([GRID.get(term, 1.0) for term in self.terms])
        dummies = [place for place, term in enumerate(self.terms) if term not in USUAL]
        for j in dummies:
            information, curvature = rest[0][j], rest[1][j, j]
            if information[j] <= 1e-11 * whole[j]:
                continue  # below the rounding of what was there
            raw = information / information[j]
            row = np.round(raw / grid) * grid
            if (np.abs(raw - row) > 0.2 * grid).any() or row[0] != 1 or not set(row[dummies]) <= {0.0, 1.0}:
                continue
            weight, of_outcome = _weights(row, chosen)
            people = round(float(information[j] / weight)) if weight > 0 else 0
            if not 1 <= people <= 3 or abs(information[j] / weight - people) > 0.05:
                continue
            each = abs(of_outcome[1] - of_outcome[0])
            fits = [
                n
                for n in range(people + 1)
                if abs((people - n) * of_outcome[0] + n * of_outcome[1] - curvature) < 0.1 * each
            ]
            if len(fits) == 1:
                outcomes = [1] * fits[0] + [0] * (people - fits[0])
                return [(tuple(row), outcome) for outcome in outcomes]
        return []

    def _subtract(self, rest: list[Vector], chosen: Vector, row: Row) -> None:
        x = np.array(row[0])
        weight, of_outcome = _weights(x, chosen)
        rest[0] -= weight * np.outer(x, x)
        rest[1] -= of_outcome[row[1]] * np.outer(x, x)


def _weights(x: Vector, chosen: Vector) -> tuple[float, tuple[float, float]]:
    """A row's expected information, and its observed information for outcome 0 and 1."""
    with np.errstate(all="ignore"):
        at = _CLOGLOG.slopes(np.full(2, x @ chosen), np.array([0.0, 1.0]), np.ones(2))
    return float(at.information[0]), (float(at.curvature[0]), float(at.curvature[1]))


def _counted(rows: object) -> Counter[Row]:
    return Counter((tuple(np.round(x, 6) + 0.0), int(y)) for x, y in rows)  # type: ignore[attr-defined]


def total(reader: Reader, people: Mapping[str, Population]) -> int:
    """Rows known exactly, over all sites."""
    return sum(reader.right(site, population) for site, population in people.items())
