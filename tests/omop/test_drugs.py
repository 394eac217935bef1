"""Medicines are read by dictionaries, never by likeness, and strengths keep their amounts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.omop.drugs import Drug, Kind, Strength, key, known_names, parse, substance
from sojourn.omop.units_spelling import ucum

SAME = [
    "Tylenol 325 mg tab", "paracetamol 325mg Tabletten", "Acetaminophen 325 MG Oral Tablet", "PANADOL® 325 mg tablets",
    "N-acetyl-p-aminophenol 325 mg tabs", "APAP 325 mg tablet", "Acetaminophen 325 MG Oral Tablet [Tylenol]",
]  # fmt: skip


def told(drug: Drug) -> list[tuple[str, Strength | None]]:
    return [(each.name, each.strength) for each in drug.ingredients]


@pytest.mark.parametrize("written", SAME)
def test_brand_generic_and_chemical_name_are_the_same(written: str) -> None:
    read = parse(written)
    assert told(read) == [("acetaminophen", Strength(325.0, "mg"))]
    assert (read.form, read.original) == ("tablet", written)


PAIRS = {
    "adrenaline": "epinephrine", "salbutamol": "albuterol", "frusemide": "furosemide", "glibenclamide": "glyburide",
    "noradrenaline": "norepinephrine", "lignocaine": "lidocaine", "pethidine": "meperidine", "metamizole": "dipyrone",
    "rifampicin": "rifampin", "suxamethonium": "succinylcholine", "acetylsalicylic acid": "aspirin",
    "Amlodipine besylate": "amlodipine", "Glucophage": "metformin", "Aspégic": "aspirin",
}  # fmt: skip


@pytest.mark.parametrize(("name", "meant"), PAIRS.items())
def test_names_of_other_countries_are_known(name: str, meant: str) -> None:
    found = substance(name)
    assert found is not None and found[0] == meant


def test_what_only_looks_alike_is_not_known() -> None:
    assert [substance(name) for name in ("epinephrin e", "paracetamo", "tylenols", "")] == [None] * 4


READ = {
    "NDA020800 0.3 ML Epinephrine 1 MG/ML Auto-Injector": [("epinephrine", Strength(1, "mg", 1, "mL"))],
    "Salbutamol 100 mcg/dose inhaler": [("albuterol", Strength(100, "ug", 1, "{dose}"))],
    "Amoxicillin/clavulanate 875-125 mg": [("amoxicillin", Strength(875, "mg")), ("clavulanate", Strength(125, "mg"))],
    "Amoxicillin 500 mg/Clavulanate 125 mg": [
        ("amoxicillin", Strength(500, "mg")), ("Clavulanate", Strength(125, "mg"))
    ],
    "Morphine 10 mg/5 mL oral solution": [("morphine", Strength(10, "mg", 5, "mL"))],
    "insulin glargine 100 UNT/ML Injectable Solution": [("insulin glargine", Strength(100, "[IU]", 1, "mL"))],
    "24 HR metformin hydrochloride 500 MG Extended Release Oral Tablet [Glucophage]": [
        ("metformin", Strength(500, "mg"))
    ],
    "1,5 mg Lorazepam": [("lorazepam", Strength(1.5, "mg"))],
    "Vitamin D 1,000 IU capsule": [("Vitamin D", Strength(1000, "[IU]"))],
    "Hydrocortisone 1% cream": [("hydrocortisone", Strength(1, "%"))],
    "ASPIRIN 81": [("aspirin", None)],  # 81 of what is not said
    "codeine and paracetamol": [("codeine", None), ("acetaminophen", None)],
    "": [],
}  # fmt: skip


@pytest.mark.parametrize(("written", "expected"), READ.items())
def test_strengths_are_read(written: str, expected: list[tuple[str, Strength | None]]) -> None:
    assert told(parse(written)) == expected


def test_the_site_s_own_names_come_first_and_what_is_unknown_stays() -> None:
    own: dict[str, tuple[str, Kind]] = {key("Hausmischung"): ("morphine", "brand")}
    assert parse("Hausmischung 10 mg", own).ingredients[0].name == "morphine"
    unknown = parse("Hausmischung 10 mg").ingredients[0]
    assert (unknown.name, unknown.known, unknown.by) == ("Hausmischung", False, None)


def test_what_is_left_without_its_salt_is_no_salt() -> None:
    own: dict[str, tuple[str, Kind]] = {"sodium": ("sodium", "generic"), "codeine": ("codeine", "generic")}
    assert substance("sodium phosphate", own) is None and substance("codeine phosphate", own) == own["codeine"]
    assert parse("sodium phosphate 1 g", own).ingredients[0].rest == "phosphate"


def test_every_name_of_the_table_is_found_again() -> None:
    assert len(known_names()) > 450
    assert all(parse(name).ingredients[0].known for name in known_names())


@given(
    st.one_of(
        st.text(max_size=40),
        st.lists(st.sampled_from([*SAME, *READ, " / ", " mg", "1/2", "+", "[", "]", "\0", "and"]), max_size=4).map(
            " ".join
        ),
    )
)
@settings(max_examples=200, deadline=None)
def test_reading_never_fails_and_keeps_the_text(written: str) -> None:
    read = parse(written)
    assert read.original == written
    for each in read.ingredients:
        assert each.strength is None or ucum(each.strength.unit) == each.strength.unit
        assert each.known == (each.by is not None)
        assert re.search(r"\S", each.name)
