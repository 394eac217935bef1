"""An analyst who wants columns of his own making: indicators, known vectors, knots; and models as wide as the data.

Covariances with known vectors are linear equations in the records (M. Huth, R. Gusinow, L. Contento, E. Tacconelli,
J. Hasenauer, Bioinformatics 39, 2023, btad531). In this product nobody can bring a vector or make one from a seed or a
sequence; what is left are functions of the dataset's columns.
"""

from __future__ import annotations

import numpy as np
import pytest
from one_site import model, people, rounds
from recorded import Figures

import sojourn as sj
from sojourn.analysis.variable import Kind, Variable
from sojourn.disclosure.gate import Policy
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.errors import DisclosureRefused, PlanError
from sojourn.study.plan import Plan

PERSONS = 200
RANDOM = np.random.default_rng(3)
PLACE = np.sort(RANDOM.uniform(0, 1000, PERSONS)).round(2)
INCOME = np.round(RANDOM.normal(40_000, 5_000, PERSONS))
HALF = INCOME.std() / 2
VARIABLES = {"place": Variable(Kind.NUMBER), "income": Variable(Kind.NUMBER), "age": Variable(Kind.NUMBER)}
PEOPLE = people(
    {"place": PLACE, "income": INCOME, "age": RANDOM.integers(30, 80, PERSONS).astype(float)},
    VARIABLES,
)
MADE = {
    "a sequence": ("income ~ seq(1, 200)", "income ~ 1:200", "income ~ cumsum(age)", "income ~ place // 10"),
    "seeded noise": ("income ~ rnorm(200, seed=7)", "income ~ runif(age)", "income ~ sample(age)"),
    "an uploaded matrix": ("income ~ [1, 0, 0, 1]", "income ~ c(1, 0, 0)", "income ~ read_csv('x.csv')"),
}
CARRIED = ("data", "matrix", "vectors", "columns", "derive", "seed", "rows")


def moments(formula: str, policy: Policy | None = None) -> tuple[np.ndarray, np.ndarray]:
    """What a linear model gives: its design as its asker knows it (columns, persons), and X'y."""
    asked = model(formula)
    for ask, partial in rounds(asked, PEOPLE, policy):
        if ask.step == "start":
            return (asked.rows(PEOPLE).x - ask.broadcast["centre"]).T, partial["moment"]
    raise AssertionError("the model has no start")


def solved(formulas: list[str], policy: Policy | None = None) -> tuple[np.ndarray, int]:
    """Incomes by least squares over all the equations that are released, and how many models are."""
    left, right = [np.ones((1, PERSONS))], [np.array([INCOME.mean() * PERSONS])]
    for formula in formulas:
        try:
            known, sums = moments(formula, policy)
        except DisclosureRefused:
            continue
        left.append(known)
        right.append(sums)
    found, *_ = np.linalg.lstsq(np.vstack(left), np.concatenate(right), rcond=1e-12)
    return found, len(left) - 1


class TestVectorsOfTheAnalystsMaking:
    @pytest.mark.parametrize("way", MADE)
    def test_the_three_ways_of_the_paper(self, way: str, figures: Figures) -> None:
        """What such vectors would give is shown by columns of the dataset that hold them, and no control."""
        noise = RANDOM.normal(size=(PERSONS, PERSONS))
        found = np.linalg.solve(noise.T @ noise, noise.T @ (noise @ INCOME))
        assert (np.abs(found - INCOME) < 0.5).all()
        for formula in MADE[way]:
            with pytest.raises(PlanError):
                sj.glm(formula)
            with pytest.raises(PlanError):
                Plan(table="persons", where=formula.partition("~")[2].strip(), analyses={"m": sj.count()})
        known, sums = moments("income ~ age")
        assert known.shape == (2, PERSONS) and len(sums) == 2
        for listed in ("A08", "D04"):
            figures(
                listed,
                f"vectors made by {way}",
                without=f"{PERSONS} of {PERSONS} records from {PERSONS} covariances (the arithmetic alone)",
                with_defence=f"refused by the grammar of formulas and conditions: {len(MADE[way])} ways of writing it",
                mark="≤ 5 % within 0.5 sd; made vectors refused",
                benign="a model on a column of the dataset is released",
            )

    @pytest.mark.parametrize("word", CARRIED)
    def test_a_plan_carries_no_numbers_of_its_own(self, word: str) -> None:
        document = {"table": "persons", "analyses": {"m": {"glm": {"formula": "income ~ age"}}}}
        Plan.from_dict(document)
        with pytest.raises(PlanError):
            Plan.from_dict({**document, word: [[1.0, 0.0]]})
        with pytest.raises(PlanError):
            Plan.from_dict({**document, "analyses": {"m": {"glm": {"formula": "income ~ age", word: [1.0]}}}})


class TestIndicators:
    """A function of a near-unique column that is nearly the indicator of one person (A03)."""

    @staticmethod
    def pinned(target: int) -> str:
        near = [round(float(PLACE[target]) + step, 3) for step in (-0.2, 0.0, 0.2)]
        return f"income ~ bs(place, knots=[{', '.join(map(str, near))}], degree=1, low=-10, high=1010)"

    @staticmethod
    def read(formula: str, policy: Policy | None, target: int) -> float | None:
        """The target's income out of the sums that the pinned column gives with the outcome."""
        try:
            known, sums = moments(formula, policy)
        except DisclosureRefused:
            return None
        column = int(np.argmax(known[:, target] - known.mean(axis=1)))
        rest = known[column] - known[column].min()  # nothing but the target has this function
        return float((sums[column] - known[column].min() * sums[0]) / rest[target])

    def test_a_spline_pinned_to_one_person(self, figures: Figures) -> None:
        alone = [t for t in range(2, PERSONS - 2) if min(PLACE[t + 1] - PLACE[t], PLACE[t] - PLACE[t - 1]) > 0.5]
        targets = alone[:50]
        bare = [self.read(self.pinned(target), UnsafeReleaseAll(), target) for target in targets]
        exact = sum(value is not None and abs(value - INCOME[t]) < 1 for value, t in zip(bare, targets, strict=True))
        assert exact == len(targets) == 50
        assert [self.read(self.pinned(target), None, target) for target in targets] == [None] * 50
        known, _ = moments("income ~ bs(place, knots=[300, 500, 700], degree=1, low=-50, high=1050)")
        assert len(known) == 5
        figures(
            "A03",
            "a spline whose knots leave one person under one of its functions, 50 targets",
            without=f"{exact} of 50 exact",
            with_defence="0 of 50: refused, design support",
            mark="0 values exact",
            benign="a spline with knots far apart is released",
        )


class TestWidth:
    """Models from a few to as many parameters as there are persons (A09), with columns of independent noise."""

    @staticmethod
    def wide(persons: int, parameters: int):
        columns = {f"x{i}": RANDOM.normal(size=persons) for i in range(parameters - 1)}
        variables = dict.fromkeys([*columns, "income"], Variable(Kind.NUMBER))
        population = people({**columns, "income": INCOME[:persons]}, variables)
        return model(f"income ~ {' + '.join(columns) or '1'}"), population

    def released(self, persons: int, parameters: int, policy: Policy | None = None) -> bool:
        asked, population = self.wide(persons, parameters)
        try:
            for ask, _ in rounds(asked, population, policy):
                if ask.step == "start":
                    return True
        except DisclosureRefused:
            pass
        return False

    @pytest.mark.long
    def test_a_grid_of_widths(self, figures: Figures) -> None:
        grid = [(n, p) for n in (30, 60, 120, 200) for p in sorted({2, 4, n // 10, n // 4, n // 3, n // 2, n - 2})]
        above = [(n, p) for n, p in grid if p / n > 0.33]
        bare = [self.released(n, p, UnsafeReleaseAll()) for n, p in above]
        assert all(bare)
        passed = [(n, p) for n, p in grid if self.released(n, p)]
        assert not set(passed) & set(above)
        assert (200, 4) in passed and (120, 2) in passed
        figures(
            "A09",
            f"{len(grid)} models over a grid of parameters and persons",
            without=f"{len(above)} of {len(above)} released above p / n = 0.33",
            with_defence=f"0 of {len(above)}; the widest released has p / n = {max(p / n for n, p in passed):.2f}",
            mark="0 releases above 0.33",
            benign="4 parameters on 200 persons are released",
        )
