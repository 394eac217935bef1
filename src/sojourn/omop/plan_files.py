"""The sources of a plan: which files or tables of a database they are, and how dates are written in them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
Text = Annotated[str, Field(min_length=1, max_length=400)]
Names = Annotated[tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)]


class Strict(BaseModel):
    """No word that is not known, no value of another kind, and nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class DateForm(Strict):
    """How dates of a file are written. form: in the words of strptime. zone: whose clock it is, where it tells a time.

    answered: who of the data's owner said so, and when; a form is never guessed.
    """

    form: Annotated[str, Field(pattern=r"%")]
    zone: str = ""
    answered: Text

    @property
    def timed(self) -> bool:
        """Whether it tells a time of day."""
        return any(f"%{letter}" in self.form for letter in "HIMSfpzgn")

    @property
    def offset(self) -> bool:
        """Whether each value tells its own offset from UTC."""
        return "%z" in self.form

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "%y" in self.form:
            raise ValueError("a year of two digits names no century; ask the owner, and have them written with four")
        if not all(f"%{letter}" in self.form for letter in "Yd") or not any(f"%{m}" in self.form for m in "mbB"):
            raise ValueError("a form needs year (%Y), month (%m, %b or %B) and day (%d)")
        if self.timed and not self.offset and self.zone not in available_timezones():
            raise ValueError(
                "it tells a time of day: ask the owner whose clock it is, and name a zone, e.g. Europe/Rome"
            )
        return self


class Span(Strict):
    """The days between which a date is plausible."""

    earliest: date
    latest: date


class File(Strict):
    """One source of the export. path: a file, or several that are one table: a pattern with `*` and `?`, or a list.

    database, table: in place of a path, a table or view (`TABLE`, `SCHEMA.TABLE`) of a database that the site's
    settings name. key: columns that name a row. person: the column that names the person of a row.
    """

    path: Names = ()
    database: Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]{0,40})?$")] = ""
    table: Annotated[str, Field(pattern=r"^([^.\x00]+(\.[^.\x00]+)?)?$", max_length=200)] = ""
    key: Names = ()
    person: str = ""
    delimiter: Literal[",", ";", "\t", "|"] = ","
    encoding: Literal["utf-8", "cp1252", "latin-1", "utf-16"] = "utf-8"
    missing: tuple[str, ...] = ("",)

    @property
    def several(self) -> bool:
        """Whether it may be more than one file; by the plan alone, however many there are today."""
        return len(self.path) > 1 or any(is_pattern(each) for each in self.path)

    @property
    def by_place(self) -> bool:
        """Whether its rows are numbered by their places, and by no hash."""
        return not self.key and not self.several

    @property
    def said(self) -> str:
        """Where its rows come from, for readers."""
        return f"{self.database}: {self.table}" if self.database else ", ".join(self.path)

    @model_serializer(mode="wrap")
    def _as_written(self, serialized: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Only the words of its kind, one path as a text: plans that name one file keep digest and signatures."""
        words: dict[str, Any] = serialized(self)
        if self.database:
            return {word: value for word, value in words.items() if word != "path"}
        path = self.path[0] if len(self.path) == 1 else self.path
        return {word: value for word, value in words.items() if word not in ("database", "table")} | {"path": path}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.database) != bool(self.table) or bool(self.database) == bool(self.path):
            raise ValueError("give `path`, or `database` and `table`")
        if self.database and (self.delimiter, self.encoding) != (",", "utf-8"):
            raise ValueError("`delimiter` and `encoding` belong to files, not to a database's tables")
        if wrong := [each for each in self.path if not 0 < len(each) <= 400 or "**" in each]:
            raise ValueError(f"`path` is a short text, in which `*` is any part of one name; not `{wrong[0][:40]}`")
        return self


def is_pattern(path: str) -> bool:
    """Whether a path stands for all files that look so."""
    return "*" in path or "?" in path
