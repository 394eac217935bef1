"""One-way analysis of variance, classical and Welch's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import scipy

from sojourn.analysis.statistic import Cell, Coordinator, Estimate, Suppressed
from sojourn.analysis.table import labels
from sojourn.analysis.variable import Variables
from sojourn.statistics.by_group import SUPPRESSED, ByGroup, described, spread_known, spread_note, whole
from sojourn.statistics.moments import Group

_COLUMNS = ("statistic", "df_between", "df_within", "p_value", "eta_squared")
_TOO_FEW = "{}: fewer than two groups with two rows or more that vary, so that there is nothing to test."


@dataclass(frozen=True)
class Anova(ByGroup):
    """Whether the means of the groups are the same. variance: of the groups, equal (F) or unequal (Welch)."""

    variance: str = "equal"

    name: ClassVar[str] = "anova"
    schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {**ByGroup.properties, "variance": {"enum": ["equal", "unequal"]}},
        "required": ["columns", "by"],
        "additionalProperties": False,
    }

    @classmethod
    def read(cls, arguments: Mapping[str, Any], field: str) -> Anova:
        """From arguments that fit the schema."""
        return cls(tuple(arguments["columns"]), arguments["by"], arguments.get("variance", "equal"))

    def arguments(self) -> dict[str, Any]:
        """See `Statistic`."""
        chosen = {} if self.variance == "equal" else {"variance": self.variance}
        return {"columns": list(self.columns), "by": self.by, **chosen}

    def coordinator(self, variables: Variables) -> Coordinator:
        """See `Statistic`; levels without rows take no part."""
        found, hiding = yield from self.gather(variables)
        rows: list[tuple[Cell, ...]] = []
        warnings: list[str] = []
        for column, groups in found.items():
            kept = [group for group in whole(groups) if group.n]
            if not whole(groups) or not spread_known(kept):
                rows.append((column, *(Suppressed(),) * len(_COLUMNS)))
                hidden = not whole(groups)
                warnings.append(SUPPRESSED.format(column) if hidden else spread_note(column, hiding[column]))
                continue
            values = _classical(kept) if self.variance == "equal" else _welch(kept)
            rows.append((column, *(values or (None,) * len(_COLUMNS))))
            warnings += [] if values else [_TOO_FEW.format(column)]
        levels = labels(variables[self.by])
        facts = {"groups": {column: described(groups, levels) for column, groups in found.items()}}
        return Estimate(("variable",), _COLUMNS, tuple(rows), facts, warnings=tuple(warnings))


def _between(groups: Sequence[Group], weights: Sequence[float]) -> tuple[float, list[float]]:
    """The weighted mean of the means and each mean less it, all less the first group's centre."""
    means = [group.above(groups[0].centre) for group in groups]
    mean = sum(w * m for w, m in zip(weights, means, strict=True)) / sum(weights)
    return mean, [m - mean for m in means]


def _shares(groups: Sequence[Group]) -> tuple[float, float]:
    """Sums of squares between and within groups."""
    _, apart = _between(groups, [group.n for group in groups])
    between = sum(group.n * m**2 for group, m in zip(groups, apart, strict=True))
    return between, sum(_squares(group) for group in groups)


def _squares(group: Group) -> float:
    """Of a group whose squares are shown, which was seen to."""
    if group.squares is None:
        raise ValueError("squares that are not shown")
    return group.squares


def _classical(groups: Sequence[Group]) -> tuple[Cell, ...] | None:
    """F on the pooled variance; None where there are not two groups, or nothing varies within them."""
    freedom = sum(group.n for group in groups) - len(groups)
    if len(groups) < 2 or freedom < 1:
        return None
    between, within = _shares(groups)
    if not within > 0:
        return None
    statistic = between / (len(groups) - 1) / (within / freedom)
    p_value = float(scipy.special.fdtrc(len(groups) - 1, freedom, statistic))
    return statistic, len(groups) - 1, freedom, p_value, between / (between + within)


def _welch(groups: Sequence[Group]) -> tuple[Cell, ...] | None:
    """Welch's F; None where a group has one row, or does not vary."""
    k = len(groups)
    if k < 2 or not all(group.n > 1 and _squares(group) > 0 for group in groups):
        return None
    weights = [group.n * (group.n - 1) / _squares(group) for group in groups]
    _, apart = _between(groups, weights)
    spread = sum((1 - w / sum(weights)) ** 2 / (g.n - 1) for w, g in zip(weights, groups, strict=True))
    numerator = sum(w * m**2 for w, m in zip(weights, apart, strict=True)) / (k - 1)
    statistic = numerator / (1 + 2 * (k - 2) / (k**2 - 1) * spread)
    freedom = (k**2 - 1) / (3 * spread)
    between, within = _shares(groups)
    p_value = float(scipy.special.fdtrc(k - 1, freedom, statistic))
    return statistic, k - 1, freedom, p_value, between / (between + within)
