"""The tree of a model formula: frozen values that render to one canonical text."""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.analysis.variable import SITE


@dataclass(frozen=True)
class Column:
    """A column as it is: a number, a boolean, or a category (coded as by `C`)."""

    name: str

    def render(self) -> str:
        """Canonical text."""
        return self.name


@dataclass(frozen=True)
class Category:
    """`C(name)` with treatment coding; `reference` is a level, None for the first declared one."""

    name: str
    reference: str | None = None

    def render(self) -> str:
        """Canonical text."""
        return f"C({self.name})" if self.reference is None else f"C({self.name}, Treatment({_quoted(self.reference)}))"


@dataclass(frozen=True)
class Transform:
    """`log`, `exp` or `sqrt` of a number."""

    function: str
    name: str

    def render(self) -> str:
        """Canonical text."""
        return f"{self.function}({self.name})"


@dataclass(frozen=True)
class Power:
    """The square or cube of a number."""

    name: str
    exponent: int

    def render(self) -> str:
        """Canonical text."""
        return f"I({self.name} ** {self.exponent})"


@dataclass(frozen=True)
class Spline:
    """B-spline basis without its first function; boundary knots are `low` and `high`, else the declared range."""

    name: str
    knots: tuple[float, ...]
    degree: int = 3
    low: float | None = None
    high: float | None = None

    def render(self) -> str:
        """Canonical text."""
        parts = [self.name, f"knots=[{', '.join(map(_number, self.knots))}]", f"degree={self.degree}"]
        parts += [f"{word}={_number(end)}" for word, end in (("low", self.low), ("high", self.high)) if end is not None]
        return f"bs({', '.join(parts)})"


Factor = Column | Category | Transform | Power | Spline


@dataclass(frozen=True)
class Survival:
    """`Surv(time, event)` or, with `start`, `Surv(start, stop, event)`."""

    time: str
    event: str
    start: str | None = None

    def render(self) -> str:
        """Canonical text."""
        return f"Surv({', '.join(self.names)})"

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns in the order in which they are written."""
        return (self.time, self.event) if self.start is None else (self.start, self.time, self.event)


@dataclass(frozen=True)
class Term:
    """Factors multiplied with one another; one factor is a main effect."""

    factors: tuple[Factor, ...]

    def render(self) -> str:
        """Canonical text."""
        return ":".join(factor.render() for factor in self.factors)


@dataclass(frozen=True)
class Formula:
    """A parsed formula: terms are distinct and ordered by degree, then as written."""

    outcome: Factor | Survival
    terms: tuple[Term, ...]
    intercept: bool = True
    offset: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that it names, sorted, without `site`."""
        used = set(self.outcome.names) if isinstance(self.outcome, Survival) else {self.outcome.name}
        used |= {factor.name for term in self.terms for factor in term.factors}
        return tuple(sorted((used | ({self.offset} if self.offset else set())) - {SITE}))

    def render(self) -> str:
        """Canonical text: `parse(render(f)) == f`."""
        right = [] if self.intercept else ["0"]
        right += [term.render() for term in self.terms]
        right += [f"offset({self.offset})"] if self.offset else []
        return f"{self.outcome.render()} ~ {' + '.join(right or ['1'])}"


def _quoted(level: str) -> str:
    return f'"{level}"' if "'" in level else f"'{level}'"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
