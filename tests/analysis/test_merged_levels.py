"""Merged levels: a plan's word, by which several declared levels become one before anything is computed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.analysis.declaration import variable_from_dict, variable_to_dict
from sojourn.analysis.variable import Kind, Variable, merged, with_site
from sojourn.errors import PlanError

WARD: dict[str, Any] = {"kind": "category", "levels": list("abcdef")}


def read(**words: Any) -> Variable:
    return variable_from_dict({**WARD, **words}, "variables.ward")


def test_a_merged_level_takes_the_place_of_its_first_part() -> None:
    variable = read(merge={"rare": ["f", "b"], "c or d": ["c", "d"]})
    assert merged(variable).levels == ("a", "rare", "c or d", "e")
    assert with_site({"ward": variable}, ("x",))["ward"] == merged(variable)
    assert merged(variable).merge == ()


def test_a_merged_level_is_as_delicate_as_its_parts() -> None:
    variable = read(harmless=["a", "b", "c"], sensitive=["d"], merge={"a or b": ["a", "b"], "c or d": ["c", "d"]})
    assert merged(variable).harmless == ("a or b",)
    assert merged(variable).sensitive == ("c or d",)


def test_the_order_of_writing_does_not_matter() -> None:
    assert read(merge={"x": ["d", "c"], "y": ["b", "a"]}) == read(merge={"y": ["a", "b"], "x": ["c", "d"]})


@pytest.mark.parametrize(
    "merge",
    [
        {"x": ["a"]},
        {"x": ["a", "a"]},
        {"x": ["a", "z"]},
        {"x": ["a", "b"], "y": ["b", "c"]},
        {"c": ["a", "b"]},
        {"": ["a", "b"]},
        {"x": "ab"},
        ["a", "b"],
        {1: ["a", "b"]},
    ],
    ids=str,
)
def test_what_is_no_merge_is_refused(merge: Any) -> None:
    with pytest.raises(PlanError, match=r"variables\.ward\.merge"):
        read(merge=merge)


def test_only_a_category_has_levels_to_merge() -> None:
    with pytest.raises(PlanError):
        variable_from_dict({"kind": "boolean", "merge": {"x": ["a", "b"]}}, "variables.ill")


@given(st.permutations("abcdef"), st.lists(st.integers(1, 5), max_size=3, unique=True))
def test_every_declared_level_has_one_place(levels: list[str], cuts: list[int]) -> None:
    groups = [levels[low:high] for low, high in pairwise([0, *sorted(cuts), 6]) if high - low > 1]
    variable = read(merge={f"group {number}": group for number, group in enumerate(groups)})
    assert variable_from_dict(variable_to_dict(variable), "w") == variable
    seen = [variable.level_of(level) for level in variable.levels]
    assert set(seen) == set(merged(variable).levels)
    assert len(merged(variable).levels) == 6 - sum(len(group) - 1 for group in groups)
    assert merged(Variable(Kind.BOOLEAN)) == Variable(Kind.BOOLEAN)
