"""Plain capacity (A31): what may be carried out in numbers that are what they say, and how much of it is bounded."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from pyroaring import BitMap
from recorded import Figures

import sojourn as sj
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Step
from sojourn.analysis.support import Capacity, Support
from sojourn.client.results import Result
from sojourn.disclosure.artifact import judge_artifact
from sojourn.disclosure.families.capacity import bits
from sojourn.disclosure.gate import Header, release
from sojourn.disclosure.output import Output, Tier
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.disclosure.review import NEEDED
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.errors import DisclosureRefused
from sojourn.study.plan import Plan
from sojourn.testbed import Federation

pytestmark = pytest.mark.long

SITE = "Cleveland"
CAP = 40  # numbers of one analysis, where a custodian says so
LEVELS = 7
NUMBERS, DIGITS = 100, 3
CAPACITY = math.floor(NUMBERS * DIGITS * math.log2(10)) + 1


def persons() -> pd.DataFrame:
    """Seven by seven groups of thirty and more, and two columns for a model."""
    cells = np.indices((LEVELS, LEVELS)).reshape(2, -1)
    many = 30 + np.arange(LEVELS**2)
    frame = pd.DataFrame({name: np.repeat(cells[place], many) for place, name in enumerate("ab")}).astype(str)
    random = np.random.default_rng(31)
    x = random.normal(size=len(frame))
    ill = random.random(len(frame)) < 1 / (1 + np.exp(-x))
    return frame.assign(x=x, ill=ill, some=np.where(random.random(len(frame)) < 0.5, "yes", "no"))


def ask(federation: Federation, analysis: object) -> Result:
    plan = Plan(table="persons", analyses={"ask": analysis}, min_sites=1)
    return federation.run(plan)["ask"]


def encoded(secret: int) -> np.ndarray:
    """A secret as numbers of three digits."""
    return np.array([secret // 1000**place % 1000 for place in range(NUMBERS)], dtype=np.float64)


def decoded(numbers: np.ndarray) -> int:
    return sum(int(number) * 1000**place for place, number in enumerate(numbers))


def of_own_code(numbers: np.ndarray, most: int, digits: int = DIGITS) -> Output:
    """What an analyst's own code gives out, with what is declared of it."""
    capacity = Capacity(most=most, digits=digits, trusted=False)
    partial = Partial({"x": numbers})
    step = Step("own", {}, {"x": numbers.shape})
    return Output("own", step, partial, Support(BitMap(range(200)), ("x",), capacity=capacity), {}, ("capacity",))


def test_a_file_of_numbers_carries_what_it_can_and_goes_to_two_people(figures: Figures) -> None:
    secret = (1 << (CAPACITY - 1)) | int.from_bytes(np.random.default_rng(1).bytes(120)) % (1 << (CAPACITY - 1))
    secret %= 1000**NUMBERS
    numbers = encoded(secret)
    header = Header("s", "p", "a", 0, "q", SITE, "f", "", "", 0, "test", "")
    open_policy = UnsafeReleaseAll()
    carried = release(of_own_code(numbers, NUMBERS), open_policy, header).partial["x"]
    assert decoded(carried) == secret  # 997 bits, each number being what it says
    with pytest.raises(DisclosureRefused) as refused:
        release(of_own_code(numbers, NUMBERS - 1), StandardPolicy(), header)
    assert refused.value.family == "capacity"
    with pytest.raises(DisclosureRefused):
        release(of_own_code(numbers, NUMBERS, digits=7), StandardPolicy(), header)
    benign = release(of_own_code(numbers[: NUMBERS // 2], NUMBERS), StandardPolicy(), header)
    assert benign.partial["x"].shape == (NUMBERS // 2,)
    file = judge_artifact(",".join(f"{number:.0f}" for number in numbers).encode(), lambda text: ())
    assert (file.tier, NEEDED[file.tier], file.numbers) == (Tier.HIGH, 2, NUMBERS)
    assert file.bits >= CAPACITY  # what two people are told that it may carry
    figures(
        "A31",
        f"{NUMBERS} numbers of {DIGITS} digits from an analyst's own code",
        without=f"{CAPACITY} bits read back",
        with_defence=f"over the declared cap: refused, 0 bits; a file of them waits for two people, who are told: "
        f"{file.bits:.0f} bits",
        mark="over the cap: people look, or refused; the capacity is told",
        benign=f"{NUMBERS // 2} numbers within a cap of {NUMBERS} are released",
    )


def test_a_sites_cap_holds_over_all_rounds_of_an_analysis(figures: Figures) -> None:
    """A table of 49 numbers, and a model whose rounds are small and many."""
    table, model = sj.count(by=["a", "b"]), sj.glm("ill ~ x + C(some)", family="binomial")
    tables = {SITE: {"persons": persons()}}
    with Federation(tables) as open_federation:
        wide, fitted = ask(open_federation, table), ask(open_federation, model)
        told = [row for row in open_federation.nodes[SITE].released() if row["analysis"] == "ask"]
        assert wide.sites[SITE] == fitted.sites[SITE] == "contributed"
        assert all("capacity:" in row["note"] and "bits" in row["note"] for row in told)
        rounds = [row for row in told if row["study"] == told[-1]["study"]]
    numbers = [int(row["note"].split("capacity: ")[1].split()[0]) for row in rounds]
    steps = np.diff([0, *numbers])
    assert numbers == sorted(numbers) and max(steps) <= CAP < numbers[-1]
    rules = StandardPolicy(Parameters(numbers=CAP))
    with Federation(tables, rules=rules) as capped:
        assert ask(capped, table).sites[SITE] == "not released: capacity"
        assert ask(capped, model).sites[SITE] == "not released: capacity"
        left = [row for row in capped.nodes[SITE].released() if row["bytes"]]
        assert 0 < len(left) < len(rounds)  # the first rounds left, the one beyond the cap did not
        small = ask(capped, sj.count(by=["a"]))
        assert small.sites[SITE] == "contributed"
    figures(
        "A31",
        f"a table of {LEVELS**2} numbers, and a model of {len(rounds)} rounds, at a site whose cap is {CAP}",
        without=f"{LEVELS**2} numbers, and {numbers[-1]} in rounds of at most {max(steps)} each: "
        f"{bits(int(numbers[-1]), 17)} bits",
        with_defence=f"refused; of the model {len(left)} rounds, and none beyond {CAP} numbers",
        mark="over the cap: people look, or refused; the capacity is told",
        benign=f"a table of {LEVELS} numbers is released",
    )
