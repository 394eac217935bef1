"""The accountant: never over budget, whatever the order; losses of all units compose."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.disclosure.budget import EPSILON, RHO, Account, Budget, Loss, exact, spent
from sojourn.disclosure.mechanisms import account_of
from sojourn.errors import ConfigurationError

COSTS = st.floats(1e-6, 2.0, allow_nan=False)
ASKS = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["one", "two", "three"])), max_size=40)


@given(COSTS, st.floats(1.0, 6.0), st.floats(0.5, 3.0), ASKS)
def test_no_order_of_asks_spends_more_than_the_budget(
    cost: float, total: float, project: float, asks: list[tuple[str, str]]
) -> None:
    account = Account(EPSILON, cost, total, project)
    losses: list[Loss] = []
    for key, name in asks:
        one = Loss(key, name, cost, EPSILON)
        if one not in losses and account.after(losses, one) is not None:
            losses.append(one)
    everything = spent(losses, EPSILON)
    assert everything is not None and everything <= exact(total)
    for name in ("one", "two", "three"):
        of_project = spent(losses, EPSILON, name)
        assert of_project is not None and of_project <= exact(project)


def test_an_answer_to_several_projects_costs_the_dataset_once_and_each_project() -> None:
    losses = [Loss("a", "one", 1.0, EPSILON), Loss("a", "two", 1.0, EPSILON), Loss("b", "two", 1.0, EPSILON)]
    assert [spent(losses, EPSILON), spent(losses, EPSILON, "one"), spent(losses, EPSILON, "two")] == [2, 1, 2]


def test_sums_are_exact() -> None:
    """Three answers of 0.1 are 0.3, and ten are 1, of neither of which a sum of floats would be sure."""
    assert 0.1 + 0.1 + 0.1 > 0.3 and sum([0.1] * 10) < 1
    for number, total in ((3, 0.3), (10, 1.0)):
        account = Account(EPSILON, 0.1, total, total)
        before = [Loss(str(place), "one", 0.1, EPSILON) for place in range(number)]
        assert account.after(before[1:], before[0]) == 1
        assert account.after(before, Loss("more", "one", 0.1, EPSILON)) is None


def test_units_compose_or_refuse() -> None:
    before = [Loss("a", "one", 0.5, EPSILON)]
    assert spent(before, RHO) == Fraction(1, 8)
    assert spent([Loss("a", "one", 0.5, RHO)], EPSILON) is None
    assert Account(EPSILON, 0.1, 1.0, 1.0).after([Loss("a", "one", 0.5, RHO)], Loss("b", "one", 0.1, EPSILON)) is None


def test_a_delta_is_counted_in_rho_by_opendps_conversion() -> None:
    """Within a percent of a known bound: rho + 2 sqrt(rho ln(1 / delta)) is at least the epsilon of rho."""
    from math import log, sqrt

    account = account_of(Budget(epsilon=1.0, release=0.1, delta=1e-6), "any")
    assert account.unit == RHO and account.total == account.project
    assert 0.8 < account.total + 2 * sqrt(account.total * log(1e6)) < 1.3
    assert account.total + 2 * sqrt(account.total * log(1e6)) >= 1.0  # the tighter conversion allows no less
    assert 60 < account.total / account.cost < 140  # more answers than the 10 of pure epsilon


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"epsilon": 1.0},
        {"epsilon": 0.0, "release": 0.1},
        {"epsilon": float("nan"), "release": 0.1},
        {"epsilon": 1.0, "release": 2.0},
        {"epsilon": 1.0, "release": 0.1, "delta": 0.5},
        {"epsilon": 1.0, "release": 0.1, "delta": -1e-9},
        {"epsilon": True, "release": True},
        {"epsilon": 1.0, "release": 0.1, "seed": 7},
        {"epsilon": 1.0, "release": 0.1, "projects": {"heart": "much"}},
        {"epsilon": 100.0, "release": 0.1},
        "much",
    ],
)
def test_a_budget_that_is_none_is_refused(document: object) -> None:
    with pytest.raises(ConfigurationError):
        Budget.from_dict(document)


def test_a_project_never_has_more_than_the_dataset() -> None:
    budget = Budget.from_dict({"epsilon": 2.0, "release": 0.1, "project": 1.0, "projects": {"heart": 5.0}})
    assert [budget.of_project(name) for name in ("heart", "lung")] == [2.0, 1.0]
