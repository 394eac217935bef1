"""A made-up pharmacy's vocabulary: ingredients, brands, strengths and dose forms, in Athena's form, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harmonise import athena
from harmonise.clinic import CONCEPTS, MAPS
from sojourn.node.harmonise import vocabulary_loading

PARACETAMOL, CODEINE, MORPHINE, SALBUTAMOL, IBUPROFEN = 101, 102, 103, 104, 105
P500, P500_CHEWABLE, P500_CAPSULE, P325, P325_BRANDED = 120, 121, 122, 123, 124
P_C, MORPHINE_10, SALBUTAMOL_100, CODEINE_30, IBUPROFEN_A, IBUPROFEN_B = 125, 126, 127, 128, 129, 130
DRUGS: list[tuple[Any, ...]] = [
    (PARACETAMOL, "acetaminophen", "Drug", "RxNorm", "Ingredient", "S", "161"),
    (CODEINE, "codeine", "Drug", "RxNorm", "Ingredient", "S", "2670"),
    (MORPHINE, "morphine", "Drug", "RxNorm", "Ingredient", "S", "7052"),
    (SALBUTAMOL, "albuterol", "Drug", "RxNorm", "Ingredient", "S", "435"),
    (IBUPROFEN, "ibuprofen", "Drug", "RxNorm", "Ingredient", "S", "5640"),
    (110, "Hausmarke", "Drug", "RxNorm", "Brand Name", "", "b1"),
    (111, "Mischung", "Drug", "RxNorm", "Brand Name", "", "b2"),
    (P500, "acetaminophen 500 MG Oral Tablet", "Drug", "RxNorm", "Clinical Drug", "S", "198440"),
    (P500_CHEWABLE, "acetaminophen 500 MG Chewable Tablet", "Drug", "RxNorm", "Clinical Drug", "S", "c1"),
    (P325, "acetaminophen 325 MG Oral Tablet", "Drug", "RxNorm", "Clinical Drug", "S", "313782"),
    (P_C, "acetaminophen 500 MG / codeine 30 MG Oral Tablet", "Drug", "RxNorm", "Clinical Drug", "S", "c2"),
    (MORPHINE_10, "morphine 2 MG/ML Oral Solution", "Drug", "RxNorm", "Clinical Drug", "S", "c3"),
    (SALBUTAMOL_100, "albuterol 0.1 MG/ACTUAT Metered Dose Inhaler", "Drug", "RxNorm", "Clinical Drug", "S", "c4"),
    (P500_CAPSULE, "acetaminophen 500 MG Oral Capsule", "Drug", "RxNorm", "Clinical Drug", "", "old"),
    (CODEINE_30, "codeine 30 MG Oral Tablet", "Drug", "RxNorm", "Clinical Drug", "S", "c5"),
    (IBUPROFEN_A, "ibuprofen 400 MG Oral Tablet", "Drug", "RxNorm", "Clinical Drug", "S", "c6"),
    (IBUPROFEN_B, "ibuprofen 400 MG Oral Tablet again", "Drug", "RxNorm Extension", "Clinical Drug", "S", "c7"),
    (P325_BRANDED, "acetaminophen 325 MG Oral Tablet [Hausmarke]", "Drug", "RxNorm", "Branded Drug", "S", "c8"),
    (140, "Oral Tablet", "Drug", "RxNorm", "Dose Form", "", "f1"),
    (141, "Chewable Tablet", "Drug", "RxNorm", "Dose Form", "", "f2"),
    (142, "Oral Solution", "Drug", "RxNorm", "Dose Form", "", "f3"),
    (143, "Metered Dose Inhaler", "Drug", "RxNorm", "Dose Form", "", "f4"),
    (144, "Oral Capsule", "Drug", "RxNorm", "Dose Form", "", "f5"),
    (8576, "milligram", "Unit", "UCUM", "Unit", "S", "mg"),
    (8587, "milliliter", "Unit", "UCUM", "Unit", "S", "mL"),
    (45744809, "Actuation", "Unit", "UCUM", "Unit", "S", "{actuat}"),
]
_FORMS = {
    P500: 140, P500_CHEWABLE: 141, P325: 140, P_C: 140, MORPHINE_10: 142, SALBUTAMOL_100: 143, P500_CAPSULE: 144,
    CODEINE_30: 140, IBUPROFEN_A: 140, IBUPROFEN_B: 140, P325_BRANDED: 140,
}  # fmt: skip
_AMOUNTS = [
    (P500, PARACETAMOL, 500), (P500_CHEWABLE, PARACETAMOL, 500), (P325, PARACETAMOL, 325), (P_C, PARACETAMOL, 500),
    (P_C, CODEINE, 30), (P500_CAPSULE, PARACETAMOL, 500), (CODEINE_30, CODEINE, 30), (IBUPROFEN_A, IBUPROFEN, 400),
    (IBUPROFEN_B, IBUPROFEN, 400), (P325_BRANDED, PARACETAMOL, 325),
]  # fmt: skip
_STRENGTHS: list[tuple[Any, ...]] = [
    *((drug, ingredient, amount, 8576, "", "", "", "", "", *athena.EVER, "") for drug, ingredient, amount in _AMOUNTS),
    (MORPHINE_10, MORPHINE, "", "", 2, 8576, "", 8587, "", *athena.EVER, ""),
    (SALBUTAMOL_100, SALBUTAMOL, "", "", 0.1, 8576, "", 45744809, "", *athena.EVER, ""),
]


def vocabulary(folder: Path, more: Iterable[tuple[Any, ...]] = ()) -> Path:
    """A warehouse with it."""
    rows = athena.tables(concepts=[*CONCEPTS, *DRUGS, *more], maps=MAPS)
    rows["concept_relationship"] += [(110, PARACETAMOL, "Brand name of", *athena.EVER, "")]
    rows["concept_relationship"] += [(111, each, "Brand name of", *athena.EVER, "") for each in (PARACETAMOL, CODEINE)]
    rows["concept_relationship"] += [
        (drug, form, "RxNorm has dose form", *athena.EVER, "") for drug, form in _FORMS.items()
    ]
    rows["concept_ancestor"] += [(row[1], row[0], 1, 1) for row in _STRENGTHS]
    rows["concept_synonym"] += [(PARACETAMOL, "Paracétamol", 4180186)]
    rows["drug_strength"] = _STRENGTHS
    rows["vocabulary"] += [(name, name, "", "2026", 0) for name in ("ICD10CM", "SNOMED", "RxNorm", "UCUM")]
    warehouse = folder / "warehouse.duckdb"
    vocabulary_loading.load(athena.write_zip(folder / "download.zip", rows), warehouse)
    return warehouse
