"""One file of an export, and what it and its columns are likely to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sojourn.omop.suggesting_files import DRAFTED
from sojourn.omop.suggestion import Suggestion


@dataclass(frozen=True)
class Likely:
    """One file: its part of the profile, the table that it is likely to fill, and each column's likely role."""

    profile: Mapping[str, Any]
    table: Suggestion
    columns: Mapping[str, Suggestion]

    @property
    def name(self) -> str:
        """As the profile calls it."""
        return str(self.profile["table"])

    def column(self, role: str) -> str:
        """The column of a role, or nothing."""
        return next((name for name, each in self.columns.items() if each.role == role), "")

    def of(self, name: str) -> Mapping[str, Any]:
        """A column's part of the profile."""
        return next(column for column in self.profile["columns"] if column["name"] == name)

    @property
    def drafted(self) -> bool:
        """Whether a rule can be drafted: its table is one that rules are drafted for, and its persons are known."""
        return self.table.role in DRAFTED and bool(self.column("row" if self.table.role == "person" else "person"))
