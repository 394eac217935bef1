"""Molar masses of analytes by LOINC code: what turns mg/dL into mmol/L, and only for that analyte.

A molar mass comes from the substance's formula and the standard atomic weights (IUPAC, abridged values of 2021); of
proteins, and of what is measured as something else, it is the value by which laboratories convert. Not converted, since
laboratories disagree: international units of hormones into moles.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "H": 1.008, "Li": 6.94, "C": 12.011, "N": 14.007, "O": 15.999, "Na": 22.98977, "Mg": 24.305, "Al": 26.98154,
        "P": 30.97376, "S": 32.06, "Cl": 35.45, "K": 39.0983, "Ca": 40.078, "Cr": 51.9961, "Mn": 54.93804,
        "Fe": 55.845, "Co": 58.93319, "Ni": 58.6934, "Cu": 63.546, "Zn": 65.38, "As": 74.9216, "Se": 78.971,
        "Br": 79.904, "Ag": 107.8682, "Cd": 112.414, "I": 126.9045, "Hg": 200.592, "Pb": 207.2, "Bi": 208.9804,
    }
)  # fmt: skip
# Enzyme activity, of which laboratories write U and IU for the same thing: 1 µmol of substrate in a minute.
ENZYMES = frozenset(
    {"1742-6", "1920-8", "6768-6", "2324-2", "2532-0", "14804-9", "14805-6", "2157-6", "1798-8", "3040-3", "2742-5"}
    | {"1761-6", "1760-8", "47826-3", "2099-0", "17837-6"}
)
# Glycated haemoglobin: per cent (NGSP) and mmol/mol (IFCC) by the master equation NGSP = 0.09148 IFCC + 2.152.
HBA1C = frozenset(["4548-4", "17856-6", "59261-8"])
NGSP_SLOPE, NGSP_INTERCEPT = 0.09148, 2.152


@dataclass(frozen=True)
class Analyte:
    """A substance that is measured. mass: g/mol. charge: equivalents a mole, or None where it is not counted so."""

    substance: str
    mass: float
    charge: int | None
    formula: str = ""


def analyte(loinc: str) -> Analyte | None:
    """What a LOINC code measures, where its molar mass is known here."""
    return analytes().get(loinc)


@cache
def analytes() -> Mapping[str, Analyte]:
    """Every LOINC code that is known here, with its substance."""
    text = (resources.files("sojourn.omop") / "analytes.tsv").read_text(encoding="utf-8")
    found: dict[str, Analyte] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        substance, matter, charge, codes = line.split("\t")
        formula = matter if not matter[0].isdigit() else ""
        mass = molar_mass(formula) if formula else float(matter)
        known = Analyte(substance, mass, int(charge) if charge else None, formula)
        for code in codes.split():
            if code in found:
                raise ValueError(f"{code} is there twice")
            found[code] = known
    return MappingProxyType(found)


def molar_mass(formula: str) -> float:
    """The molar mass of a formula such as C6H12O6, in g/mol. ValueError for what is no formula."""
    if not re.fullmatch(r"(?:[A-Z][a-z]?\d*)+", formula):
        raise ValueError("not a formula")
    parts = re.findall(r"([A-Z][a-z]?)(\d*)", formula)
    if any(symbol not in WEIGHTS for symbol, _ in parts):
        raise ValueError("an element without a weight here")
    return sum(WEIGHTS[symbol] * int(count or 1) for symbol, count in parts)
