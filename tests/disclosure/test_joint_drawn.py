"""Sums of imputed sets under masks: what two sets differ by is of many beyond each site, or of nobody."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import evaluated_shares as evaluated
import sojourn.disclosure.joint as joint
from sojourn.analysis.imputation import Chain
from sojourn.analysis.population import Population, nobody
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure.families.design_support import DesignSupport
from sojourn.disclosure.joint import Demands, Layout
from sojourn.disclosure.parameters import Parameters
from sojourn.errors import DisclosureRefused
from sojourn.statistics.catalogue_models import glm, imputed, indicated

SITES = ("Avon", "Brent", "Cam")
RULES = Parameters()
VARIABLES = with_site(
    {
        "x": Variable(Kind.NUMBER, low=0, high=9),
        "z": Variable(Kind.NUMBER, low=0, high=1),
        "y": Variable(Kind.NUMBER, low=-10, high=20),
        "b": Variable(Kind.BOOLEAN),
    },
    SITES,
)
MODEL = glm("y ~ x + z + b")
TWO = imputed(MODEL, "x", m=2)
CLEAR = DesignSupport(RULES.threshold)


def people(site: str, lacking: int, rows: int = 120, column: str = "x", seed: int = 0) -> Population:
    rng = np.random.default_rng([SITES.index(site), seed])
    x, z = rng.integers(0, 10, rows).astype(float), rng.random(rows)
    y = 1 + x - z + rng.uniform(-1, 1, rows)
    columns = {"x": x, "z": z, "y": y, "b": rng.integers(0, 2, rows).astype(np.int8)}
    gone = np.arange(rows) < lacking
    absent = {column: gone} if lacking else {}
    return Population(site, VARIABLES, columns, np.arange(rows, dtype=np.uint32), {}, absent)


def layout_of(statistic):
    return Layout.of(statistic.support(nobody(SITES[0], VARIABLES)), VARIABLES, statistic.rules)


def passes(statistic, populations, stripped: str = "") -> bool:
    """Whether the sums are shown. stripped: evidence that is taken out of the test, of labels that hold this."""
    supports = [statistic.support(one) for one in (nobody(SITES[0], VARIABLES), *populations)]
    if stripped:
        supports = [_without(support, stripped) for support in supports]
    layout = Layout.of(supports[0], VARIABLES, statistic.rules)
    test = layout.test(SITES, SITES, Demands.of(RULES))
    return bool(evaluated.plain(test, np.stack([layout.numbers(one, RULES) for one in supports[1:]])).all())


def _without(support, word):
    levels = {label: who for label, who in support.design.levels.items() if word not in label}
    return replace(support, design=replace(support.design, levels=levels))


def rare(site: str, seed: int) -> Population:
    """Twelve lack x, which is 0 for nearly everybody, so that nearly all draws are equal."""
    one = people(site, 12, seed=seed)
    x = np.zeros(one.rows)
    x[[20, 40, 60, 80, 100, 110]] = [1, 2, 3, 1, 2, 3]
    return replace(one, columns={**one.columns, "x": x, "b": (np.arange(one.rows) % 2).astype(np.int8)})


def difference(populations) -> np.ndarray:
    """What the first round's sums of two sets tell by differing: cross-products of intercept, x, z, b."""
    at = {"active": np.ones(2, dtype=int)} | {f"centre_{k}": np.zeros(4) for k in (1, 2)}
    parts = [TWO.local("start", one, at) for one in populations]
    return sum(part["gram_2"] - part["gram_1"] for part in parts)


def test_the_sums_of_two_sets_give_one_persons_row_unless_each_site_judges_its_draws(monkeypatch):
    """36 persons lack a value, so that a joint test of persons passes; of one of them the two sets say other things."""
    for seed in range(200):
        populations = [rare(site, seed) for site in SITES]
        completed = [draws(one) for one in populations]
        apart = sum(int((one != other).sum()) for one, other in completed)
        if apart == 1:
            break
    assert apart == 1
    told = difference(populations)
    [z] = [
        one.columns["z"][first != other]
        for one, (first, other) in zip(populations, completed, strict=True)
        if (first != other).any()
    ]
    assert told[1, 2] / told[0, 1] == pytest.approx(z[0], rel=1e-9)  # read off sums over all sites
    layout, judged = layout_of(TWO), [TWO.support(one) for one in populations]
    where = next(place for place, (first, other) in enumerate(completed) if (first != other).any())
    with pytest.raises(DisclosureRefused) as caught:
        layout.numbers(judged[where], RULES)
    assert caught.value.family == "design support"
    monkeypatch.setattr(joint, "demand_apart", lambda *_: None)
    test = layout.test(SITES, SITES, Demands.of(RULES))
    inputs = np.stack([layout.numbers(one, RULES) for one in judged])
    planted = evaluated.plain(test, inputs).tolist()
    assert planted == [True]


def draws(one: Population) -> tuple[np.ndarray, np.ndarray]:
    first, second = Chain(("x",), MODEL.variables()).completed(one, 2)
    return first.columns["x"], second.columns["x"]


@pytest.mark.parametrize(
    ("lacking", "m", "wanted"),
    [((40, 40, 40), 2, True), ((40, 40, 0), 2, True), ((0, 0, 0), 2, True), ((40, 0, 0), 2, False)],
    ids=["all lack", "two sites", "nobody lacks", "one site alone"],
)
def test_those_who_lack_a_value_are_nobody_or_many_beyond_each_site(lacking, m, wanted):
    populations = [people(site, number) for site, number in zip(SITES, lacking, strict=True)]
    asked = imputed(MODEL, "x", m=m)
    assert passes(asked, populations) is wanted
    assert passes(asked, populations, stripped="missing(")  # which is what the test rests on


@pytest.mark.parametrize(
    ("lacking", "m"), [(9, 2), (30, 5), (116, 2)], ids=["few", "few for so many sets", "few observed"]
)
def test_a_site_judges_its_own_draws_as_in_a_clear_plan(lacking, m):
    asked = imputed(MODEL, "x", m=m)
    layout = layout_of(asked)
    with pytest.raises(DisclosureRefused) as caught:
        layout.numbers(asked.support(people("Avon", lacking)), RULES)
    assert caught.value.family == "design support"
    assert layout.numbers(asked.support(people("Avon", 60)), RULES).any()


def test_the_greatest_threshold_of_all_sites_counts():
    support = TWO.support(people("Avon", 40))
    layout = layout_of(TWO)
    layout.numbers(support, RULES)
    with pytest.raises(DisclosureRefused):
        replace(layout, threshold=50).numbers(support, RULES)


def test_what_levels_the_sets_drew_for_the_same_persons_is_of_nobody_or_many():
    """A boolean that is rare: the sets give it to other few persons each."""
    asked = imputed(MODEL, "b", m=2)
    layout = layout_of(asked)
    assert layout.numbers(asked.support(people("Avon", 80, 240, "b")), RULES).any()
    one = people("Avon", 80, 240, "b")
    few = replace(one, columns={**one.columns, "b": (np.arange(240) % 20 == 3).astype(np.int8)})
    with pytest.raises(DisclosureRefused):
        layout.numbers(asked.support(few), RULES)


@pytest.mark.parametrize("lacking", [0, 1, 40, 119, 120])
@pytest.mark.parametrize("column", ["x", "b", "y"])
def test_every_site_lays_out_the_same_whatever_its_data(monkeypatch, lacking, column):
    monkeypatch.setattr(joint, "demand_apart", lambda *_: None)
    for model in (MODEL, glm("b ~ x + z", "binomial"), glm("y ~ z + x:b")):
        if column not in model.formula.names:
            continue
        asked = imputed(model, column, m=3)
        layout = layout_of(asked)
        inputs = layout.numbers(asked.support(people("Cam", lacking, column=column)), RULES)
        assert inputs.shape == (layout.inputs,)


@pytest.mark.parametrize("lacking", [0, 1, 40, 119, 120])
def test_indicators_lay_out_the_same_whatever_a_sites_data(lacking):
    asked = indicated(MODEL, "x", "b")
    layout = layout_of(asked)
    one = people("Cam", lacking)
    for absent in (one.absent, {"b": np.arange(120) % 2 == 0}):
        assert layout.numbers(asked.support(replace(one, absent=absent)), RULES).shape == (layout.inputs,)


def test_a_place_holder_is_no_third_value():
    """x is 0 or 5, and 4.5 stands for what is missing: of how many are 5 the sums tell."""
    populations = []
    for site in SITES:
        one = people(site, 40)
        populations.append(replace(one, columns={**one.columns, "x": np.where(np.arange(120) % 2, 5.0, 0.0)}))
    asked = indicated(MODEL, "x")
    assert {"x=lower", "x=upper"} <= set(asked.support(populations[0]).design.levels)
    assert not passes(asked, populations)
    assert passes(asked, [people(site, 40) for site in SITES])
    assert not passes(asked, [people(SITES[0], 40), *(people(site, 0) for site in SITES[1:])])  # one site's alone


def test_what_two_sets_differ_by_is_not_one_or_two_persons():
    """z is 0 for all who lack x but one: with x:z the difference would be this one's z and outcome."""
    asked = imputed(glm("y ~ x + z + b + x:z"), "x", m=2)
    layout, one = layout_of(asked), people("Avon", 60, 300)
    assert layout.numbers(asked.support(one), RULES).any()
    sparse = replace(one, columns={**one.columns, "z": np.where((np.arange(300) < 60), 0.0, one.columns["z"])})
    sparse.columns["z"][7] = 0.5
    judged = asked.support(sparse)
    assert judged.design.drawn.share == 1.0
    with pytest.raises(DisclosureRefused) as caught:
        layout.numbers(judged, RULES)
    assert caught.value.family == "design support"
    planted = replace(judged.design, drawn=replace(judged.design.drawn, share=0.0))
    assert [bool(CLEAR._fault(design)) for design in (judged.design, planted)] == [True, False]
    assert layout.numbers(replace(judged, design=planted), RULES).any()  # nothing else sees it


def test_in_a_level_with_a_product_of_its_own_the_draws_of_many_differ():
    """Of those who lack x 20 have b, and most of these the same draw."""
    asked = imputed(glm("y ~ x + z + b + x:b"), "x", m=2)
    layout, one = layout_of(asked), people("Avon", 80, 400)
    assert layout.numbers(asked.support(one), RULES).any()
    b = (np.arange(400) % 4 == 0).astype(np.int8)
    x = np.where((b == 1) & (np.arange(400) % 40 != 0), 9.0, one.columns["x"])
    judged = asked.support(replace(one, columns={**one.columns, "b": b, "x": x}))
    assert 0 < judged.design.drawn.levels < RULES.threshold
    with pytest.raises(DisclosureRefused):
        layout.numbers(judged, RULES)
    planted = replace(judged.design, drawn=replace(judged.design.drawn, levels=None))
    assert "in a level" in CLEAR._fault(judged.design)
    assert layout.numbers(replace(judged, design=planted), RULES).any()
    assert imputed(MODEL, "x", m=2).support(one).design.drawn.levels is None  # no product, no level of its own
