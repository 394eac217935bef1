"""Joint tests against plain arithmetic; what evaluators see, what they do not take, defects that would tell more."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import sojourn.secrecy.joint as joint
from evaluated_shares import messages, openings, plain, protocol, seeded
from sojourn.secrecy.joint import MOST, Form, JointTest, opening, share, step, verdict
from sojourn.secrecy.shamir import PRIME, unpack

SITES = ("a", "b", "c", "d", "e", "f")
T = 10


def thresholds(sites: int, cells: int, evaluators: int = 3) -> JointTest:
    """For each cell beyond each site at least T."""
    conditions = tuple(
        ((tuple(Form(((cell, 1),), ((site, cell, -1),), 0, T - 1) for site in range(sites)),),) for cell in range(cells)
    )
    return JointTest(SITES[:sites], SITES[:evaluators], cells, conditions)


@st.composite
def asked(draw):
    """Any test of a few sites, with numbers around its roots."""
    sites, inputs = draw(st.integers(3, 5)), 3
    factor = st.integers(-3, 3)

    def form():
        low = draw(st.integers(-4, 4))
        return Form(
            tuple(draw(st.lists(st.tuples(st.integers(0, inputs - 1), factor), max_size=2))),
            tuple(draw(st.lists(st.tuples(st.integers(0, sites - 1), st.integers(0, inputs - 1), factor), max_size=2))),
            low,
            low + draw(st.integers(0, 5)),
        )

    def several(make, least, most):
        return tuple(make() for _ in range(draw(st.integers(least, most))))

    def clause():
        return several(lambda: several(form, 0, 3), 0, 2)

    conditions = several(lambda: several(clause, 1, 3), 1, 4)
    evaluators = draw(st.sampled_from([3, 5])) if sites == 5 else 3
    test = JointTest(SITES[:sites], SITES[:evaluators], inputs, conditions)
    numbers = draw(st.lists(st.integers(0, 4), min_size=sites * inputs, max_size=sites * inputs))
    return test, np.array(numbers).reshape(sites, inputs)


@settings(deadline=None, max_examples=40)
@given(asked(), st.integers(0, 2**32))
def test_any_conditions_hold_where_plain_arithmetic_says_so(case, seed):
    test, inputs = case
    assert np.array_equal(protocol(test, inputs, seeded(seed)), plain(test, inputs))


@settings(deadline=None, max_examples=40)
@given(st.integers(3, 6), st.data())
def test_thresholds_at_their_edges(sites, data):
    """Totals of T - 1 and T beyond a site, one site that holds all, zero, and the most that a site may put in."""
    numbers = st.sampled_from([0, 0, 1, 2, 3, T - 1, T, T + 1, 2 * T, MOST])
    inputs = np.array([[data.draw(numbers) for _ in range(4)] for _ in range(sites)])
    bits = protocol(thresholds(sites, 4), inputs)
    assert np.array_equal(bits, inputs.sum(axis=0) - inputs.max(axis=0) >= T)


def test_named_edges():
    cells = {
        "nobody": ([0, 0, 0, 0], False),
        "all at one site": ([500, 0, 0, 0], False),
        "T - 1 beyond the largest": ([500, 3, 3, 3], False),
        "T beyond the largest": ([500, 3, 3, 4], True),
        "T in all": ([3, 3, 3, 1], False),
        "two beyond T": ([T, T, 0, 0], True),
    }
    inputs = np.array([numbers for numbers, _ in cells.values()]).T
    assert protocol(thresholds(4, len(cells)), inputs).tolist() == [passes for _, passes in cells.values()]


def test_twenty_sites_and_five_evaluators():
    sites = tuple(f"site {number:02}" for number in range(20))
    forms = tuple(tuple(Form(((c, 1),), ((k, c, -1),), 0, T - 1) for k in range(20)) for c in range(30))
    test = JointTest(sites, sites[3:8], 30, tuple(((form,),) for form in forms))
    inputs = np.random.default_rng(5).integers(0, 2, (20, 30))
    bits = protocol(test, inputs)
    assert np.array_equal(bits, inputs.sum(axis=0) - inputs.max(axis=0) >= T) and 0 < bits.sum() < 30


def test_evaluators_as_many_as_the_degree_see_the_same_whatever_was_put_in():
    """All that two of five evaluators receive in all rounds: even over the field for all zeros and for all ones."""
    test = thresholds(5, 200, evaluators=5)
    for number, value in enumerate((0, 1, T)):
        seen = messages(test, np.full((5, 200), value), seeded(number))
        words = [
            unpack(bundle, len(bundle) // 4)
            for received in seen
            for name in ("b", "d")
            for bundle in received[name].values()
        ]
        places = (np.concatenate(words) * np.uint64(256) // np.uint64(PRIME)).astype(int)
        assert stats.chisquare(np.bincount(places, minlength=256)).pvalue > 1e-4
        ones, others = (np.concatenate(list(_shares(seen[0], name, 200))) for name in ("b", "d"))
        both = (ones * np.uint64(8) // np.uint64(PRIME)) * np.uint64(8) + others * np.uint64(8) // np.uint64(PRIME)
        assert stats.chisquare(np.bincount(both.astype(int), minlength=64)).pvalue > 1e-4


def _shares(received, name, inputs):
    for bundle in received[name].values():
        yield unpack(bundle, len(bundle) // 4)[:inputs]


def _opened(test, inputs, random):
    """The numbers behind the bits."""
    from sojourn.secrecy.shamir import recombine

    shares = openings(test, inputs, random)
    size = len(test.conditions)
    return recombine({place: unpack(shares[name], size) for place, name in enumerate(test.evaluators, start=1)})


def test_what_is_opened_is_zero_or_uniform():
    """Many cells of one same total: their products are one number, which no opened number resembles."""
    test = thresholds(4, 3_000)
    opened = _opened(test, np.full((4, 3_000), 5), seeded(3))
    assert (opened != 0).all() and len(np.unique(opened)) > 2_990
    places = (opened * np.uint64(64) // np.uint64(PRIME)).astype(int)
    assert stats.chisquare(np.bincount(places, minlength=64)).pvalue > 1e-4


def test_a_random_factor_left_out_is_found(monkeypatch):
    """The planted defect of the test above: without r the opened number is the product, which tells the total."""
    monkeypatch.setattr(joint, "uniform", lambda count, random: np.full(count, 1, dtype=np.uint64))
    opened = _opened(thresholds(4, 3_000), np.full((4, 3_000), 5), seeded(3))
    assert len(np.unique(opened)) == 1


def test_a_degree_too_high_is_found(monkeypatch):
    """Three evaluators cannot multiply shares of degree two: the bits are wrong, which the tests above would see."""
    monkeypatch.setattr(JointTest, "degree", property(lambda test: 2))
    test = thresholds(4, 200)
    inputs = np.tile([[1], [1], [1], [1]], 200)
    assert not np.array_equal(protocol(test, inputs), plain(test, inputs))


def test_shares_of_an_opening_that_contradict_one_another_are_refused():
    test = thresholds(5, 3, evaluators=5)
    shares = openings(test, np.full((5, 3), 9))
    assert verdict(test, shares).all()
    wrong = bytearray(shares["c"])
    wrong[0] ^= 1
    with pytest.raises(ValueError, match="contradict"):
        verdict(test, shares | {"c": bytes(wrong)})


@given(st.binary(max_size=64), st.sampled_from(SITES[:4]))
def test_bundles_of_another_size_or_range_are_refused_without_a_value(raw, sender):
    test = thresholds(4, 2)
    received = messages(test, np.full((4, 2), 3), seeded(1))[0]["a"]
    needed = 4 * (2 + 2 * (sender in test.evaluators))
    in_range = len(raw) == needed and (np.frombuffer(raw, dtype="<u4") < PRIME).all()
    if in_range:
        assert step(test, 1, received | {sender: raw}).keys() == set(test.evaluators)
        return
    with pytest.raises(ValueError, match=r"^[a-z ]+$"):
        step(test, 1, received | {sender: raw})


def test_missing_and_strange_senders_and_rounds_are_refused():
    test = thresholds(4, 2)
    rounds = messages(test, np.full((4, 2), 3), seeded(1))
    first, last = rounds[0]["a"], rounds[-1]["a"]
    for received in ({k: v for k, v in first.items() if k != "d"}, first | {"x": first["d"]}, {}):
        with pytest.raises(ValueError, match="missing"):
            step(test, 1, received)
    for number in (0, -1, test.rounds() + 1):
        with pytest.raises(ValueError, match="no such round"):
            step(test, number, last)
    with pytest.raises(ValueError, match="missing"):
        opening(test, {"a": last["a"]})
    with pytest.raises(ValueError, match="missing"):
        verdict(test, {})


@pytest.mark.parametrize("own", [[1, 2, 3], [-1, 0], [MOST + 1, 0], [[1, 2]]])
def test_numbers_that_do_not_fit_are_not_shared(own):
    with pytest.raises(ValueError, match="do not fit"):
        share(thresholds(4, 2), "a", np.array(own))


def test_tests_that_make_no_sense_are_refused():
    form = Form(((0, 1),), (), 0, 9)
    good = {"sites": SITES, "evaluators": SITES[:3], "inputs": 1, "conditions": ((((form,),),),)}
    JointTest(**good)
    for bad in (
        {"evaluators": SITES[:2]},
        {"evaluators": SITES[:4]},
        {"evaluators": ("a", "b", "b")},
        {"evaluators": ("a", "b", "z")},
        {"sites": (*SITES, "a")},
        {"inputs": 0},
        {"conditions": ((),)},
        {"conditions": ((((Form(((0, 1),), ((6, 0, 1),), 0, 9),),),),)},
        {"conditions": ((((Form(((0, 300),), (), 0, 9),),),),)},
        {"conditions": ((((Form(((0, 1),), (), 9, 0),),),),)},
    ):
        with pytest.raises(ValueError, match=r"evaluator|form|condition"):
            JointTest(**good | bad)
