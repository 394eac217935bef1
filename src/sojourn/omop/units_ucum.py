"""What a UCUM code measures, by Pint with ucumvert's definitions, made strict where these are not.

Pint takes international units, arbitrary units and fields of view for plain numbers, and equivalents for moles:
1 [IU]/L would be 10*-9 thousand a µL. Here each is a kind of its own, as scores and titres are, and only equal kinds
compare.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ucumvert import PintUcumRegistry

# UCUM's own arbitrary units, and what is a count of something else than a plain number.
_OF_ANTIBODIES = ("[GPL'U]", "[MPL'U]", "[APL'U]", "[AU]", "[BAU]", "[ELU]", "[EU]", "[Amb'a'1'U]", "[D'ag'U]", "[PNU]")
_OF_CULTURES = ("[CCID_50]", "[TCID_50]", "[EID_50]", "[PFU]", "[FFU]", "[CFU]", "[Lf]", "[IR]", "[tb'U]")
_OF_ENZYMES = (
    "[beth'U]",
    "[anti'Xa'U]",
    "[todd'U]",
    "[dye'U]",
    "[smgy'U]",
    "[bdsk'U]",
    "[ka'U]",
    "[knk'U]",
    "[mclg'U]",
)
_OTHERS = ("[iU]", "[IU]", "[arb'U]", "[USP'U]", "[FEU]", "[HPF]", "[LPF]", "[drp]", "eq", "osm")
_OWN_KINDS = (*_OF_ANTIBODIES, *_OF_CULTURES, *_OF_ENZYMES, *_OTHERS)
# UCUM gives annotations no meaning; these change what the number says.
_TELLING = ("{FEU}", "{DDU}", "{1.73_m2}")
_PLAIN_NUMBERS = ("{ratio}", "{fraction}")
# Logarithms and the like: equal to themselves alone.
_ALONE = re.compile(r"\[pH\]|\[p'diop\]|%\[slope\]|\[hp'?_[XCMQ]\]|\[kp_[XCMQ]\]|[a-zA-Z]*(?:B|Np)(?:\[\w+\])?|bit_s")
_TEMPERATURES = {"Cel", "[degF]", "[degRe]"}
_WITH_ZERO = {"degree_Celsius", "degree_Fahrenheit", "degree_Reaumur"}
_DIGITS = re.compile(r"\d{4,}|\*-?\d{3,}|[()]{6,}")
_ANNOTATION = re.compile(r"\{[^{}]*\}")
_UCUM = re.compile(r"[!-z|~{}]+")


@dataclass(frozen=True)
class Measure:
    """factor, offset: a value times factor plus offset is in base units (g, m, s, mol, K, …).

    dimension: exponents of base dimensions, and of every own kind.
    """

    factor: float
    offset: float
    dimension: tuple[tuple[str, float], ...]


@lru_cache(maxsize=8192)
def measure(code: str) -> Measure | None:
    """What a UCUM code measures, or None where it is no sound code. Of annotations only a few mean something."""
    bare = _bare(code)
    if bare is None:
        return None
    if bare == "1" and code.startswith("{") and code not in _PLAIN_NUMBERS:
        return Measure(1.0, 0.0, ((code, 1.0),))
    if bare == "1":
        return Measure(1.0, 0.0, ())
    if _ALONE.fullmatch(bare):
        return Measure(1.0, 0.0, ((bare, 1.0),))
    try:
        return _measured(bare, tuple(word for word in _TELLING if word in code))
    except Exception:  # the parser and Pint raise a dozen kinds; whatever they say, it is no unit
        return None


def _bare(code: str) -> str | None:
    """The code without its annotations; None for what need not be parsed."""
    if not code or len(code) > 80 or not _UCUM.fullmatch(code) or _DIGITS.search(_ANNOTATION.sub("", code)):
        return None
    bare = _ANNOTATION.sub(" ", code)
    # An annotation alone is the number 1: `{beats}/min`, `mL/min/{1.73_m2}`.
    bare = re.sub(r"(?:(?<=[/.(])|^) ", "1", bare).replace(" ", "")
    return None if re.search(r"[{}]", bare) else bare


def _measured(bare: str, telling: tuple[str, ...]) -> Measure | None:
    registry = _registry()
    quantity: Any = registry.from_ucum(bare)
    if bare in _TEMPERATURES:
        zero, one = (float(registry.Quantity(value, quantity.units).to("kelvin").magnitude) for value in (0, 1))
        return Measure(one - zero, zero, (("[temperature]", 1.0),))
    if _WITH_ZERO & set(dict(quantity.unit_items())):
        return None  # a temperature with a zero of its own cannot be part of a product
    dimension = {str(name): float(exponent) for name, exponent in quantity.dimensionality.items()}
    for kind, exponent in _kinds(quantity):
        dimension[kind] = dimension.get(kind, 0.0) + exponent
    dimension |= dict.fromkeys(telling, 1.0)
    factor = float(quantity.to_base_units().magnitude)
    if not (math.isfinite(factor) and factor > 0):
        return None
    return Measure(factor, 0.0, tuple(sorted((name, power) for name, power in dimension.items() if power)))


def _kinds(quantity: Any) -> Iterator[tuple[str, float]]:
    known = _kind_names()
    for name, exponent in quantity.unit_items():
        for _, base, _ in _registry().parse_unit_name(name):
            if base in known:
                yield known[base], float(exponent)
                break


@cache
def _kind_names() -> dict[str, str]:
    """Pint's names of the units that are a kind of their own."""
    names: dict[str, str] = {}
    for code in _OWN_KINDS:
        for name, _ in _registry().from_ucum(code).unit_items():
            for _, base, _ in _registry().parse_unit_name(name):
                names[base] = "[IU]" if code == "[iU]" else code
    return names


@cache
def _registry() -> PintUcumRegistry:
    from ucumvert import PintUcumRegistry  # takes a second to load

    return PintUcumRegistry()
