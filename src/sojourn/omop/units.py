"""Units: read, compare, convert. The original value and unit always stay beside what they became.

Two units of one dimension convert by themselves. Mass and amount, equivalents and amount convert for one analyte only,
which its LOINC code names. Everything else has no conversion, and says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sojourn.omop.units_molar import ENZYMES, HBA1C, NGSP_INTERCEPT, NGSP_SLOPE, analyte
from sojourn.omop.units_spelling import readings, ucum
from sojourn.omop.units_ucum import Measure, measure

UNKNOWN, AMBIGUOUS, NO_ANALYTE, OTHER = "unknown unit", "ambiguous unit", "analyte not known", "other dimension"
_DIGITS = 12  # significant, of a factor: hides how it was computed
_MASS, _AMOUNT, _EQ, _IU = "[mass]", "[substance]", "eq", "[IU]"
_GRAM = 1000.0  # how many grams Pint's base unit of mass has


@dataclass(frozen=True)
class Conversion:
    """A value times factor plus offset is in the target unit. rule: why, in words."""

    factor: float
    offset: float
    rule: str


@dataclass(frozen=True)
class Converted:
    """A measured value in the target unit, and as it came. value: None where there is no conversion; then reason."""

    value: float | None
    unit: str
    original_value: float
    original_unit: str
    rule: str = ""
    reason: str = ""


def convert(value: float, unit: str, target: str, loinc: str = "") -> Converted:
    """Convert one value from a unit as it was written to a UCUM unit, for this analyte."""
    found = conversion(unit, target, loinc)
    if isinstance(found, str):
        return Converted(None, "", value, unit, reason=found)
    return Converted(value * found.factor + found.offset, target, value, unit, rule=found.rule)


@lru_cache(maxsize=65536)
def conversion(unit: str, target: str, loinc: str = "") -> Conversion | str:
    """How a unit as it was written becomes a UCUM unit, or one of the four reasons why it does not."""
    if readings(unit):
        return AMBIGUOUS
    source, aim = ucum(unit), ucum(target)
    if source is None or aim is None:
        return UNKNOWN
    if source == aim:
        return Conversion(1.0, 0.0, "same unit")
    one, other = measure(source), measure(aim)
    assert one is not None and other is not None  # `ucum` gives sound codes only
    if loinc in HBA1C and {source, aim} == {"%", "mmol/mol"}:
        return _hba1c(to_ifcc=aim == "mmol/mol")
    if one.dimension == other.dimension:
        return _linear(one, other, 1.0, "same dimension")
    return _by_analyte(one, other, loinc)


def _by_analyte(one: Measure, other: Measure, loinc: str) -> Conversion | str:
    """Between mass, amount and equivalents of one substance; between U and IU of an enzyme."""
    differs = {name: power for name, power in _difference(one, other).items() if power}
    if loinc in ENZYMES and abs(differs.get(_IU, 0)) == 1 and differs == _catalysis(differs[_IU]):
        return _linear(one, other, (1e-6 / 60) ** -differs[_IU], "IU of an enzyme is U")
    if not _one_for_one(differs):
        return OTHER
    known = analyte(loinc)
    if known is None:
        return NO_ANALYTE
    per_mole = {_MASS: known.mass / _GRAM, _AMOUNT: 1.0, _EQ: known.charge}
    lost, won = (next(name for name, power in differs.items() if power == sign) for sign in (-1.0, 1.0))
    amounts = per_mole[lost], per_mole[won]
    if amounts[0] is None or amounts[1] is None:
        return OTHER
    words = [f"molar mass {known.mass:.6g} g/mol"] if _MASS in differs else []
    words += [f"charge {known.charge}"] if _EQ in differs else []
    return _linear(one, other, amounts[1] / amounts[0], f"{known.substance}: {', '.join(words)}")


def _catalysis(units: float) -> dict[str, float]:
    """How exponents differ where only U, which is 1 µmol a minute, and IU do."""
    return {_IU: units, _AMOUNT: -units, "[time]": units}


def _one_for_one(differs: dict[str, float]) -> bool:
    return sorted(differs.values()) == [-1.0, 1.0] and set(differs) <= {_MASS, _AMOUNT, _EQ}


def _difference(one: Measure, other: Measure) -> dict[str, float]:
    """Exponents of the other less the one's. An equivalent is a mole with a kind of its own: here it is `eq` alone."""
    before, after = _apart(one), _apart(other)
    return {name: after.get(name, 0.0) - before.get(name, 0.0) for name in {*before, *after}}


def _apart(measured: Measure) -> dict[str, float]:
    powers = dict(measured.dimension)
    if _EQ in powers:
        powers[_AMOUNT] = powers.get(_AMOUNT, 0.0) - powers[_EQ]
    return powers


def _linear(one: Measure, other: Measure, between: float, rule: str) -> Conversion:
    factor = one.factor * between / other.factor
    offset = (one.offset - other.offset) / other.factor
    return Conversion(_rounded(factor), _rounded(offset), rule)


def _hba1c(*, to_ifcc: bool) -> Conversion:
    rule = "haemoglobin A1c: NGSP = 0.09148 IFCC + 2.152"
    if to_ifcc:
        return Conversion(_rounded(1 / NGSP_SLOPE), _rounded(-NGSP_INTERCEPT / NGSP_SLOPE), rule)
    return Conversion(NGSP_SLOPE, NGSP_INTERCEPT, rule)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
