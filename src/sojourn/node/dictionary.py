"""A dataset's dictionary: the columns that a custodian approves, with their kinds, levels, ranges and units."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import rfc8785
import yaml

from sojourn.analysis.declaration import variable_from_dict, variable_to_dict
from sojourn.analysis.variable import SITE, Variable
from sojourn.errors import DatasetError, PlanError
from sojourn.study.overlapping import is_linkage

_WORDS = {"table", "person", "row_is_person", "rows_per_person", "persons", "columns", "excluded"}
_WORDS |= {"quasi_identifiers", "core", "linkage", "nearly_equal"}
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
    rows_per_person: the most rows of one person, which every import enforces; formal privacy needs it where persons
    have several.
    quasi_identifiers: columns, excluded ones too, whose rare combinations get fingerprints; none: chosen by names.
    persons: how many persons a synthetic stand-in has, as the custodian says; it is published.
    core: approved columns in which a row must be complete to take part in anything; published. With it the populations
    of different plans do not differ by a few missing values, which the ledger would have to refuse.
    linkage: what the person column holds, in a word that other sites use for the same, e.g. `national_id`; published.
    With it an import keeps what the persons' numbers in common with other sites can be counted from.
    nearly_equal: pairs of approved columns that follow from each other for nearly everybody, both of which the
    custodian publishes all the same and answers for: an import refuses those not stated, and logs those that are.
    """

    table: str
    person: str | None
    row_is_person: bool
    columns: Mapping[str, Variable]
    excluded: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict, compare=False)
    rows_per_person: int | None = None
    quasi_identifiers: tuple[str, ...] = ()
    persons: int | None = None
    core: tuple[str, ...] = ()
    linkage: str = ""
    nearly_equal: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if (self.person is None) != self.row_is_person:
            raise DatasetError(
                "A table needs a person column, or each row is a person; not both.",
                remedy="Set `person: COLUMN`, or `row_is_person: true`.",
            )
        if self.rows_per_person is not None and (self.row_is_person or self.rows_per_person < 1):
            raise DatasetError(
                "`rows_per_person` is the most rows of one person, from 1, where a column names persons.",
                remedy="Correct it, or leave it out.",
            )
        names = [name.casefold() for name in (*self.columns, *self.excluded, *((self.person,) if self.person else ()))]
        if len(set(names)) != len(names):
            raise DatasetError("A column is there twice.", remedy="Keep each column in one place of the dictionary.")
        if self.persons is not None and not (type(self.persons) is int and 1 <= self.persons <= MOST_PERSONS):
            raise DatasetError("`persons` is out of range.", remedy=f"Give a whole number from 1 to {MOST_PERSONS}.")
        if SITE in (name.casefold() for name in (*self.columns, self.person or "")):
            raise DatasetError("The column name `site` is reserved.", remedy="Exclude the column, or rename it.")
        if self.linkage and (self.person is None or not is_linkage(self.linkage)):
            raise DatasetError(
                "`linkage` is one word for what a person column holds, in small letters, digits and `_`.",
                remedy="Write e.g. `linkage: national_id`, as the other sites do, or leave it out.",
            )
        if not set(self.core) <= set(self.columns):
            raise DatasetError(
                "`core` names a column that is not approved.", remedy="Check its name, capitals included."
            )
        if any(one == other or not {one, other} <= set(self.columns) for one, other in self.nearly_equal):
            raise DatasetError(
                "`nearly_equal` names a column that is not approved, or one twice.",
                remedy="Write pairs of approved columns, e.g. `nearly_equal: [[cost, cost_capped]]`.",
            )
        if not set(self.quasi_identifiers) <= {*self.columns, *self.excluded}:
            raise DatasetError(
                "`quasi_identifiers` names a column that is neither approved nor excluded.",
                remedy="Check its name, capitals included.",
            )

    def to_dict(self) -> dict[str, Any]:
        """The whole dictionary as a document."""
        return {
            "table": self.table,
            "person": self.person,
            "row_is_person": self.row_is_person,
            **({} if self.rows_per_person is None else {"rows_per_person": self.rows_per_person}),
            "columns": {name: variable_to_dict(variable) for name, variable in self.columns.items()},
            "excluded": list(self.excluded),
            **({"quasi_identifiers": list(self.quasi_identifiers)} if self.quasi_identifiers else {}),
            **({} if self.persons is None else {"persons": self.persons}),
            **({"core": list(self.core)} if self.core else {}),
            **({"linkage": self.linkage} if self.linkage else {}),
            **({"nearly_equal": [list(pair) for pair in self.nearly_equal]} if self.nearly_equal else {}),
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
        rows = document.get("rows_per_person")
        if rows is not None and type(rows) is not int:
            raise DatasetError("`rows_per_person` is not a whole number.", remedy="Write e.g. `rows_per_person: 4`.")
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
        found = cls(table, person, row_is_person, variables, tuple(excluded), rows_per_person=rows)
        quasi, core = (_names(document, word) for word in ("quasi_identifiers", "core"))
        linkage = document.get("linkage") or ""
        if not isinstance(linkage, str):
            raise DatasetError("`linkage` is no word.", remedy="Write e.g. `linkage: national_id`.")
        found = replace(found, quasi_identifiers=quasi, persons=document.get("persons"), core=core, linkage=linkage)
        return replace(found, nearly_equal=_pairs(document))

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
        words = ("table", "person", "row_is_person", "rows_per_person", "persons", "linkage")
        head = {word: document[word] for word in words if document.get(word) is not None}
        parts = [_HEAD, _yaml(head), "columns:\n" if self.columns else "columns: {}\n"]
        for name, words in document["columns"].items():
            if note := self.notes.get(name):
                parts.append(f"  # {note}\n")
            parts.append(textwrap.indent(_yaml({name: words}), "  "))
        parts.append("excluded:\n" if self.excluded else "excluded: []\n")
        for name in self.excluded:
            note = f"  # {self.notes[name]}" if name in self.notes else ""
            parts.append(f"- {_yaml([name])[2:].rstrip()}{note}\n")
        last = ("quasi_identifiers", "core", "nearly_equal")
        parts += [_yaml({word: document[word]}) for word in last if word in document]
        path.write_text("".join(parts), encoding="utf-8")

    def public(self) -> dict[str, Any]:
        """What the federation may know: the approved columns' declarations, who is one row and takes part, and what
        persons are named by.
        """
        document, words = self.to_dict(), ("table", "columns", "row_is_person", "core", "linkage")
        return {word: document[word] for word in words if word in document}

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical document."""
        return hashlib.sha256(rfc8785.dumps(self.to_dict())).hexdigest()


def _names(document: Mapping[str, Any], word: str) -> tuple[str, ...]:
    names = document.get(word) or []
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise DatasetError(f"`{word}` is no list of names.", remedy="Put quotation marks around names.")
    return tuple(names)


def _pairs(document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    pairs = document.get("nearly_equal") or []
    sound = isinstance(pairs, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)
    if not sound or not all(isinstance(name, str) and name for pair in pairs for name in pair):
        raise DatasetError(
            "`nearly_equal` is no list of pairs of names.", remedy="Write e.g. `nearly_equal: [[cost, cost_capped]]`."
        )
    return tuple((one, other) for one, other in pairs)


def _yaml(document: object) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100, default_flow_style=False)


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe subset, refusing a word that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len({str(key) for key in keys}) != len(keys):
            raise yaml.constructor.ConstructorError(None, None, "a word stands twice", node.start_mark)
        return super().construct_mapping(node, deep)
