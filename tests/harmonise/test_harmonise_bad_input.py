"""What exports really hold: each fault is a clear error that changes nothing, or a row kept aside with its reason."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from namespaces import MOUNTS, fresh, inside
from namespaces import run as command

from harmonise.clinic import FILES, PLAN, Clinic, vocabulary
from sojourn.errors import HarmonisationError
from sojourn.node.harmonise import running, staging
from sojourn.node.harmonise.publishing import History, history

# Rows of the clinic's files with what is wrong with each; others stand between them, and are made.
PATIENTS = [
    ("10,M,31/12/1959,", None),
    ("11,M,29/02/1959,", "unreadable date"),  # no leap year
    ("12,M,29/02/1960,", None),
    ("13,M,12/31/1970,", "unreadable date"),  # the other order
    ("14,M,01/01/1800,", "implausible date"),
    ("15,M,01/01/2999,", "implausible date"),
    ("16,M,1970-05-06,", "unreadable date"),
    ("17,M,,", "missing value"),
    (",M,01/01/1970,", "no key"),
    ("10,F,02/02/1970,", "duplicate key"),
    ("18,M,01/01/1970,01/01/1969", None),  # its death is kept aside
    ("19,X,01/01/1970,", None),  # its sex is 0
]
STAYS = [
    ("10,a,ward,01/02/2019,31/01/2019", "end before start"),
    ("10,b,ward,01/02/2019,01/02/2019", None),
    ("10,c,kitchen,01/02/2019,01/02/2019", "unlisted value"),
    ("12,d,ward,28/02/1960,01/03/1960", "before birth"),  # a negative age
    ("99,e,ward,01/02/2019,01/02/2019", "unknown person"),
    (",f,ward,01/02/2019,01/02/2019", "no key"),
    ("11,g,ward,01/02/2019,01/02/2019", "unknown person"),  # kept aside itself
    ("10,h,ward,01/02/19,01/02/19", "implausible date"),  # the year 19
]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture
def clinic(tmp_path: Path, warehouse: Path) -> Clinic:
    made = Clinic(tmp_path, warehouse)
    made.write()
    return made


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, warehouse: Path) -> Clinic:
    """All rows at fault in one export."""
    clinic = Clinic(tmp_path_factory.mktemp("faulty"), warehouse)
    diagnoses = b"\xef\xbb\xbf" + (  # with a BOM
        b"mrn,stay,code,day\n"
        b"10,b,S82.0,01/02/2019\n"
        b"10,b,S82.0\n"  # line 3, ragged
        b"10,b,S82.0,01/02/2019,more\n"
        b"10,b,caf\xe9,01/02/2019\n"
        b'10,b,"S82.0, of the ""left"" leg",01/02/2019\n'
        b'10,b,S82.0 (5" long),01/02/2019\n'
        b"10,zzz,J18,01/02/2019\n"
        b'10,b,"S82.0,01/02/2019\n'
    )
    clinic.write({
        "patients": "mrn,sex,born,died\n" + "".join(f"{row}\n" for row, _ in PATIENTS),
        "stays": "mrn,stay,kind,from,until\n" + "".join(f"{row}\n" for row, _ in STAYS),
        "diagnoses": diagnoses,
    })  # fmt: skip
    clinic.made()
    return clinic


@pytest.mark.parametrize(
    ("rule", "table", "rows"), [("person", "person", PATIENTS), ("stays", "visit_occurrence", STAYS)]
)
def test_a_row_at_fault_is_kept_aside_with_its_place_and_reason(
    faulty: Clinic, rule: str, table: str, rows: list[tuple[str, str | None]]
) -> None:
    found = {
        record: reason for name, record, reason in faulty.rows("quarantine", "rule, record, reason") if name == rule
    }
    assert found == {place: reason for place, (_, reason) in enumerate(rows, 1) if reason}
    assert len(faulty.rows(table)) == sum(reason is None for _, reason in rows)


def test_a_death_before_birth_and_of_nobody_known(faulty: Clinic) -> None:
    found = [
        (record, reason)
        for rule, record, reason in faulty.rows("quarantine", "rule, record, reason")
        if rule == "death"
    ]
    assert found == [(11, "before birth")]


def test_lines_that_are_no_rows_are_kept_aside_with_their_line(faulty: Clinic) -> None:
    found = [(line, reason) for rule, line, reason in faulty.rows("quarantine", "rule, line, reason") if rule == ""]
    assert sorted(found) == [(3, "ragged row"), (4, "ragged row"), (5, "wrong encoding"), (9, "broken quotes")]


def test_quotation_marks_inside_a_field_are_text(faulty: Clinic) -> None:
    values = [value for (value,) in faulty.rows("condition_occurrence", "condition_source_value")]
    assert values == sorted(["S82.0", 'S82.0, of the "left" leg', 'S82.0 (5" long)', "J18"])


def test_a_visit_that_is_not_there_leaves_the_link_empty(faulty: Clinic) -> None:
    found = dict(faulty.rows("condition_occurrence", "condition_source_value, visit_occurrence_id IS NULL"))
    assert found["J18"] and not found["S82.0"]


def test_an_unlisted_value_of_a_concept_is_0(faulty: Clinic) -> None:
    assert [row[0] for row in faulty.rows("person", "gender_concept_id")].count(0) == 1


def test_no_reason_holds_a_value(faulty: Clinic) -> None:
    words = {word for row in faulty.rows("quarantine", 'file, rule, "table", reason, columns') for word in row}
    columns = {"mrn", "stay", "mrn, stay", "born", "died", "kind", "code", "day", "from", "until", "until, from", "", "year_of_birth",  # noqa: E501
               "visit_start_date, visit_end_date", "visit_start_date", "death_date"}  # fmt: skip
    assert {row[4] for row in faulty.rows("quarantine", 'file, rule, "table", reason, columns')} <= columns
    assert not any(value in word for word in words for value in ("S82", "kitchen", "1959", "99"))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
def test_another_encoding_is_read_where_the_plan_names_it(clinic: Clinic, encoding: str) -> None:
    clinic.plan = PLAN.replace("path: patients.csv,", f"path: patients.csv, encoding: {encoding},")
    clinic.write({"patients": "mrn,sex,born,died\nJosé,F,29/02/1960,\n".encode(encoding)})
    assert running.pilot(clinic.work, 1.0)["tables"]["person"]["rows"] == 1


@pytest.mark.parametrize(("encoding", "byte"), [("latin-1", b"\x80"), ("cp1252", b"\x81")])
def test_a_file_in_another_encoding_than_declared_is_named(clinic: Clinic, encoding: str, byte: bytes) -> None:
    clinic.plan = PLAN.replace("path: patients.csv,", f"path: patients.csv, encoding: {encoding},")
    clinic.write({"patients": b"mrn,sex,born,died\r\nJos" + byte + b",F,29/02/1960,\r\n"})
    with pytest.raises(HarmonisationError, match=f"`patients`.*{encoding}") as refused:
        running.pilot(clinic.work, 1.0)
    assert "encoding" in refused.value.remedy


def test_signs_of_windows_are_read(clinic: Clinic) -> None:
    clinic.plan = PLAN.replace("path: patients.csv,", "path: patients.csv, encoding: cp1252,")
    text = FILES["patients"].replace("2,M", "\u20ac\u0153,M").replace("\n", "\r\n")
    (clinic.export / "patients.csv").unlink()
    (clinic.export / "patients.csv.gz").write_bytes(gzip.compress(text.encode("cp1252")))
    assert running.pilot(clinic.work, 1.0)["tables"]["person"]["rows"] == 3
    assert not list(clinic.places.folder.rglob("*.csv"))


def test_a_first_line_in_another_encoding(clinic: Clinic) -> None:
    clinic.write({"patients": "mrn,sex,born,died,décédé\n".encode("latin-1")})
    with pytest.raises(HarmonisationError, match="no row of column names in utf-8") as error:
        running.pilot(clinic.work, 1.0)
    assert "encoding" in error.value.remedy


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("born", "birthday"), "`patients` that the file does not have: `born`"),
        (("mrn,sex", "mrn,MRN"), "same name"),
        (("mrn,sex", "mrn,"), "empty, too long or begins with"),
    ],
)
def test_a_header_that_is_not_as_planned(clinic: Clinic, change: tuple[str, str], words: str) -> None:
    clinic.write({"patients": FILES["patients"].replace(*change)})
    with pytest.raises(HarmonisationError, match=words):
        running.pilot(clinic.work, 1.0)


def test_a_file_that_is_not_there_or_lies_elsewhere(clinic: Clinic) -> None:
    (clinic.export / "stays.csv").unlink()
    with pytest.raises(HarmonisationError, match=r"no file `stays\.csv` for `stays`"):
        running.pilot(clinic.work, 1.0)
    (clinic.folder / "stays.csv").write_text(FILES["stays"])
    clinic.plan = PLAN.replace("path: stays.csv", "path: ../stays.csv")
    with pytest.raises(HarmonisationError, match="outside the export"):
        running.pilot(clinic.work, 1.0)


def test_a_compressed_file_is_the_same_file(clinic: Clinic) -> None:
    whole = (clinic.export / "patients.csv").read_bytes()
    (clinic.export / "patients.csv").unlink()
    (clinic.export / "patients.csv.gz").write_bytes(gzip.compress(whole))
    assert running.pilot(clinic.work, 1.0)["tables"]["person"]["rows"] == 3


def test_a_file_that_grows_while_it_is_read(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file really grows, between its first byte's being read and its last."""
    read = staging._header

    def grown(path: Path, *words: object) -> tuple[str, ...]:
        with path.open("a") as file:
            file.write("4,F,01/01/1970,\n")
        return read(path, *words)  # type: ignore[arg-type]

    clinic.signed()
    clinic.write({"patients": FILES["patients"] + "5,F,01/01/1970,\n"})
    monkeypatch.setattr(staging, "_header", grown)
    with pytest.raises(HarmonisationError, match="`patients` changed while it was read"):
        clinic.run()
    assert history(clinic.places) == History()


def test_too_many_rows_at_fault_of_later_files_stop_a_run(clinic: Clinic) -> None:
    clinic.plan = PLAN.replace("quarantine_at_most: 1", "quarantine_at_most: 0.2")
    clinic.signed()
    clinic.write({"stays": FILES["stays"].replace("ward", "kitchen")})
    with pytest.raises(HarmonisationError, match=r"of the rows would be kept aside; the plan allows 20"):
        clinic.run()
    assert history(clinic.places) == History()


def test_mixed_orders_of_dates_are_told_in_the_pilot(clinic: Clinic) -> None:
    clinic.write({"diagnoses": "mrn,stay,code,day\n1,,J18,12/31/2019\n1,,J18,11/02/2019\n1,,J18,31/12/2019\n"})
    report = running.pilot(clinic.work, 1.0)
    assert (
        "1 dates in `day` of `diagnoses` can be read with day and month swapped only: orders are mixed."
        in report["doubts"]
    )
    clinic.write({"diagnoses": "mrn,stay,code,day\n1,,J18,11/02/2019\n"})
    report = running.pilot(clinic.work, 1.0)
    assert (
        "Every date in `day` of `diagnoses` could be read with day and month swapped: the owner alone knows."
        in report["doubts"]
    )


def test_two_rules_that_make_one_number_are_refused(clinic: Clinic) -> None:
    again = PLAN.split("  person:\n    file", 1)[1].split("  death:\n")[0]
    clinic.plan = PLAN.replace("  death:\n", f"  person_again:\n    file{again}  death:\n")
    with pytest.raises(HarmonisationError, match="exactly one rule with `to: person`"):
        running.pilot(clinic.work, 1.0)


@pytest.mark.long
def test_a_full_disk(clinic: Clinic) -> None:
    """Real: the node's home lies on a disk of one mebibyte."""
    namespace = fresh(MOUNTS)
    clinic.home.mkdir()
    with inside(namespace, MOUNTS):
        command("mount", "--make-rprivate", "/")
        command("mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "sojourn-test", str(clinic.home))
        clinic.made()
        before = clinic.everything()
        rows = "".join(f"{n},F,01/01/1970,\n" for n in range(10, 60_000))
        clinic.write({"patients": FILES["patients"] + rows})
        with pytest.raises(HarmonisationError, match=r"full|too little room"):
            clinic.run()
        assert clinic.everything() == before
        clinic.write({"patients": FILES["patients"] + "4,F,01/01/1970,\n"})
        assert clinic.run().published and len(clinic.rows("person")) == 4
    os.close(namespace)
