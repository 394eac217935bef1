"""Fisher's test of tables of any size: against all tables counted one by one, a known answer, and random tables."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sojourn.analysis import fisher as module
from sojourn.analysis.fisher import _estimated, fisher

JOB = np.array([[1, 3, 10, 6], [2, 3, 10, 7], [1, 6, 14, 12], [0, 1, 9, 11]])  # A. Agresti, 2002, p. 57


def one_by_one(table):
    """All tables of three rows with these margins."""
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    ways = [[w for w in itertools.product(*(range(r + 1) for r in rows)) if sum(w) == total] for total in columns[:-1]]
    whole = sum(math.lgamma(k + 1) for k in (*rows, *columns)) - math.lgamma(table.sum() + 1)
    found = []
    for chosen in itertools.product(*ways):
        last = rows - np.sum(chosen, axis=0)
        if (last >= 0).all():
            found.append(whole - sum(math.lgamma(k + 1) for k in (*itertools.chain(*chosen), *last)))
    own = whole - sum(math.lgamma(k + 1) for k in table.ravel())
    return sum(math.exp(value) for value in found if value <= own + 1e-7)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=9, max_size=9))
def test_is_the_sum_over_all_tables(cells):
    table = np.array(cells).reshape(3, 3)
    table[0] += table.sum(axis=0) == 0  # no margin is empty
    table[:, 0] += table.sum(axis=1) == 0
    expected = one_by_one(table)
    assert fisher(table).p == pytest.approx(expected, rel=1e-9)
    assert fisher(table[::-1].T).p == pytest.approx(expected, rel=1e-9)


def test_two_by_two_is_scipys():
    table = np.array([[8, 2], [1, 5]])
    assert fisher(table).p == pytest.approx(stats.fisher_exact(table).pvalue, rel=1e-9)


def test_random_tables_stand_for_too_many(monkeypatch):
    """0.7827 is the known answer; the draw is the same each time."""
    monkeypatch.setattr(module, "MOST", 1000)
    found = fisher(JOB)
    assert found == fisher(JOB) and found.tables == module.RANDOM
    assert abs(found.p - 0.7827) < 4 * found.std_error + 5e-5
    assert found.facts() == {"p": found.p, "random_tables": module.RANDOM, "std_error": found.std_error}


def test_random_tables_agree_with_all_tables():
    table = np.array([[5, 1, 4], [2, 6, 3], [1, 2, 7]])
    exact, drawn = fisher(table), _estimated(table)
    assert exact.tables == 0 and abs(exact.p - drawn.p) < 4 * drawn.std_error
