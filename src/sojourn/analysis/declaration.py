"""A variable in its document form: the same few words in plans, dictionaries and messages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sojourn.analysis.variable import Kind, Variable
from sojourn.errors import PlanError

_WORDS = ("kind", "levels", "low", "high", "unit", "harmless", "sensitive", "merge")
LONGEST_LABEL = 80


def variable_to_dict(variable: Variable) -> dict[str, Any]:
    """The canonical document of a variable; words that say nothing are left out."""
    document: dict[str, Any] = {"kind": variable.kind.value}
    for word in ("levels", "harmless", "sensitive"):
        if labels := getattr(variable, word):
            document[word] = list(labels)
    for word in ("low", "high"):
        if (bound := getattr(variable, word)) is not None:
            document[word] = float(bound)
    if variable.merge:
        document["merge"] = {level: list(parts) for level, parts in variable.merge}
    if variable.unit:
        document["unit"] = variable.unit
    return document


def variable_from_dict(document: object, field: str) -> Variable:
    """Read `variable_to_dict`'s form. Unknown words, repeated levels and crossed bounds raise PlanError at `field`."""
    if not isinstance(document, Mapping):
        raise _error("A variable is a mapping of words.", f"Write `{{kind: …}}` with {', '.join(_WORDS)}.", field)
    if unknown := sorted(str(word) for word in document if word not in _WORDS):
        raise _error(f"Unknown word `{unknown[0][:40]}`.", f"Use only {', '.join(_WORDS)}.", field)
    kind = _kind(document.get("kind"), field)
    levels = _labels(document, "levels", field)
    low, high = _bound(document, "low", field), _bound(document, "high", field)
    unit = document.get("unit", "")
    if not isinstance(unit, str) or len(unit) > LONGEST_LABEL:
        raise _error("A unit is a short text.", "Write e.g. `unit: mmol/L`.", f"{field}.unit")
    harmless, sensitive = _labels(document, "harmless", field), _labels(document, "sensitive", field)
    if kind is not Kind.NUMBER and (low is not None or high is not None or unit):
        raise _error("Only a number has bounds and a unit.", "Remove `low`, `high` and `unit`.", field)
    merge = _merge(document.get("merge", {}), levels, f"{field}.merge")
    if kind is not Kind.CATEGORY and (levels or harmless or sensitive or merge):
        raise _error("Only a category has levels.", "Remove `levels`, `harmless`, `sensitive` and `merge`.", field)
    if low is not None and high is not None and low > high:
        raise _error("The lower bound is above the upper.", "Exchange `low` and `high`.", field)
    if not set(harmless) | set(sensitive) <= set(levels):
        raise _error(
            "`harmless` or `sensitive` names a level that is not declared.",
            "Declare it in `levels`, or remove it.",
            field,
        )
    return Variable(kind, levels, low, high, unit, harmless, sensitive, merge)


def _kind(word: object, field: str) -> Kind:
    try:
        return Kind(word)  # type: ignore[arg-type]
    except ValueError as error:
        kinds = ", ".join(kind.value for kind in Kind)
        raise _error("A variable needs a kind.", f"Write one of: {kinds}.", f"{field}.kind") from error


def _labels(document: Mapping[Any, Any], word: str, field: str) -> tuple[str, ...]:
    labels = document.get(word, ())
    place = f"{field}.{word}"
    if not isinstance(labels, list | tuple) or not all(isinstance(label, str) for label in labels):
        raise _error("Levels are a list of texts.", "Put quotation marks around each level.", place)
    if any(not label or len(label) > LONGEST_LABEL for label in labels):
        raise _error(f"A level has 1 to {LONGEST_LABEL} characters.", "Shorten the label.", place)
    if len(set(labels)) != len(labels):
        raise _error("A level is there twice.", "Remove the second one.", place)
    return tuple(labels)


def _merge(document: object, levels: tuple[str, ...], field: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """New levels with their parts, in the order of the declared levels, where they are declared already."""
    if not isinstance(document, Mapping) or not all(isinstance(level, str) for level in document):
        raise _error("`merge` is a mapping of new levels.", "Write e.g. `merge: {other: [c, d]}`.", field)
    places = {level: place for place, level in enumerate(levels)}
    new: list[tuple[str, tuple[str, ...]]] = []
    for level in _labels({"merge": list(document)}, "merge", field):
        parts = _labels(document, level, field)
        if len(parts) < 2:
            raise _error("A merge takes two levels or more.", "Name at least two, or leave it out.", f"{field}.{level}")
        new.append((level, tuple(sorted(parts, key=lambda part: (places.get(part, 0), part)))))
    taken = [part for _, parts in new for part in parts]
    if len(set(taken)) != len(taken):
        raise _error("A level is merged twice.", "Name each level in one merge only.", field)
    if levels and not set(taken) <= set(levels):
        raise _error("`merge` names a level that is not declared.", "Name levels of `levels`.", field)
    if set(document) & (set(levels) - set(taken)):
        raise _error("A merged level has the name of another level.", "Choose another name for it.", field)
    return tuple(sorted(new, key=lambda pair: (places.get(pair[1][0], 0), pair)))


def _bound(document: Mapping[Any, Any], word: str, field: str) -> float | None:
    bound = document.get(word)
    if bound is None:
        return None
    if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound):
        raise _error("A bound is a finite number.", f"Write e.g. `{word}: 0`.", f"{field}.{word}")
    return float(bound) + 0.0  # turns -0.0 into 0.0


def _error(message: str, remedy: str, field: str) -> PlanError:
    return PlanError(message, remedy=remedy, field=field)
