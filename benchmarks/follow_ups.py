"""What a joint test lets pass after earlier masked sums, and what it costs: benchmarks/results/follow_ups.json.

A researcher asks what belongs together: a table by grade, then one by sex and grade, the same table again, a model, the
next outcome of the same model, means of a group by another variable. Each is tested beside all before it, as it is, and
as it would be if only pairs of single sets were compared. `passed`: the share that shows, of so many draws of persons.
factors: of the last test, of at most 400,000. precise: after how many sums each union is no longer looked at by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from machine import keep
from numpy.typing import NDArray

from sojourn.analysis.population import Population, nobody
from sojourn.analysis.statistic import Statistic
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure import joint_questions
from sojourn.disclosure.demands import Demands
from sojourn.disclosure.joint import Layout
from sojourn.disclosure.joint_questions import Told
from sojourn.disclosure.joint_unions import Unions
from sojourn.disclosure.parameters import Parameters
from sojourn.errors import DisclosureRefused
from sojourn.secrecy.joint import Form, JointTest, factors
from sojourn.statistics.catalogue_counts import count, crosstab, describe
from sojourn.statistics.catalogue_models import glm

DRAWS = 2
DEMANDS = Demands.of(Parameters())
SIZES = ((3, 40), (5, 40), (5, 200), (20, 4))  # sites, persons at each
VARIABLES = {
    "sex": Variable(Kind.CATEGORY, ("F", "M")),
    "grade": Variable(Kind.CATEGORY, ("a", "b", "c")),
    "age": Variable(Kind.NUMBER, low=0, high=120),
    "lab": Variable(Kind.NUMBER, low=0, high=100),
    "died": Variable(Kind.BOOLEAN),
    "ill": Variable(Kind.BOOLEAN),
}
OLD = "age >= 60"
ASKED: tuple[tuple[str, Statistic, str], ...] = (
    ("a table", describe("lab", by=["grade"]), ""),
    ("a finer table", crosstab("sex", "grade"), ""),
    ("the first again", describe("lab", by=["grade"]), ""),
    ("a group", describe("lab"), OLD),
    ("a model", glm("died ~ age + C(sex)", family="binomial"), ""),
    ("the next outcome", glm("ill ~ age + C(sex)", family="binomial"), ""),
    ("another table", count("sex"), ""),
    ("a table of the group", describe("lab", by=["sex"]), OLD),
)


def people(site: str, variables: Any, draw: np.random.Generator, rows: int) -> Population:
    """Half are women, half die."""
    columns = {
        "sex": draw.integers(0, 2, rows).astype(np.int32),
        "grade": draw.integers(0, 3, rows).astype(np.int32),
        "age": draw.integers(40, 81, rows).astype(float),
        "lab": np.clip(draw.normal(50, 10, rows), 0, 100),
        "died": draw.integers(0, 2, rows).astype(np.int8),
        "ill": draw.integers(0, 2, rows).astype(np.int8),
    }
    return Population(site, variables, columns, np.arange(rows, dtype=np.uint32), {})


def of_group(one: Population, where: str) -> Population:
    """Those of a group."""
    if not where:
        return one
    keep_rows = one.columns["age"] >= 60
    columns = {name: column[keep_rows] for name, column in one.columns.items()}
    return Population(one.site, one.variables, columns, one.persons[keep_rows], {})


def holds(form: Form, inputs: NDArray[np.int64]) -> bool:
    """By plain arithmetic."""
    value = sum(factor * int(inputs[:, place].sum()) for place, factor in form.total)
    value += sum(factor * int(inputs[site, place]) for site, place, factor in form.own)
    return not form.low <= value <= form.high


def opened(test: JointTest, inputs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The bits."""
    return np.array(
        [
            all(any(all(holds(form, inputs) for form in forms) for forms in clause) for clause in condition)
            for condition in test.conditions
        ]
    )


def tested(statistic: Statistic, variables: Any, told: tuple[Told, ...], sites: list[str]) -> tuple[Layout, JointTest]:
    """As `Question.tested`."""
    empty = statistic.support(nobody(sites[0], variables))
    for precise in (True, False):
        try:
            layout = Layout.of(empty, variables, statistic.rules, told, DEMANDS.threshold, precise)
            return layout, layout.test(sites, sites[:3], DEMANDS)
        except DisclosureRefused as error:
            if error.family != "capacity" or not (precise and told):
                raise
    raise AssertionError


def study(sites: int, rows: int, seed: int) -> Iterator[tuple[str, bool, bool, int]]:
    """One researcher's asks: what, whether all of it shows, whether the test was precise, how many factors it has."""
    names = [f"s{number:02}" for number in range(sites)]
    variables, draw = with_site(VARIABLES, tuple(names)), np.random.default_rng(seed)
    everybody = [people(site, variables, draw, rows) for site in names]
    known: dict[str, list[Told]] = {site: [] for site in names}
    for number, (word, statistic, where) in enumerate(ASKED):
        supports = {one.site: statistic.support(of_group(one, where)) for one in everybody}
        layout, test = tested(statistic, variables, tuple(known[names[0]]), names)
        numbers = [layout.numbers(supports[site], Parameters(), (), known[site]) for site in names]
        bits = opened(test, np.stack(numbers))
        yield word, bool(bits[0]), layout.precise, sum(map(factors, test.conditions))
        if bits[0]:
            for site in names:
                known[site].append(layout.release(f"{number:064}", bits, supports[site]))


def measured(sites: int, rows: int) -> dict[str, Any]:
    """Over some draws."""
    runs = [list(study(sites, rows, seed)) for seed in range(DRAWS)]
    passed = {word: sum(run[place][1] for run in runs) / DRAWS for place, (word, _, _) in enumerate(ASKED)}
    precise = min(sum(step[2] for step in run) for run in runs)
    cost = max(run[-1][3] for run in runs)
    return {"sites": sites, "persons_a_site": rows, "passed": passed, "precise": precise, "factors": cost}


def main() -> None:
    """Both rules on the same persons."""
    now = [measured(*size) for size in SIZES]
    unions = joint_questions.beside_earlier
    joint_questions.beside_earlier = lambda *_: Unions((), ())  # type: ignore[assignment]
    pairs = [measured(*size) for size in SIZES]
    joint_questions.beside_earlier = unions  # type: ignore[assignment]
    keep("follow_ups", {"draws": DRAWS, "unions": now, "pairs_alone": pairs})


if __name__ == "__main__":
    main()
