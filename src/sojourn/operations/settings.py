"""Settings as code: dataclasses whose fields carry type, default, meaning, unit and example, kept in YAML files."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from sojourn.analysis.suggestion import did_you_mean
from sojourn.errors import ConfigurationError

Home = TypeVar("Home")
NOUNS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}


def setting(meaning: str, *, example: Any, default: Any = MISSING, unit: str = "", always_written: bool = False) -> Any:
    """A field of a class of settings.

    default: an immutable value, or a class that makes an empty one; without it the file must hold the setting.
    unit: of a number, e.g. `s`. always_written: the file shows it even where it stands at its default.
    """
    said = {"meaning": meaning, "example": example, "unit": unit, "always_written": always_written}
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=said)
    return dataclasses.field(default=default, metadata=said)


@dataclass(frozen=True)
class Setting:
    """One setting of a class, as its file and the manual show it. default: MISSING where the file must hold it."""

    name: str
    kind: Any
    default: Any
    meaning: str
    unit: str
    example: Any
    always_written: bool

    @property
    def required(self) -> bool:
        """Whether the file must hold it."""
        return self.default is MISSING

    @property
    def described(self) -> str:
        """Its type in words, e.g. `a whole number from 1`."""
        return describe(self.kind)

    def check(self, value: Any, place: str) -> Any:
        """The value as the program uses it; ConfigurationError that names the setting and never the value."""
        try:
            return _adapter(self.kind).validate_python(value)
        except ValidationError:
            pass  # its message quotes the value, which may be a secret
        raise ConfigurationError(
            f"{place}: `{self.name}` is not {self.described}.", remedy=f"Write e.g. `{line(self.name, self.example)}`."
        )


def settings(kind: type[Any]) -> Iterator[Setting]:
    """The settings of a class, in their order; fields that are not made by `setting` are left out."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        if "meaning" in field.metadata:
            default = field.default_factory() if field.default_factory is not MISSING else field.default
            yield Setting(field.name, hints[field.name], default, **field.metadata)


def check(home: Any, file: str) -> None:
    """Judge every setting of a value of such a class; for its `__post_init__`."""
    for each in settings(type(home)):
        object.__setattr__(home, each.name, each.check(getattr(home, each.name), file))


def save(home: Any, path: Path) -> None:
    """Write the settings that have no default, differ from it, or are always shown."""
    document = {
        each.name: _plain(getattr(home, each.name))
        for each in settings(type(home))
        if each.required or each.always_written or getattr(home, each.name) != each.default
    }
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def load(kind: type[Home], path: Path, missing: ConfigurationError, **fixed: Any) -> Home:
    """The settings that the file holds. missing: the error where there is no file. fixed: the other fields.

    ConfigurationError names an unknown word (with the nearest known one), what is missing, or what has a bad value.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise missing from error
    except OSError as error:
        raise ConfigurationError(
            f"{path.name} cannot be read.", remedy="Give this user the right to read it."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError):
        document = None
    if not isinstance(document, dict):  # raised here: YAML's own error would quote the file
        raise ConfigurationError(f"{path.name} is damaged.", remedy="Restore it from your backup.")
    known = {each.name: each for each in settings(kind)}
    for word in document:
        if word not in known:
            remedy = did_you_mean(str(word), known) or "See the manual's page on configuration."
            raise ConfigurationError(f"{path.name}: there is no setting `{str(word)[:60]}`.", remedy=remedy)
    for name, each in known.items():
        if each.required and name not in document:
            remedy = f"Write e.g. `{line(name, each.example)}`."
            raise ConfigurationError(f"{path.name}: `{name}` is missing.", remedy=remedy)
    return kind(**fixed, **document)


def line(name: str, value: Any) -> str:
    """A setting as one line of its file."""
    text = yaml.safe_dump(_plain(value), default_flow_style=True, width=200)
    return f"{name}: {text.splitlines()[0]}"


def describe(kind: Any) -> str:
    """A type in words."""
    origin, words = get_origin(kind), get_args(kind)
    if origin is typing.Annotated:
        said = [limit.description for limit in words[1:] if isinstance(limit, FieldInfo) and limit.description]
        if said:
            return str(said[0])
        return describe(words[0]) + "".join(_bound(limit) for limit in words[1:])
    if origin is Literal:
        return f"one of {', '.join(f'`{word}`' for word in words)}"
    if origin in (Union, types.UnionType):
        return " or ".join(describe(word) for word in words if word is not types.NoneType)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a mapping"
    return NOUNS[kind]


def _bound(limit: FieldInfo) -> str:
    words = {"ge": " from {}", "gt": " above {}", "le": " to {}", "min_length": " that is not empty"}
    return "".join(
        text.format(getattr(each, name))
        for each in limit.metadata
        for name, text in words.items()
        if hasattr(each, name)
    )


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    # strict: `port: "8443"` or `least_sites: true` is a mistake, not a number
    return TypeAdapter(kind, config=ConfigDict(strict=True))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return str(value) if isinstance(value, Path) else value
