"""Cell keys

Off unless a site chooses it, by a seed. Every person has a secret record key, made from the seed and her number at the
site, the same in all snapshots; the keys of a cell's persons are added up, and the sum and the count look up a noise in
a table. The same persons get the same noise however they are asked for, so asking again averages nothing out. Each row
of the table has mean zero, at most 5 in size and a variance of at most 2; a count never becomes negative and zero stays
zero. Counts above 750 use the rows 501 to 750 in turn. The table's seed never leaves the site. What is small is hidden
by its true count, and totals have a noise of their own. Sums beside counts would tell the true ones, so `describe` is
refused there, and the site takes no part in masked sums. In the examples a table of three keys gives 0, +2, -2.
"""

from __future__ import annotations

import numpy as np
import pytest

from sojourn.disclosure.cell_key import LAST, perturbed

CASES = (
    ({"count": 40, "sum of keys": 3}, "40", "key 0 of 3"),
    ({"count": 40, "sum of keys": 7}, "42", "key 1"),
    ({"count": 40, "sum of keys": 8}, "38", "key 2"),
    ({"count": 751, "sum of keys": 4}, "753", "row 501"),
    ({"count": 0, "sum of keys": 4}, "0", "nobody stays nobody"),
)


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_cell_key(given, verdict, why):
    noise = np.tile(np.array([0, 2, -2]), (LAST + 1, 1))
    noise[0] = 0
    assert str(int(perturbed(np.array([given["count"]]), np.array([given["sum of keys"]]), noise)[0])) == verdict
