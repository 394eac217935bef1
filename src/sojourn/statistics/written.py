"""What analysts write in Python, as it stands in a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def given(**arguments: Any) -> dict[str, Any]:
    return {word: value for word, value in arguments.items() if value is not None}


def several(names: Any) -> Any:
    """One name as it is, several as a list; anything else goes on to the check of types."""
    return list(names) if isinstance(names, Iterable) and not isinstance(names, str | Mapping) else names


def listed(names: Any) -> Any:
    """One name or several as a list."""
    return [names] if isinstance(names, str) else several(names)


def number(value: Any) -> Any:
    """NumPy's and other numbers as plain ones."""
    return value.item() if hasattr(value, "item") else value


def numbers(values: Any) -> Any:
    """NumPy's and other numbers as plain ones; anything else goes on to the check of types."""
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        return values
    return [value.item() if hasattr(value, "item") else value for value in values]
