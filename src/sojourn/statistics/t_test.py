"""Student's and Welch's t-test of the means of two groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import scipy

from sojourn.analysis.statistic import Cell, Coordinator, Estimate, Suppressed
from sojourn.analysis.table import labels
from sojourn.analysis.variable import Variables
from sojourn.errors import PlanError
from sojourn.statistics.by_group import SUPPRESSED, ByGroup, described, spread_known, spread_note, whole
from sojourn.statistics.moments import Group

COLUMNS = ("estimate", "std_error", "statistic", "df", "p_value", "ci_low", "ci_high")


@dataclass(frozen=True)
class TTest(ByGroup):
    """The mean of the second level's rows less that of the first one's. variance: of the groups, unequal or equal."""

    variance: str = "unequal"

    name: ClassVar[str] = "t_test"
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {**ByGroup.properties, "variance": {"enum": ["unequal", "equal"]}},
        "required": ["columns", "by"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> TTest:
        """From arguments that fit the schema."""
        return cls(tuple(arguments["columns"]), arguments["by"], arguments.get("variance", "unequal"))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        chosen = {} if self.variance == "unequal" else {"variance": self.variance}
        return {"columns": list(self.columns), "by": self.by, **chosen}

    def check(self, variables: Variables) -> None:
        """See `Statistic`; PlanError unless there are two groups."""
        super().check(variables)
        if len(labels(variables[self.by])) != 2:
            remedy = "Use `anova`, or merge levels in the plan so that two are left."
            raise PlanError(f"`{self.by}` does not have two levels.", remedy=remedy, field="t_test.by")

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`."""
        found, hiding = yield from self.gather(variables)
        rows: list[tuple[Cell, ...]] = []
        warnings: list[str] = []
        for column, groups in found.items():
            if pair := whole(groups):
                rows.append((column, *compared(pair[0], pair[1], equal=self.variance == "equal")))
                warnings += [] if spread_known(pair) else [spread_note(column, hiding[column])]
            else:
                rows.append((column, *(Suppressed(),) * len(COLUMNS)))
                warnings.append(SUPPRESSED.format(column))
        levels = labels(variables[self.by])
        described_groups = {column: described(groups, levels) for column, groups in found.items()}
        facts = {"difference": f"{levels[1]} - {levels[0]}", "groups": described_groups}
        return Estimate(("variable",), COLUMNS, tuple(rows), facts, warnings=tuple(warnings))


def compared(first: Group, second: Group, *, equal: bool) -> tuple[Cell, ...]:
    """The values of `COLUMNS` for second - first; None where there are too few rows, or nothing varies.

    Only the estimate where squares are not shown: whatever else there is would tell them.
    """
    if min(first.n, second.n) < 2:
        return (None,) * len(COLUMNS)
    estimate = second.above(first.centre) - first.shift
    if first.squares is None or second.squares is None:
        return (estimate, *(Suppressed(),) * (len(COLUMNS) - 1))
    squares = (first.squares, second.squares)
    parts = [one / (group.n - 1) / group.n for one, group in zip(squares, (first, second), strict=True)]
    if equal:
        freedom: float = first.n + second.n - 2
        error = math.sqrt(sum(squares) / freedom * (1 / first.n + 1 / second.n))
    else:
        error = math.sqrt(sum(parts))
        spread = parts[0] ** 2 / (first.n - 1) + parts[1] ** 2 / (second.n - 1)
        freedom = sum(parts) ** 2 / spread if spread else math.nan
    if not error > 0 or not math.isfinite(freedom):
        return (estimate, 0.0, *(None,) * (len(COLUMNS) - 2))
    statistic = estimate / error
    p_value = 2 * float(scipy.special.stdtr(freedom, -abs(statistic)))
    width = error * float(scipy.special.stdtrit(freedom, 0.975))
    return estimate, error, statistic, freedom, p_value, estimate - width, estimate + width
