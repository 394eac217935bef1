"""Dictionaries: drafted without rare labels or exact extremes, read strictly, published sparingly."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.analysis.declaration import variable_from_dict, variable_to_dict
from sojourn.analysis.variable import Kind, Variable
from sojourn.errors import DatasetError, PlanError
from sojourn.node.dictionary import Dictionary
from sojourn.node.draft import draft_dictionary, outward

LABELS = st.text(st.characters(categories=("L", "N"), include_characters=" -:#'\"{[%&*!"), min_size=1, max_size=12)


@st.composite
def variables(draw: st.DrawFn) -> Variable:
    kind = draw(st.sampled_from(Kind))
    if kind is Kind.NUMBER:
        bounds = sorted(draw(st.tuples(*[st.floats(-1e9, 1e9, allow_nan=False)] * 2)))
        return Variable(
            kind, low=bounds[0] + 0.0, high=bounds[1] + 0.0, unit=draw(st.sampled_from(["", "mmol/L", "%"]))
        )
    if kind is Kind.BOOLEAN:
        return Variable(kind)
    levels = tuple(draw(st.lists(LABELS, min_size=1, max_size=5, unique=True)))
    pair = st.tuples(st.sampled_from(levels), LABELS, LABELS)
    never = tuple(sorted(draw(st.sets(pair, max_size=3))))
    area = draw(st.sampled_from(["", "zip3", "custom"]))
    people = tuple(draw(st.integers(0, 10**6)) for _ in levels) if area else ()
    return Variable(
        kind, levels, harmless=levels[:1], sensitive=levels[1:2], never=never, area=area, populations=people
    )


@given(variables())
def test_a_declaration_keeps_its_meaning(variable: Variable) -> None:
    assert variable_from_dict(variable_to_dict(variable), "x") == variable


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"kind": "text"},
        {"kind": []},
        {"kind": "number", "maximum": 3},
        {"kind": "number", "low": "0"},
        {"kind": "number", "low": True},
        {"kind": "number", "low": math.nan},
        {"kind": "number", "low": 2, "high": 1},
        {"kind": "number", "levels": ["a"]},
        {"kind": "number", "unit": 3},
        {"kind": "boolean", "low": 0},
        {"kind": "boolean", "unit": "%"},
        {"kind": "category", "levels": ["a", "a"]},
        {"kind": "category", "levels": ["a", 1]},
        {"kind": "category", "levels": [""]},
        {"kind": "category", "levels": ["x" * 81]},
        {"kind": "category", "levels": "ab"},
        {"kind": "category", "levels": ["a"], "harmless": ["b"]},
        {"kind": "category", "levels": ["a"], "never": [["b", "sex", "m"]]},
        {"kind": "category", "levels": ["a"], "never": [["a", "sex"]]},
        {"kind": "category", "levels": ["a"], "never": "abc"},
        {"kind": "boolean", "never": [["a", "sex", "m"]]},
        {"kind": "category", "levels": ["a"], "area": "street", "populations": [3]},
        {"kind": "category", "levels": ["a"], "area": "zip3"},
        {"kind": "category", "levels": ["a"], "area": "zip3", "populations": [3, 4]},
        {"kind": "category", "levels": ["a"], "area": "zip3", "populations": [-3]},
        {"kind": "category", "levels": ["a"], "area": "zip3", "populations": ["3"]},
        {"kind": "category", "levels": ["a"], "populations": [3]},
    ],
)
def test_a_declaration_that_is_none_is_refused_by_place(document: object) -> None:
    with pytest.raises(PlanError, match=r"columns\.x") as caught:
        variable_from_dict(document, "columns.x")
    assert caught.value.remedy


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z_]{0,9}", fullmatch=True).filter(lambda n: n not in ("site", "pid")), variables()
    )
)
def test_a_dictionary_survives_its_file(tmp_path_factory: pytest.TempPathFactory, columns: dict[str, Variable]) -> None:
    path = tmp_path_factory.mktemp("dictionary") / "d.yaml"
    core = tuple(sorted(columns)[:2])
    dictionary = Dictionary("t", "PID", False, columns, ("Birth date", "#x"), {"#x": "a note"}, core=core)
    dictionary.save(path)
    assert Dictionary.load(path) == dictionary
    assert Dictionary.load(path).digest() == dictionary.digest()


SOUND = "table: t\nperson: p\ncolumns:\n  a: {kind: boolean}\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a",
        "table: t",
        "a: [",
        SOUND + "threshold: 3\n",
        SOUND + "row_is_person: true\n",
        SOUND.replace("person: p\n", ""),
        SOUND + "  a: {kind: number}\n",
        SOUND + "  A: {kind: number}\n",
        SOUND + "  p: {kind: number}\n",
        SOUND + "  site: {kind: category}\n",
        SOUND + "excluded: [a]\n",
        SOUND + "excluded: a\n",
        SOUND + "table: u\n",
        SOUND.replace("boolean", "!!python/name:os.system"),
        SOUND.replace("{kind: boolean}", "{kind: category, levels: [yes, no]}"),
        SOUND.replace("table: t", "table: 3"),
    ],
)
def test_a_dictionary_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(SOUND)
    assert list(Dictionary.load(path).columns) == ["a"]
    path.write_text(text)
    with pytest.raises(DatasetError) as caught:
        Dictionary.load(path)
    assert caught.value.remedy


def test_what_is_published_names_approved_columns_alone() -> None:
    dictionary = Dictionary("t", "pid", False, {"a": Variable(Kind.BOOLEAN)}, ("birth",), {"a": "a note"})
    assert dictionary.public() == {"table": "t", "columns": {"a": {"kind": "boolean"}}, "row_is_person": False}


@given(st.floats(-1e6, 1e6, allow_nan=False), st.floats(-1e6, 1e6, allow_nan=False))
def test_bounds_are_outward_and_coarse(one: float, other: float) -> None:
    low, high = sorted((one, other))
    lower, upper = outward(low, high)
    assert lower <= low and high <= upper and lower < upper
    width = max(high - low or abs(high) or 1.0, 1e-299)  # closer to zero the powers of ten end
    assert upper - lower <= 22 * 10.0 ** math.floor(math.log10(width))


def test_bounds_of_known_ranges() -> None:
    assert outward(23.4, 81.2) == (20, 90)
    assert outward(1987, 2013) == (1980, 2020)
    assert outward(0.12, 0.35) == (0.1, 0.4)
    assert outward(7, 7) == (7, 8)


def draft(tmp_path: Path, lines: list[str], person: str | None = "pid", threshold: int = 10) -> Dictionary:
    path = tmp_path / "visits.csv"
    path.write_text("\n".join(lines) + "\n")
    return draft_dictionary(path, person, person is None, threshold)


def test_a_draft_knows_kinds_and_hides_rare_labels(tmp_path: Path) -> None:
    lines = ["pid,age,diabetes,ward,grade,familyName,birth_date,seen,email,token"]
    for row in range(120):
        ward = "Rare" if row < 4 else ("North", "South")[row % 2]
        grade = row % 3
        who, age, ill = f"p{row // 2}", f"{30 + row % 50}.5", ("true", "false")[row % 2]
        lines.append(f"{who},{age},{ill},{ward},{grade},n{row % 3},2001-01-01,{row},m,k{row}")
    drafted = draft(tmp_path, lines)
    assert drafted.table == "visits" and drafted.person == "pid"
    assert drafted.columns == {
        "age": Variable(Kind.NUMBER, low=30, high=80),
        "diabetes": Variable(Kind.BOOLEAN),
        "ward": Variable(Kind.CATEGORY, levels=("North", "South")),
        "grade": Variable(Kind.NUMBER, low=0, high=2),
    }
    assert drafted.excluded == ("familyName", "birth_date", "seen", "email", "token")
    path = tmp_path / "d.yaml"
    drafted.save(path)
    text = path.read_text()
    assert "undecided: 1 levels held by fewer than 10 persons" in text
    assert "Rare" not in text and "k17" not in text and "p5" not in text
    assert Dictionary.load(path) == drafted


def test_levels_are_counted_by_persons_not_by_rows(tmp_path: Path) -> None:
    lines = ["pid,ward"] + [f"p{row},North" for row in range(10)] + ["same,South"] * 30
    assert draft(tmp_path, lines).columns["ward"].levels == ("North",)
    by_row = draft(tmp_path, lines, person=None, threshold=10)
    assert by_row.row_is_person and by_row.columns["ward"].levels == ("North", "South")


def test_a_draft_needs_its_person_column(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="person column"):
        draft(tmp_path, ["a,b", "1,2"])


def test_a_column_named_site_is_left_out_and_said(tmp_path: Path) -> None:
    drafted = draft(tmp_path, ["Site,bmi"] + [f"A,{20 + row}.5" for row in range(20)], person=None)
    assert drafted.excluded == ("Site",)
    assert "reserved" in drafted.notes["Site"]
    drafted.save(tmp_path / "d.yaml")
    assert Dictionary.load(tmp_path / "d.yaml") == drafted
