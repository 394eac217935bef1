"""When two conditions are one: they select the same rows of every dataset that a dictionary allows.

A condition on declared columns is a function of finitely many regions of each column: the levels of a category, the
points and gaps between the numbers that the condition names, and what is missing. As a reduced ordered decision diagram
over the columns in their order by name, with neighbouring regions of one outcome joined, that function has one form
(R. E. Bryant, IEEE Transactions on Computers 35, 1986), whatever the words. No data are looked at: that two conditions
happen to select the same rows here must not show.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import rfc8785

from sojourn.analysis.variable import Kind, Variable, Variables
from sojourn.cohort.conditions import (
    And,
    Between,
    Comparison,
    IsNull,
    Leaf,
    Membership,
    Not,
    Or,
    Where,
    conjunction,
    leaves,
)

MOST_NODES = 20_000
Known = bool | None  # None: unknown, as SQL's
Outcome = Where | Known
Value = float | str | bool | None  # None: missing
Region = tuple[object, Value]  # where it begins, and a value of it
_NO, _YES = "no", "yes"


class _TooLarge(Exception):
    """A diagram with too many nodes."""


def canonical(condition: Where | None, complete: Iterable[str], variables: Variables) -> str:
    """The SHA-256 (hex) of the rows that satisfy a condition and lack no value of the columns in `complete`.

    variables: the dictionary's. A condition whose diagram is too large keeps its own words, so that it equals itself.
    """
    parts: list[Where] = [Not(IsNull(name)) for name in sorted(set(complete))]
    if condition is not None:
        parts.insert(0, condition)
    if not parts:
        return _digest(_YES)
    whole = conjunction(parts)
    try:
        return _Diagram(whole, variables).root
    except _TooLarge:
        return _digest(["words", whole.render()])


class _Diagram:
    """Built from the first column down; equal remainders of the condition are built once."""

    def __init__(self, condition: Where, variables: Variables) -> None:
        self._columns = condition.names
        self._regions = {name: _regions(name, condition, variables[name]) for name in self._columns}
        self._built: dict[tuple[int, Where], str] = {}
        self.root = self._build(0, condition)

    def _build(self, place: int, rest: Outcome) -> str:
        if rest is True:
            return _digest(_YES)
        if rest is None or rest is False:
            return _digest(_NO)
        if (place, rest) not in self._built:
            if len(self._built) >= MOST_NODES:
                raise _TooLarge
            name = self._columns[place]
            branches: list[tuple[object, str]] = []
            for begins, value in self._regions[name]:
                below = self._build(place + 1, _with(rest, name, value))
                if not branches or branches[-1][1] != below or begins == "missing":
                    branches.append((begins, below))
            self._built[place, rest] = self._node(name, branches)
        return self._built[place, rest]

    def _node(self, name: str, branches: list[tuple[object, str]]) -> str:
        if len({below for _, below in branches}) == 1:
            return branches[0][1]
        return _digest([name, [[begins, below] for begins, below in branches]])


def _regions(name: str, condition: Where, variable: Variable) -> list[Region]:
    """The regions of a column that the condition can tell apart, within what the dictionary declares; the first begins
    wherever the column does."""
    missing: Region = ("missing", None)
    if variable.kind is Kind.BOOLEAN:
        return [("first", False), (True, True), missing]
    if variable.kind is Kind.CATEGORY:
        return [(level, level) if place else ("first", level) for place, level in enumerate(variable.levels)] + [
            missing
        ]
    low = float("-inf") if variable.low is None else variable.low
    high = float("inf") if variable.high is None else variable.high
    points = sorted({number for leaf in leaves(condition) if leaf.column == name for number in _numbers(leaf)})
    found: list[Region] = []
    previous = float("-inf")
    for point in points:
        found += _gap(previous, point, low, high)
        if low <= point <= high:
            found.append(([repr(point), "at"], point))
        previous = point
    found += _gap(previous, float("inf"), low, high)
    return [("first", value) if place == 0 else (begins, value) for place, (begins, value) in enumerate(found)] + [
        missing
    ]


def _gap(after: float, before: float, low: float, high: float) -> list[Region]:
    """The open interval between two numbers, if it holds one that the dictionary allows."""
    start, end = max(after, low), min(before, high)
    if start > end or (start == end and (start in (after, before))):
        return []
    return [([repr(after), "after"], _Inside(after, before))]


class _Inside(float):
    """Some number strictly between two: compares with every number that is not between them."""

    low: float
    high: float

    def __new__(cls, low: float, high: float) -> _Inside:
        made = super().__new__(cls, "nan")
        made.low, made.high = low, high
        return made


def _below(value: float, number: float) -> bool:
    return value.high <= number if isinstance(value, _Inside) else value < number


def _equal(value: float, number: float) -> bool:
    return not isinstance(value, _Inside) and value == number


def _with(rest: Where, name: str, value: Value) -> Outcome:
    """The condition once a column's value is known, as simple as three-valued logic makes it."""
    match rest:
        case Not(part):
            inner = _with(part, name, value)
            if inner is None or isinstance(inner, bool):
                return None if inner is None else not inner
            return Not(inner)
        case And(parts):
            return _joined(parts, name, value, False)
        case Or(parts):
            return _joined(parts, name, value, True)
        case _:
            return _leaf(rest, value) if rest.column == name else rest


def _joined(parts: tuple[Where, ...], name: str, value: Value, decides: bool) -> Outcome:
    """All parts of an And (decides: False) or an Or (decides: True)."""
    left: list[Where] = []
    unknown = False
    for part in parts:
        inner = _with(part, name, value)
        if inner is decides:
            return decides
        if inner is None or inner == _UNKNOWN:
            unknown = True
        elif not isinstance(inner, bool) and inner not in left:
            left.append(inner)
    if unknown:  # written so that the remainder still knows of it
        if not left:
            return None
        left.append(_UNKNOWN)
    if not left:
        return not decides
    if len(left) == 1:
        return left[0]
    return And(tuple(left)) if not decides else Or(tuple(left))


_UNKNOWN = Comparison("", "=", False)  # a part that is neither true nor false; no column has an empty name


def _leaf(leaf: Leaf, value: Value) -> Known:
    if isinstance(leaf, IsNull):
        return value is None
    if value is None:
        return None
    match leaf:
        case Membership(_, values):
            return any(_same(value, one) for one in values)
        case Between(_, low, high):
            return not _below(_number(value), low) and not _above(_number(value), high)
        case Comparison(_, operator, other):
            return _compared(operator, value, other)
    raise TypeError("not a condition")


def _compared(operator: str, value: Value, other: float | str | bool) -> bool:
    if operator in ("=", "!="):
        return _same(value, other) == (operator == "=")
    number, limit = _number(value), _number(other)
    match operator:
        case "<":
            return _below(number, limit)
        case "<=":
            return not _above(number, limit)
        case ">":
            return _above(number, limit)
        case ">=":
            return not _below(number, limit)
    raise TypeError("not an operator")


def _above(value: float, number: float) -> bool:
    return value.low >= number if isinstance(value, _Inside) else value > number


def _same(value: Value, other: float | str | bool) -> bool:
    if isinstance(value, float) and isinstance(other, float):
        return _equal(value, other)
    return type(value) is type(other) and value == other


def _number(value: Value) -> float:
    if not isinstance(value, float):
        raise TypeError("only numbers have an order")
    return value


def _numbers(leaf: Leaf) -> list[float]:
    match leaf:
        case Between(_, low, high):
            return [low + 0.0, high + 0.0]
        case Comparison(_, _, value) if isinstance(value, float):
            return [value + 0.0]
        case Membership(_, values):
            return [value + 0.0 for value in values if isinstance(value, float)]
    return []


def _digest(document: object) -> str:
    return hashlib.sha256(rfc8785.dumps(document)).hexdigest()  # type: ignore[arg-type]
