"""The analysis table of one site: the rows that all analyses of a plan share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.variable import SITE, Kind, Variable, Variables

_NOBODY = np.zeros(0, dtype=np.uint32)


@dataclass(frozen=True)
class Population:
    """Rows that satisfy the plan's `where` and are complete in every variable that must be.

    site: this site's name. variables: the plan's declarations, with `site`. columns: one array a variable, all of one
    length: float64 for numbers, int8 0/1 for booleans, int32 positions in `levels` for categories (never missing).
    persons: uint32 number of the person of each row. missing: for each variable the persons (uint32, distinct) who
    satisfy `where` but lack a value of it. absent: of variables that need not be complete, which rows lack a value;
    what stands there is nothing, and only who fills it in may read such a column.
    """

    site: str
    variables: Variables
    columns: Mapping[str, NDArray[np.generic]]
    persons: NDArray[np.uint32]
    missing: Mapping[str, NDArray[np.uint32]]
    absent: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of rows (not persons)."""
        return len(self.persons)

    def column(self, name: str) -> NDArray[np.generic]:
        """One variable's values; `site` is constant. ValueError where rows lack a value: nothing may stand for it."""
        if name in self.absent:
            raise ValueError("a column that is not complete")
        if name == SITE:
            level = self.variables[SITE].levels.index(self.site)
            return np.full(self.rows, level, dtype=np.int32)
        return self.columns[name]

    def numeric(self, name: str) -> NDArray[np.float64]:
        """A number or boolean as float64; not to be written to. Categories have no numeric value."""
        if self.variables[name].kind is Kind.CATEGORY:
            raise TypeError("a category has no numeric value")
        return self.column(name).astype(np.float64, copy=False)


def nobody(site: str, variables: Variables) -> Population:
    """A population without rows: what a masked plan's layout is read from, and what a site without data joins with."""
    columns = {name: np.zeros(0, dtype=_dtype(variable)) for name, variable in variables.items() if name != SITE}
    return Population(site, variables, columns, _NOBODY, dict.fromkeys(columns, _NOBODY))


def _dtype(variable: Variable) -> np.dtype[np.generic]:
    return np.dtype({Kind.NUMBER: "f8", Kind.BOOLEAN: "i1", Kind.CATEGORY: "i4"}[variable.kind])
