"""Names, addresses and free text that many rows hold are in no profile, page, draft or dictionary of an export."""

from __future__ import annotations

from pathlib import Path

import pytest

from sojourn.cli import main
from sojourn.node.harmonise.profiling import profile
from sojourn.node.harmonise.profiling_private import telling

# Thirty rows of one patient: frequent, and of one person. The name of the column, and what stands in it.
PRIVATE = {
    "attending": "Smithson, Jane", "arzt": "Dr. Smithson", "nombre": "Smithson García", "next_of_kin": "Smithson John",
    "gp": "Smithson", "employer": "Smithson Ltd", "adresse": "Smithsonstraße 12", "residence": "12 Smithson Road, Bath",
    "comment": "call Smithson", "note_text": "Smithson is well", "bemerkung": "Smithson ruft an",
    "Remarks": "for Smithson",
    "freeText": "Smithson", "drug": "Morphine for Mr Smithson", "col7": "Smithson, Jane", "col8": "12 Smithson Street",
    "col9": "Calle de Smithson 3", "col10": "Smithsonweg 4",
    "info": "seen with Mrs Smithson today, all fine again, home soon",
}  # fmt: skip
SHOWN = {
    "ward": "surgery", "route": "via oral", "smoking_history": "never", "race": "white", "form": "SR Tablet",
    "operator": "<", "procedure": "2 views chest CT",
}  # fmt: skip


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("private") / "export"
    folder.mkdir()
    lines = ["person_id," + ",".join([*PRIVATE, *SHOWN])]
    for n in range(60):
        private = [text if n < 30 else text.replace("Smithson", f"Taylor{'abc'[n % 3]}") for text in PRIVATE.values()]
        shown = [text if n < 30 else f"{text} {n % 3}" for text in SHOWN.values()]
        lines.append(",".join(f'"{cell}"' for cell in (str(n // 30), *private, *shown)))
    (folder / "stays.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_what_tells_of_a_person_is_not_written_and_what_does_not_is(export: Path) -> None:
    (table,) = profile(export).document["tables"]
    found = {column["name"]: column for column in table["columns"]}
    for name in PRIVATE:
        assert "values" not in found[name] and ("identifier" in found[name] or found[name]["type"] == "free text"), name
        assert "Smithson" not in str(found[name]) and "Taylor" not in str(found[name])
    for name, text in SHOWN.items():
        assert found[name].get("values", {}).get("frequent", {}).get(text) == 30, name


def test_no_command_or_file_of_profile_and_suggest_has_it(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (
        ["profile", str(export), "--out", str(tmp_path / "made")],
        ["suggest", str(export), "--out", str(tmp_path / "plan.yaml")],
    ):
        with pytest.raises(SystemExit):
            main(["harmonise", *words])
    said = capsys.readouterr()
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert written and "stays" in said.out + "".join(written)
    for text in (said.out, said.err, *written):
        assert "Smithson" not in text and "Taylor" not in text


@pytest.mark.parametrize(
    ("value", "tells"),
    [
        ("seen by Dr Smithson", True), ("Herr Müller", True), ("12 High Street", True), ("Hauptstr. 4", True),
        ("Rue de la Paix 3", True), ("diltiazem SR Tablet", False), ("via oral", False), ("Fracture of arm", False),
        ("MS Contin 15 MG", False), ("2 views chest CT", False), ("Dr", False),
    ],
)  # fmt: skip
def test_a_value_that_tells_is_shown_nowhere(value: str, tells: bool) -> None:
    assert telling(value) == tells


def test_one_telling_value_among_many_others_is_left_out(tmp_path: Path) -> None:
    rows = [f"{n},{'ask Mrs Smithson' if n < 12 else 'ward ' + 'abcd'[n % 4]}" for n in range(200)]
    (tmp_path / "t.csv").write_text("n,place\n" + "\n".join(rows) + "\n")
    (table,) = profile(tmp_path).document["tables"]
    place = next(column for column in table["columns"] if column["name"] == "place")
    assert (
        set(place["values"]["frequent"]) == {f"ward {letter}" for letter in "abcd"} and place["values"]["others"] == 1
    )
