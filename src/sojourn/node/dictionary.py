"""A dataset's dictionary: the columns that a custodian approves, with their kinds, levels, ranges and units."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rfc8785
import yaml

from sojourn.analysis.declaration import variable_from_dict, variable_to_dict
from sojourn.analysis.variable import SITE, Variable
from sojourn.errors import DatasetError, PlanError

_WORDS = {"table", "person", "row_is_person", "columns", "excluded", "persons"}
MOST_PERSONS = 100_000
_HEAD = """\
# The dictionary of one table. Review every line: only what stands under `columns` can ever be analysed, and only
# kinds, levels, bounds and units are published to the federation. An empty field and `NA` are missing.
"""


@dataclass(frozen=True)
class Dictionary:
    """What may be asked of one table.

    table: its name in plans. person: the column that names a person, or None where row_is_person. columns: approved
    columns. excluded: columns that never leave the source file. notes: remarks of a draft by column, without values.
    persons: how many persons a synthetic stand-in has, as the custodian says; it is published.
    """

    table: str
    person: str | None
    row_is_person: bool
    columns: Mapping[str, Variable]
    excluded: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict, compare=False)
    persons: int | None = None

    def __post_init__(self) -> None:
        if (self.person is None) != self.row_is_person:
            raise DatasetError(
                "A table needs a person column, or each row is a person; not both.",
                remedy="Set `person: COLUMN`, or `row_is_person: true`.",
            )
        names = [name.casefold() for name in (*self.columns, *self.excluded, *((self.person,) if self.person else ()))]
        if len(set(names)) != len(names):
            raise DatasetError("A column is there twice.", remedy="Keep each column in one place of the dictionary.")
        if self.persons is not None and not (type(self.persons) is int and 1 <= self.persons <= MOST_PERSONS):
            raise DatasetError("`persons` is out of range.", remedy=f"Give a whole number from 1 to {MOST_PERSONS}.")
        if SITE in (name.casefold() for name in (*self.columns, self.person or "")):
            raise DatasetError("The column name `site` is reserved.", remedy="Exclude the column, or rename it.")

    def to_dict(self) -> dict[str, Any]:
        """The whole dictionary as a document."""
        return {
            "table": self.table,
            "person": self.person,
            "row_is_person": self.row_is_person,
            "columns": {name: variable_to_dict(variable) for name, variable in self.columns.items()},
            "excluded": list(self.excluded),
            **({} if self.persons is None else {"persons": self.persons}),
        }

    @classmethod
    def from_dict(cls, document: object) -> Dictionary:
        """Read `to_dict`'s form; DatasetError for anything else."""
        if not isinstance(document, Mapping) or not {"table", "columns"} <= set(document) <= _WORDS:
            raise DatasetError(
                "The dictionary is not of the expected form.", remedy=f"Use the words {', '.join(sorted(_WORDS))}."
            )
        table, person, row_is_person = document["table"], document.get("person"), document.get("row_is_person", False)
        columns, excluded = document["columns"], document.get("excluded") or []
        if not isinstance(table, str) or not isinstance(person, str | None) or not isinstance(row_is_person, bool):
            raise DatasetError("`table` or `person` is not a name.", remedy="Write names as text.")
        if not isinstance(columns, Mapping) or not all(isinstance(name, str) and name for name in columns):
            raise DatasetError("`columns` is not a mapping of names.", remedy="Put quotation marks around names.")
        if not isinstance(excluded, list) or not all(isinstance(name, str) and name for name in excluded):
            raise DatasetError("`excluded` is not a list of names.", remedy="Put quotation marks around names.")
        try:
            variables = {name: variable_from_dict(words, f"columns.{name}") for name, words in columns.items()}
        except PlanError as error:
            raise DatasetError(str(error.args[0]), remedy=error.remedy) from None
        if any(variable.merge for variable in variables.values()):
            raise DatasetError("A dictionary merges no levels.", remedy="Remove `merge`: it is a word of plans.")
        return cls(table, person, row_is_person, variables, tuple(excluded), persons=document.get("persons"))

    @classmethod
    def load(cls, path: Path) -> Dictionary:
        """Read the YAML that `save` writes and people edit; strict."""
        try:
            document = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
        except (OSError, UnicodeDecodeError):
            raise DatasetError("The dictionary cannot be read.", remedy="Give the path of a UTF-8 YAML file.") from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise DatasetError(
                f"The dictionary is not sound YAML (line {line}).",
                remedy="Mend that line; a word may stand there twice.",
            ) from None
        except yaml.YAMLError:
            raise DatasetError("The dictionary is not YAML.", remedy="Draft it again.") from None
        return cls.from_dict(document)

    def save(self, path: Path) -> None:
        """Write readable YAML, with the draft's notes as comments."""
        document = self.to_dict()
        head = {word: document[word] for word in ("table", "person", "row_is_person", "persons") if document.get(word)}
        parts = [_HEAD, _yaml(head), "columns:\n" if self.columns else "columns: {}\n"]
        for name, words in document["columns"].items():
            if note := self.notes.get(name):
                parts.append(f"  # {note}\n")
            parts.append(textwrap.indent(_yaml({name: words}), "  "))
        parts.append("excluded:\n" if self.excluded else "excluded: []\n")
        for name in self.excluded:
            note = f"  # {self.notes[name]}" if name in self.notes else ""
            parts.append(f"- {_yaml([name])[2:].rstrip()}{note}\n")
        path.write_text("".join(parts), encoding="utf-8")

    def public(self) -> dict[str, Any]:
        """What the federation may know: the approved columns' declarations, and whether each row is one person."""
        return {"table": self.table, "columns": self.to_dict()["columns"], "row_is_person": self.row_is_person}

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical document."""
        return hashlib.sha256(rfc8785.dumps(self.to_dict())).hexdigest()


def _yaml(document: object) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100, default_flow_style=False)


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe subset, refusing a word that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len({str(key) for key in keys}) != len(keys):
            raise yaml.constructor.ConstructorError(None, None, "a word stands twice", node.start_mark)
        return super().construct_mapping(node, deep)
