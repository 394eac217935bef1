"""One person's number as the sum over a level in which all others have 0, read from a model's cross-products."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from one_site import HEADER, model, people, rounds
from recorded import Figures

import evaluated_shares as evaluated
import sojourn as sj
from sojourn.analysis.population import Population, nobody
from sojourn.analysis.statistic import Statistic
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure.demands import Demands
from sojourn.disclosure.gate import release
from sojourn.disclosure.joint import Layout
from sojourn.disclosure.output import Output
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.errors import DisclosureRefused, SojournError
from sojourn.study.plan import Plan
from sojourn.testbed import Federation

pytestmark = pytest.mark.long

SITES = ("Avon", "Brent", "Cam")
FEW, PERSONS, HIS = 24, 264, 3.7  # of a site; he has the level, and is the only one of it who has any
FORMULA = "y ~ ward + z + I(z**2)"
VARIABLES = with_site(
    {
        "y": Variable(Kind.NUMBER, low=0, high=100),
        "z": Variable(Kind.NUMBER, low=0, high=8),
        "more": Variable(Kind.NUMBER, low=0, high=8),
        "d": Variable(Kind.NUMBER, low=0, high=3),
        "old": Variable(Kind.BOOLEAN),
        "ward": Variable(Kind.CATEGORY, levels=("a", "b", "c")),
    },
    SITES,
)


def columns(seed: int, alone: bool = True) -> dict[str, Any]:
    """One site's persons. alone: whether one of ward b has a z; else all of them have one."""
    random = np.random.default_rng(seed)
    places = np.r_[np.ones(FEW, dtype=int), np.where(np.arange(PERSONS - FEW) % 2, 0, 2)]
    z, more = np.round(random.uniform(1, 5, (2, PERSONS)), 1)
    z[:FEW] = np.r_[HIS if seed == 0 else 0.0, np.zeros(FEW - 1)] if alone else z[:FEW]
    return {
        "y": np.round(random.normal(50, 5, PERSONS), 1),
        "z": z,
        "more": more,
        "d": (places == 1) * 2.0,  # the level as a number of two values
        "old": (np.arange(PERSONS) // 2 % 2).astype(np.int8),
        "ward": places.astype(np.int32),
    }


def site(seed: int, alone: bool = True) -> Population:
    return replace(people(columns(seed, alone), VARIABLES), site=SITES[seed])


def read_off(formula: str, person: Population) -> tuple[float, float]:
    """The level's sum of z and of its square, from what the first two rounds release without any rule."""
    asked = model(formula)
    answers = rounds(asked, person, UnsafeReleaseAll())
    (_, first), (started, second) = next(answers), next(answers)
    terms, n, sums = list(asked.terms(VARIABLES)), int(first.arrays["n"][0]), first.arrays["sum"]
    centre, gram = started.broadcast["centre"], second.arrays["gram"]
    raw = gram + np.outer(centre, sums) + np.outer(sums, centre) - n * np.outer(centre, centre)
    line = raw[terms.index("ward[T.b]")]
    return float(line[terms.index("z")]), float(line[terms.index("I(z ** 2)")])


def judged(ask: Statistic, person: Population) -> str:
    """The family by which a site refuses the first round under the product's own rules; empty where it answers."""
    step = ask.steps(VARIABLES)[0]
    output = Output(ask.name, step, ask.local(step.name, person, {}), ask.support(person), VARIABLES, tuple(ask.rules))
    try:
        release(output, StandardPolicy(), HEADER)
    except DisclosureRefused as refused:
        return refused.family
    return ""


def added(ask: Statistic, parts: list[Population]) -> bool:
    """Whether the joint test lets their sums be shown."""
    layout = Layout.of(ask.support(nobody(SITES[0], VARIABLES)), VARIABLES, ask.rules)
    test = layout.test(SITES, SITES, Demands(10, 10, 0.33))
    bits = evaluated.plain(test, np.stack([layout.numbers(ask.support(one), Parameters()) for one in parts]))
    try:
        layout.masks(bits, {})
    except DisclosureRefused:
        return False
    return True


ASKED: dict[str, Statistic] = {
    "glm": sj.glm(FORMULA),
    "poisson": sj.glm("y ~ ward + z", family="poisson"),
    "binomial": sj.glm("old ~ ward + z", family="binomial"),
    "firth": sj.firth("old ~ ward + z"),
    "lmm": sj.lmm("y ~ ward + z"),
    "glmm": sj.glmm("old ~ ward + z", family="binomial"),
    "elastic_net": sj.elastic_net("y ~ ward + z"),
    "outcome": sj.glm("z ~ ward + more"),
}
# A number of two values at one site is a level there; over all sites it is refused for having no third.
ASKED_IN_CLEAR: dict[str, Statistic] = {**ASKED, "number": sj.glm("y ~ d + z"), "pair": sj.correlation("d", "z")}


def test_a15_a_level_in_which_one_person_has_any(figures: Figures) -> None:
    few, usual = site(0), site(0, alone=False)
    told, squared = read_off(FORMULA, few)
    assert (told, squared) == (pytest.approx(HIS, abs=1e-9), pytest.approx(HIS**2, abs=1e-8))
    found = {name: judged(ask, few) for name, ask in ASKED_IN_CLEAR.items()}
    assert found == dict.fromkeys(found, "dominance")
    assert {judged(ask, usual) for ask in ASKED_IN_CLEAR.values()} == {""}
    figures(
        "A15",
        f"a number that one of the {FEW} persons of a level has, as the level's sum in a model's cross-products",
        without="his number, exact",
        with_defence=f"refused: dominance ({', '.join(ASKED_IN_CLEAR)})",
        mark="no sum over a level is one person's",
        benign=f"the same {len(ASKED_IN_CLEAR)} where all of the level have one are released",
    )


def test_a15_the_same_level_under_masks(figures: Figures) -> None:
    few, usual = [site(seed) for seed in range(3)], [site(seed, alone=False) for seed in range(3)]
    assert read_off(FORMULA, few[0])[0] == pytest.approx(HIS, abs=1e-9) and read_off(FORMULA, few[1])[0] < 1e-9
    assert not any(added(ask, few) for ask in ASKED.values())
    assert all(added(ask, usual) for ask in ASKED.values())
    figures(
        "A15",
        f"the same level under masks, of {3 * FEW} persons at {len(SITES)} sites",
        without="his number, exact: the sum of all sites",
        with_defence=f"0 of {len(ASKED)} pass the joint test",
        mark="no sum over a level is one person's",
        benign=f"the same {len(ASKED)} where all of the level have one pass",
    )


@pytest.mark.parametrize("alone", [True, False])
def test_a_place_holder_hides_nobody(alone: bool) -> None:
    """Where z is missing a number stands for it, whose sum everybody knows: so it is no part of the level's."""
    own = columns(0, alone)
    lacking = np.zeros(PERSONS + 2 * FEW, dtype=bool)
    lacking[PERSONS:] = True  # half of them of the level
    more = {name: np.r_[values, values[-2 * FEW :]] for name, values in own.items()}
    more["ward"][PERSONS : PERSONS + FEW] = 1
    person = replace(people(more, VARIABLES), site=SITES[0], absent={"z": lacking})
    assert judged(sj.indicated(sj.glm("y ~ ward + z"), "z"), person) == ("dominance" if alone else "")


# ---- through hub and nodes


def bounded(dictionary: Any) -> Any:
    known = dictionary.columns.items()
    own = {name: replace(one, low=VARIABLES[name].low, high=VARIABLES[name].high) for name, one in known}
    return replace(dictionary, columns=own)


def _frame(seed: int, alone: bool) -> pd.DataFrame:
    own = columns(seed, alone)
    wards = np.array(VARIABLES["ward"].levels)[own["ward"]]
    return pd.DataFrame({"y": own["y"], "z": own["z"], "ward": wards})


LINE = "y ~ ward + z"  # of a square beside it his leverage is too great, as he is alone in his ward
HOW = ("clear", "masked")


def _federation(**tables: bool) -> Federation:
    """Sites with these tables, in each of which one of the ward alone has a z or all have."""
    data = {name: {table: _frame(seed, alone) for table, alone in tables.items()} for seed, name in enumerate(SITES)}
    return Federation(data, review=bounded)


def _answered(federation: Federation, table: str, how: str, formula: str = LINE) -> bool:
    """Whether there is a model with all its numbers, of all sites."""
    more = {"min_sites": 3} if how == "clear" else {}
    plan = Plan(table=table, analyses={"m": sj.glm(formula)}, aggregation=how, **more)
    try:
        found = federation.run(plan)["m"].table
    except SojournError:
        return False
    return all(math.isfinite(one) for one in found["estimate"])


@pytest.mark.parametrize("how", HOW)
def test_a15_a_level_through_hub_and_nodes(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with _federation(few=True, usual=False) as defended:
        assert not _answered(defended, "few", how)
        assert _answered(defended, "usual", how)
    monkeypatch.setattr("sojourn.statistics.level_sums.level_contributions", lambda *_: ())  # it is this that refuses
    with _federation(few=True) as bare:
        assert _answered(bare, "few", how, "y ~ z + ward")  # another text: layouts are kept by it
