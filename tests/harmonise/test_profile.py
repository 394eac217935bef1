"""A profile says what an export holds, in bounded memory; what is wrong with a file, clearly; and no rare value."""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
import stat
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harmonise import athena
from sojourn.cli import main
from sojourn.errors import DatasetError
from sojourn.node.dictionary import Dictionary
from sojourn.node.harmonise import profiling_sources
from sojourn.node.harmonise.profiling import profile
from sojourn.node.harmonise.vocabulary_loading import load
from sojourn.node.warehouse import open_profile
from sojourn.omop.code_systems import recognise
from sojourn.omop.date_forms import FORMS, met, twin

CANARY = "Zebedee"
N = 60


def rows() -> list[list[str]]:
    """Sixty visits of twenty patients."""
    units = ["mg/dL", "mcg/L", "G/L"]
    found = []
    for i in range(N):
        first, second = 1 + i % 12, 1 + i % 11
        found.append(
            [
                f"p{i % 20}", f"{first:02}/{second:02}/2020", f"{13 + i % 15:02}/{1 + i % 12:02}/2021", "2345-7",
                ["73595000", "66383009", "72892002"][i % 3], ["E11.9", "I10", "S82.0", "J18.9", "C50.1", "K35"][i % 6],
                units[i % 3], "<0.5" if i % 3 == 0 else "hemolysed" if i % 6 == 1 else f"{i / 10}",
                "unknown" if i % 5 == 0 else f"{50 + i}", "true" if i % 2 else "false", f"a{i}@example.org",
                CANARY if i == 7 else "often", "" if i % 4 else "x",
            ]
        )  # fmt: skip
    return found


HEADER = [
    "patient_id", "admitted", "left", "loinc", "finding", "diagnosis", "unit", "result", "age", "smoker", "mail",
    "ward", "note",
]  # fmt: skip


def text(delimiter: str = ",", quote: str = "") -> str:
    return "".join(delimiter.join(f"{quote}{cell}{quote}" for cell in row) + "\n" for row in [HEADER, *rows()])


def columns(document: dict[str, Any], table: int = 0) -> dict[str, dict[str, Any]]:
    return {column["name"]: column for column in document["tables"][table]["columns"]}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("export")
    (folder / "visits.csv").write_text(text())
    return profile(folder).document


def test_columns_are_recognised(document: dict[str, Any]) -> None:
    found = columns(document)
    assert document["tables"][0]["rows"] == N
    assert {name: column["type"] for name, column in found.items()} == {
        "patient_id": "text", "admitted": "date", "left": "date", "loinc": "code", "finding": "code",
        "diagnosis": "code", "unit": "unit", "result": "results", "age": "results", "smoker": "yes or no",
        "mail": "text", "ward": "text", "note": "text",
    }  # fmt: skip
    assert {name: column["codes"][0]["system"] for name, column in found.items() if "codes" in column} == {
        "loinc": "LOINC", "finding": "SNOMED", "diagnosis": "ICD10"
    }  # fmt: skip
    assert found["mail"]["identifier"] == "the values have the form of: e-mail address"
    assert found["mail"]["key"] and document["tables"][0]["keys"] == ["mail"]
    assert found["unit"]["units"]["seen"]["mcg/L"] == {"rows": 20, "ucum": "ug/L"}
    assert found["result"]["results"]["with an operator"] == pytest.approx(1 / 3, abs=1e-3)
    assert found["note"]["missing"] == {"rows": 45, "share": 0.75}


def test_what_only_the_owner_knows_is_a_question(document: dict[str, Any]) -> None:
    asked = document["tables"][0]["questions"]
    assert "admitted: Day or month first? Every value is a date both as %d/%m/%Y and as %m/%d/%Y." in asked
    assert not [line for line in asked if line.startswith("left")]
    assert "unit: does G/L mean g/L or 10*9/L?" in asked
    assert any(line.startswith("age: are 12 values such as `unknown`") for line in asked)
    assert columns(document)["left"]["dates"]["form"] == "%d/%m/%Y"


def test_no_rare_value_and_no_exact_extreme_is_written(document: dict[str, Any]) -> None:
    written = yaml.safe_dump(document)
    assert CANARY not in written and "@example" not in written and "p19" not in written
    assert columns(document)["ward"]["values"] == {"frequent": {"often": 59}, "others": 1}


def one_column(folder: Path, name: str, values: list[str]) -> dict[str, Any]:
    (folder / "t.csv").write_text("\n".join([name, *values]) + "\n")
    document = profile(folder / "t.csv").document
    return {**columns(document)[name], "questions": document["tables"][0]["questions"]}


@pytest.mark.parametrize("times", [1, 12])
def test_numbers_of_persons_are_no_codes_and_are_not_shown(tmp_path: Path, times: int) -> None:
    found = one_column(tmp_path, "Codice", [f"P{10000 + n}" for n in range(60)] * times)
    assert found["identifier"] == "letters and a number, as numbers of persons are"
    assert "codes" not in found and "values" not in found and "P100" not in yaml.safe_dump(found)


def test_a_key_that_stands_in_other_tables_is_not_shown(tmp_path: Path) -> None:
    numbers = [f"K{n}x{n % 7}" for n in range(60)]
    (tmp_path / "anagrafica.csv").write_text("\n".join(["Codice", *numbers]) + "\n")
    (tmp_path / "esami.csv").write_text("\n".join(["Codice", *numbers * 12]) + "\n")
    for table in profile(tmp_path).document["tables"]:
        (column,) = table["columns"]
        assert column["identifier"] == "the key of anagrafica, and in other tables" and "values" not in column


def test_icd_10_without_points_needs_several_chapters() -> None:
    assert [guess.system for guess in recognise(["J189", "I10", "E119", "S8201", "K359"], "c")] == ["ICD10"]
    assert [guess.system for guess in recognise(["J189", "J180"], "diagnosis")] == ["ICD10"]
    assert "ICD10" not in [guess.system for guess in recognise([f"P{10000 + n}" for n in range(60)], "Codice")]


def test_mixed_day_and_month_is_a_question(tmp_path: Path) -> None:
    found = one_column(tmp_path, "born", ["13/02/2020", "02/25/2020", "01/02/2020"] * 5)
    assert found["questions"] == [
        "born: Are day and month mixed in this column? 10 of 15 values are dates as %d/%m/%Y, 10 as %m/%d/%Y."
    ]


def test_every_form_met_is_asked_with_what_is_no_date(tmp_path: Path) -> None:
    """A form that the other order of day and month explains, or that few values have, is not named."""
    days = [f"{1 + n % 28:02}/{1 + n % 12:02}/1970" for n in range(179)]
    later = [f"1980-{1 + n % 12:02}-{1 + n % 28:02}" for n in range(120)]
    found = one_column(tmp_path, "born", [*days, "00/00/0000", *later, "07 Jan 1970"])
    assert found["dates"]["read by form"] == {"%d/%m/%Y": 179, "%Y-%m-%d": 120}
    assert found["questions"] == [
        "born: Are there several forms of dates in this column? 179 of 301 values are dates as %d/%m/%Y, "
        "120 as %Y-%m-%d. What are the 2 values that are no dates as any of these?"
    ]
    assert found["dates"]["years"] == [1970, 1980] and found["type"] == "date"


def test_forms_of_which_none_has_half_of_the_values_are_dates(tmp_path: Path) -> None:
    found = one_column(tmp_path, "d", [*["13.04.2020"] * 14, *["2020-04-13"] * 13, *["04/13/2020"] * 12])
    assert found["dates"]["read by form"] == {"%d.%m.%Y": 14, "%Y-%m-%d": 13, "%m/%d/%Y": 12}


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(FORMS)), st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=5))
def test_forms_met_read_all_that_frequent_forms_read(counts: dict[str, tuple[int, int]]) -> None:
    """Of two twins one goes only where the other reads all that it reads."""
    reads = {form: alone + both for form, (alone, both) in counts.items()}
    alone = {form: own if twin(form, counts) else reads[form] for form, (own, _) in counts.items()}
    found = met(reads, alone, 10)
    assert list(found.values()) == sorted(found.values(), reverse=True) and bool(found) == any(reads.values())
    for form, count in reads.items():
        if count >= 10 and form not in found:
            assert not alone[form] and alone[twin(form, counts)]


def test_impossible_days_and_years_are_seen(tmp_path: Path) -> None:
    found = one_column(tmp_path, "day", ["2020-02-29", "2021-02-29", "1800-01-01", "2999-12-31", *["2020-05-05"] * 8])
    assert found["dates"]["implausible"] == 2
    assert found["dates"]["years"] == [1800, 2999]
    assert "day: What are the 1 values that are no dates as %Y-%m-%d?" in found["questions"]


def test_times_without_a_zone_are_a_question(tmp_path: Path) -> None:
    found = one_column(tmp_path, "at", ["2020-05-05 10:00:00"] * 12)
    assert (found["type"], found["questions"]) == (
        "date and time",
        ["at: Which time zone's clock do these times tell?"],
    )


@pytest.mark.parametrize(
    ("name", "values", "system"),
    [
        ("code", ["E11.9", "I10", "S82.001A", "J189"] * 3, "ICD10"),
        ("icd9", ["250.00", "V10.1", "410"] * 3, "ICD9CM"),
        ("dx", ["BA00", "5A11", "2C25.0", "8A00.1", "CA40"] * 2, "ICD11"),
        ("x", ["N02BE01", "C09AA05", "A10BA02", "J01CA04", "B01AC06"], "ATC"),
        ("product", ["0002-7510-01", "50090-1234-1", "12345-678-90", "0002-7510-02", "0002-7510-03"], "NDC"),
        ("rxcui", ["665078", "1870230", "313782"], "RxNorm"),
        ("cvx_code", ["115", "140", "08"], "CVX"),
        ("code", ["A-17", "B-23", "C-99"], "local"),
        ("loinc", ["2345-8", "718-8", "2160-1"], None),  # the check digits are wrong
        ("number", ["665078", "1870230", "313782"], None),
        ("snomed", ["123456789", "987654321", "111111111"], None),
    ],
)
def test_code_systems(name: str, values: list[str], system: str | None) -> None:
    found = recognise(values, name)
    assert (found[0].system if found else None) == system


BAD = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\n ", "is empty"),
    "zeros": (b"a,b\n1,\0\0\n", "holds zero bytes"),
    "utf32": ("a,b\n1,2\n".encode("utf-32"), "UTF-32"),
    "broken header": (b'"a,b\n1,2\n', "no row of column names"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_cannot_be_read_is_told_and_the_others_go_on(tmp_path: Path, kind: str) -> None:
    (tmp_path / "bad.csv").write_bytes(BAD[kind][0])
    (tmp_path / "good.csv").write_text("a,b\n1,2\n")
    found = profile(tmp_path)
    assert [table["table"] for table in found.document["tables"]] == ["good"]
    (failed,) = found.document["unreadable"]
    assert BAD[kind][1] in failed["problem"] and failed["remedy"] and found.failed == 1


def test_damaged_parquet_gzip_and_databases_are_told(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.csv.gz", "c.duckdb", "d.sqlite"):
        (tmp_path / name).write_bytes(b"SQLite format 3\0 no more" if name[0] == "d" else b"no such thing " * 9)
    found = profile(tmp_path).document
    assert found["tables"] == [] and len(found["unreadable"]) == 4


ROWS_READ = {
    "bom": ("﻿a,b\n1,Müller\n".encode(), 1, None),
    "utf16": ("a,b\n1,Müller\n".encode("utf-16"), 1, None),
    "latin": ("a,b\n1,Müller\n2,x\n".encode("latin-1"), 2, "In which encoding was this file written?"),
    "windows": ("a,b\r\n1,M\u00fcller\r\n2,\u20ac\r\n".encode("cp1252"), 2, "In which encoding was this file written?"),
    "no windows": (b"a,b\r\n1,M\x81ller\r\n2,x\r\n", 2, "In which encoding was this file written?"),
    "long": (b"a,b\r\n" + b"1,x\r\n" * 40_000 + b"2,M\xfcller\r\n", 40_001, "In which encoding was this file written?"),
    "ragged": (b"a,b\n1,2\n3\n4,5,6\n7,8\n", 2, "1 rows have fewer fields than the first line, the first in line 3"),
    "quotes": (b'a,b\n1,"x ""q"" y"\n2,5\'10" tall\n', 2, None),
    "bad quotes": (b'a,b\n1,"bad "in" quote"\n2,ok\n', 1, "quotation marks that do not close"),
    "line breaks": (b'a,b\r\n1,"two\r\nlines"\r\n2,x\r\n', 2, None),
    "semicolons": (b"a;b\n1,5;2\n", 1, None),
    "twice": (b"a,a\n1,2\n", 1, "is there before"),
    "nameless": (b"a,\n1,2\n", 1, "Column 2 has no name"),
    "no header": (b"1,2\n3,4\n", 1, "is there a header?"),
    "no rows": (b"a,b\n", 0, "no rows"),
}


@pytest.mark.parametrize("kind", ROWS_READ)
def test_odd_files_are_read_as_far_as_they_can_be(tmp_path: Path, kind: str) -> None:
    content, read, said = ROWS_READ[kind]
    (tmp_path / "odd.csv").write_bytes(content)
    (table,) = profile(tmp_path).document["tables"]
    assert table["rows"] == read
    told = " ".join([*table["problems"], *table["questions"]])
    assert said in told if said else told == ""
    assert "Müller" not in told


def test_a_first_column_after_a_byte_order_mark_has_its_name(tmp_path: Path) -> None:
    (tmp_path / "bom.csv").write_bytes(ROWS_READ["bom"][0])
    assert list(columns(profile(tmp_path).document)) == ["a", "b"]


def each_kind(folder: Path) -> None:
    """The same rows in a file of each kind."""
    folder.mkdir(exist_ok=True)
    (folder / "a.csv.gz").write_bytes(gzip.compress(text().encode()))
    with duckdb.connect(str(folder / "b.duckdb")) as to:
        to.execute(f"CREATE TABLE visits AS FROM read_csv('{folder}/a.csv.gz', all_varchar=true, header=true)")
        to.execute(f"COPY visits TO '{folder}/c.parquet' (FORMAT parquet)")
    with sqlite3.connect(folder / "d.sqlite") as lite:
        lite.execute(f"CREATE TABLE visits ({', '.join(HEADER)})")
        lite.executemany(f"INSERT INTO visits VALUES ({', '.join('?' * len(HEADER))})", rows())
    lite.close()


def test_databases_parquet_and_gzip_give_the_same_columns(tmp_path: Path) -> None:
    each_kind(tmp_path)
    found = profile(tmp_path).document
    assert [table["kind"] for table in found["tables"]] == ["CSV", "DuckDB", "Parquet", "SQLite"]
    seen = [{**column, "declared": ""} for column in columns(found).values()]
    for place in (1, 2, 3):
        assert [{**column, "declared": ""} for column in columns(found, place).values()] == seen


def test_a_large_file_is_read_in_passes_and_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "visits.csv").write_text(text() + "one,field,too,few\n")
    copied = profile(tmp_path)
    monkeypatch.setattr(profiling_sources, "SMALL", 0)
    passed = profile(tmp_path)
    assert passed.document["tables"] == copied.document["tables"]
    assert "1 rows have fewer fields" in passed.document["tables"][0]["problems"][0]
    notes = passed.dictionaries["visits"].notes
    assert notes["ward"] == "undecided: the table is too large for levels to be counted by persons"


@pytest.mark.parametrize("many", [500_000, pytest.param(10_000_000, marks=pytest.mark.nightly)])
def test_millions_of_distinct_codes_stay_in_bounded_memory(tmp_path: Path, many: int) -> None:
    """Every value is another: as a list they would not fit into what the database may have."""
    path = tmp_path / "codes.parquet"
    with duckdb.connect() as to:
        to.execute(f"COPY (SELECT 'code-' || md5(i::VARCHAR) AS code FROM range({many}) AS r(i)) TO '{path}'")
    (table,) = profile(path, memory="48MB").document["tables"]
    (column,) = table["columns"]
    assert not column["distinct"]["exact"]
    assert column["distinct"]["count"] == pytest.approx(many, rel=0.1)
    assert "values" not in column and table["sample"] < 50_000


def test_the_sample_is_the_same_each_time(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with duckdb.connect() as to:
        to.execute(f"COPY (SELECT (i % 977)::VARCHAR || ' mg' AS v FROM range(60000) AS r(i)) TO '{path}'")
    one, other = (profile(path).document["tables"] for _ in range(2))
    assert one == other


def test_a_profile_s_database_reaches_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("a\n1\n")
    (tmp_path / "other.csv").write_text("a\n1\n")
    connection = open_profile(tmp_path, tmp_path / "own.csv", memory="48MB")
    assert connection.execute(f"SELECT count(*) FROM '{tmp_path}/own.csv'").fetchall() == [(1,)]
    for query in (
        f"SELECT * FROM '{tmp_path}/other.csv'",
        "SET memory_limit = '9GB'",
        f"COPY (SELECT 1) TO '{tmp_path}/x'",
    ):
        with pytest.raises(duckdb.Error):
            connection.execute(query)
    connection.close()


def test_a_dictionary_is_drafted_without_rare_levels(tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_text(text())
    found = profile(tmp_path, threshold=5).dictionaries["visits"]
    assert found.person == "patient_id"
    assert found.columns["ward"].levels == ("often",)
    assert found.columns["smoker"].kind.value == "boolean"
    assert {"mail", "admitted", "left", "result"} <= set(found.excluded)
    assert CANARY not in json.dumps(found.to_dict())


def test_a_year_of_birth_is_called_one(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("pid,year_of_birth,birth_place\n" + "".join(f"{n},{1940 + n},x{n % 3}\n" for n in range(60)))
    notes = profile(path).dictionaries["people"].notes
    assert notes["year_of_birth"] == "likely an identifier, a year of birth, which others may know"
    assert notes["birth_place"] == "likely an identifier, by its name"


def test_the_command_writes_page_document_and_drafts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export, out = tmp_path / "export", tmp_path / "out"
    export.mkdir()
    (export / "visits.csv").write_text(text().replace("often", "<script>alert(1)</script>"))
    with pytest.raises(SystemExit) as left:
        main(["harmonise", "profile", str(export), "--out", str(out)])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert "must not leave it" in said and "Day or month first?" in said
    page = (out / "profile.html").read_text()
    assert "must not leave it" in page and "<script>alert" not in page
    assert not re.search(r"(src|href)=\"(?!#)", page)
    assert yaml.safe_load((out / "profile.yaml").read_text())["tables"][0]["rows"] == N
    assert (out / "profile.yaml").read_text().startswith("# This page describes records of persons.")
    draft = out / "visits.dictionary.yaml"
    assert Dictionary.load(draft).person == "patient_id"
    assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}
    draft.write_text("edited")
    with pytest.raises(SystemExit):
        main(["harmonise", "profile", str(export), "--out", str(out)])
    assert draft.read_text() == "edited"


def test_the_command_over_each_kind_of_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Page and document: a database and a Parquet file have no encoding, which a text file has."""
    each_kind(tmp_path / "export")
    for name in ("a.csv.gz", "b.duckdb", "c.parquet", "d.sqlite", "."):
        for words in ((), ("--json",)):
            out = tmp_path / f"out-{name}-{len(words)}"
            with pytest.raises(SystemExit) as left:
                main(["harmonise", "profile", str(tmp_path / "export" / name), "--out", str(out), *words])
            assert left.value.code == 0
            said = capsys.readouterr().out
            tables = yaml.safe_load((out / "profile.yaml").read_text())["tables"]
            assert len(tables) == (4 if name == "." else 1)
            page = (out / "profile.html").read_text()
            assert all(f"{table['source']}, {table['kind']}" in page for table in tables)
            assert not words or json.loads(said)["tables"] == tables


def test_codes_are_looked_up_where_a_vocabulary_is_loaded(tmp_path: Path) -> None:
    export, warehouse, out = tmp_path / "t.csv", tmp_path / "w.duckdb", tmp_path / "out"
    export.write_text("what\n" + "J18\nS82.0\nown\n" * 12)
    words = ["harmonise", "profile", str(export), "--out", str(out), "--warehouse", str(warehouse)]
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 1
    load(athena.write_zip(tmp_path / "v.zip"), warehouse)
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0
    (column,) = yaml.safe_load((out / "profile.yaml").read_text())["tables"][0]["columns"]
    assert column["in the vocabulary"] == {"ICD10CM": 0.6667}
    assert "known to ICD10CM (67%)" in (out / "profile.html").read_text()


def test_no_folder_and_no_tables_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        profile(tmp_path / "none")
    (tmp_path / "letter.docx").write_text("x")
    with pytest.raises(DatasetError, match="holds no tables"):
        profile(tmp_path)
