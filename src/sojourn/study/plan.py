"""The plan: a study's question as a frozen value with one canonical encoding, whose hash is what people approve."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import rfc8785

from sojourn.analysis.declaration import variable_from_dict, variable_to_dict
from sojourn.analysis.statistic import Statistic, clear_only
from sojourn.analysis.suggestion import did_you_mean
from sojourn.analysis.variable import SITE, Variable
from sojourn.cohort.where import Where
from sojourn.cohort.where import parse as parse_where
from sojourn.disclosure.change import MOST_CHANGES, Change, change_from_dict
from sojourn.errors import REASONS, PlanError
from sojourn.statistics import catalogue
from sojourn.study import document as documents
from sojourn.study.purpose import canonical_purpose

DEFAULT_MIN_SITES = 3
MOST_SITES = 1_000
MOST_ANALYSES = 50
MOST_VARIABLES = 1_000
MOST_EXPECTED = 1_000_000_000
LONGEST_TITLE = 200
LONGEST_NAME = 80
LONGEST_WAIT = 30 * 24 * 3600  # seconds
TABLE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
ANALYSIS = re.compile(r"[a-z][a-z0-9_]{0,39}")
STRAGGLERS = ("wait", "abort")
MISSING = ("complete", "by analysis")
AGGREGATION = ("auto", "clear", "masked")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a researcher asks; checked and brought to canonical form when it is made (PlanError where it cannot be).

    table: the table that every site has. analyses: statistics by name. title: at most 200 characters. purpose: a GA4GH
    DUO short name or identifier; submit demands it. where: which rows, see `cohort.where`; empty for all. variables:
    declarations by column, completed from the sites' dictionaries at submit. min_sites: how many sites must answer,
    None for the default of 3 (in the testbed 1). stragglers: "wait", "abort", or seconds after which a silent site is
    dropped. missing: "complete" (rows complete in every column named); "by analysis" is refused in this version.
    aggregation: "clear", "masked" or "auto", which is decided at submit from `expected` and the sites' published
    policies. expected: how many persons a site may have. mitigation: changes that were made so that the analysis may
    pass; written when an offer is accepted.
    """

    table: str
    analyses: Mapping[str, Statistic]
    title: str = ""
    purpose: str = ""
    where: str = ""
    variables: Mapping[str, Variable] = field(default_factory=dict)
    min_sites: int | None = None
    stragglers: str | int = "wait"
    missing: str = "complete"
    aggregation: str = "auto"
    expected: int | None = None
    mitigation: tuple[Change, ...] = ()

    def __post_init__(self) -> None:
        clean: dict[str, Any] = {
            "table": _table(self.table),
            "analyses": MappingProxyType(_analyses(self.analyses)),
            "title": documents.clean(self.title, "title", LONGEST_TITLE).strip(),
            "purpose": canonical_purpose(documents.clean(self.purpose, "purpose", 40)) if self.purpose else "",
            "where": parse_where(self.where).render() if self.where else "",
            "variables": MappingProxyType(_variables(self.variables)),
            "min_sites": None if self.min_sites is None else _count(self.min_sites, "min_sites", MOST_SITES),
            "stragglers": _stragglers(self.stragglers),
            "missing": _choice(self.missing, MISSING, "missing"),
            "aggregation": _choice(self.aggregation, AGGREGATION, "aggregation"),
            "expected": None if self.expected is None else _count(self.expected, "expected", MOST_EXPECTED),
            "mitigation": _mitigation(self.mitigation),
        }
        for name, value in clean.items():
            object.__setattr__(self, name, value)
        self.canonical()  # a plan that has no canonical form is no plan

    @property
    def condition(self) -> Where | None:
        """The tree of `where`, None for all rows."""
        return parse_where(self.where) if self.where else None

    @property
    def least_sites(self) -> int:
        """How many sites must answer."""
        return DEFAULT_MIN_SITES if self.min_sites is None else self.min_sites

    @property
    def shows_sites(self) -> str:
        """The first analysis that only clear plans have, as one of single sites' estimates; or empty."""
        return next((name for name, one in self.analyses.items() if clear_only(one)), "")

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that `where` and the analyses name, sorted, without `site`."""
        used = {name for statistic in self.analyses.values() for name in statistic.variables()}
        return tuple(sorted((used | set(self.condition.names if self.condition else ())) - {SITE}))

    @property
    def incomplete(self) -> tuple[str, ...]:
        """The columns in which a row need not be complete, since every analysis that names them fills them in."""
        return incomplete_of(self.analyses)

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the canonical bytes: one plan, one hash, from Python, YAML or JSON."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def canonical(self) -> bytes:
        """The canonical JSON of `to_dict` (RFC 8785)."""
        try:
            return rfc8785.dumps(self.to_dict())
        except (rfc8785.CanonicalizationError, RecursionError) as error:
            raise PlanError(
                "The plan holds a value that has no canonical form.",
                remedy="Use texts, finite numbers, true, false and lists only.",
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """The plan as a document of plain data; words at their default are left out."""
        document: dict[str, Any] = {
            "title": self.title,
            "purpose": self.purpose,
            "table": self.table,
            "where": self.where,
        }
        document["variables"] = {name: variable_to_dict(variable) for name, variable in self.variables.items()}
        document["analyses"] = {name: {value.name: value.arguments()} for name, value in self.analyses.items()}
        for word in ("min_sites", "stragglers", "missing", "aggregation", "expected"):
            document[word] = getattr(self, word)
        document["mitigation"] = [change.to_dict() for change in self.mitigation]
        return {word: value for word, value in document.items() if word not in _DEFAULTS or value != _DEFAULTS[word]}

    @classmethod
    def from_dict(cls, document: Any) -> Plan:
        """Read a document of `to_dict`'s form; unknown words and wrong types raise PlanError naming the field."""
        words = dict(documents.mapping(document, [entry.name for entry in dataclasses.fields(cls)], ""))
        for word in ("table", "analyses"):
            if words.get(word) is None:
                raise PlanError("This is missing.", remedy=f"Add `{word}:` to the plan.", field=word)
        words = {word: value for word, value in words.items() if value is not None}
        declared, analyses = words.get("variables", {}), words["analyses"]
        for word, value in (("variables", declared), ("analyses", analyses)):
            if not isinstance(value, Mapping):
                raise PlanError("A mapping of names is expected.", remedy="Write `name: …` lines.", field=word)
        words["variables"] = {name: variable_from_dict(value, f"variables.{name}") for name, value in declared.items()}
        words["analyses"] = {name: _statistic(value, f"analyses.{name}") for name, value in analyses.items()}
        words["mitigation"] = _changes(words.get("mitigation", []))
        return cls(**words)

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan from a file of YAML or JSON."""
        return cls.from_dict(documents.read(Path(path)))

    def save(self, path: str | Path) -> None:
        """Write the plan as YAML."""
        Path(path).write_text(documents.write(self.to_dict()), encoding="utf-8")

    def replace(self, **changes: Any) -> Plan:
        """A plan that differs in the words given."""
        documents.mapping(changes, [entry.name for entry in dataclasses.fields(self)], "")
        return dataclasses.replace(self, **changes)

    def check_supported(self) -> None:
        """Raise PlanError where a plan asks for what this version cannot do."""
        if self.missing == "by analysis":
            reason = REASONS["missing by analysis"]
            raise PlanError(reason.sentence, remedy=reason.remedy, field="missing")
        if self.aggregation == "masked" and (name := self.shows_sites):
            reason = REASONS[clear_only(self.analyses[name])]
            raise PlanError(reason.sentence, remedy=reason.remedy, field=f"analyses.{name}")

    def check_for_submit(self) -> None:
        """Raise PlanError where a draft lacks what a submission needs: a purpose, and every column declared."""
        self.check_supported()
        if not self.purpose:
            raise PlanError(
                "A study needs a purpose.",
                remedy="Add `purpose:`, e.g. HMB (health, medical or biomedical research).",
                field="purpose",
            )
        self.check_declared()

    def check_declared(self) -> None:
        """Raise PlanError where a column that the plan names has no declaration."""
        for name in self.names:
            if name not in self.variables:
                raise PlanError(
                    f"`{name}` is not declared.",
                    remedy=did_you_mean(name, self.variables)
                    or "Declare it, or complete the plan from the dictionaries.",
                    field=f"variables.{name}",
                )


_DEFAULTS: dict[str, Any] = {
    entry.name: entry.default for entry in dataclasses.fields(Plan) if entry.default is not dataclasses.MISSING
} | {"variables": {}, "mitigation": []}


def _table(name: object) -> str:
    if not isinstance(name, str) or not TABLE.fullmatch(name):
        raise PlanError("This is no name of a table.", remedy="Use letters, digits, `_` and `-`.", field="table")
    return name


def _analyses(analyses: Mapping[str, Statistic]) -> dict[str, Statistic]:
    if not isinstance(analyses, Mapping) or not 1 <= len(analyses) <= MOST_ANALYSES:
        raise PlanError(
            f"A plan has 1 to {MOST_ANALYSES} analyses.", remedy="Write `name: …` for each.", field="analyses"
        )
    for name, statistic in analyses.items():
        if not isinstance(name, str) or not ANALYSIS.fullmatch(name):
            raise PlanError(
                f"`{str(name)[:40]}` is no name of an analysis.",
                remedy="Use a small letter, then small letters, digits and `_`, at most 40.",
                field="analyses",
            )
        if getattr(statistic, "name", None) not in catalogue.NAMES or not hasattr(statistic, "arguments"):
            raise PlanError(
                "This is no statistic.", remedy="Use e.g. `glm(…)` or `count(…)`.", field=f"analyses.{name}"
            )
    _one_population(analyses)
    return dict(analyses)


def incomplete_of(analyses: Mapping[str, Statistic]) -> tuple[str, ...]:
    """The columns whose missing values an analysis fills in."""
    return tuple(sorted({name for statistic in analyses.values() for name in getattr(statistic, "incomplete", ())}))


def _one_population(analyses: Mapping[str, Statistic]) -> None:
    """Where one analysis fills a column in, none may need it complete: they are all of the same rows."""
    for column in incomplete_of(analyses):
        for name, statistic in analyses.items():
            if column in statistic.variables() and column not in getattr(statistic, "incomplete", ()):
                raise PlanError(
                    f"`{column}` is filled in by another analysis of this plan, and this one needs it complete.",
                    remedy="Fill it in here too, or ask in a plan of its own: a plan has one population.",
                    field=f"analyses.{name}",
                )


def _statistic(document: Any, field: str) -> Statistic:
    if not isinstance(document, Mapping) or len(document) != 1:
        raise PlanError("An analysis is one statistic.", remedy="Write e.g. `glm: {formula: …}`.", field=field)
    ((kind, arguments),) = document.items()
    return catalogue.make(kind, {} if arguments is None else arguments, field)


def _variables(variables: Mapping[str, object]) -> dict[str, Variable]:
    """Declarations by column; a mapping of words is read as in a file."""
    if not isinstance(variables, Mapping) or len(variables) > MOST_VARIABLES:
        raise PlanError(f"A plan has at most {MOST_VARIABLES} variables.", remedy="Name fewer.", field="variables")
    declared: dict[str, Variable] = {}
    for name, said in variables.items():
        place = f"variables.{str(name)[:40]}"
        variable = variable_from_dict(said, place) if isinstance(said, Mapping) else said
        if not name or documents.clean(name, "variables", LONGEST_NAME) != name:
            raise PlanError("This is no name of a column.", remedy="Write it as the sites publish it.", field=place)
        if name == SITE:
            raise PlanError("`site` is reserved and always there.", remedy="Leave it out.", field=place)
        if not isinstance(variable, Variable):
            remedy = 'Write e.g. `sojourn.Variable(kind="number", low=50, high=300)`.'
            raise PlanError("This is no variable.", remedy=remedy, field=place)
        for label in (*variable.levels, *(level for level, _ in variable.merge), variable.unit):
            if documents.clean(label, place, LONGEST_NAME) != label:
                raise PlanError(
                    "A label is not in Unicode's NFC form.", remedy="Ask the custodian to mend it.", field=place
                )
        declared[name] = variable_from_dict(variable_to_dict(variable), place)
    return declared


def _changes(documents: object) -> tuple[Change, ...]:
    if not isinstance(documents, list | tuple):
        raise PlanError("A list of changes is expected.", remedy="Leave `mitigation` out.", field="mitigation")
    return tuple(change_from_dict(document, f"mitigation[{i}]") for i, document in enumerate(documents))


def _mitigation(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """The changes as they are read again from their documents; every text in them is clean."""
    if len(changes) > MOST_CHANGES:
        raise PlanError(f"A plan has at most {MOST_CHANGES} changes.", remedy="Write a new plan.", field="mitigation")
    for change in changes:
        documents.clean(change.done.replace("`", ""), "mitigation", 10_000)
    return _changes([change.to_dict() for change in changes])


def _count(number: object, field: str, most: int) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
        raise PlanError(
            f"A whole number from 1 to {most} is expected.", remedy=f"Write e.g. `{field}: 3`.", field=field
        )
    return number


def _stragglers(value: object) -> str | int:
    if isinstance(value, str):
        return _choice(value, STRAGGLERS, "stragglers")
    return _count(value, "stragglers", LONGEST_WAIT)


def _choice(value: object, words: tuple[str, ...], field: str) -> str:
    if not isinstance(value, str) or value not in words:
        remedy = f"Use one of: {', '.join(words)}."
        raise PlanError(f"`{str(value)[:40]}` is not one of the known words.", remedy=remedy, field=field)
    return value
