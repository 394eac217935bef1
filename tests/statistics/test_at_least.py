"""Yes or no from counts, from bounds of hidden ones, and from what a comparison under masks tells."""

import numpy as np
import pytest
from federated import category

from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Gathered, Suppressed
from sojourn.analysis.variable import with_site
from sojourn.statistics.catalogue_counts import at_least

VARIABLES = with_site({"stage": category("I", "II", "III")}, ("a", "b"))
NONE = np.zeros(3, dtype=bool)


def answered(gathered: Gathered) -> list[object]:
    coordinator = at_least(20, by="stage").coordinator(VARIABLES)
    next(coordinator)
    with pytest.raises(StopIteration) as end:
        coordinator.send(gathered)
    assert end.value.value.facts == {"k": 20}
    return [row[-1] for row in end.value.value.rows]


@pytest.mark.parametrize(("shown", "reached"), [(5, False), (15, Suppressed()), (20, True)])
def test_a_cell_that_one_site_hides_is_answered_where_its_bounds_answer(shown: int, reached: object) -> None:
    hidden = NONE.copy()
    hidden[0] = True
    parts = {
        "a": Partial({"count": np.array([shown, 20, 10])}),
        "b": Partial({"count": np.array([0, 0, 9])}, {"count": hidden}),
    }
    total = Partial({"count": np.array([shown, 20, 19])}, {"count": hidden})
    assert answered(Gathered(total, parts, {"a": 9, "b": 9})) == [reached, True, False]


def test_under_masks_k_or_nothing_is_all_that_is_told() -> None:
    hidden = NONE.copy()
    hidden[2] = True
    sums = Partial({"count": np.array([20, 0, 0])}, {"count": hidden})
    assert answered(Gathered(sums, {})) == [True, False, Suppressed()]
