"""Published attacks: each works where nothing controls disclosure and fails by default; an honest twin is released.

The attacks go through the product's own statistics where they serve.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from sojourn.analysis.population import Population
from sojourn.analysis.variable import Kind, Variable
from sojourn.disclosure.families.minimum_frequency import MinimumFrequency
from sojourn.disclosure.gate import release
from sojourn.disclosure.output import Output
from sojourn.disclosure.policy import StandardPolicy
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.disclosure.suppression import over, small, suppress
from sojourn.errors import DisclosureRefused
from sojourn.statistics.count import Count
from sojourn.statistics.describe import Describe
from sojourn.statistics.glm import GLM
from sojourn.statistics.histogram import Histogram

PERSONS = 200
RANDOM = np.random.default_rng(20)
INCOME = np.round(RANDOM.normal(40_000, 5_000, PERSONS))
TARGET = 77
VARIABLES = {
    "income": Variable(Kind.NUMBER, low=0, high=1_000_000),
    "mask": Variable(Kind.BOOLEAN),
    "status": Variable(Kind.CATEGORY, levels=("never", "former", "current")),
}


def population(mask=None, income=INCOME, status=None):
    columns = {
        "income": np.asarray(income, dtype=np.float64),
        "mask": np.zeros(PERSONS, dtype=np.int8) if mask is None else mask.astype(np.int8),
        "status": np.arange(PERSONS, dtype=np.int32) % 3 if status is None else status.astype(np.int32),
    }
    return Population("Cleveland", VARIABLES, columns, np.arange(PERSONS, dtype=np.uint32), {})


def one_of(n):
    """A mask of n persons, the target among them."""
    mask = np.zeros(PERSONS, dtype=bool)
    mask[np.append(TARGET, np.delete(np.arange(PERSONS), TARGET)[: n - 1])] = True
    return mask


def asked(statistic, people):
    """The first round of a statistic as the gate sees it."""
    step = statistic.steps(VARIABLES)[0]
    partial = statistic.local(step.name, people, {})
    return Output(statistic.name, step, partial, statistic.support(people), VARIABLES, statistic.rules)


@pytest.fixture
def unsafe(outputs):
    return lambda output: release(output, UnsafeReleaseAll(), outputs.HEADER).partial


@pytest.fixture
def safe(outputs):
    return lambda output: release(output, StandardPolicy(), outputs.HEADER).partial


class TestDummyOfOnePerson:
    """Regression on a column that is 1 for one person: constant + coefficient is that person's value."""

    statistic = GLM.read({"formula": "income ~ mask"}, "model")

    def round(self, n):
        """The round that sends the normal equations, about a centre of zero."""
        people = population(one_of(n))
        step = next(step for step in self.statistic.steps(VARIABLES) if step.name == "start")
        broadcast = {"centre": np.zeros(2)}
        partial = self.statistic.local("start", people, broadcast)
        support = self.statistic.support(people)
        working = self.statistic.working("start", people, broadcast)
        support = replace(support, design=replace(support.design, working=working))
        return Output("glm", step, partial, support, VARIABLES, self.statistic.rules)

    def test_it_works_where_nothing_is_controlled(self, unsafe):
        partial = unsafe(self.round(1))
        assert np.linalg.solve(partial["gram"], partial["moment"]).sum() == pytest.approx(INCOME[TARGET])

    @pytest.mark.parametrize("n", [1, 2, 9, PERSONS - 1])
    def test_it_fails_by_default(self, n, safe):
        with pytest.raises(DisclosureRefused) as refusal:
            safe(self.round(n))
        assert refusal.value.family == "design support"

    def test_a_common_level_is_released(self, safe):
        partial = safe(self.round(80))
        mean = INCOME[one_of(80)].mean()
        assert np.linalg.solve(partial["gram"], partial["moment"]).sum() == pytest.approx(mean)


class TestMaskVectorMean:
    """The mean by a mask that is true for one person is that person's value (dsBase issue 250)."""

    statistic = Describe(("income",), ("mask",))

    def test_it_works_where_nothing_is_controlled(self, unsafe):
        partial = unsafe(asked(self.statistic, population(one_of(1))))
        assert partial["group_sum.income"][1] / partial["group_n"][1] == INCOME[TARGET]

    @pytest.mark.parametrize("n", [1, 2, 9, 191, 199])
    def test_it_fails_by_default_and_by_subtraction(self, n, safe):
        partial = safe(asked(self.statistic, population(one_of(n))))
        for name in ("group_sum.income", "group_n"):
            assert partial.hidden(name).all()
            assert not partial[name].any()

    def test_a_mean_of_many_is_released(self, safe):
        partial = safe(asked(self.statistic, population(one_of(80))))
        assert not partial.hidden("group_sum.income").any()
        assert not partial.hidden("group_n").any()
        assert partial["group_sum.income"][1] / partial["group_n"][1] == pytest.approx(INCOME[one_of(80)].mean())


class TestCountBesideWithheldMean:
    """A mean is withheld, but the count beside it says that somebody is there."""

    statistic = Describe(("income",), ("status",))

    @staticmethod
    def people(n):
        return population(status=np.where(one_of(n), 2, np.arange(PERSONS) % 2))

    def test_it_works_where_nothing_is_controlled(self, unsafe):
        assert unsafe(asked(self.statistic, self.people(1)))["group_n"].tolist()[2] == 1

    def test_it_fails_by_default_and_nobody_looks_like_nine(self, safe):
        last = []
        for n in (1, 5, 9):
            partial = safe(asked(self.statistic, self.people(n)))
            assert (partial.hidden("group_n") == partial.hidden("group_sum.income")).all()
            last.append((partial["group_n"][2], partial.hidden("group_n").tolist()[2]))
        assert set(last) == {(0, True)}

    def test_a_group_of_many_is_released(self, safe):
        assert safe(asked(self.statistic, self.people(60)))["group_n"].tolist()[2] == 60


class TestBinOfOne:
    """Narrow bins around a value that the attacker suspects; a bin of one confirms it (A13)."""

    outlier = np.where(np.arange(PERSONS) == TARGET, 900_000, INCOME)
    narrow = Histogram("income", (0.0, 30_000.0, 40_000.0, 50_000.0, 899_999.0, 900_001.0))

    def test_it_works_where_nothing_is_controlled(self, unsafe):
        assert unsafe(asked(self.narrow, population(income=self.outlier)))["count"].tolist()[-2] == 1

    def test_it_fails_by_default(self, safe):
        with_target = safe(asked(self.narrow, population(income=self.outlier)))
        without = safe(asked(self.narrow, population(income=np.where(self.outlier > 800_000, 45_000, INCOME))))
        for partial in (with_target, without):
            assert partial.hidden("count").tolist()[-2]
            assert partial["count"].tolist()[-2] == 0

    def test_wide_bins_are_released(self, safe):
        wide = Histogram("income", (35_000.0, 40_000.0, 45_000.0))
        assert not safe(asked(wide, population())).suppressed


@dataclass(frozen=True)
class PrimaryOnly:
    """A policy with a defect: it hides small cells and forgets their complement."""

    name: str = "primary only"
    version: str = "0"
    watermark: str = "planted"

    def hidden_max(self):
        return 9

    def differencing(self):
        return None

    def judge(self, output):
        (cells,) = output.support.cells
        return suppress("minimum frequency", over(output, cells.output, small(cells, 10, False)))


class TestLoneSuppressedCell:
    """Total minus the shown cells is the hidden cell (A14)."""

    statistic = Count(("status",))

    @staticmethod
    def people(n):
        return population(status=np.where(one_of(n), 2, np.arange(PERSONS) % 2))

    def test_it_works_where_nothing_is_controlled(self, unsafe):
        assert unsafe(asked(self.statistic, self.people(4)))["count"].tolist()[2] == 4

    def test_it_works_where_the_complement_is_forgotten(self, outputs):
        partial = release(asked(self.statistic, self.people(4)), PrimaryOnly(), outputs.HEADER).partial
        assert partial.hidden("count").tolist() == [False, False, True]
        assert PERSONS - partial["count"].sum() == 4

    @pytest.mark.parametrize("n", range(1, 10))
    def test_it_fails_by_default(self, n, safe):
        """Whatever the small cell holds, the hidden remainder is at least T and spread over two cells."""
        partial = safe(asked(self.statistic, self.people(n)))
        hidden = partial.hidden("count")
        assert hidden[2]
        assert hidden.sum() == 2
        assert PERSONS - partial["count"].sum() >= 10

    def test_a_table_of_common_cells_is_released(self, safe):
        assert safe(asked(self.statistic, population()))["count"].tolist() == [67, 67, 66]


class TestGiantContribution:
    """One giant value makes a sum its own (A15)."""

    statistic = Describe(("income",))

    def test_it_works_where_nothing_is_controlled(self, unsafe):
        giant = np.where(np.arange(PERSONS) == TARGET, 1e12, INCOME)
        assert unsafe(asked(self.statistic, population(income=giant)))["all_sum.income"][0] == pytest.approx(
            1e12, rel=1e-4
        )

    def test_it_fails_by_default(self, safe):
        giant = np.where(np.arange(PERSONS) == TARGET, 1e12, INCOME)
        with pytest.raises(DisclosureRefused) as refusal:
            safe(asked(self.statistic, population(income=giant)))
        assert refusal.value.family == "dominance"

    def test_ordinary_incomes_are_released(self, safe):
        assert safe(asked(self.statistic, population()))["all_sum.income"][0] == INCOME.sum()


class TestSaturatedModel:
    """As many parameters as persons: coefficients are the data (A09)."""

    rules = ("residual freedom", "parameters to observations")

    def test_it_works_where_nothing_is_controlled(self, outputs, unsafe):
        assert unsafe(outputs.model(rules=self.rules, persons=20, parameters=20, events=None)).numbers() == 20 + 400

    def test_nothing_above_a_third_is_released(self, outputs, safe):
        for persons in (20, 50, 100, 300):
            for parameters in range(1, persons + 1, 3):
                output = outputs.model(rules=self.rules, persons=persons, parameters=parameters, events=None)
                try:
                    safe(output)
                except DisclosureRefused:
                    continue
                assert parameters / persons <= 0.33
                assert persons - parameters >= 10

    def test_an_ordinary_model_is_released(self, outputs, safe):
        assert safe(outputs.model(rules=self.rules, persons=300, parameters=5)).numbers() == 30


def test_the_complement_is_what_the_planted_policy_lacks(outputs):
    output = outputs.table([100, 96, 4])
    (cells,) = output.support.cells
    assert MinimumFrequency(10).judge(output).cells["count"].sum() == 2
    assert small(cells, 10, False).sum() == 1
