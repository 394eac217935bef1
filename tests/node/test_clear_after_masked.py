"""What is shown in clear after a masked sum does not add up to a site's part of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from sojourn.node.masked_store import adds_up, near_to

T = 10
WARDS = [BitMap(range(15 * ward, 15 * ward + 15)) for ward in range(4)]
TWO = WARDS[0] | WARDS[1]


def test_a_table_whose_cells_add_up_to_a_part_is_not_shown() -> None:
    assert not near_to([TWO], WARDS, T)  # no cell by itself
    assert adds_up([TWO], WARDS, [], T)
    assert adds_up([TWO], [WARDS[1]], [WARDS[0]], T)  # nor its last cell
    assert adds_up([TWO - BitMap([0])], WARDS, [], T)  # nor but for one person
    assert not adds_up([TWO], [WARDS[1]], [], T)
    assert not adds_up([TWO], WARDS[2:], WARDS[:2], T)  # what was known before is no reason
    assert not adds_up([WARDS[0][:8] | WARDS[1][:8]], WARDS, [], T)  # fourteen are apart


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, 59), max_size=5), st.lists(st.sets(st.integers(0, 59), min_size=T), max_size=6))
def test_parts_of_a_few_persons_stand_in_no_tables_way(few: set[int], shown: list[set[int]]) -> None:
    assert not adds_up([BitMap(few)], [BitMap(one) for one in shown], [], T)
