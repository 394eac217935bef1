"""The plan of a harmonisation: one YAML document a source, strict, that people read, compare and sign."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from datetime import date
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

import rfc8785
import yaml
from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from sojourn.errors import HarmonisationError
from sojourn.omop.open_places import demand_closed
from sojourn.omop.plan_files import DateForm, File, Names, Span, Strict, Text, Word
from sojourn.omop.tables import BY_DOMAIN, MADE, TABLES
from sojourn.omop.units_spelling import ucum

DOMAIN = "by domain"
Constant = int | float | str
_KINDS = ("column", "constant", "expression", "values", "concept", "date", "year", "month", "day", "id", "pseudonym")
_PARTS = ("date", "year", "month", "day")


class About(Strict):
    """What `cdm_source` says of the data. released: the day of the export, as its owner says."""

    name: Text
    abbreviation: Annotated[str, Field(min_length=1, max_length=25)]
    holder: Text
    released: date
    description: str = ""
    documentation: str = ""


class Systems(Strict):
    """The vocabulary by a column. names: what the file calls each vocabulary, and what the vocabulary's table does."""

    of: str
    names: Annotated[dict[str, Text], Field(min_length=1)]


class Code(Strict):
    """A column that names a concept. vocabulary: as the vocabulary's own table names it, or by another column."""

    code: str
    vocabulary: Text | Systems

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.code, self.vocabulary.of) if isinstance(self.vocabulary, Systems) else (self.code,)


class Medicine(Strict):
    """Columns that tell a medicine by its name, where there is no code; strength and form where the name lacks them."""

    name: str
    strength: str = ""
    form: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return tuple(each for each in (self.name, self.strength, self.form) if each)


def _one_alone(given: Any) -> Any:
    """A list of one name is that name: the same plan has one version."""
    return given[0] if isinstance(given, list | tuple) and len(given) == 1 else given


class Filling(Strict):
    """How one field is filled: exactly one of the kinds.

    column: as it stands. constant: the same for all. expression: of the file's columns, see `expression`.
    values, of: what each value of a column becomes; otherwise: what others become, or `quarantine`; default 0 for a
    concept, else quarantine. concept: the standard concept of a code. date, year, month, day (form): of the first of
    these columns that is not empty, by the first of the forms that reads it. id (of): the number of the
    row of a table that these columns name. pseudonym: a keyed hash of a column, which only the custodian's key can make
    again. why: for readers.
    """

    column: str | None = None
    constant: Constant | None = None
    expression: str | None = None
    values: dict[str, Constant] | None = None
    of: Names = ()
    otherwise: Constant | None = None
    concept: Code | None = None
    date: Names = ()
    year: Names = ()
    month: Names = ()
    day: Names = ()
    form: Annotated[str | tuple[str, ...], BeforeValidator(_one_alone)] = ""
    id: str | None = None
    pseudonym: str | None = None
    why: str = ""

    @property
    def kind(self) -> str:
        """Which of the kinds it is."""
        return next(kind for kind in _KINDS if getattr(self, kind) not in (None, ()))

    @property
    def moment(self) -> tuple[str, ...]:
        """The columns of a date, year, month or day."""
        return self.date or self.year or self.month or self.day

    @property
    def forms(self) -> tuple[str, ...]:
        """The names of the forms that are tried, in order."""
        return ((self.form,) if self.form else ()) if isinstance(self.form, str) else self.form

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [kind for kind in _KINDS if getattr(self, kind) not in (None, ())]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(_KINDS)}")
        if (given[0] in _PARTS) != bool(self.form):
            raise ValueError("`form` names a form of `dates`; it belongs to date, year, month and day")
        if (given[0] in ("values", "id")) != bool(self.of):
            raise ValueError("`of` names columns; it belongs to `values` and `id`")
        if self.otherwise is not None and given[0] != "values":
            raise ValueError("`otherwise` belongs to `values`")
        return self


def _short(given: Any) -> Any:
    """`FIELD: COLUMN` and `FIELD: 0` in place of a mapping with one word."""
    if isinstance(given, str):
        return {"column": given}
    return {"constant": given} if isinstance(given, int | float) and not isinstance(given, bool) else given


class Decided(Strict):
    """Who decided on a rule, when, and why."""

    by: Text
    day: date
    why: str = ""


class Decision(Decided):
    """What people decided of one code: the standard concepts that it becomes, before any `Maps to`."""

    vocabulary: Text
    code: Text
    concepts: Annotated[tuple[int, ...], Field(min_length=1)]


class Result(Strict):
    """A measured value as the file writes it. unit: its column, empty where values carry their own. decimal: the sign
    before decimals, as the data's owner says. units: by LOINC code, the UCUM unit that its values are converted to.
    """

    value: str
    decimal: Literal[".", ","]
    unit: str = ""
    units: dict[str, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if wrong := [unit for unit in self.units.values() if ucum(unit) is None]:
            raise ValueError(f"`units` names `{wrong[0]}`, which is no unit of UCUM; e.g. mmol/L")
        return self


class Rule(Strict):
    """From a file's rows to rows of a table.

    to: a table, or `by domain`: the vocabulary's domain of each code's concept picks the table. otherwise: the table
    of codes without a concept. tables: what the domain may pick; default: all. where: an expression; other rows are
    left out, and counted. concept: the code that says what happened; or medicine: the name that does. result: a
    measured value. fields: by column, or by the words that all events share: start, end, type, visit, provider, …;
    `TABLE.COLUMN` for one table alone.
    """

    file: str
    to: str
    decided: Decided
    otherwise: str = ""
    tables: tuple[str, ...] = ()
    where: str = ""
    concept: Code | None = None
    medicine: Medicine | None = None
    result: Result | None = None
    fields: dict[str, Annotated[Filling, BeforeValidator(_short)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.to != DOMAIN and (self.to not in TABLES or self.to in MADE):
            raise ValueError(f"`to` is `{DOMAIN}` or a table of the model that rules may fill; not `{self.to}`")
        if (self.to == DOMAIN) != bool(self.otherwise) or (self.to == DOMAIN and self.concept is None):
            raise ValueError(f"`to: {DOMAIN}` needs `concept`, and `otherwise`: the table of codes without a concept")
        routes = (*self.tables, *((self.otherwise,) if self.otherwise else ()))
        if self.medicine and (self.concept or self.to != "drug_exposure"):
            raise ValueError("`medicine` belongs to rules with `to: drug_exposure` and without `concept`")
        if self.result and not any(TABLES[table].has("value_as_number") for table in self.targets):
            raise ValueError("`result` belongs to rules that fill measurement or observation")
        if self.result and self.result.units and (self.concept is None or self.concept.vocabulary != "LOINC"):
            raise ValueError("`result.units` needs a `concept` whose vocabulary is LOINC, by which analytes are known")
        if wrong := [table for table in routes if table not in BY_DOMAIN.values()]:
            raise ValueError(f"no domain picks `{wrong[0]}`; choose of {', '.join(BY_DOMAIN.values())}")
        return self

    @property
    def coded(self) -> bool:
        """Whether a table of codes or names says what each row is: one of them may be several rows."""
        return self.concept is not None or self.medicine is not None

    @property
    def targets(self) -> tuple[str, ...]:
        """The tables that it may fill."""
        if self.to != DOMAIN:
            return (self.to,)
        return tuple(dict.fromkeys((*(self.tables or BY_DOMAIN.values()), self.otherwise)))


class Periods(Strict):
    """Observation periods as the span of a person's rows in these tables."""

    tables: Annotated[tuple[str, ...], Field(min_length=1)]
    type: int
    decided: Decided


class Eras(Strict):
    """Days without a new row after which an era ends."""

    condition_gap: Annotated[int, Field(ge=0)] = 30
    drug_gap: Annotated[int, Field(ge=0)] = 30


class Plan(Strict):
    """The whole document. time_zone: whose clock the tables' times are told by. vocabulary: the version expected."""

    source: Word
    about: About
    time_zone: str
    span: Span
    dates: dict[Word, DateForm]
    files: Annotated[dict[Word, File], Field(min_length=1)]
    rules: Annotated[dict[Word, Rule], Field(min_length=1)]
    decisions: tuple[Decision, ...] = ()
    observation_period: Periods | None = None
    eras: Eras = Eras()
    vocabulary: str = ""
    quarantine_at_most: Annotated[float, Field(ge=0, le=1)] = 0.05

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.time_zone not in available_timezones():
            raise ValueError("`time_zone` is no zone; e.g. Europe/Rome")
        if "derived" in self.rules:
            raise ValueError("a rule cannot be called `derived`: that is what no rule fills")
        for name, rule in self.rules.items():
            if rule.file not in self.files:
                raise ValueError(f"rule `{name}` reads a file `{rule.file}` that is not under `files`")
            for field, filling in rule.fields.items():
                self._demand_forms(f"`rules.{name}.fields.{field}`", filling)
        return self

    def _demand_forms(self, place: str, filling: Filling) -> None:
        if unknown := [form for form in filling.forms if form not in self.dates]:
            raise ValueError(f"{place}: `dates` has no form `{unknown[0]}`")
        forms = self.forms_of(filling)
        if len({form.form for form in forms}) < len(forms):
            raise ValueError(f"{place}: `form` lists one form twice")
        if len({(form.timed, form.offset, form.timed and form.zone) for form in forms}) > 1:
            raise ValueError(f"{place}: forms of one list tell all a day alone, or all a time by one zone's clock")

    def forms_of(self, filling: Filling) -> tuple[DateForm, ...]:
        """The forms that a filling tries, in order; they tell all a day alone, or all a time by one clock."""
        return tuple(self.dates[name] for name in filling.forms)

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical document: the plan's version."""
        document = self.model_dump(mode="json")
        for rule in document["rules"].values():
            if rule["medicine"] is None:  # so that plans from before this word keep their version
                del rule["medicine"]
        return hashlib.sha256(rfc8785.dumps(document)).hexdigest()

    @classmethod
    def from_yaml(cls, text: str) -> Plan:
        """Read the document; HarmonisationError for anything that is not as it must be, with its place."""
        try:
            document = yaml.load(text, Loader=_StrictLoader)  # a SafeLoader: it makes plain data only
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = f" (line {mark.line + 1})" if mark else ""
            raise HarmonisationError(
                f"The plan is not sound YAML{place}.", remedy="Mend that line; a word may stand there twice."
            ) from None
        if not isinstance(document, Mapping):
            raise HarmonisationError("The plan is no document of words.", remedy="See docs/reference/harmonisation.md.")
        demand_closed(document)
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise HarmonisationError(
                "The plan is not as it must be: " + "; ".join(_fault(fault) for fault in error.errors()[:5]) + ".",
                remedy="Mend these places; docs/reference/harmonisation.md has every word.",
            ) from None


def _fault(fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "the document"
    if fault["type"] == "extra_forbidden":
        return f"`{place}` is no word of a plan"
    return f"`{place}`: {fault['msg'].removeprefix('Value error, ')}"


class _StrictLoader(yaml.SafeLoader):
    """Keys are the texts that stand there (`no` is no falsehood, `1` no number); one that stands twice is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        found: dict[Hashable, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in found or key.value == "<<":
                raise yaml.constructor.ConstructorError(None, None, "a word stands twice", key.start_mark)
            found[key.value] = self.construct_object(value, deep=True)
        return found
