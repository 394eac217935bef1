"""Units are read as people write them, and convert only where the dimension or the analyte allows it."""

from __future__ import annotations

import math
import re
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.omop import units_spelling
from sojourn.omop.units import AMBIGUOUS, NO_ANALYTE, OTHER, UNKNOWN, Conversion, conversion, convert
from sojourn.omop.units_molar import ENZYMES, HBA1C, analytes, molar_mass
from sojourn.omop.units_spelling import readings, ucum
from sojourn.omop.units_table import create, insert, join, lookup
from sojourn.omop.units_ucum import measure

READ = {
    "mcg/dl": "ug/dL", "x10^3/µL": "10*3/uL", "10e9/L": "10*9/L", "10 3/uL": "10*3/uL", "K/uL": "10*3/uL",
    "IU/L": "[IU]/L", "uIU/mL": "u[IU]/mL", "mmHg": "mm[Hg]", "{score}": "{score}", "MG/DL": "mg/dL", "ML": "mL",
    "PG/ML": "pg/mL", "g/L": "g/L", "mEq/L": "meq/L", "mm/hr": "mm/h", "mL/min/1.73 m²": "mL/min/{1.73_m2}",
    "mcg/24 h": "ug/(24.h)", "°C": "Cel", "F": "[degF]", "cc": "mL", "lbs": "[lb_av]", "bpm": "{beats}/min",
    "/HPF": "/[HPF]", "mOsm/kg H2O": "mosm/kg", "mg/g creat": "mg/g{creat}", "kg/m^2": "kg/m2", "sec": "s",
    "mg/L FEU": "mg{FEU}/L", "mM": "mmol/L", "mm": "mm", "m": "m", "h": "h", "mg per dL": "mg/dL", "%": "%",
    "million/mm3": "10*6/uL", "T/L": "10*12/L", "cmH2O": "cm[H2O]", "copies/mL": "{copies}/mL", "pH": "[pH]",
}  # fmt: skip


@pytest.mark.parametrize(("spelled", "code"), READ.items())
def test_spellings_of_exports_are_read(spelled: str, code: str) -> None:
    assert ucum(spelled) == code


@pytest.mark.parametrize("spelled", ["", "foo", "mg/", "hello world", "10*99999", "x" * 100, "mg\n/dL", "ug/Cel", "{"])
def test_what_is_no_unit_is_none(spelled: str) -> None:
    assert ucum(spelled) is None
    assert conversion(spelled, "mg/dL") == UNKNOWN


def test_a_spelling_with_two_meanings_is_a_question() -> None:
    assert readings("G/L") == ("g/L", "10*9/L")
    assert (ucum("G/L"), conversion("G/L", "g/L"), ucum("g/L")) == (None, AMBIGUOUS, "g/L")


def spellings() -> list[str]:
    table = yaml.safe_load((units_spelling.resources.files("sojourn.omop") / "spellings.yaml").read_text("utf-8"))
    return [word for part in ("exact", "whole", "words") for words in table[part].values() for word in words]


def test_every_spelling_of_the_table_is_read_and_every_code_is_ucum() -> None:
    assert [word for word in spellings() if ucum(word) is None] == []


units = st.sampled_from([*READ, *spellings()])


@given(st.one_of(units, st.text(max_size=12), st.text(alphabet="mgdLuIUk/[]{}10*^.%x ", max_size=12)))
@settings(max_examples=200, deadline=None)
def test_reading_never_fails_and_is_idempotent(spelled: str) -> None:
    code = ucum(spelled)
    if code is not None:
        assert measure(code) is not None
        assert ucum(code) == code


@given(units, units, st.sampled_from(["", "2345-7", "17861-6", "1742-6", "4548-4"]))
@settings(max_examples=200, deadline=None)
def test_a_conversion_goes_back_and_keeps_order(one: str, other: str, loinc: str) -> None:
    there, back = conversion(one, str(ucum(other)), loinc), conversion(other, str(ucum(one)), loinc)
    if isinstance(there, Conversion):
        assert isinstance(back, Conversion)
        assert there.factor > 0
        assert back.factor * (there.factor * 7.0 + there.offset) + back.offset == pytest.approx(7.0, rel=1e-9)


KNOWN = [
    ("mg/dL", "mmol/L", "2345-7", 100, 5.5507),  # glucose
    ("mg/dL", "umol/L", "2160-0", 1, 88.40),  # creatinine
    ("mg/dL", "mmol/L", "2093-3", 200, 5.172),  # cholesterol
    ("mg/dL", "mmol/L", "2571-8", 100, 1.129),  # triglyceride
    ("mEq/L", "mmol/L", "17861-6", 4.8, 2.4),  # calcium: two charges
    ("mEq/L", "mmol/L", "2951-2", 140, 140),  # sodium: one
    ("mg/dL", "mmol/L", "3094-0", 14, 4.998),  # urea nitrogen, told as urea
    ("g/dL", "mmol/L", "718-7", 15, 9.308),  # haemoglobin
    ("%", "mmol/mol", "4548-4", 6.5, 47.53),  # haemoglobin A1c
    ("mmol/mol", "%", "59261-8", 53, 7.0),
    ("F", "Cel", "", 98.6, 37.0),
    ("lbs", "kg", "", 150, 68.039),
    ("mmHg", "kPa", "", 120, 15.999),
    ("K/uL", "10*9/L", "", 7.5, 7.5),
    ("U/L", "ukat/L", "", 60, 1.0),
    ("IU/L", "U/L", "1742-6", 33, 33),  # of an enzyme
    ("g/24h", "mmol/d", "2162-6", 1.5, 13.26),
]


@pytest.mark.parametrize(("unit", "target", "loinc", "value", "expected"), KNOWN)
def test_known_conversions(unit: str, target: str, loinc: str, value: float, expected: float) -> None:
    done = convert(value, unit, target, loinc)
    assert done.value == pytest.approx(expected, rel=5e-4)
    assert (done.unit, done.original_value, done.original_unit) == (target, value, unit)
    assert done.rule and not done.reason


@pytest.mark.parametrize(
    ("unit", "target", "loinc", "reason"),
    [
        ("mg/dL", "mmol/L", "", NO_ANALYTE),
        ("mEq/L", "mmol/L", "", NO_ANALYTE),
        ("mEq/L", "mmol/L", "2345-7", OTHER),  # glucose has no charge
        ("mg/dL", "s", "2345-7", OTHER),
        ("IU/L", "10*3/uL", "", OTHER),  # both are 1/volume to a plain parser
        ("IU/L", "U/L", "", OTHER),
        ("uIU/mL", "pmol/L", "20448-7", OTHER),  # insulin: laboratories disagree
        ("/HPF", "/LPF", "", OTHER),
        ("mg/L FEU", "mg{DDU}/L", "", OTHER),  # differ by two
        ("mL/min/1.73m2", "mL/min", "", OTHER),
        ("INR", "%", "", OTHER),
        ("mosm/kg", "mmol/kg", "", OTHER),
        ("pH", "1", "", OTHER),
    ],
)
def test_what_does_not_convert_says_why(unit: str, target: str, loinc: str, reason: str) -> None:
    done = convert(4.2, unit, target, loinc)
    assert (done.value, done.reason, done.original_value, done.original_unit) == (None, reason, 4.2, unit)


def check_digit(code: str) -> bool:
    """LOINC's own: Luhn over the number before the hyphen."""
    number, digit = code.split("-")
    doubled = [int(each) * (2 - place % 2) for place, each in enumerate(reversed(number))]
    return (10 - sum(value // 10 + value % 10 for value in doubled) % 10) % 10 == int(digit)


def test_more_than_a_hundred_analytes_convert_by_their_molar_mass() -> None:
    """Each factor against the molar mass, by hand: 1 mg/dL is 10 mg/L, over g/mol is mmol/L."""
    assert len({known.substance for known in analytes().values()}) > 130
    for loinc, known in analytes().items():
        found = conversion("mg/dL", "mmol/L", loinc)
        assert isinstance(found, Conversion)
        assert found.factor == pytest.approx(10 / known.mass, rel=1e-10)
        if known.formula:
            assert known.mass == molar_mass(known.formula)


def test_codes_are_sound() -> None:
    assert [code for code in {*analytes(), *ENZYMES, *HBA1C} if not check_digit(code)] == []
    assert not check_digit("2345-8")


# What the published table says otherwise, and why it is not followed.
PUBLISHED_OTHERWISE = {
    "2942-1",  # sex hormone-binding globulin: the factor is that of testosterone
    "2177-4",  # cystine: the factor is that of half the molecule
    "2666-6",  # norepinephrine in plasma: a thousand times too much; in urine it is right
    "62290-2",  # 1,25-dihydroxyvitamin D: 2.6, where C27H44O3 gives 2.40
    "15082-1",  # methaemoglobin: of four chains
    "20448-7",  # insulin: no unit of mass or amount
}
AS_UCUM = {"μg/24 h": "ug/(24.h)", "mg/24 h": "mg/(24.h)", "g/24 h": "g/(24.h)"}
AS_UCUM |= {"nmol/day": "nmol/d", "μmol/day": "umol/d", "mmol/day": "mmol/d"}
LABUNITS: dict[str, Any] = pytest.importorskip("labunits.converters")._load_data()


def molar(entry: dict[str, Any]) -> bool:
    return (
        "mol" in entry["si_units"]
        and "mol" not in entry["traditional_units"]
        and "Eq" not in entry["traditional_units"]
    )


MOLAR = sorted(code for code, entry in LABUNITS.items() if molar(entry) and "Osm" not in entry["traditional_units"])


@pytest.mark.parametrize("loinc", [code for code in MOLAR if code not in PUBLISHED_OTHERWISE and code != "32546-4"])
def test_factors_agree_with_a_published_table(loinc: str) -> None:
    """labunits (MIT) has 133 analytes of another origin: its printed factors are ours, within their rounding."""
    entry = LABUNITS[loinc]
    unit, target = (AS_UCUM.get(entry[side], entry[side]) for side in ("traditional_units", "si_units"))
    found = conversion(unit, str(ucum(target)), loinc)
    assert isinstance(found, Conversion), found
    printed = entry["conversion_factor"]
    last_digit = 10.0 ** -len(f"{printed:f}".rstrip("0").partition(".")[2])
    assert math.isclose(found.factor, printed, rel_tol=0.012, abs_tol=last_digit)


def test_enough_of_the_published_table_is_compared() -> None:
    assert len(MOLAR) >= 60
    assert set(MOLAR) >= PUBLISHED_OTHERWISE - {"20448-7"}


def test_a_wrong_formula_would_be_seen() -> None:
    assert molar_mass("C6H12O6") == pytest.approx(180.156)
    assert not math.isclose(10 / molar_mass("C6H12O5"), 0.05551, rel_tol=0.012)
    for bad in ("", "glucose", "C6H12Xx", "6C"):
        with pytest.raises(ValueError, match=r"formula|weight"):
            molar_mass(bad)


@pytest.mark.oracle
def test_a_bulk_run_is_one_join_and_keeps_what_came() -> None:
    rows = [("2345-7", "90", "mg/dL"), ("2345-7", "5.1", "mmol/l"), ("2345-7", "5", "furlong"), (None, "7", "G/L")]
    with duckdb.connect() as to:
        to.execute("CREATE TABLE lab (loinc VARCHAR, value VARCHAR, unit VARCHAR)")
        to.executemany("INSERT INTO lab VALUES (?, ?, ?)", rows)
        to.execute(create("unit_lookup"))
        made = lookup((unit, loinc or "", "mmol/L" if loinc else "") for loinc, _, unit in rows)
        to.executemany(insert("unit_lookup"), [row.cells() for row in made])
        target = "CASE WHEN r.loinc IS NULL THEN '' ELSE 'mmol/L' END"
        found = to.execute(
            f"SELECT value, unit, round(converted, 3), converted_unit, conversion_reason FROM "
            f"({join('lab', 'r.value', 'r.unit', 'r.loinc', target)}) ORDER BY value"
        ).fetchall()
    assert found == [
        ("5", "furlong", None, None, UNKNOWN),
        ("5.1", "mmol/l", 5.1, "mmol/L", None),
        ("7", "G/L", None, None, AMBIGUOUS),
        ("90", "mg/dL", 4.996, "mmol/L", None),
    ]


@pytest.mark.oracle
def test_the_examples_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "units.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    assert len(blocks) == 5
    exec("\n".join(blocks), {})
    assert "('5.1', 'mmol/l', 4172703, 5.1, 'mmol/L')" in capsys.readouterr().out


def test_official_codes_keep_their_meaning() -> None:
    """UCUM's own list of 848 codes: in capitals alone medicine means hours and seconds, not henry and siemens."""
    listed = resources.files("ucumvert") / "vendor" / "ucum_examples.tsv"
    codes = [line.split("\t")[1] for line in listed.read_text(encoding="utf-8").splitlines()[1:]]
    read = {code: ucum(code) for code in codes}
    assert len(codes) > 800 and sum(code is None for code in read.values()) <= 4
    moved = {code for code, found in read.items() if found not in (None, code) and measure(code) != measure(str(found))}
    assert moved == {"F", "H", "Ms", "S", "pmol/H/mg{protein}", "Torr"}
