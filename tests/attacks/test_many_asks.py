"""Many asks, each of them ordinary: what they give together is what the ledger is for.

Each is a study of its own, signed by an approved researcher; two researchers and two projects take turns, since a
ledger belongs to a dataset and not to a person.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hostile import HostileHub, Reply
from recorded import Figures
from sqlalchemy import select

import sojourn as sj
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask
from sojourn.disclosure.gate import Policy
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.node.tables import ledger
from sojourn.study.plan import Plan
from sojourn.testbed import derive

pytestmark = pytest.mark.long

PERSONS = 200
SITE = "Cleveland"
RANDOM = np.random.default_rng(8)
PLACE = np.sort(RANDOM.uniform(0, 1000, PERSONS)).round(2)
INCOME = np.round(RANDOM.normal(40_000, 5_000, PERSONS))
ILL = RANDOM.random(PERSONS) < 0.5
TABLE = pd.DataFrame(
    {
        "record": np.arange(PERSONS, dtype=float),
        "place": PLACE,
        "income": INCOME,
        "ill": ILL,
        "sex": np.where(RANDOM.random(PERSONS) < 0.5, "f", "m"),
    }
)


class Analyst:
    """An approved researcher who asks one hospital as often as it answers."""

    def __init__(self, folder: Path, policy: Policy | None = None) -> None:
        path = folder / "persons.parquet"
        folder.mkdir(parents=True, exist_ok=True)
        TABLE.to_parquet(path, index=False)
        self.hub = HostileHub(folder / "hub", {SITE: (path, derive(path, "persons", "person_id"))}, policy=policy)

    def __enter__(self) -> Analyst:
        return self

    def __exit__(self, *error: object) -> None:
        self.hub.__exit__(*error)

    def ask(self, analysis: object, where: str = "", rounds: int = 1) -> list[tuple[Ask, Partial]] | None:
        """The first rounds of one study: what was asked and released; None where one is refused or hides a cell."""
        study = self.hub.study(Plan(table="persons", where=where, analyses={"ask": analysis}, min_sites=1))
        transcript, found = [], []
        for _ in range(rounds):
            step = self.hub.next(study, "ask", transcript)
            assert isinstance(step, Ask)
            document, replies = self.hub.round(study, "ask", step, transcript)
            reply: Reply = replies[SITE]
            partial = reply.partial
            if partial is None or any(partial.hidden(name).any() for name in partial.arrays if name != "missing"):
                break
            transcript.append(document)
            found.append((step, partial))
        self.hub.sites[SITE].runner.end(study.request.study, "done")
        return found if len(found) == rounds else None


class TestKnots:
    """Sums of a linear spline with its knot on either side of a person (A08).

    Above the knot k its last function is (x - k) / (high - k). Of two knots between the same neighbours, the sums with
    the outcome give the sum of all outcomes above; of two such pairs, the outcome of the person between them.
    """

    TARGETS = range(90, 110)
    HIGH = 1010.0

    @classmethod
    def knots(cls, gap: int) -> tuple[float, float]:
        """Two knots between the persons `gap - 1` and `gap`."""
        low, width = PLACE[gap - 1], PLACE[gap] - PLACE[gap - 1]
        return round(low + 0.3 * width, 5), round(low + 0.7 * width, 5)

    @classmethod
    def sum_over(cls, analyst: Analyst, knot: float) -> float | None:
        """The sum of (x - knot) y over all persons above the knot."""
        spline = f"bs(place, knots=[{knot}], degree=1, low=-10, high={cls.HIGH:.0f})"
        found = analyst.ask(sj.glm(f"income ~ {spline}"), rounds=2)
        if found is None:
            return None
        [(_, handshake), (ask, start)] = found
        del handshake
        outcome = start["moment"][0]  # of the intercept: the sum of all outcomes
        return float((start["moment"][-1] + ask.broadcast["centre"][-1] * outcome) * (cls.HIGH - knot))

    def above(self, analyst: Analyst, gap: int) -> float | None:
        """The sum of the outcomes of all persons from `gap` on."""
        knots = self.knots(gap)
        one, other = (self.sum_over(analyst, knot) for knot in knots)
        return None if one is None or other is None else (one - other) / (knots[1] - knots[0])

    def read(self, analyst: Analyst) -> int:
        """How many of the targets' incomes are read to half a unit."""
        sums = {gap: self.above(analyst, gap) for gap in [*self.TARGETS, self.TARGETS.stop]}
        pairs = [(sums[target], sums[target + 1], INCOME[target]) for target in self.TARGETS]
        return sum(a is not None and b is not None and abs(a - b - value) < 0.5 for a, b, value in pairs)

    def test_knots_on_either_side_of_a_person(self, tmp_path: Path, figures: Figures) -> None:
        with Analyst(tmp_path / "bare", UnsafeReleaseAll()) as bare:
            open_read = self.read(bare)
        assert open_read == len(self.TARGETS)
        with Analyst(tmp_path / "safe") as safe:
            read = self.read(safe)
            assert read == 0
            twin = safe.ask(sj.glm("income ~ bs(place, knots=[200], degree=1, low=-10, high=1010)"), rounds=2)
            assert twin is not None
        figures(
            "A08",
            "linear splines with knots on either side of each of 20 persons",
            without=f"{open_read} of {len(self.TARGETS)} incomes exact",
            with_defence=f"{read} of {len(self.TARGETS)}: the persons between knots are sets of the ledger",
            mark="≤ 5 % exact",
            benign="a spline whose knot is far from every earlier one is released",
        )


class TestRandomHalves:
    """The number of the ill in many random halves; the bits by linear programming (A07)."""

    ASKS, PATIENCE = 130, 12

    @staticmethod
    def half(number: int) -> np.ndarray:
        return np.random.default_rng(number).random(PERSONS) < 0.5

    def bits(self, analyst: Analyst) -> tuple[float, int]:
        """The share of bits that are right, and how many halves were answered."""
        from scipy.optimize import linprog

        rows, sums, refused = [np.ones(PERSONS)], [float(ILL.sum())], 0
        for number in range(self.ASKS):
            if refused == self.PATIENCE:
                break  # it goes on like this
            chosen = self.half(number)
            where = f"record in ({', '.join(str(int(record)) for record in np.flatnonzero(chosen))})"
            found = analyst.ask(sj.count(by="ill"), where)
            refused = 0 if found else refused + 1
            if found:
                rows.append(chosen.astype(float))
                sums.append(float(found[0][1]["count"][1]))
        cost = np.random.default_rng(0).normal(size=PERSONS)
        solved = linprog(cost, A_eq=np.array(rows), b_eq=np.array(sums), bounds=(0, 1), method="highs")
        assert solved.success
        return float(((solved.x > 0.5) == ILL).mean()), len(rows) - 1

    def test_bits_from_random_halves(self, tmp_path: Path, figures: Figures) -> None:
        with Analyst(tmp_path / "bare", UnsafeReleaseAll()) as bare:
            open_bits, open_answers = self.bits(bare)
        assert open_bits == 1.0 and open_answers == self.ASKS
        with Analyst(tmp_path / "safe") as safe:
            bits, answered = self.bits(safe)
        assert bits <= 0.70 and 0 < answered < self.ASKS / 2
        guessed = max(ILL.mean(), 1 - ILL.mean())
        figures(
            "A07",
            f"the number of the ill in {self.ASKS} random halves of {PERSONS} persons, solved as a linear programme",
            without=f"{open_bits:.0%} of the bits from {open_answers} answers",
            with_defence=f"{bits:.0%} of the bits, {answered} answers ({guessed:.0%} by guessing)",
            mark="≤ 70 % of the bits",
            benign="the first halves are released like any other subgroup",
        )


class TestFilling:
    """An analyst who asks so much that nobody else gets an answer (D17)."""

    ASKS = 60

    def entries(self, analyst: Analyst) -> int:
        return len(analyst.hub.sites[SITE].node.store.rows(select(ledger)))

    def test_refused_and_repeated_asks_fill_nothing(self, tmp_path: Path, figures: Figures) -> None:
        """Whatever is refused leaves no set behind, and what is the same again leaves none either."""
        few = [f"record between {low} and {low + 8}" for low in range(self.ASKS)]
        with Analyst(tmp_path / "bare", UnsafeReleaseAll()) as bare:
            assert all(bare.ask(sj.count(by="ill"), where) is not None for where in few)
            filled = self.entries(bare)
        assert filled >= self.ASKS
        with Analyst(tmp_path / "safe") as safe:
            assert safe.ask(sj.count(by="sex")) is not None
            before = self.entries(safe)
            assert all(safe.ask(sj.count(by="ill"), where) is None for where in few)
            assert self.entries(safe) == before
            assert safe.ask(sj.describe("income")) is not None
            assert safe.ask(sj.crosstab("sex", "ill")) is not None
        figures(
            "D17",
            f"{self.ASKS} asks for nine persons each, to crowd the ledger",
            without=f"{filled} sets charged, where nothing refuses",
            with_defence="0 sets charged: what is refused costs attempts, never sets",
            mark="0 sets; others are answered",
            benign="another analyst's table, mean and cross-table are released afterwards",
        )
