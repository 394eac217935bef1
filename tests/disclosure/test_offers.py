"""Offers come from what was hidden and not from counts, and what they release gives no hidden cell away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Step
from sojourn.analysis.support import Cells, Support
from sojourn.analysis.variable import SITE, Kind, Variable, with_site
from sojourn.disclosure import mitigation
from sojourn.disclosure.change import Change, Coarsen, Drop, LeaveOut, Merge, Restrict, change_from_dict
from sojourn.disclosure.mitigation import Asked, offers
from sojourn.disclosure.output import Output, Verdict
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.perturbation import BASE_5, MIDPOINT_6, OFF
from sojourn.disclosure.policy import StandardPolicy
from sojourn.errors import PlanError
from sojourn.statistics.catalogue import make
from sojourn.study.mitigated import mitigated
from sojourn.study.plan import Plan

T = 10


def category(levels: Sequence[str]) -> Variable:
    return Variable(Kind.CATEGORY, levels=tuple(levels))


WARDS = {"ward": category(list("abcdef")), "sex": category(["F", "M"]), "ill": Variable(Kind.BOOLEAN)}
VARIABLES = with_site(WARDS, ("x", "y"))
Counts = NDArray[np.int64]


def numbered(dimensions: tuple[str, ...], counts: Counts) -> dict[str, Variable]:
    """A category for each axis, whose levels are the axis' name and their places."""
    sizes = zip(dimensions, counts.shape, strict=True)
    return {name: category([f"{name}{place}" for place in range(size)]) for name, size in sizes}


def hidden_of(counts: Counts, dimensions: tuple[str, ...], rounding: str = OFF) -> NDArray[np.bool_] | None:
    """What a site's default rules hide of a table, rounded before or not; None where it refuses."""
    ends = np.cumsum([0, *np.ravel(counts)])
    persons = tuple(BitMap(range(low, high)) for low, high in pairwise(ends))
    cells = Cells(("count",), counts.shape, persons, dimensions)
    everyone = persons[0].union(*persons)
    rules = ("minimum frequency", "class disclosure")
    declared = {
        name: category([f"{name}{i}" for i in range(n)]) for name, n in zip(dimensions, counts.shape, strict=True)
    }
    asked, partial = Step("count", {}, {"count": counts.shape}), Partial({"count": counts})
    output = Output("count", asked, partial, Support(everyone, (), (cells,)), declared, rules)
    policy = StandardPolicy(Parameters(rounding=rounding))
    for step in policy.perturbations:
        output = step.apply(output)
    finding = policy.judge(output)
    if finding.verdict is Verdict.REFUSE:
        return None
    return finding.cells.get("count", np.zeros(counts.shape, dtype=bool))


def groups_of(change: Change, dimensions: tuple[str, ...], sizes: tuple[int, ...]) -> tuple[int, list[list[int]]]:
    """The axis that a change joins along, and which of its places."""
    axis = dimensions.index(change.column)  # type: ignore[union-attr]
    if isinstance(change, Drop):
        return axis, [list(range(sizes[axis]))]
    assert isinstance(change, Merge)
    joined = [int(level.removeprefix(change.column)) for level in change.levels]
    return axis, [joined, *([place] for place in range(sizes[axis]) if place not in joined)]


def known(counts: Counts, hidden: NDArray[np.bool_], axis: int = 0, groups: list[list[int]] | None = None) -> list[Any]:
    """What a released table tells: for each cell that is shown, which of the first table's cells it sums."""
    parts = groups or [[place] for place in range(counts.shape[axis])]
    shown = ~hidden if hidden.ndim == counts.ndim else np.expand_dims(~hidden, axis)  # a dropped axis has one place
    told = []
    for place in np.argwhere(shown):
        row = np.zeros(counts.shape)
        where: list[Any] = list(place)
        where[axis] = parts[place[axis]]
        row[tuple(where)] = 1
        told.append(row.ravel())
    return told


def joined(counts: Counts, axis: int, groups: list[list[int]], drop: bool) -> Counts:
    summed = np.stack([counts.take(group, axis=axis).sum(axis=axis) for group in groups], axis=axis)
    return summed.squeeze(axis) if drop else summed


tables = st.integers(1, 2).flatmap(
    lambda width: st.lists(
        st.lists(st.sampled_from([0, 1, 3, 8, 12, 40, 90]), min_size=width, max_size=width), min_size=3, max_size=5
    )
)


def given_away(counts: Counts, change: Change, dimensions: tuple[str, ...]) -> list[int]:
    """The hidden cells that follow exactly from both tables, when the site has judged the second one too."""
    first = hidden_of(counts, dimensions)
    axis, groups = groups_of(change, dimensions, counts.shape)
    drop = isinstance(change, Drop)
    left = tuple(name for place, name in enumerate(dimensions) if not (drop and place == axis))
    second = hidden_of(joined(counts, axis, groups, drop), left)
    if first is None or second is None:
        return []
    told = known(counts, first) + known(counts, second, axis, groups)
    if not told:
        return []
    matrix = np.array(told)
    rank = np.linalg.matrix_rank(matrix)
    units = np.eye(counts.size)
    return [int(i) for i in np.flatnonzero(first) if np.linalg.matrix_rank(np.vstack([matrix, units[i]])) == rank]


def asked_of(counts: Counts) -> tuple[Asked, Mapping[str, Variable], tuple[str, ...]]:
    dimensions = ("ward", "sex")[: 1 if counts.shape[1] == 1 else 2]
    table = counts[:, 0] if len(dimensions) == 1 else counts
    declared = {
        name: category([f"{name}{i}" for i in range(n)]) for name, n in zip(dimensions, table.shape, strict=True)
    }
    hidden = hidden_of(table, dimensions)
    masks = {} if hidden is None else {"x": hidden}
    return Asked("t", "count", {"by": list(dimensions)}, masks), declared, dimensions


@given(tables)
def test_no_offer_gives_a_hidden_cell_away(rows: list[list[int]]) -> None:
    counts = np.array(rows, dtype=np.int64)
    asked, declared, dimensions = asked_of(counts)
    table = counts[:, 0] if len(dimensions) == 1 else counts
    for offer in offers(asked, declared):
        assert given_away(table, offer.change, dimensions) == []


def test_an_offer_of_everything_would_give_hidden_cells_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted defect: without its condition, an offer joins a hidden cell with a shown one."""
    counts = np.array([[40, 60], [3, 50], [2, 90], [45, 12]])
    hidden = {"x": np.array([[0, 0], [1, 0], [0, 1], [0, 0]], dtype=bool)}  # a site that hides no complement
    declared = {"ward": category([f"ward{i}" for i in range(4)]), "sex": category(["sex0", "sex1"])}
    asked = Asked("t", "count", {"by": ["ward", "sex"]}, hidden)
    assert offers(asked, declared) == ()
    monkeypatch.setattr(mitigation, "keeps_hidden", lambda *_: True)
    [merge, *_] = offers(asked, declared)
    told = known(counts, hidden["x"]) + known(
        counts, np.zeros((3, 2), dtype=bool), *groups_of(merge.change, ("ward", "sex"), (4, 2))
    )
    unit = np.eye(counts.size)[2]
    assert np.linalg.matrix_rank(np.vstack([*told, unit])) == np.linalg.matrix_rank(np.array(told))


@given(tables, st.integers(1, 6))
def test_counts_do_not_enter(rows: list[list[int]], more: int) -> None:
    """Another table with the same cells hidden gets the same offers: nothing else is handed over."""
    asked, declared, _ = asked_of(np.array(rows, dtype=np.int64))
    other, _, _ = asked_of(np.array(rows, dtype=np.int64) * (1 + more * (np.array(rows) >= T)))
    same = [np.array_equal(a, b) for a, b in zip(asked.hidden.values(), other.hidden.values(), strict=False)]
    if all(same) and len(asked.hidden) == len(other.hidden):
        assert offers(asked, declared) == offers(other, declared)


def mask(*hidden: str, levels: str = "abcdef") -> NDArray[np.bool_]:
    return np.array([level in hidden for level in levels])


def words(asked: Asked, *study: Asked) -> list[str]:
    return [offer.words for offer in offers(asked, VARIABLES, study)]


def test_levels_that_are_hidden_together_are_merged() -> None:
    asked = Asked("t", "count", {"by": ["ward"]}, {"x": mask("e", "f"), "y": mask("e", "f")})
    assert words(asked) == ["Merge the levels `e` and `f` of `ward` into `e or f`."]


def test_a_level_that_another_site_shows_is_not_merged_into_a_lone_hidden_one() -> None:
    """At y the sum of d, e and f less e and f, which it shows, would be d; with a, which it hides too, it is not."""
    asked = Asked("t", "count", {"by": ["ward"]}, {"x": mask("d", "e", "f"), "y": mask("a", "d")})
    assert words(asked) == [
        "Merge the levels `e` and `f` of `ward` into `e or f`.",
        "Merge the levels `a`, `d`, `e` and `f` of `ward` into `other`.",
    ]
    apart = Asked("t", "count", {"by": ["ward"]}, {"x": mask("e", "f"), "y": mask("d", "e", "f")})
    assert words(apart)[-1] == "Merge the levels `d`, `e` and `f` of `ward` into `d or e or f`."


def test_arrays_are_looked_at_one_by_one() -> None:
    """Hidden in the sums of one column and in those of another: together two, in each only one."""
    hidden = {"x: group_sum.age": mask("e"), "x: group_sum.bmi": mask("f")}
    assert words(Asked("d", "describe", {"columns": ["age"], "by": ["ward"]}, hidden)) == []


def test_a_dimension_is_dropped_where_no_line_hides_one_cell_alone() -> None:
    pairs = np.zeros((6, 2), dtype=bool)
    pairs[4:6] = True
    asked = Asked("t", "crosstab", {"columns": ["ward", "sex"]}, {"x": pairs})
    assert words(asked) == [
        "Merge the levels `e` and `f` of `ward` into `e or f`.",
        "Drop the dimension `ward`.",
        "Drop the dimension `sex`.",
    ]


@pytest.mark.parametrize(
    ("hidden", "edges"),
    [
        ([0, 1], [(30, 40, 50, 60, 70)]),
        ([0, 1, 2, 6], [(40, 50, 60, 70)]),
        ([0, 6], []),
        ([2, 4], [(20, 30, 60, 70)]),
        ([1, 2, 5], [(20, 40, 50, 60, 70)]),
    ],
    ids=str,
)
def test_bins_are_joined_where_none_is_hidden_alone(hidden: list[int], edges: list[tuple[float, ...]]) -> None:
    cells = np.isin(np.arange(7), hidden)
    asked = Asked("h", "histogram", {"column": "age", "edges": [20, 30, 40, 50, 60, 70]}, {"x": cells})
    assert [offer.change for offer in offers(asked, VARIABLES)][: len(edges) or None] == [
        Coarsen(kept) for kept in edges
    ]
    assert all(joins_no_lone(offer.change, cells) for offer in offers(asked, VARIABLES))


def joins_no_lone(change: Change, cells: NDArray[np.bool_]) -> bool:
    assert isinstance(change, Coarsen)
    places = np.searchsorted(change.edges, [10, 20, 30, 40, 50, 60, 70], side="right")
    return all((cells & (places == place)).sum() != 1 or (places == place).sum() == 1 for place in set(places))


@given(st.lists(st.booleans(), min_size=4, max_size=12), st.lists(st.booleans(), min_size=4, max_size=12))
def test_no_grid_joins_a_lone_hidden_bin(first: list[bool], second: list[bool]) -> None:
    bins = min(len(first), len(second))
    edges = list(range(bins - 1))
    hidden = {"x": np.array(first[:bins]), "y": np.array(second[:bins])}
    for offer in offers(Asked("h", "histogram", {"column": "age", "edges": edges}, hidden), VARIABLES):
        assert isinstance(offer.change, Coarsen)
        assert set(offer.change.edges) < set(edges)
        places = np.searchsorted(offer.change.edges, np.arange(bins) - 1, side="right")
        for mask in hidden.values():
            for place in set(places):
                assert mask[places == place].sum() != 1 or (places == place).sum() == 1


def test_a_model_is_offered_fewer_terms_and_merged_levels() -> None:
    table = Asked("t", "count", {"by": ["ward"]}, {"x": mask("e", "f")})
    formula = "ill ~ age + C(ward) + C(sex):age"
    model = Asked("m", "glm", {"formula": formula}, refused={"x": "design support"}, contributed=("y",))
    assert words(model, table) == [
        "Leave `C(sex):age` out of the model.",
        "Merge the levels `e` and `f` of `ward` into `e or f`.",
        "Merge the levels `b`, `c`, `d`, `e` and `f` of `ward` into `other`.",
        "Leave `C(ward)` out of the model.",
        "Leave `age` and `C(sex):age` out of the model.",
    ]
    alone = Asked("t", "count", {"by": ["ward"]}, {"x": mask("e")})
    assert not any("Merge" in said for said in words(model, alone))  # the model's counts would tell e


@given(st.lists(st.booleans(), min_size=24, max_size=24), st.sampled_from(["ward", "sex", "ill", "site", "age"]))
def test_offers_are_made_whatever_is_hidden(hidden: list[bool], column: str) -> None:
    """Booleans, `site` and numbers have no levels to merge; every other kind of factor beside every kind of table."""
    tables = [
        Asked("t", "crosstab", {"columns": ["ward", "ill", "sex"]}, {"x": np.array(hidden).reshape(6, 2, 2)}),
        Asked("i", "count", {"by": "ill"}, {"x": np.array(hidden[:2])}),
        Asked("s", "crosstab", {"columns": ["site", "sex"]}, {"x": np.array(hidden[:4]).reshape(2, 2)}),
        Asked("n", "count", {}, {"x": np.array(hidden[:1])}),
    ]
    formula = f"bmi ~ {column} + C(ward):{column}" if column != "ward" else "bmi ~ C(ward, Treatment('f'))*ill"
    model = Asked("m", "glm", {"formula": formula}, refused={"x": "design support"})
    declared = {**VARIABLES, "age": Variable(Kind.NUMBER), "bmi": Variable(Kind.NUMBER)}
    for asked in (*tables, model):
        for offer in offers(asked, declared, [*tables, model]):
            assert change_from_dict(offer.change.to_dict(), "mitigation") == offer.change


def test_no_form_of_the_question_helps_a_small_population_or_a_broken_site() -> None:
    for family in ("minimum frequency", "check failed", "output schema"):
        assert offers(Asked("m", "glm", {"formula": "ill ~ age + sex"}, refused={"x": family}), VARIABLES) == ()


def test_the_sites_that_would_release_can_be_asked_alone() -> None:
    refused = {"x": "events"}
    asked = Asked("m", "glm", {"formula": "ill ~ age"}, refused=refused, contributed=("y", "z"), enough=3)
    assert [offer.change for offer in offers(asked, VARIABLES)] == [Restrict(("y", "z"))]
    alone = Asked("m", "glm", {"formula": "ill ~ age"}, refused=refused, contributed=("y",), enough=3)
    assert offers(alone, VARIABLES) == ()


def test_nothing_is_offered_where_everything_passed() -> None:
    assert offers(Asked("t", "count", {"by": ["ward"]}, {"x": mask()}), VARIABLES) == ()


OF_TABLES = {
    "anova": {"columns": ["age"], "by": "ward"},
    "incidence": {"events": "ill", "time": "age", "by": ["ward"]},
    "prevalence": {"columns": ["ill"], "by": ["ward"]},
    "trend": {"outcome": "ill", "by": "ward"},
    "mantel_haenszel": {"outcome": "ill", "exposure": "sex", "strata": ["ward"]},
}


@pytest.mark.parametrize("kind", OF_TABLES)
def test_whatever_is_by_groups_is_offered_merged_levels_and_takes_them(kind: str) -> None:
    """The groups are the first axes of what is hidden; scores of a trend are of the levels as they are."""
    mask = np.zeros((6, 2, 2) if kind == "mantel_haenszel" else (6, 2), dtype=bool)
    mask[[2, 4]] = True
    asked = Asked("x", kind, OF_TABLES[kind], {"x: group_n": mask})
    [offer] = offers(asked, VARIABLES)
    assert offer.change == Merge("ward", ("c", "e"), "c or e")
    age = Variable(Kind.NUMBER, low=0, high=99)
    plan = Plan(table="t", analyses={"x": make(kind, OF_TABLES[kind])}, variables={**WARDS, "age": age})
    assert mitigated(plan, "x", offer.change).variables["ward"].merge == (("c or e", ("c", "e")),)
    assert not offers(Asked("x", kind, {**OF_TABLES[kind], "scores": [1, 2]}, {"x: group_n": mask}), VARIABLES)


def test_the_reserved_site_column_is_not_merged() -> None:
    both = np.array([True, True])
    assert words(Asked("t", "count", {"by": [SITE]}, {"x": both})) == []


@pytest.mark.parametrize(
    "change",
    [
        Merge("ward", ("e", "f"), "e or f"),
        Drop("sex"),
        Coarsen((0.0, 1.5, 3.0)),
        LeaveOut(("C(sex)",)),
        Restrict(("x", "y")),
    ],
    ids=str,
)
def test_changes_are_read_as_they_are_written(change: Change) -> None:
    assert change_from_dict(change.to_dict(), "mitigation") == change
    assert change.offered != change.done
    for document in ({**change.to_dict(), "more": 1}, [change.to_dict()], {}):
        with pytest.raises(PlanError, match="no change"):
            change_from_dict(document, "mitigation")


@pytest.mark.parametrize("edges", [[1], [2, 1], [True, 2], [0, float("nan")], "ab"])
def test_edges_that_are_none_are_refused(edges: object) -> None:
    with pytest.raises(PlanError):
        change_from_dict({"edges": edges}, "mitigation")


@given(st.lists(st.integers(0, 40), min_size=9, max_size=9), st.sampled_from([BASE_5, MIDPOINT_6]))
def test_rounding_would_open_no_hidden_cell(cells: list[int], rounding: str) -> None:
    """So it is never offered: what is small, and what protects it, is decided by the true numbers of persons."""
    counts = np.array(cells).reshape(3, 3)
    exact, rounded = hidden_of(counts, ("a", "b")), hidden_of(counts, ("a", "b"), rounding)
    assert (exact is None) == (rounded is None)
    assert exact is None or (exact == rounded).all()
