"""The tree of a `where`: frozen conditions that render to one canonical text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Literal = float | str | bool


class Condition:
    """What every part of the tree can say of itself."""

    def render(self: Where) -> str:  # type: ignore[misc]
        """Canonical text: `parse(tree.render()) == tree`."""
        return _render(self)

    @property
    def names(self: Where) -> tuple[str, ...]:  # type: ignore[misc]
        """The columns that it names, sorted."""
        return tuple(sorted({leaf.column for leaf in leaves(self)}))


@dataclass(frozen=True)
class Comparison(Condition):
    """`column operator value`, with one of `= != < <= > >=`."""

    column: str
    operator: str
    value: Literal


@dataclass(frozen=True)
class Membership(Condition):
    """`column in (values)`."""

    column: str
    values: tuple[Literal, ...]


@dataclass(frozen=True)
class Between(Condition):
    """`column between low and high`, both included."""

    column: str
    low: float
    high: float


@dataclass(frozen=True)
class IsNull(Condition):
    """`column is null`."""

    column: str


@dataclass(frozen=True)
class Not(Condition):
    """`not part`; unknown stays unknown."""

    part: Where


@dataclass(frozen=True)
class And(Condition):
    """All of two or more parts, none of them an And."""

    parts: tuple[Where, ...]


@dataclass(frozen=True)
class Or(Condition):
    """Any of two or more parts, none of them an Or."""

    parts: tuple[Where, ...]


Leaf = Comparison | Membership | Between | IsNull
Where = Leaf | Not | And | Or


def leaves(tree: Where) -> Iterable[Leaf]:
    """Its conditions, from left to right."""
    match tree:
        case Not(part):
            yield from leaves(part)
        case And(parts) | Or(parts):
            for part in parts:
                yield from leaves(part)
        case _:
            yield tree


def conjunction(parts: Iterable[Where]) -> Where:
    """All of the parts, one level deep."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, And) else (part,))]
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def disjunction(parts: Iterable[Where]) -> Where:
    """Any of the parts, one level deep."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, Or) else (part,))]
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def depth(tree: Where) -> int:
    """How deep its parts are nested; a condition on a column is 1 deep."""
    match tree:
        case Not(part):
            return 1 + depth(part)
        case And(parts) | Or(parts):
            return 1 + max(depth(part) for part in parts)
        case _:
            return 1


def _render(tree: Where) -> str:
    match tree:
        case Comparison(column, operator, value):
            return f"{column} {operator} {_literal(value)}"
        case Membership(column, values):
            return f"{column} in ({', '.join(map(_literal, values))})"
        case Between(column, low, high):
            return f"{column} between {_literal(low)} and {_literal(high)}"
        case IsNull(column):
            return f"{column} is null"
        case Not(Membership(column, values)):
            return f"{column} not in ({', '.join(map(_literal, values))})"
        case Not(IsNull(column)):
            return f"{column} is not null"
        case Not(part):
            return f"not {_grouped(part, And, Or)}"
        case And(parts):
            return " and ".join(_grouped(part, Or) for part in parts)
        case Or(parts):
            return " or ".join(_render(part) for part in parts)


def _grouped(part: Where, *kinds: type) -> str:
    return f"({_render(part)})" if isinstance(part, kinds) else _render(part)


def _literal(value: Literal) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
