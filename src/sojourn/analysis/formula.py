"""Model formulas in R's style, parsed to our own tree and never evaluated as code.

Grammar: `outcome ~ terms`; terms of columns and calls joined by `+`, `:` and `*` (parentheses group sums); `1`, `0` and
`- 1` for the intercept. Calls: `C(x)`, `C(x, Treatment('level'))`, `log(x)`, `exp(x)`, `sqrt(x)`, `I(x**2)`,
`I(x**3)`, `bs(x, knots=[…], degree=3, low=…, high=…)`, `offset(x)`, and `Surv(time, event)` or
`Surv(start, stop, event)` as the outcome.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NoReturn

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from sojourn.analysis.suggestion import did_you_mean
from sojourn.analysis.terms import Category, Column, Factor, Formula, Power, Spline, Survival, Term, Transform
from sojourn.errors import FormulaError

__all__ = ["Category", "Column", "Factor", "Formula", "Power", "Spline", "Survival", "Term", "Transform", "parse"]

MOST_CHARACTERS = 2_000
MOST_TERMS = 200
MOST_FACTORS = 5  # in one interaction
MOST_KNOTS = 20
TRANSFORMS = ("exp", "log", "sqrt")

_GRAMMAR = r"""
start: outcome "~" sum
outcome: NAME           -> column
   | call               -> outcome
sum: product            -> only
   | "-" product        -> only_minus
   | sum "+" product    -> plus
   | sum "-" product    -> minus
?product: interaction
   | product "*" interaction -> cross
?interaction: atom
   | interaction ":" atom    -> interact
atom: NAME              -> column
   | NUMBER             -> constant
   | call               -> called
   | "(" sum ")"        -> group
call: FUNCTION "(" [argument ("," argument)*] ")"
argument: NAME          -> named
   | NAME "**" NUMBER   -> power
   | NAME "=" value     -> option
   | STRING             -> text
   | FUNCTION "(" STRING ")" -> inner
value: SIGNED           -> number
   | "[" [SIGNED ("," SIGNED)*] "]" -> numbers
FUNCTION: /[A-Za-z_][A-Za-z0-9_]*(?=[ \t\r\n]*\()/
NAME: /[A-Za-z_][A-Za-z0-9_]*(?![A-Za-z0-9_]|[ \t\r\n]*\()/
NUMBER: /[0-9]+(?![0-9A-Za-z_.])/
SIGNED: /-?[0-9]{1,15}(\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?/
STRING: /'[^'\\\x00-\x1f\x7f]*'|"[^"\\\x00-\x1f\x7f]*"/
%ignore /[ \t\r\n]+/
"""
_WORDS = {
    "NAME": "a column",
    "FUNCTION": "a call",
    "NUMBER": "a number",
    "SIGNED": "a number",
    "STRING": "a quoted level",
    "TILDE": "`~`",
    "PLUS": "`+`",
    "MINUS": "`-`",
    "STAR": "`*`",
    "COLON": "`:`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "COMMA": "`,`",
    "EQUAL": "`=`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "__ANON_0": "`**`",
    "$END": "the end",
}
_EXAMPLE = "Write it as in `outcome ~ age + C(sex) + age:bmi`."


def parse(text: str, field: str = "formula") -> Formula:
    """Read a formula; FormulaError, naming `field` and the place, on anything outside the grammar."""
    if not isinstance(text, str):
        raise FormulaError("A formula is a text.", remedy=_EXAMPLE, field=field)
    if len(text) > MOST_CHARACTERS:
        raise FormulaError(
            f"The formula has more than {MOST_CHARACTERS} characters.", remedy="Use fewer terms.", field=field
        )
    try:
        formula: Formula = _parser().parse(text)  # type: ignore[assignment]
    except (UnexpectedInput, _Wrong) as error:
        _outside(error, text, field)
    return formula


class _Wrong(Exception):
    """A sentence about what is wrong, a remedy, and where the trouble starts."""

    def __init__(self, message: str, remedy: str, at: Token | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.at = at


def _outside(error: Exception, text: str, field: str) -> NoReturn:
    """Raise a FormulaError that names the place, what was expected and the remedy."""
    if isinstance(error, _Wrong):
        place = "" if error.at is None else f"At character {(error.at.start_pos or 0) + 1}: "
        raise FormulaError(f"{place}{error}", remedy=error.remedy, field=field) from None
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        message, expected = "The formula ends too early", error.accepts or error.expected
    elif isinstance(error, UnexpectedToken):
        position = (error.token.start_pos or 0) + 1
        message, expected = f"At character {position}: `{error.token[:40]}` cannot stand here", error.accepts
    elif isinstance(error, UnexpectedCharacters):
        position = error.pos_in_stream or 0
        message, expected = f"At character {position + 1}: {text[position]!a} cannot stand here", error.allowed
    else:
        raise error
    words = sorted({_WORDS[word] for word in expected or () if word in _WORDS})
    message += f"; expected {' or '.join(words)}." if words else "."
    raise FormulaError(message, remedy=_EXAMPLE, field=field) from None


@dataclass(frozen=True)
class _Sum:
    """What a part of the right side means so far."""

    terms: tuple[Term, ...] = ()
    intercept: bool | None = None
    offset: str | None = None

    @property
    def plain(self) -> bool:
        return self.intercept is None and self.offset is None


@dataclass(frozen=True)
class _Call:
    """A call as written, before its meaning is known."""

    function: Token
    named: tuple[str, ...] = ()
    text: str | None = None
    inner: tuple[str, str] | None = None
    power: tuple[str, int] | None = None
    options: dict[str, Any] = field(default_factory=dict)


def _join(left: _Sum, right: _Sum) -> _Sum:
    if left.offset and right.offset:
        raise _Wrong("There is more than one offset.", "Give one offset column, e.g. the sum of both.")
    intercept = left.intercept if right.intercept is None else right.intercept
    return _Sum(_distinct(left.terms + right.terms), intercept, left.offset or right.offset)


def _products(left: _Sum, right: _Sum) -> tuple[Term, ...]:
    if not (left.plain and right.plain):
        raise _Wrong(
            "Only columns and calls can be multiplied.", "Move `1`, `0` and `offset(…)` to the end of the formula."
        )
    if len(left.terms) * len(right.terms) > MOST_TERMS:
        raise _Wrong(f"The formula has more than {MOST_TERMS} terms.", "Use fewer terms.")
    pairs = ((a, b) for a in left.terms for b in right.terms)
    return tuple(Term(tuple(dict.fromkeys(a.factors + b.factors))) for a, b in pairs)


def _distinct(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Each set of factors once, as first written, ordered by degree."""
    first: dict[frozenset[Factor], Term] = {}
    for term in terms:
        first.setdefault(frozenset(term.factors), term)
    if len(first) > MOST_TERMS:
        raise _Wrong(f"The formula has more than {MOST_TERMS} terms.", "Use fewer terms.")
    if any(len(term.factors) > MOST_FACTORS for term in first.values()):
        raise _Wrong(f"An interaction has more than {MOST_FACTORS} factors.", "Use interactions of fewer columns.")
    return tuple(sorted(first.values(), key=lambda term: len(term.factors)))


@v_args(inline=True)
class _Builder(Transformer[Token, Any]):
    """Turns rules into parts while the parser runs, so that nothing recurses."""

    def start(self, left: Column | Transform | Survival | _Sum, right: _Sum) -> Formula:
        if isinstance(left, _Sum):
            left = Column(left.terms[0].factors[0].name)
        formula = Formula(left, right.terms, right.intercept is not False, right.offset)
        outcomes = set(left.names) if isinstance(left, Survival) else {left.name}
        if outcomes & {factor.name for term in right.terms for factor in term.factors}:
            raise _Wrong("The outcome also stands among the terms.", "Leave it out on the right of `~`.")
        if not formula.terms and not formula.intercept:
            raise _Wrong("The formula has no terms.", "Add a term, or write `outcome ~ 1` for the intercept alone.")
        return formula

    def only(self, right: _Sum) -> _Sum:
        return right

    def only_minus(self, right: _Sum) -> _Sum:
        return self.minus(_Sum(), right)

    def plus(self, left: _Sum, right: _Sum) -> _Sum:
        return _join(left, right)

    def minus(self, left: _Sum, right: _Sum) -> _Sum:
        if right != _Sum(intercept=True):
            raise _Wrong(
                "Only the intercept can be taken away, by `- 1`.", "Write out the terms that you want to keep."
            )
        return _Sum(left.terms, False, left.offset)

    def cross(self, left: _Sum, right: _Sum) -> _Sum:
        return _Sum(_distinct(left.terms + right.terms + _products(left, right)))

    def interact(self, left: _Sum, right: _Sum) -> _Sum:
        return _Sum(_distinct(_products(left, right)))

    def group(self, inner: _Sum) -> _Sum:
        if not inner.plain:
            raise _Wrong("Parentheses group terms only.", "Move `1`, `0` and `offset(…)` out of the parentheses.")
        return inner

    def column(self, name: Token) -> _Sum:
        return _Sum((Term((Column(str(name)),)),))

    def constant(self, number: Token) -> _Sum:
        if number not in ("0", "1"):
            raise _Wrong(
                "Only 0 and 1 can stand alone in a formula.", "Write `0 +` or `- 1` to leave out the intercept.", number
            )
        return _Sum(intercept=number == "1")

    def outcome(self, call: Any) -> Any:
        if not isinstance(call, Survival | Transform):
            raise _Wrong("Before `~` stands one column, its `log`, `exp` or `sqrt`, or `Surv(…)`.", _EXAMPLE)
        return call

    def called(self, call: Any) -> _Sum:
        if isinstance(call, Survival):
            raise _Wrong("`Surv` can only stand before `~`.", _EXAMPLE)
        return call if isinstance(call, _Sum) else _Sum((Term((call,)),))

    def named(self, name: Token) -> tuple[str, Any]:
        return "named", str(name)

    def text(self, level: Token) -> tuple[str, Any]:
        return "text", str(level)[1:-1]

    def power(self, name: Token, exponent: Token) -> tuple[str, Any]:
        return "power", (str(name), int(exponent[:9]))

    def inner(self, function: Token, level: Token) -> tuple[str, Any]:
        return "inner", (str(function), str(level)[1:-1])

    def option(self, word: Token, value: Any) -> tuple[str, Any]:
        return "option", (str(word), value)

    def number(self, value: Token) -> float:
        return float(value)

    def numbers(self, *values: Token | None) -> tuple[float, ...]:
        return tuple(float(value) for value in values if value is not None)

    def call(self, function: Token, *arguments: tuple[str, Any] | None) -> Any:
        build = _CALLS.get(str(function))
        if build is None:
            remedy = did_you_mean(str(function), _CALLS) or "Use a call of the grammar."
            raise _Wrong(f"There is no call `{function[:40]}` in formulas.", remedy, function)
        return build(function, [argument for argument in arguments if argument is not None])


Arguments = Sequence[tuple[str, Any]]


def _form(function: Token, form: str) -> _Wrong:
    return _Wrong(f"`{function}` is not written as it must be.", f"Write `{form}`.", function)


def _names(arguments: Arguments) -> tuple[str, ...] | None:
    """All arguments as column names, None where one is not a name."""
    return tuple(value for _, value in arguments) if all(kind == "named" for kind, _ in arguments) else None


def _transform(function: Token, arguments: Arguments) -> Transform:
    match _names(arguments):
        case (name,):
            return Transform(str(function), name)
    raise _form(function, f"{function}(column)")


def _category(function: Token, arguments: Arguments) -> Category:
    match list(arguments):
        case [("named", name)]:
            return Category(name)
        case [("named", name), ("inner", ("Treatment", reference))]:
            return Category(name, reference)
    raise _form(function, "C(column) or C(column, Treatment('level'))")


def _power(function: Token, arguments: Arguments) -> Power:
    match list(arguments):
        case [("power", (name, 2 | 3 as exponent))]:
            return Power(name, exponent)
    raise _form(function, "I(column**2) or I(column**3)")


def _offset(function: Token, arguments: Arguments) -> _Sum:
    match _names(arguments):
        case (name,):
            return _Sum(offset=name)
    raise _form(function, "offset(column)")


def _survival(function: Token, arguments: Arguments) -> Survival:
    names = _names(arguments)
    match names:
        case (time, event) if time != event:
            return Survival(time, event)
        case (start, stop, event) if len({start, stop, event}) == 3:
            return Survival(stop, event, start)
    raise _form(function, "Surv(time, event) or Surv(start, stop, event)")


def _spline(function: Token, arguments: Arguments) -> Spline:
    form = "bs(column, knots=[40, 60], degree=3, low=18, high=100)"
    if not arguments or arguments[0][0] != "named" or any(kind != "option" for kind, _ in arguments[1:]):
        raise _form(function, form)
    written = [value for _, value in arguments[1:]]
    options = dict(written)
    repeated = len(options) != len(written)
    knots, degree = options.pop("knots", None), options.pop("degree", 3.0)
    low, high = options.pop("low", None), options.pop("high", None)
    if options or repeated or not isinstance(knots, tuple) or any(isinstance(v, tuple) for v in (degree, low, high)):
        raise _form(function, form)
    if degree not in (1, 2, 3, 4, 5):
        raise _Wrong("The degree of a spline is 1 to 5.", "Use `degree=3`.", function)
    ordered = [*([] if low is None else [low]), *knots, *([] if high is None else [high])]
    if len(knots) > MOST_KNOTS or any(a >= b for a, b in itertools.pairwise(ordered)):
        raise _Wrong(
            f"A spline has at most {MOST_KNOTS} knots, increasing and between `low` and `high`.",
            f"Write `{form}`.",
            function,
        )
    return Spline(arguments[0][1], knots, int(degree), low, high)


_CALLS: dict[str, Callable[[Token, Arguments], Any]] = {
    "C": _category,
    "Surv": _survival,
    "offset": _offset,
    "I": _power,
    "bs": _spline,
    **dict.fromkeys(TRANSFORMS, _transform),
}


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", lexer="contextual", maybe_placeholders=True, transformer=_Builder())
