"""Joint disclosure against the rules on pooled persons; layouts are the same at every site whatever its data."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

import evaluated_shares as evaluated
from sojourn.analysis.population import Population, nobody
from sojourn.analysis.support import Positions, Support
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure.demands import THRESHOLDS
from sojourn.disclosure.joint import Demands, Layout, evaluators, strictest
from sojourn.disclosure.joint_beside import beside_unions, still_hidden
from sojourn.disclosure.parameters import Parameters
from sojourn.errors import DisclosureRefused
from sojourn.statistics.catalogue_counts import count, crosstab, describe, histogram
from sojourn.statistics.catalogue_models import elastic_net, firth, glm, glmm, lmm

T = 10
SITES = tuple(f"s{number}" for number in range(5))
PARAMETERS = Parameters()
DEMANDS = Demands.of(PARAMETERS)
VARIABLES = with_site(
    {
        "sex": Variable(Kind.CATEGORY, ("F", "M")),
        "grade": Variable(Kind.CATEGORY, ("a", "b", "c")),
        "age": Variable(Kind.NUMBER, low=0, high=120),
        "code": Variable(Kind.NUMBER, low=0, high=1),
        "open": Variable(Kind.NUMBER),
        "visits": Variable(Kind.NUMBER, low=0, high=50),
        "died": Variable(Kind.BOOLEAN),
    },
    SITES,
)
STATISTICS = {
    "count": count(),
    "count by": count("sex"),
    "crosstab": crosstab("sex", "grade"),
    "three": crosstab("sex", "grade", "died"),
    "histogram": histogram("age", [0, 30, 60]),
    "describe": describe("age", "died", "code"),
    "describe by": describe("age", by=["sex", "grade"]),
    "logistic": glm("died ~ age + C(sex)", family="binomial"),
    "interaction": glm("age ~ C(sex)*C(grade) + C(sex):died"),
    "poisson": glm("visits ~ age + I(age**2)", family="poisson"),
    "rate": glm("died ~ age", family="poisson"),
    "coded": glm("code ~ visits", family="binomial"),
    "numbers": glm("age ~ code + code:visits"),
    "clustered": glm("died ~ age", family="binomial", cluster="visits"),
    "overdispersed": glm("visits ~ age", family="negative_binomial", robust="HC1"),
    "firth": firth("died ~ age + C(sex)"),
    "lasso": elastic_net("died ~ age + C(sex)", family="binomial"),
    "mixed": lmm("age ~ died", group="open"),
    "logistic mixed": glmm("died ~ age"),
}


def people(site, rng, rows, *, died=0.5, persons=None):
    columns = {
        "sex": rng.integers(0, 2, rows).astype(np.int32),
        "grade": rng.integers(0, 3, rows).astype(np.int32),
        "age": rng.integers(20, 90, rows).astype(float),
        "code": rng.integers(0, 2, rows).astype(float),
        "open": rng.normal(size=rows),
        "visits": np.minimum(rng.poisson(3, rows), 50).astype(float),
        "died": (rng.random(rows) < died).astype(np.int8),
    }
    numbers = np.arange(rows) if persons is None else persons
    return Population(site, VARIABLES, columns, numbers.astype(np.uint32), {})


def federation(seed, sizes, **more):
    rng = np.random.default_rng(seed)
    return [people(site, rng, rows, **more) for site, rows in zip(SITES, sizes, strict=True)]


def layout_of(statistic, told=()):
    return Layout.of(statistic.support(nobody(SITES[0], VARIABLES)), VARIABLES, statistic.rules, told)


def asked(
    statistic, populations, layout=None, told=None, clear=None, parameters=PARAMETERS, demands=DEMANDS, values=None
):
    """The layout and its bits, by plain arithmetic."""
    layout = layout or layout_of(statistic)
    test = layout.test(SITES, SITES[:3], demands)
    inputs = [
        layout.numbers(
            statistic.support(one),
            parameters,
            (clear or {}).get(one.site, ()),
            (told or {}).get(one.site, ()),
            (values or {}).get(one.site, {}),
        )
        for one in populations
    ]
    return layout, evaluated.plain(test, np.stack(inputs))


def shapes(statistic):
    return {name: shape for step in statistic.steps(VARIABLES) for name, shape in step.partial.items()}


@pytest.mark.parametrize("name", STATISTICS)
def test_every_site_lays_out_the_same_whatever_its_data(name):
    """Also with one or two persons, constant columns, and several rows of a person."""
    statistic = STATISTICS[name]
    rng = np.random.default_rng(3)
    layout = layout_of(statistic)
    assert layout == Layout.of(statistic.support(nobody(SITES[3], VARIABLES)), VARIABLES, statistic.rules)
    for rows in (0, 1, 2, 3, 5, 40):
        for died in (0.0, 0.5, 1.0):
            persons = np.arange(rows) // 2
            for numbers in (None, persons):
                one = people(SITES[1], rng, rows, died=died, persons=numbers)
                inputs = layout.numbers(statistic.support(one), PARAMETERS)
                assert inputs.shape == (layout.inputs,) and (inputs >= 0).all()
    assert not layout.numbers(statistic.support(nobody(SITES[2], VARIABLES)), PARAMETERS).any()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 12), min_size=5, max_size=5))
def test_a_cell_passes_where_beyond_each_site_T_persons_are_left(seed, sizes):
    populations = federation(seed, sizes)
    statistic = crosstab("sex", "grade")
    _, bits = asked(statistic, populations)
    cells = np.array([[len(cell) for cell in statistic.support(one).cells[0].persons] for one in populations])
    rows = np.array([one.rows for one in populations])
    assert bits[0] == (rows.sum() - rows.max() >= T)
    assert np.array_equal(bits[1:7], cells.sum(axis=0) - cells.max(axis=0) >= T)
    women = cells[:, :3].sum(axis=1)
    enough = women.sum() - women.max() >= T
    assert bits[7] == bits[13] == enough  # the margin after the cells, and their sum after everybody


def test_the_protocol_gives_the_bits_of_plain_arithmetic():
    for name in ("describe", "logistic"):
        statistic = STATISTICS[name]
        layout = layout_of(statistic)
        inputs = np.stack(
            [layout.numbers(statistic.support(one), PARAMETERS) for one in federation(1, (3, 9, 9, 9, 30))]
        )
        test = layout.test(SITES, SITES[:3], DEMANDS)
        assert np.array_equal(evaluated.protocol(test, inputs), evaluated.plain(test, inputs))


def test_fifty_patients_over_five_sites_give_a_model():
    layout, bits = asked(STATISTICS["logistic"], federation(2, (14, 14, 14, 14, 14)))
    assert bits.all() and layout.masks(bits, shapes(STATISTICS["logistic"])) == {}


def _of_model(statistic, populations):
    _, bits = asked(statistic, populations)
    assert bits.shape == (1,)
    return bool(bits[0])


@pytest.mark.parametrize(
    "statistic",
    [
        glm("visits ~ age"),
        glm("visits ~ age", family="poisson"),
        lmm("visits ~ age"),
        elastic_net("visits ~ age"),
        glmm("visits ~ age", family="poisson"),
        firth("visits ~ age", family="poisson"),
    ],
    ids=["glm", "poisson", "lmm", "elastic_net", "glmm", "firth"],
)
def test_a_model_whose_outcome_is_nearly_one_persons_fails(statistic):
    """One person with fifty of all 107 visits: the moment tells nearly how many these are."""
    populations = federation(2, (20, 20, 20, 20, 20))
    for one in populations:
        one.columns["visits"][:] = np.repeat([0, 1, 2, 3], [14, 2, 2, 2])
    assert _of_model(statistic, populations)
    populations[0].columns["visits"][-1] = 50
    assert not _of_model(statistic, populations)


def test_one_rare_level_anywhere_fails_the_whole_model():
    populations = federation(2, (14, 14, 14, 14, 14))
    for one in populations:
        one.columns["sex"][:] = 0
    assert not _of_model(STATISTICS["logistic"], populations)  # a level that everybody has
    for one in populations[:2]:
        one.columns["sex"][:3] = 1
    assert not _of_model(STATISTICS["logistic"], populations)  # six women
    for one in populations:
        one.columns["sex"][:7] = 1
        one.columns["died"][:] = np.arange(14) % 2
    assert _of_model(STATISTICS["logistic"], populations)
    for one in populations:
        one.columns["died"][:7] = 0
        one.columns["died"][0] = 1
    assert not _of_model(STATISTICS["logistic"], populations)  # five deaths among the women


def test_a_model_by_clusters_asks_for_T_of_them_beyond_each_site():
    populations = federation(2, (14, 14, 14, 14, 14))
    for number, one in enumerate(populations):
        one.columns["died"][:] = np.arange(14) % 2
        one.columns["visits"][:] = np.arange(14) // 4 + 10 * number  # four clusters a site
    assert _of_model(STATISTICS["clustered"], populations)
    for one in populations[1:]:
        one.columns["visits"][:] = np.arange(14) // 7  # two clusters a site: eight beyond the first
    assert not _of_model(STATISTICS["clustered"], populations)


def test_a_number_of_two_values_is_no_number_even_where_each_site_sees_but_one():
    populations = federation(2, (14, 14, 14, 14, 14))
    for number, one in enumerate(populations):
        one.columns["age"][:] = 40.0 if number < 3 else 50.0
    assert not _of_model(STATISTICS["logistic"], populations)
    populations[4].columns["age"][:] = 60.0
    assert not _of_model(STATISTICS["logistic"], populations)  # three values, but two beyond that site
    populations[0].columns["age"][:] = np.arange(14) + 20.0
    populations[1].columns["age"][:] = np.arange(14) + 20.0
    assert _of_model(STATISTICS["logistic"], populations)


def test_too_few_deaths_or_survivors():
    populations = federation(2, (14, 14, 14, 14, 14))
    for one in populations:
        one.columns["died"][:] = 0
        one.columns["died"][:2] = 1
    assert not _of_model(glm("died ~ age", family="binomial"), populations)
    for one in populations:
        one.columns["died"][:3] = 1
    assert _of_model(glm("died ~ age", family="binomial"), populations)
    for one in populations:
        one.columns["died"][:] = 1 - one.columns["died"]
    assert _of_model(glm("died ~ age", family="binomial"), populations)


@pytest.mark.parametrize(
    ("statistic", "family"),
    [
        (glm("died ~ age + C(site)", family="binomial"), "design support"),
        (glm("age ~ died", weights="visits"), "design support"),
        (glm("died ~ open", family="binomial"), "dominance"),
        (describe("open"), "dominance"),
        (count("site"), "minimum frequency"),
    ],
)
def test_what_has_no_joint_test_is_refused(statistic, family):
    with pytest.raises(DisclosureRefused) as caught:
        layout_of(statistic)
    assert caught.value.family == family


def test_unknown_evidence_and_rules_are_refused():
    empty = STATISTICS["count"].support(nobody(SITES[0], VARIABLES))
    for rules in ((), ("minimum frequency", "survival steps"), ("text",), ("minimum frequency", "dominance")):
        with pytest.raises(DisclosureRefused):
            Layout.of(empty, VARIABLES, rules)
    sensitive = with_site({"sex": Variable(Kind.CATEGORY, ("F", "M"), sensitive=("F",))}, SITES)
    with pytest.raises(DisclosureRefused):
        Layout.of(count("sex").support(nobody(SITES[0], sensitive)), sensitive, count("sex").rules)


def test_small_areas_are_refused_for_all_or_by_the_site_whose_rules_are_stricter():
    def asked_of(people):
        declared = with_site(
            {"area": Variable(Kind.CATEGORY, ("x", "y"), area="custom", populations=(500, people))}, SITES
        )
        support = count("area").support(nobody(SITES[0], declared))
        return Layout.of(support, declared, count().rules), support

    for people in (99, 0):
        with pytest.raises(DisclosureRefused) as caught:
            asked_of(people)
        assert caught.value.family == "geography"
    layout, support = asked_of(100)
    assert not layout.numbers(support, PARAMETERS).any()
    with pytest.raises(DisclosureRefused) as caught:
        layout.numbers(support, Parameters(custom_area=101))
    assert caught.value.family == "geography"


@pytest.mark.parametrize("parameters", [Parameters(rounding="base 5"), Parameters(cell_key=7)])
def test_a_site_that_demands_rounding_or_noise_puts_in_nothing(parameters):
    with pytest.raises(DisclosureRefused) as caught:
        layout_of(count()).numbers(count().support(federation(1, (9,) * 5)[0]), parameters)
    assert caught.value.family == "rounding"


def test_evidence_of_other_tables_or_levels_is_refused():
    populations = federation(2, (9, 9, 9, 9, 9))
    for one, other in (("count", "crosstab"), ("crosstab", "describe"), ("logistic", "rate"), ("describe", "logistic")):
        with pytest.raises(DisclosureRefused):
            layout_of(STATISTICS[one]).numbers(STATISTICS[other].support(populations[0]), PARAMETERS)


def test_beside_clear_releases_nobody_or_T_persons_are_still_hidden():
    """A masked total minus what sites have released by themselves leaves nobody, or what is T persons by itself."""
    populations = federation(2, (8, 8, 8, 8, 8))

    def passes(statistic, released):
        clear = {
            one.site: [BitMap(one.persons[few:])] for one, few in zip(populations, released, strict=True) if few < 9
        }
        return bool(asked(statistic, populations, clear=clear)[1][0])

    for statistic in (count(), describe("age")):
        assert passes(statistic, (9, 9, 9, 9, 9))  # nothing was released
        assert passes(statistic, (0, 0, 0, 0, 0))  # all was: nothing new is told
        assert not passes(statistic, (0, 0, 0, 0, 9))  # but for one site's
        assert not passes(statistic, (2, 2, 2, 2, 2))  # two at each of four sites are eight
        assert passes(statistic, (3, 3, 3, 3, 3))


@pytest.mark.parametrize("statistic", [describe("age"), glm("age ~ visits")], ids=["means", "model"])
def test_values_that_changed_since_a_clear_release_are_of_nobody_or_T_persons_beyond_each_site(statistic):
    rng = np.random.default_rng(7)
    populations = [people(site, rng, 60) for site in SITES]

    def passes(changed):
        values = {
            one.site: {"age": [(BitMap(one.persons), BitMap(one.persons[:number]))]}
            for one, number in zip(populations, changed, strict=True)
        }
        return bool(asked(statistic, populations, values=values)[1][0])

    assert passes([0, 0, 0, 0, 0]) and passes([10, 10, 0, 0, 0]) and passes([6, 5, 5, 0, 0])
    assert not passes([1, 0, 0, 0, 0]) and not passes([60, 0, 0, 0, 0])
    assert not passes([10, 9, 0, 0, 0]) and not passes([3, 3, 3, 0, 0])


def test_one_site_alone_is_not_left_hidden_beside_the_others_clear_releases():
    """Four released their 30 in clear: the total less these would be the fifth's own part, T or not."""
    populations = federation(2, (30, 30, 30, 30, 30))
    clear = {one.site: [BitMap(one.persons)] for one in populations[:4]}
    two = {one.site: [BitMap(one.persons)] for one in populations[:3]}
    for statistic in (count(), describe("died")):
        assert not asked(statistic, populations, clear=clear)[1][0]
        assert asked(statistic, populations, clear=two)[1][0]


@given(st.sets(st.integers(0, 20)), st.lists(st.sets(st.integers(0, 20)), max_size=4))
def test_still_hidden_is_the_least_that_a_set_differs_by(persons, known):
    sizes = [len(persons), *(len(persons ^ other) for other in known)]
    assert still_hidden(BitMap(persons), [BitMap(other) for other in known]) == min(sizes)


def test_what_unions_of_clear_cells_leave_to_one_site_is_not_shown():
    """Four released a table in clear: a masked total over two of its cells would be the fifth's own part."""
    populations = federation(2, (30, 30, 30, 30, 30))
    halves = {one.site: [BitMap(one.persons[:12]), BitMap(one.persons[12:])] for one in populations}
    wider = {site: [first, BitMap(range(10_000, 10_040)) | second] for site, (first, second) in halves.items()}
    four = {one.site: halves[one.site] for one in populations[:4]}
    for statistic in (count(), describe("died"), glm("died ~ age", family="binomial")):
        assert not asked(statistic, populations, clear=four)[1][0]
    assert asked(count(), populations, clear=halves)[1][0]  # all is known: nothing new is told
    assert asked(count(), populations, clear=wider)[1][0]  # 18 are hidden beyond each


def _combined(known):
    return itertools.product((-1, 0, 1), repeat=len(known))


@given(st.sets(st.integers(0, 9)), st.lists(st.sets(st.integers(0, 9), min_size=1), max_size=5))
def test_beside_unions_of_known_sets_is_no_less_than_what_adds_up(persons, known):
    found = beside_unions(BitMap(persons), [(BitMap(one), BitMap()) for one in known])
    apart = (
        sum((x in persons) != sum(c * (x in one) for c, one in zip(signs, known, strict=True)) for x in range(10))
        for signs in _combined(known)
    )
    assert min(apart) <= found <= len(persons)


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=20), st.sets(st.sampled_from("abcd")), st.booleans())
def test_a_union_of_cells_of_a_known_table_leaves_nobody(wards, chosen, margin):
    cells = [BitMap(i for i, ward in enumerate(wards) if ward == name) for name in "abcd"]
    known = [(cell, BitMap()) for cell in (*cells, *([BitMap(range(len(wards)))] if margin else []))]
    asked_for = BitMap(i for i, ward in enumerate(wards) if ward in chosen)
    assert beside_unions(asked_for, known) == 0
    first = asked_for[:1]
    assert beside_unions(asked_for - BitMap(first), known) <= 1
    changed = [(told, told & BitMap(first)) for told, _ in known]
    assert beside_unions(asked_for, changed) <= 1


def _without(populations, gone):
    return [
        Population(
            one.site,
            VARIABLES,
            {name: column[few:] for name, column in one.columns.items()},
            one.persons[few:],
            {},
        )
        for one, few in zip(populations, gone, strict=True)
    ]


@pytest.mark.parametrize(
    ("gone", "passes"),
    [
        ((0, 0, 0, 0, 0), True),
        ((1, 0, 0, 0, 0), False),
        ((2, 2, 2, 2, 2), False),
        ((3, 3, 3, 3, 3), True),
        ((0, 0, 0, 0, 15), False),  # T and more, but all of one site, whose part the difference would be
        ((0, 0, 0, 10, 15), True),
    ],
)
def test_the_difference_to_an_earlier_masked_release_is_nobody_or_T(gone, passes):
    populations = federation(2, (30, 30, 30, 30, 30))
    layout, bits = asked(count(), populations)
    told = {one.site: (layout.release("first", bits, count().support(one)),) for one in populations}
    later = layout_of(count(), told[SITES[0]])
    _, again = asked(count(), _without(populations, gone), layout=later, told=told)
    assert bool(again.all()) == passes
    other = dict.fromkeys(told, ())
    with pytest.raises(ValueError, match="earlier"):
        asked(count(), populations, layout=later, told=other)


@pytest.mark.parametrize(
    ("differ", "passes"),
    [
        ((0, 0, 0, 0, 0), True),
        ((1, 0, 0, 0, 0), False),
        ((15, 0, 0, 0, 0), False),
        ((2, 2, 2, 2, 2), False),
        ((3, 3, 3, 3, 3), True),
    ],
)
def test_other_values_of_the_same_persons_are_of_nobody_or_T(differ, passes):
    """A later snapshot: the difference of two sums over the same persons is that of the changed values."""
    populations = federation(2, (30, 30, 30, 30, 30))
    statistic = describe("died")

    def told(measures):
        layout, bits = asked(statistic, populations)
        return {
            one.site: (
                replace(
                    layout.release("first", bits, statistic.support(one)),
                    changed=BitMap(one.persons[:few]),
                    measures=measures,
                ),
            )
            for one, few in zip(populations, differ, strict=True)
        }

    later = layout_of(statistic, told(())[SITES[0]])
    assert bool(asked(statistic, populations, layout=later, told=told(("died",)))[1][0]) == passes
    assert asked(statistic, populations, layout=later, told=told(("age",)))[1][0]  # other columns were summed


def test_a_line_of_a_table_is_compared_with_earlier_releases_too():
    """Women were counted before; a table shows them by grade, all but two of them: their sum would tell of the two."""
    populations = federation(2, (30, 30, 30, 30, 30))
    layout, bits = asked(count("sex"), populations)
    told = {one.site: (layout.release("first", bits, count("sex").support(one)),) for one in populations}
    statistic = crosstab("sex", "grade")
    later = layout_of(statistic, told[SITES[0]])
    fewer = []
    for one in populations[:2]:
        woman = int(np.flatnonzero(one.columns["sex"] == 0)[0])
        keep = np.arange(one.rows) != woman
        columns = {name: column[keep] for name, column in one.columns.items()}
        fewer.append(Population(one.site, VARIABLES, columns, one.persons[keep], {}))
    _, same = asked(statistic, populations, layout=later, told=told)
    layout, bits = asked(statistic, [*fewer, *populations[2:]], layout=later, told=told)
    assert later.masks(same, shapes(statistic)) == {}
    with pytest.raises(DisclosureRefused):
        later.masks(bits, shapes(statistic))  # of everybody two are missing as well


@pytest.mark.parametrize(
    ("values", "passes"),
    [
        ([10.0] * 8, True),
        ([10.0] * 7 + [50.0], True),
        ([0.0] * 7 + [50.0], False),
        ([0.1] * 7 + [50.0], False),
        ([0.0] * 8, False),
    ],
)
def test_a_sum_that_one_person_dominates_is_hidden(values, passes):
    populations = federation(2, (8, 8, 8, 8, 8))
    for number, one in enumerate(populations):
        one.columns["visits"][:] = values if number == 0 else np.minimum(values[:1] * 8, 1e9)
        one.columns["visits"][1:4] += np.array([0.5, 0.25, 0.125]) * values[0]  # enough values
    statistic = describe("visits")
    layout, bits = asked(statistic, populations)
    hidden = layout.masks(bits, shapes(statistic))
    assert ("all_sum.visits" not in hidden) == passes
    assert "all_n" not in hidden


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.2, 3), st.floats(0.5, 60))
def test_no_sum_passes_that_p_percent_or_dominance_finds_unsafe_beyond_any_site(seed, spread, p):
    """The rules on pooled contributions, and on what each site sees when it has subtracted its own."""
    rng = np.random.default_rng(seed)
    populations = federation(seed, rng.integers(1, 9, 5).tolist())
    for one in populations:
        one.columns["visits"][:] = np.minimum(rng.lognormal(0, spread, one.rows), 50)
    statistic = describe("visits")
    _, bits = asked(statistic, populations, parameters=Parameters(p_percent=p))
    if not bits[2 + 1]:  # population, missing, everybody, the sum
        return
    values = [np.sort(one.columns["visits"])[::-1] for one in populations]
    pooled = np.sort(np.concatenate(values))[::-1]
    assert pooled.sum() - pooled[0] - pooled[1] >= p / 100 * pooled[0]
    assert pooled[:2].sum() <= 0.9 * pooled.sum()
    for site in range(len(SITES)):
        rest = np.concatenate([own for number, own in enumerate(values) if number != site])
        assert rest.sum() - rest.max() >= p / 100 * rest.max() - 1e-9


def test_a_boolean_that_few_have_is_hidden():
    populations = federation(2, (9, 9, 9, 9, 9))
    for one in populations:
        one.columns["died"][:] = 0
        one.columns["died"][:2] = 1
    statistic = describe("died", "age")
    layout, bits = asked(statistic, populations)
    hidden = layout.masks(bits, shapes(statistic))
    assert "all_sum.died" in hidden and "all_sum.age" not in hidden and "missing" in hidden


def test_positions_rest_on_persons_beyond_them():
    quantiles = Positions(("q",), (0.25, 0.5), np.array([0, 0]))
    empty = Support(BitMap(), ("age",), positions=(quantiles,))
    layout = Layout.of(empty, VARIABLES, ("minimum frequency", "positions"))
    test = layout.test(SITES, SITES[:3], DEMANDS)
    inputs = []
    for _ in SITES:
        own = Positions(("q",), (0.25, 0.5), np.array([10, 9]))
        inputs.append(layout.numbers(Support(BitMap(range(19)), ("age",), positions=(own,)), PARAMETERS))
    bits = evaluated.plain(test, np.stack(inputs))
    assert bits.tolist() == [True, True, True, False, True]  # 40 and 36 beyond each site; a quarter needs 40
    assert layout.masks(bits, {"q": (2, 2)})["q"].tolist() == [[False, False], [True, False]]
    extreme = Support(BitMap(), ("age",), positions=(Positions(("q",), (0.0,), np.array([0])),))
    with pytest.raises(DisclosureRefused):
        Layout.of(extreme, VARIABLES, ("minimum frequency", "positions"))


def test_too_large_a_test_is_refused():
    statistic = crosstab("sex", "grade", "died")
    layout = layout_of(statistic)
    with pytest.raises(DisclosureRefused) as caught:
        layout.test(SITES, SITES[:3], Demands(100_000, 10, 0.33))
    assert caught.value.family == "capacity"


def test_demands_compose_and_are_read_strictly():
    assert strictest([Demands(10, 5, 0.5), Demands(5, 20, 0.2)]) == Demands(10, 20, 0.2)
    assert Demands.from_dict(DEMANDS.to_dict()) == DEMANDS
    for bad in ({}, {"threshold": 2}, [], 3):
        with pytest.raises(ValueError, match="not demands"):
            Demands.from_dict(bad)
    others = {"threshold": (2, 12, True, 5.0, 2**21), "residual": (0, 3, "2"), "observations": (0, 0.34, None)}
    for word, bad in others.items():
        for value in bad:
            with pytest.raises(ValueError, match=r"^not "):
                Demands.from_dict(DEMANDS.to_dict() | {word: value})


@given(st.integers(3, 1000), st.integers(1, 999), st.floats(0.01, 1))
def test_a_site_demands_the_next_stricter_of_few_values_and_never_less(threshold, residual, observations):
    """So that other demands in each study, a search for a count, end at these few."""
    found = Demands.of(Parameters(threshold=threshold, residual=residual, observations=observations))
    assert found.threshold >= threshold and found.residual >= residual and found.observations <= observations
    assert Demands.from_dict(found.to_dict()) == found
    for one in THRESHOLDS:
        assert not threshold <= one < found.threshold


def test_the_defaults_are_among_the_values_and_what_is_beyond_them_is_refused():
    found = Demands.of(Parameters())
    assert (found.threshold, found.residual, found.observations) == (10, 10, 0.33)
    for beyond in (Parameters(threshold=1001), Parameters(residual=1000), Parameters(observations=0.001)):
        with pytest.raises(DisclosureRefused):
            Demands.of(beyond)


def test_evaluators_are_an_odd_number_by_lot():
    sites = [f"site {number}" for number in range(8)]
    chosen = evaluators("members", sites)
    assert len(chosen) == 5 and set(chosen) <= set(sites) and chosen == evaluators("members", reversed(sites))
    assert len(evaluators("members", sites[:4])) == 3
    assert len({evaluators(f"members {number}", sites) for number in range(20)}) > 10
    with pytest.raises(ValueError, match="three"):
        evaluators("members", sites[:2])
