"""What well-known values of an export are likely to mean: sex, race, ethnicity, kinds of visit, names of vocabularies.

Only what hardly anybody could mean otherwise; of any other value its owner is asked. The concepts are standard ones of
the OMOP vocabularies (Gender, Race, Ethnicity, Visit).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

KNOWN: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "gender": {"m": 8507, "male": 8507, "man": 8507, "f": 8532, "female": 8532, "woman": 8532, "w": 8532},
        "race": {
            "white": 8527,
            "black": 8516,
            "black or african american": 8516,
            "asian": 8515,
            "american indian or alaska native": 8657,
            "native hawaiian or other pacific islander": 8557,
        },
        "ethnicity": {
            "hispanic": 38003563,
            "hispanic or latino": 38003563,
            "nonhispanic": 38003564,
            "not hispanic or latino": 38003564,
        },
        "kind": {
            "inpatient": 9201,
            "outpatient": 9202,
            "ambulatory": 9202,
            "emergency": 9203,
            "urgentcare": 8782,
            "urgent care": 8782,
            "home": 581476,
            "virtual": 5083,
            "hospice": 8546,
        },
    }
)
_SYSTEMS = {
    "SNOMED": r"snomed|sct\b",
    "LOINC": r"loinc|\bln\b",
    "RxNorm": r"rx.?norm|rxcui",
    "ATC": r"\batc\b",
    "NDC": r"\bndc\b",
    "CVX": r"\bcvx\b",
    "ICD10CM": r"icd.?10.?cm",
    "ICD9CM": r"icd.?9.?cm",
    "UCUM": r"ucum",
}
_AMBIGUOUS = re.compile(r"^icd.?(9|10|11)?(\b|$)", re.IGNORECASE)  # of the WHO, or a country's


def meaning(role: str, value: str) -> int | None:
    """The standard concept that a value of this role means, or None."""
    return KNOWN.get(role, {}).get(" ".join(value.lower().split()))


def vocabulary(value: str) -> str | None:
    """The vocabulary that a value names: as OMOP does, empty where it could be several, None where it names none."""
    for system, form in _SYSTEMS.items():
        if re.search(form, value, re.IGNORECASE):
            return system
    return "" if _AMBIGUOUS.match(value) else None
