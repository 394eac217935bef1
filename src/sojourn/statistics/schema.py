"""The few words of JSON Schema that statistics use for their arguments, with errors that name field and remedy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sojourn.analysis.suggestion import did_you_mean
from sojourn.errors import PlanError

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (Mapping,),
    "array": (list, tuple),
    "string": (str,),
    "number": (int, float),
    "null": (type(None),),
    "boolean": (bool,),
}
_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "number": "a number",
    "null": "nothing",
    "boolean": "true or false",
}


def conform(value: object, schema: Mapping[str, Any], field: str) -> None:
    """PlanError at the place where `value` does not fit `schema`."""
    if "anyOf" in schema:
        choices = schema["anyOf"]
        fitting = [choice for choice in choices if _is(value, choice.get("type", "string"))]
        if not fitting:
            kinds = " or ".join(_WORDS[choice.get("type", "string")] for choice in choices)
            raise PlanError("This has the wrong type.", remedy=f"Give {kinds}.", field=field)
        conform(value, fitting[0], field)
        return
    if "enum" in schema:
        _choice(value, schema["enum"], field)
        return
    if not _is(value, schema["type"]):
        raise PlanError("This has the wrong type.", remedy=f"Give {_WORDS[schema['type']]}.", field=field)
    if isinstance(value, Mapping):
        _members(value, schema, field)
    elif isinstance(value, list | tuple):
        _items(value, schema, field)
    elif isinstance(value, str) and not schema.get("minLength", 0) <= len(value) <= schema["maxLength"]:
        remedy = f"Write 1 to {schema['maxLength']} characters."
        raise PlanError("The text is empty or too long.", remedy=remedy, field=field)


def _is(value: object, kind: str) -> bool:
    if kind == "number" and (isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value))):
        return False
    return isinstance(value, _TYPES[kind])


def _choice(value: object, choices: list[str], field: str) -> None:
    if not isinstance(value, str) or value not in choices:
        nearest = did_you_mean(value, choices) if isinstance(value, str) else ""
        remedy = nearest or f"Use one of: {', '.join(choices)}."
        raise PlanError("This is not one of the known words.", remedy=remedy, field=field)


def _members(value: Mapping[Any, Any], schema: Mapping[str, Any], field: str) -> None:
    known, rest = schema["properties"], schema.get("additionalProperties")
    for word in value:
        if isinstance(word, str) and isinstance(rest, Mapping):
            conform(value[word], known.get(word, rest), f"{field}.{word[:40]}")
        elif word not in known:
            remedy = did_you_mean(str(word), known) or f"Use only: {', '.join(sorted(known))}."
            raise PlanError(f"Unknown word `{str(word)[:40]}`.", remedy=remedy, field=field)
    for word in schema.get("required", ()):
        if word not in value:
            raise PlanError(f"`{word}` is missing.", remedy=f"Give `{word}`.", field=field)
    for word, member in value.items():
        if word in known:
            conform(member, known[word], f"{field}.{word}")


def _items(value: list[Any] | tuple[Any, ...], schema: Mapping[str, Any], field: str) -> None:
    least, most = schema["minItems"], schema["maxItems"]
    if not least <= len(value) <= most:
        remedy = f"Give {least} to {most}." if least else f"Give at most {most}."
        raise PlanError(f"The list has {len(value)} entries.", remedy=remedy, field=field)
    for position, item in enumerate(value):
        conform(item, schema["items"], f"{field}[{position}]")
    if schema.get("uniqueItems") and len(set(value)) != len(value):
        raise PlanError("An entry is there twice.", remedy="Give each one once.", field=field)
