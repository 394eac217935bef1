"""The Cochran-Armitage test: whether a share rises or falls over ordered groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy
from numpy.typing import NDArray

from sojourn.analysis.matrix import declared
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_of
from sojourn.analysis.statistic import Ask, Cell, Coordinator, Estimate, Step, Suppressed
from sojourn.analysis.support import Support
from sojourn.analysis.table import Table
from sojourn.analysis.variable import SITE, Kind, Variables
from sojourn.errors import PlanError
from sojourn.statistics.argument import NAME, check_dimensions
from sojourn.statistics.cells import counts
from sojourn.statistics.count import cells_of, count_persons, counting

_SUPPRESSED = "A cell is suppressed, so that no trend is computed from what is left."
_EMPTY = "Fewer than two levels hold persons, or all of them are alike, so that there is no trend to test."
MOST_LEVELS = 200


@dataclass(frozen=True)
class Trend:
    """Persons with and without an outcome at each level. scores: of the levels in order, 1, 2, 3, … unless given."""

    outcome: str
    by: str
    scores: tuple[float, ...] = ()

    name: ClassVar[str] = "trend"
    rules: ClassVar[tuple[str, ...]] = ("minimum frequency", "class disclosure", "text")
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {
            "outcome": NAME,
            "by": NAME,
            "scores": {
                "anyOf": [
                    {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": MOST_LEVELS},
                    {"type": "null"},
                ]
            },
        },
        "required": ["outcome", "by"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> Trend:
        """From arguments that fit the schema."""
        return cls(arguments["outcome"], arguments["by"], tuple(map(float, arguments.get("scores") or ())))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        given: dict[str, Any] = {"outcome": self.outcome, "by": self.by}
        return given | ({"scores": list(self.scores)} if self.scores else {})

    def variables(self) -> tuple[str, ...]:
        """See `Statistic`."""
        return tuple(sorted({self.outcome, self.by} - {SITE}))

    def check(self, variables: Variables) -> None:
        """See `Statistic`; PlanError unless the outcome is a boolean and there is a score for each level."""
        if declared(self.outcome, variables, "trend.outcome").kind is not Kind.BOOLEAN:
            remedy = "Use a boolean, or `crosstab` for more than two outcomes."
            raise PlanError(f"`{self.outcome}` is no boolean.", remedy=remedy, field="trend.outcome")
        check_dimensions((self.by, self.outcome), variables, "trend.by")
        levels = Table.of((self.by,), variables).size
        if self.scores and len(self.scores) != levels:
            remedy = f"Give {levels} scores, one for each declared level in order."
            raise PlanError("The scores are not those of the levels.", remedy=remedy, field="trend.scores")

    def steps(self, variables: Variables) -> tuple[Step, ...]:
        """See `Statistic`."""
        return (counting(self._table(variables)),)

    def rounds(self) -> int:
        """See `Statistic`."""
        return 1

    def local(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> Partial:
        """See `Statistic`."""
        return count_persons(self._table(population.variables), population)

    def support(self, population: Population) -> Support:
        """See `Statistic`."""
        cells = cells_of(self._table(population.variables), population)
        return Support(persons_of(population.persons), self.variables(), (cells,))

    def working(self, step: str, population: Population, broadcast: Mapping[str, Array]) -> None:
        """See `Statistic`; no broadcast changes what stands behind a number."""

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        gathered = yield Ask("count")
        table = self._table(variables)
        cells = counts(gathered)
        levels = zip([labels[0] for labels in table.index()[::2]], cells[::2], cells[1::2], strict=True)
        rows = tuple((level, *_share(without, cases)) for level, without, cases in levels)
        facts: dict[str, Any] = {}
        if gathered.total.hidden("count").any():
            return Estimate((self.by,), ("n", "cases", "share"), rows, facts, warnings=(_SUPPRESSED,))
        scores = self.scores or tuple(float(place) for place in range(1, table.shape[0] + 1))
        observed = gathered.total["count"].astype(np.float64)
        tested = tested_trend(observed, np.array(scores))
        facts = {"n": int(observed.sum()), "scores": list(scores), **({"trend": tested} if tested else {})}
        return Estimate((self.by,), ("n", "cases", "share"), rows, facts, warnings=() if tested else (_EMPTY,))

    def _table(self, variables: Variables) -> Table:
        return Table.of((self.by, self.outcome), variables)


def tested_trend(observed: NDArray[np.float64], scores: NDArray[np.float64]) -> dict[str, float]:
    """The statistic (normal) and p of persons (levels, without and with); empty where there is nothing to test."""
    numbers, cases = observed.sum(axis=1), observed[:, 1]
    total = numbers.sum()
    if not total:
        return {}
    share, centred = cases.sum() / total, scores - numbers @ scores / total
    variance = share * (1 - share) * float(numbers @ centred**2)
    if not variance > 0:
        return {}
    statistic = float(centred @ cases) / math.sqrt(variance)
    return {"statistic": statistic, "p": 2 * float(scipy.special.ndtr(-abs(statistic)))}


def _share(without: Cell, cases: Cell) -> tuple[Cell, Cell, Cell]:
    if not isinstance(without, int) or not isinstance(cases, int):
        return Suppressed(), cases, Suppressed()
    n = without + cases
    return n, cases, cases / n if n else None
