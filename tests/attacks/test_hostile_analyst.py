"""An approved analyst who asks for one person, through the whole product.

Each attack is seen to work where nothing controls disclosure and to fail by the product's own rules, beside an honest
twin, nearly the same ask, that is released. The secret is always the target's income.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from recorded import Figures

import sojourn as sj
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Suppressed
from sojourn.client.results import Result, Results
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.errors import DisclosureRefused, PlanError, SojournError
from sojourn.messages import ResultsView
from sojourn.study.plan import Plan
from sojourn.testbed import Federation
from sojourn.wire.transport import call

pytestmark = pytest.mark.long

PERSONS = 200
TARGET = 77
SITE = "Cleveland"
RANDOM = np.random.default_rng(7)
INCOME = np.round(RANDOM.normal(40_000, 5_000, PERSONS))
SECRET = float(INCOME[TARGET])


def mask(n: int) -> np.ndarray:
    """n persons, the target among them."""
    chosen = np.zeros(PERSONS, dtype=bool)
    chosen[np.append(TARGET, np.delete(np.arange(PERSONS), TARGET)[: n - 1])] = True
    return chosen


def persons() -> pd.DataFrame:
    """One row a person, with columns that an attacker would wish for."""
    number = np.arange(PERSONS)
    a, b, c = (RANDOM.random((3, PERSONS)) < 0.5).astype(bool)
    abc = a & b & c
    a[abc & (number != TARGET)] = False  # every pair of the three is common; all three together is the target alone
    a[TARGET] = b[TARGET] = c[TARGET] = True
    return pd.DataFrame(
        {
            "person_id": number,
            "income": INCOME,
            "age": RANDOM.integers(30, 80, PERSONS).astype(float),
            "weight": RANDOM.uniform(0.5, 1.5, PERSONS),
            "only": mask(1),
            "few": mask(9),
            "many": mask(80),
            "but_one": ~mask(1),
            "only_weight": np.where(mask(1), 1.0, 1e-9),
            "record": RANDOM.permutation(PERSONS).astype(float),
            "ward": np.where(mask(9), "small", np.where(number % 2, "north", "south")),
            "wing": np.where(number % 3 == 0, "east", "west"),
            "a": a,
            "b": b,
            "c": c,
            "outlier": np.where(mask(1), 1e6, RANDOM.normal(0, 1, PERSONS)),
            "x": (a * 1.0),
            "y": (b * 1.0),
            "z": (c * 1.0),
            "marker": np.where(mask(1), 300.0, RANDOM.uniform(0, 100, PERSONS)),
            "claim": np.where(mask(1), SECRET * 100, RANDOM.uniform(0, 100, PERSONS)),
            "visits": RANDOM.poisson(3, PERSONS).astype(float),
        }
    )


def visits() -> pd.DataFrame:
    """Several rows a person: the thirty of the rare clinic are one person's."""
    ordinary = pd.DataFrame(
        {
            "person_id": np.repeat(np.arange(1, PERSONS), 2),
            "clinic": np.where(np.repeat(np.arange(1, PERSONS), 2) % 2, "day", "night"),
            "cost": np.round(RANDOM.uniform(100, 200, 2 * (PERSONS - 1))),
        }
    )
    rare = pd.DataFrame({"person_id": 0, "clinic": "rare", "cost": np.round(RANDOM.uniform(100, 200, 30))})
    return pd.concat([ordinary, rare], ignore_index=True)


TABLE, VISITS = persons(), visits()


def _federation(rules: UnsafeReleaseAll | None) -> Federation:
    return Federation({SITE: {"persons": TABLE, "visits": VISITS}}, rules=rules)


@pytest.fixture(scope="module")
def safe() -> Iterator[Federation]:
    with _federation(None) as federation:
        yield federation


@pytest.fixture(scope="module")
def unsafe() -> Iterator[Federation]:
    with _federation(UnsafeReleaseAll()) as federation:
        yield federation


def asked(analysis: Any, where: str = "", table: str = "persons") -> Plan:
    return Plan(table=table, where=where, analyses={"ask": analysis}, min_sites=1)


@dataclass(frozen=True)
class Attack:
    """An ask, how the secret is read off its answer, and the honest twin."""

    ids: tuple[str, ...]  # in the list of attacks
    name: str
    plan: Plan
    read: Callable[[Result], float]
    twin: Plan
    family: str  # of the refusal; empty where cells are hidden instead


def _reading(attack: Attack, result: Result) -> float | None:
    """What the attacker reads; None where a suppressed cell, which takes part in no arithmetic, is in the way."""
    try:
        return attack.read(result)
    except (TypeError, SojournError):
        return None


def _sum_of(result: Result, *terms: str) -> float:
    return float(sum(result.table["estimate"][term] for term in terms))


def _cell(result: Result, *index: object) -> Any:
    row = result.table.loc[index if len(index) > 1 else index[0]]
    return row["mean"] if "mean" in row else row["n"]


def _others(result: Result) -> float:
    """The target's value as everybody's sum less that of the other group."""
    table = result.table
    everybody, rest = table.loc[("income", "all")], table.loc[("income", True)]
    return float(everybody["n"] * everybody["mean"] - rest["n"] * rest["mean"])


ATTACKS = [
    Attack(
        ("D03",),
        "a dummy that is 1 for one person",
        asked(sj.glm("income ~ only")),
        lambda result: _sum_of(result, "Intercept", "only[T.True]"),
        asked(sj.glm("income ~ many")),
        "design support",
    ),
    Attack(
        ("D03",),
        "a dummy of nine persons",
        asked(sj.glm("income ~ few + only")),
        lambda result: _sum_of(result, "Intercept", "few[T.True]", "only[T.True]"),
        asked(sj.glm("income ~ many + b")),
        "design support",
    ),
    Attack(
        ("D03",),
        "an interaction that only one person has",
        asked(sj.glm("income ~ x:y:z")),
        lambda result: result.table["estimate"].iloc[0] + result.table["estimate"].iloc[-1],
        asked(sj.glm("income ~ y:z")),
        "design support",
    ),
    Attack(
        ("D15",),
        "weights that leave one person",
        asked(sj.glm("income ~ 1", weights="only_weight")),
        lambda result: _sum_of(result, "Intercept"),
        asked(sj.glm("income ~ 1", weights="weight")),
        "design support",
    ),
    Attack(
        ("A09",),
        "one person far outside",
        asked(sj.glm("income ~ outlier")),
        lambda result: _sum_of(result, "Intercept") + 1e6 * _sum_of(result, "outlier"),
        asked(sj.glm("income ~ age")),
        "design support",
    ),
    Attack(
        ("A03", "D05"),
        "a mean over a mask of one",
        asked(sj.describe("income", by="only")),
        lambda result: float(_cell(result, "income", True)),
        asked(sj.describe("income", by="many")),
        "",
    ),
    Attack(
        ("D05",),
        "everybody's sum less that of all but one",
        asked(sj.describe("income", by="but_one")),
        _others,
        asked(sj.describe("income", by="many")),
        "",
    ),
    Attack(
        ("D15",),
        "a mean of whom a condition on a near-unique column leaves",
        asked(sj.describe("income"), where=f"record = {int(TABLE['record'][TARGET])}"),
        lambda result: float(result.table["mean"].iloc[0]),
        asked(sj.describe("income"), where="record < 100"),
        "minimum frequency",
    ),
    Attack(
        ("A13", "D07"),
        "a bin of one",
        asked(sj.histogram("income", edges=[SECRET - 0.5, SECRET + 0.5])),
        lambda result: SECRET if result.table["n"].iloc[1] == int((INCOME == SECRET).sum()) else 0.0,
        asked(sj.histogram("income", edges=[37_000, 44_000])),
        "",
    ),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(attack: Attack, safe: Federation, unsafe: Federation, figures: Figures) -> None:
    """It works where nothing is controlled, fails by default, and its honest twin is released."""
    assert attack.read(unsafe.run(attack.plan)["ask"]) == pytest.approx(SECRET, rel=1e-4)
    result = safe.run(attack.plan)["ask"]
    if attack.family:
        with pytest.raises(DisclosureRefused) as refusal:
            attack.read(result)
        assert refusal.value.family == attack.family
        assert str(int(SECRET)) not in str(result.to_dict())
    else:
        assert _reading(attack, result) != pytest.approx(SECRET, rel=0.1)
    table = safe.run(attack.twin)["ask"].table.drop(columns="missing", errors="ignore")
    assert not table.map(lambda cell: isinstance(cell, Suppressed)).to_numpy().any()
    for listed in attack.ids:
        figures(
            listed,
            attack.name,
            without="the value, to four digits",
            with_defence=f"refused: {attack.family}" if attack.family else "hidden, by subtraction too",
            mark="0 values within 10 %",
            benign=f"{next(iter(attack.twin.analyses.values())).arguments()} is released whole",
        )


class TestTables:
    def test_a_small_group_is_not_everybody_less_the_others(self, safe: Federation) -> None:
        """Nine of `small`: their group is hidden, and a second one with it, in numbers, means and deviations alike."""
        table = safe.run(asked(sj.describe("income", by="ward")))["ask"].table
        hidden = {index[1] for index, row in table.iterrows() if isinstance(row["mean"], Suppressed)}
        assert "small" in hidden
        assert len(hidden) >= 2
        for index, row in table.iterrows():
            assert isinstance(row["n"], Suppressed) == isinstance(row["sd"], Suppressed) == (index[1] in hidden)

    def test_a_lone_cell_does_not_follow_from_the_margins(
        self, safe: Federation, unsafe: Federation, figures: Figures
    ) -> None:
        """Each line of a table has no hidden cell, or two."""
        plan = asked(sj.crosstab("ward", "wing"))
        assert 0 < unsafe.run(plan)["ask"].table["n"].min() < 10
        table = safe.run(plan)["ask"].table
        hidden = table["n"].map(lambda cell: isinstance(cell, Suppressed)).unstack()
        assert hidden.to_numpy().any()
        for lines in (hidden.sum(axis=0), hidden.sum(axis=1)):
            assert 1 not in set(lines)
        twin = safe.run(asked(sj.crosstab("many", "wing")))["ask"].table
        assert not twin["n"].map(lambda cell: isinstance(cell, Suppressed)).any()
        for listed in ("A14", "D08"):
            figures(
                listed,
                "the one small cell of a table as a margin less the others",
                without="exact",
                with_defence="each line hides no cell or at least two",
                mark="no line with one hidden cell",
                benign="a table of common cells is released whole",
            )

    def test_thirty_rows_of_one_person_are_one_person(self, safe: Federation, unsafe: Federation) -> None:
        for analysis in (sj.count(by="clinic"), sj.describe("cost", by="clinic")):
            plan = asked(analysis, table="visits")
            shown = safe.run(plan)["ask"].table
            rare = shown.xs("rare", level="clinic") if shown.index.nlevels > 1 else shown.loc[["rare"]]
            assert rare.map(lambda cell: isinstance(cell, Suppressed) or cell is None).to_numpy().all()
        everything = unsafe.run(asked(sj.describe("cost", by="clinic"), table="visits"))["ask"].table
        assert everything.loc[("cost", "rare"), "n"] == 30

    def test_thirty_rows_of_one_person_make_no_level_of_a_model(self, safe: Federation) -> None:
        with pytest.raises(DisclosureRefused):
            _ = safe.run(asked(sj.glm("cost ~ clinic"), table="visits"))["ask"].table


class TestModels:
    def test_too_many_parameters(self, safe: Federation, unsafe: Federation, figures: Figures) -> None:
        knots = ", ".join(str(knot) for knot in range(32, 79, 4))
        spline = sj.glm(f"income ~ bs(age, knots=[{knots}], low=0, high=120)")
        few = asked(spline, where="record < 40")
        assert len(unsafe.run(few)["ask"].table) > 0.33 * 40
        with pytest.raises(DisclosureRefused):
            _ = safe.run(few)["ask"].table
        assert len(safe.run(asked(sj.glm("income ~ age"), where="record < 60"))["ask"].table) == 2
        figures(
            "A09",
            "a spline of 16 terms on 40 persons",
            without="released",
            with_defence="refused",
            mark="0 releases above p / n = 0.33",
            benign="a line on 60 persons is released",
        )

    def test_a_saturated_model(self, safe: Federation) -> None:
        """Every combination has its own mean: released where each has enough persons, refused where one has not."""
        with pytest.raises(DisclosureRefused):
            _ = safe.run(asked(sj.glm("income ~ a * c"), where="b = true"))["ask"].table
        table = safe.run(asked(sj.glm("income ~ many * wing")))["ask"].table
        assert len(table) == 4

    def test_no_residual_freedom(self, safe: Federation) -> None:
        with pytest.raises(DisclosureRefused):
            _ = safe.run(asked(sj.glm("income ~ age"), where="record < 11"))["ask"].table


class TestWhatIsNotThere:
    """Asks for which the product has no words."""

    @pytest.mark.parametrize("word", ["min", "max", "quantile", "median", "mode", "values", "rows", "sample"])
    def test_order_statistics_and_rows(self, word: str, safe: Federation, figures: Figures) -> None:
        with pytest.raises(PlanError):
            Plan.from_dict({"table": "persons", "analyses": {"ask": {word: {"columns": ["income"]}}}})
        assert not hasattr(sj, word)
        assert len(safe.run(asked(sj.describe("income")))["ask"].table) == 1
        figures(
            "D06",
            f"`{word}` of a column",
            without="not measured: the product has no code for it",
            with_defence="PlanError: no such statistic",
            mark="no such word in a plan",
            benign="the mean of the column is released",
        )

    @pytest.mark.parametrize("edges", ["auto", 10, None, "quantiles", [], [1.0], ["min", "max"]])
    def test_edges_from_the_data(self, edges: object) -> None:
        with pytest.raises(PlanError):
            Plan.from_dict(
                {"table": "persons", "analyses": {"ask": {"histogram": {"column": "income", "edges": edges}}}}
            )

    @pytest.mark.parametrize(
        "formula",
        [
            "income ~ {record == 5}",
            "income ~ I(record**40)",
            "income ~ I(record == 5)",
            "income ~ record.values",
            "income ~ __import__('os')",
            "income ~ np.where(record, 1, 0)",
        ],
    )
    def test_formulas_that_run_code_or_pick_a_row(self, formula: str, safe: Federation, figures: Figures) -> None:
        with pytest.raises(PlanError):
            sj.glm(formula)
        assert len(safe.run(asked(sj.glm("income ~ I(age**2)")))["ask"].table) == 2
        figures(
            "D15",
            f"`{formula}`",
            without="not measured: formulas are never evaluated as code",
            with_defence="PlanError: outside the grammar",
            mark="no plan with it",
            benign="`income ~ I(age**2)` is released",
        )

    @pytest.mark.parametrize("where", ["rowid = 5", "record in (select 5)", "1 = 1; drop table x", "record = (1"])
    def test_conditions_outside_the_grammar(self, where: str, safe: Federation) -> None:
        with pytest.raises(PlanError):
            safe.run(asked(sj.count(), where=where))

    def test_the_persons_own_numbers(self, safe: Federation) -> None:
        for plan in (asked(sj.count(), where="person_id = 77"), asked(sj.glm("income ~ person_id"))):
            with pytest.raises(SojournError):
                safe.run(plan)


class TestNumbersOfTheRounds:
    """The researcher's own client receives every release, not only the estimate."""

    def last_round(self, federation: Federation, plan: Plan, step: str) -> tuple[Partial, np.ndarray]:
        """The last release of a step, and the centre that it was asked about."""
        run = federation.project().submit(plan.replace(purpose="NRES"))
        run.wait(60)
        view = ResultsView.model_validate(call(run.federation.client, "GET", f"/v1/studies/{run.study}/results"))
        past = [past for past in view.analyses["ask"].transcript if past.ask.step == step][-1]
        return Partial.from_dict(past.answers[SITE]["release"]["partial"]), past.ask.ask().broadcast["centre"]

    def test_an_offset_that_leaves_one_person(self, safe: Federation, unsafe: Federation, figures: Figures) -> None:
        """A wide column as the offset of a Poisson model makes the working weight of its largest person e to the 200
        times all others', and X'WX is this person's row.
        """
        plan = asked(sj.glm("visits ~ income", family="poisson", offset="marker"))
        partial, centre = self.last_round(unsafe, plan, "newton")
        information = partial["information"]
        assert information[0, 1] / information[0, 0] + centre[1] == pytest.approx(SECRET)
        with pytest.raises(DisclosureRefused):
            _ = safe.run(plan)["ask"].table
        assert len(safe.run(asked(sj.glm("visits ~ income", family="poisson", offset="weight")))["ask"].table) == 2
        figures(
            "D04",
            "an offset under which X'WX of a Poisson round is one person's row",
            without="the value, to six digits",
            with_defence="refused: design support",
            mark="0 values",
            benign="the same model with an ordinary offset is released",
        )

    def test_an_outcome_that_is_nearly_all_one_persons(
        self, safe: Federation, unsafe: Federation, figures: Figures
    ) -> None:
        """The sum of the outcomes is a sum like any other."""
        plan = asked(sj.glm("claim ~ age"))
        partial, _ = self.last_round(unsafe, plan, "start")
        assert partial["moment"][0] / 100 == pytest.approx(SECRET, rel=0.01)
        with pytest.raises(DisclosureRefused):
            _ = safe.run(plan)["ask"].table
        assert len(safe.run(asked(sj.glm("income ~ age")))["ask"].table) == 2
        figures(
            "A15",
            "a regression on an outcome that is nearly all one person's",
            without="the value, to 1 %",
            with_defence="refused: dominance",
            mark="refused",
            benign="a regression on incomes is released",
        )


def test_differencing_is_refused(unsafe: Federation) -> None:
    """Everybody and everybody but one: `test_differencing.py` has this attack's kin."""
    lacking = int(TABLE["record"][TARGET])
    plans = [asked(sj.describe("income")), asked(sj.describe("income"), where=f"record != {lacking}")]
    tables = [unsafe.run(plan)["ask"].table for plan in plans]
    difference = [table["n"].iloc[0] * table["mean"].iloc[0] for table in tables]
    assert difference[0] - difference[1] == pytest.approx(SECRET, rel=1e-6)
    with _federation(None) as safe:
        assert len(safe.run(plans[0])["ask"].table) == 1
        with pytest.raises(DisclosureRefused, match="few persons"):
            _ = safe.run(plans[1])["ask"].table
        assert len(safe.run(asked(sj.describe("income"), where="record < 100"))["ask"].table) == 1


def test_one_plan_does_not_difference(safe: Federation) -> None:
    """Each table hides its small cells, and a linked one shows their sum: of T persons at least."""
    plan = Plan(
        table="persons",
        min_sites=1,
        analyses={"wards": sj.count(by="ward"), "everybody": sj.count(), "mean": sj.describe("income")},
    )
    results: Results = safe.run(plan)
    hidden = [cell for cell in results["wards"].table["n"] if isinstance(cell, Suppressed)]
    assert len(hidden) >= 2  # their sum follows from the other table, neither of them does
    assert results["everybody"].table["n"].tolist() == [PERSONS]
