"""Which rows a plan is about: conditions on columns, parsed to our own tree and never evaluated as code.

Grammar: `column operator literal` with `= == != <> < <= > >=`; `in (…)`, `not in (…)`, `between a and b`, `is null`,
`is not null`; joined by `and`, `or`, `not` and parentheses. Literals: numbers, quoted texts (a quote inside is
doubled), true and false. Nulls are three-valued, as in SQL. There are no functions and no arithmetic.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NoReturn

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from sojourn.analysis.suggestion import did_you_mean
from sojourn.analysis.variable import SITE, Kind, Variable, Variables
from sojourn.cohort.conditions import (
    And,
    Between,
    Comparison,
    IsNull,
    Leaf,
    Literal,
    Membership,
    Not,
    Or,
    Where,
    conjunction,
    depth,
    disjunction,
    leaves,
)
from sojourn.errors import WhereError

__all__ = ["And", "Between", "Comparison", "IsNull", "Membership", "Not", "Or", "Where", "check", "parse"]

MOST_CHARACTERS = 4_000
MOST_DEPTH = 20
ORDERED = ("<", "<=", ">", ">=")
_EXAMPLE = "Write it as in `age >= 18 and sex in ('Female', 'Male') and bmi is not null`."
_CALL = re.compile(r"([A-Za-z_]\w*)\s*\(")
_LONG = re.compile(r"-?[0-9.]{16,}")
_NO_CALLS = "Compare columns with values: a `where` has neither functions nor arithmetic."

_GRAMMAR = r"""
?start: either
?either: both
    | either _OR both        -> or_
?both: negation
    | both _AND negation     -> and_
?negation: condition
    | _NOT negation          -> not_
?condition: "(" either ")"
    | NAME OPERATOR literal  -> compare
    | NAME _IN "(" literal ("," literal)* ")"      -> among
    | NAME _NOT _IN "(" literal ("," literal)* ")" -> not_among
    | NAME _BETWEEN NUMBER _AND NUMBER             -> between
    | NAME _IS _NULL         -> null
    | NAME _IS _NOT _NULL    -> not_null
?literal: NUMBER             -> number
    | STRING                 -> text
    | _TRUE                  -> true
    | _FALSE                 -> false
_OR.2: /or\b/i
_AND.2: /and\b/i
_NOT.2: /not\b/i
_IN.2: /in\b/i
_BETWEEN.2: /between\b/i
_IS.2: /is\b/i
_NULL.2: /null\b/i
_TRUE.2: /true\b/i
_FALSE.2: /false\b/i
NAME: /[A-Za-z_][A-Za-z0-9_]*(?![A-Za-z0-9_]|[ \t\r\n]*\()/
OPERATOR: /<=|>=|<>|!=|==|=|<|>/
NUMBER: /-?[0-9]{1,15}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?(?![0-9A-Za-z_.])/
STRING: /'([^'\\\x00-\x1f\x7f]|'')*'|"([^"\\\x00-\x1f\x7f]|"")*"/
%ignore /[ \t\r\n]+/
"""
_WORDS = {
    "NAME": "a column",
    "NUMBER": "a number",
    "STRING": "a quoted text",
    "OPERATOR": "a comparison",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "COMMA": "`,`",
    "$END": "the end",
    **{f"_{word}": f"`{word.lower()}`" for word in ("OR", "AND", "NOT", "IN", "IS", "NULL", "TRUE", "FALSE")},
    "_BETWEEN": "`between`",
}


def parse(text: str, field: str = "where") -> Where:
    """Read a `where`; WhereError, naming `field` and the place, on anything outside the grammar."""
    if not isinstance(text, str):
        raise WhereError("A `where` is a text.", remedy=_EXAMPLE, field=field)
    if len(text) > MOST_CHARACTERS:
        raise WhereError(f"It has more than {MOST_CHARACTERS} characters.", remedy="Use fewer conditions.", field=field)
    try:
        tree: Where = _parser().parse(text)  # type: ignore[assignment]
    except _Wrong as error:
        raise WhereError(str(error), remedy=error.remedy, field=field) from None
    except UnexpectedInput as error:
        _outside(error, text, field)
    return tree


def check(tree: Where, variables: Variables, person: str | None = None, field: str = "where") -> None:
    """Raise WhereError where a condition does not fit the declared variables, or names `site` or the person column."""
    for leaf in leaves(tree):
        name = leaf.column
        if person is not None and name.casefold() == person.casefold():
            raise WhereError(
                "Persons cannot be selected by their identifier.", remedy="Describe a group of persons.", field=field
            )
        if name == SITE:
            raise WhereError("`site` cannot be used here.", remedy="Choose the sites at submit.", field=field)
        if name not in variables:
            known = set(variables) - {SITE}
            remedy = did_you_mean(name, known) or "Use a column that the sites publish."
            raise WhereError(f"There is no column `{name}`.", remedy=remedy, field=field)
        _check_leaf(leaf, variables[name], field)


def _check_leaf(leaf: Leaf, variable: Variable, field: str) -> None:
    if isinstance(leaf, IsNull):
        return
    if variable.kind is not Kind.NUMBER and (
        isinstance(leaf, Between) or (isinstance(leaf, Comparison) and leaf.operator in ORDERED)
    ):
        raise WhereError(
            f"`{leaf.column}` is a {variable.kind} and has no order.",
            remedy="Use `=`, `!=` or `in`." if variable.kind is Kind.CATEGORY else "Use `= true` or `= false`.",
            field=field,
        )
    match leaf:
        case Comparison(_, _, value):
            values: tuple[Literal, ...] = (value,)
        case Membership(_, values):
            pass
        case Between(_, low, high):
            values = (low, high)
            if low > high:
                raise WhereError("`between` has its ends exchanged.", remedy="Write the smaller first.", field=field)
    for value in values:
        _check_value(leaf.column, value, variable, field)


def _check_value(column: str, value: Literal, variable: Variable, field: str) -> None:
    """A literal must be of the column's kind, and a text one of its levels."""
    wanted: dict[Kind, tuple[type, str]] = {
        Kind.NUMBER: (float, "Compare it with a number, without quotation marks."),
        Kind.BOOLEAN: (bool, "Compare it with true or false, without quotation marks."),
        Kind.CATEGORY: (str, "Compare it with a level in quotation marks."),
    }
    kind, remedy = wanted[variable.kind]
    if type(value) is not kind:
        raise WhereError(f"`{column}` is a {variable.kind}.", remedy=remedy, field=field)
    if isinstance(value, str) and value not in variable.levels:
        raise WhereError(
            f"`{value}` is not a declared level of `{column}`.",
            remedy=did_you_mean(value, variable.levels) or "Use a level that the sites publish.",
            field=field,
        )


class _Wrong(Exception):
    """A sentence about what is wrong, and a remedy."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


def _outside(error: UnexpectedInput, text: str, field: str) -> NoReturn:
    """Raise a WhereError that names the place, what was expected and the remedy."""
    expected: Iterable[str] | None = None
    message, remedy = "It cannot be read", _EXAMPLE
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        message, expected = "It ends too early", error.accepts
    elif isinstance(error, UnexpectedToken):
        found = f"`{error.token[:40]}`"
        message, expected = f"At character {(error.token.start_pos or 0) + 1}: {found} cannot stand here", error.accepts
        if error.token.type == "NAME" and "STRING" in error.accepts:
            remedy = f"Put a text in quotation marks, e.g. '{error.token[:40]}'; columns are not compared with columns."
    elif isinstance(error, UnexpectedCharacters):
        position = error.pos_in_stream or 0
        message, expected = f"At character {position + 1}: {text[position]!a} cannot stand here", error.allowed
        if call := _CALL.match(text, position):
            message, remedy = f"At character {position + 1}: there is no call `{call[1][:40]}`", _NO_CALLS
        elif _LONG.match(text, position):
            message = f"At character {position + 1}: this number has too many digits"
            remedy = "Write at most 15 digits before the point and 20 after it."
    words = sorted({_WORDS[word] for word in expected or () if word in _WORDS})
    message += f"; expected {' or '.join(words)}." if words else "."
    raise WhereError(message, remedy=remedy, field=field) from None


def _bounded(tree: Where) -> Where:
    if depth(tree) > MOST_DEPTH:
        raise _Wrong(f"Conditions are nested more than {MOST_DEPTH} deep.", "Write a simpler condition.")
    return tree


def _joined(join: Callable[[Iterable[Where]], Where]) -> Callable[[Any, Where, Where], Where]:
    def joined(_: Any, left: Where, right: Where) -> Where:
        return _bounded(join((left, right)))

    return joined


@v_args(inline=True)
class _Builder(Transformer[Token, Any]):
    """Turns rules into conditions while the parser runs, so that nothing recurses deeper than MOST_DEPTH."""

    or_ = _joined(disjunction)
    and_ = _joined(conjunction)

    def not_(self, part: Where) -> Where:
        return _bounded(Not(part))

    def compare(self, name: Token, operator: Token, value: Literal) -> Where:
        return Comparison(str(name), {"==": "=", "<>": "!="}.get(operator, str(operator)), value)

    def among(self, name: Token, *values: Literal) -> Where:
        return Membership(str(name), values)

    def not_among(self, name: Token, *values: Literal) -> Where:
        return Not(Membership(str(name), values))

    def between(self, name: Token, low: Token, high: Token) -> Where:
        return Between(str(name), self.number(low), self.number(high))

    def null(self, name: Token) -> Where:
        return IsNull(str(name))

    def not_null(self, name: Token) -> Where:
        return Not(IsNull(str(name)))

    def number(self, number: Token) -> float:
        return float(number) + 0.0  # turns -0.0 into 0.0

    def text(self, text: Token) -> str:
        quote = text[0]
        value = unicodedata.normalize("NFC", text[1:-1].replace(quote * 2, quote))
        if any(unicodedata.category(character)[0] == "C" for character in value):
            raise _Wrong("A text holds an invisible character.", "Type the text again, without pasting it.")
        return value

    def true(self) -> bool:
        return True

    def false(self) -> bool:
        return False


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", lexer="contextual", transformer=_Builder())
