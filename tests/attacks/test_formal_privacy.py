"""Attacks on noise: averaging, rewriting, choosing seeds, colluding, comparing; and one noisy site beside clear ones.

Whatever is left to chance here fails a sound build with a probability below 1e-6.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sojourn as sj
from sojourn.cohort.in_memory import holds
from sojourn.errors import PlanError
from sojourn.identity.keys import PrivateKey
from sojourn.node import privacy
from sojourn.node.admission import Run
from sojourn.node.dictionary import Dictionary
from sojourn.node.store import NodeStore
from sojourn.study.plan import Plan
from sojourn.testbed import PROJECT, Federation

RELEASE = 0.1
SCALE = 1 / RELEASE  # of the noise of a count
REPEATS = 1_000


def frame(seed: int = 0, persons: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 90, persons).astype(float),
            "sex": rng.choice(["F", "M"], persons),
            "sick": rng.random(persons) < 0.3,
        }
    )


def bounded(dictionary: Dictionary) -> Dictionary:
    """The custodian's review: ages have declared bounds."""
    age = replace(dictionary.columns["age"], low=0.0, high=120.0)
    return replace(dictionary, columns={**dictionary.columns, "age": age})


def under(epsilon: float, *sites: str, **frames: pd.DataFrame) -> Federation:
    """Sites under one and the same budget; clear ones beside them by name."""
    tables = {site: {"people": frame()} for site in sites} | {site: {"people": one} for site, one in frames.items()}
    budget = {"people": {"epsilon": epsilon, "release": RELEASE}}
    return Federation(tables, privacy=dict.fromkeys(sites, budget), review=bounded)


def count(where: str | None = None, repeats: int = 1) -> Plan:
    analyses = {f"n{place}": sj.count() for place in range(repeats)}
    return Plan(table="people", min_sites=1, where=where, analyses=analyses)


def numbers(federation: Federation, plan: Plan) -> list[int]:
    results = federation.run(plan)
    return [int(results[name].table["n"].iloc[0]) for name in results]


def test_a05_averaging_fresh_noise(figures: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with under(20.0, "avon") as federation:
        with monkeypatch.context() as patched:
            patched.setattr(NodeStore, "noisy_numbers", lambda self, key: None)
            patched.setattr(NodeStore, "keep_noisy", lambda self, key, numbers, now, entry: numbers)
            fresh = np.array(numbers(federation, count(repeats=100)))
        error = abs(fresh.mean() - 400)
        assert len(set(fresh)) > 10 and error < 0.8 * SCALE  # 5.7 deviations of the mean of 100
        seen = [one for _ in range(REPEATS // 100) for one in numbers(federation, count(repeats=100))]
        assert len(seen) == REPEATS and np.ptp(seen) < 0.01 * SCALE
        [budget] = federation.nodes["avon"].show()["privacy"]
        assert budget["answers"] == 1
        benign = federation.run(Plan(table="people", min_sites=1, analyses={"n": sj.count(by="sex")}))
        assert benign["n"].sites == {"avon": "contributed"}
    figures(
        "A05",
        "Averaging repeats of one count under noise of scale 10",
        without=f"error of the mean of 100 fresh draws {error:.2f}",
        with_defence=f"{REPEATS} repeats differ by {np.ptp(seen)}",
        mark="< 1 % of the scale",
        benign="another count: released",
    )


def rewritings() -> list[str]:
    """50 ways to say: 50 or older."""
    forms = ["age >= 50", "not (age < 50)", "age > 50 or age = 50", "age between 50 and 120", "not not age >= 50"]
    forms += ["age >= 50 and sex in ('F', 'M')", "age >= 50 and (sick = true or sick = false)"]
    forms += ["(age >= 50 and sex = 'F') or (age >= 50 and sex != 'F')", "age >= 50 and age is not null"]
    forms += [
        "not (age < 50 or age is null)",
        "age >= 50 or (age >= 60 and sex = 'M')",
        "age != 50 and age >= 50 or age = 50",
    ]
    forms += [f"(age >= 50 and age < {cut}) or age >= {cut}" for cut in range(51, 70)]
    forms += [f"age >= 50 and (age <= {cut} or age > {cut})" for cut in range(20, 39)]
    return forms[:50]


COMPLETE = {"n": sj.crosstab("sex", "sick"), "age": sj.histogram("age", edges=[0, 120])}  # so that nothing is missing


def young_and_old(federation: Federation, where: str) -> tuple[int, ...]:
    results = federation.run(Plan(table="people", min_sites=1, where=where, analyses=COMPLETE))
    return tuple(int(n) for n in results["n"].table["n"])


def test_a06_fifty_rewritings_of_one_query(figures: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(set(rewritings())) == 50
    true = int((frame()["age"] >= 50).sum())
    with monkeypatch.context() as patched:  # the defect: noise by the words of the query

        def by_words(condition: Any, *_: Any) -> str:
            return hashlib.sha256(b"" if condition is None else condition.render().encode()).hexdigest()

        patched.setattr(privacy, "canonical", by_words)
        with under(20.0, "avon") as federation:
            without = np.array([sum(young_and_old(federation, where)) for where in rewritings()])
    assert len(set(without)) > 10
    error = abs(without.mean() - true)
    assert error < 5.7 * 2 * SCALE * np.sqrt(2) / np.sqrt(50)
    with under(20.0, "avon") as federation:
        seen = {young_and_old(federation, where) for where in rewritings()}
        [budget] = federation.nodes["avon"].show()["privacy"]
        other = young_and_old(federation, "age >= 51")
    assert len(seen) == 1 and budget["answers"] == 2  # the table and the histogram, once each
    assert other not in seen
    figures(
        "A06",
        "50 rewritings of one query under noise of scale 10",
        without=f"{len(set(without))} answers, error of their mean {error:.1f}",
        with_defence="1 answer, charged once",
        mark="one answer",
        benign="another query: released with its own noise",
    )


def test_equal_answers_do_not_prove_that_nobody_is_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why noise is not keyed by the rows that a query happens to select: their equality would show, past any budget."""
    near = ("age >= 50", "age > 49.5")
    absent = frame()
    present = pd.concat([absent, absent.head(1).assign(age=49.7)], ignore_index=True)
    told = {}
    for defect in (True, False):
        for name, data in (("absent", absent), ("present", present)):
            budget = {"people": {"epsilon": 20.0, "release": RELEASE}}
            with (
                monkeypatch.context() as patched,
                Federation({"avon": {"people": data}}, privacy={"avon": budget}, review=bounded) as federation,
            ):
                if defect:
                    rows = data.to_dict("records")

                    def by_rows(run: Run, *_: Any, rows: Any = rows) -> str:
                        chosen = [place for place, row in enumerate(rows) if holds(run.plan.condition, row) is True]
                        return hashlib.sha256(repr(chosen).encode()).hexdigest()

                    patched.setattr(privacy, "_key", by_rows)
                plans = [Plan(table="people", min_sites=1, where=w, analyses=CELLS) for w in near]
                answers = [tuple(federation.run(plan)["n"].table["n"]) for plan in plans]
                told[defect, name] = answers[0] == answers[1]
    assert (told[True, "absent"], told[True, "present"]) == (True, False)  # one person, seen with certainty
    assert not told[False, "absent"] and not told[False, "present"]


CELLS = {"n": sj.histogram("age", edges=list(range(0, 121, 5)))}  # many cells: equal by chance below 1e-20


def test_a32_the_noise_has_no_seed_that_a_request_could_choose(figures: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Plan(table="people", min_sites=1, analyses=CELLS)

    def by_site(federation: Federation) -> list[list[int]]:
        federation.run(table)
        return [[int(n) for n in _released(federation, site)["count"]] for site in ("avon", "brent")]

    with monkeypatch.context() as patched:  # the defect: noise out of what the request says

        def seeded(unit: str, values: Any, scale: float) -> Any:
            return values + np.rint(np.random.default_rng(7).laplace(0, scale, len(values))).astype(np.int64)

        patched.setattr(privacy, "draw", seeded)
        with under(20.0, "avon", "brent") as federation:
            one, other = by_site(federation)
    assert one == other  # the same data: whoever knows the seed subtracts the noise
    with under(20.0, "avon", "brent") as federation:
        one, other = by_site(federation)
        differ = sum(a != b for a, b in zip(one, other, strict=True))
        assert differ > 10
        assert federation.run(count())["n0"].sites == {"avon": "contributed", "brent": "contributed"}
    for document in (
        {**count().to_dict(), "seed": 7},
        {**count().to_dict(), "analyses": {"n": {"count": {"seed": 7}}}},
    ):
        with pytest.raises(PlanError):
            Plan.from_dict(document)
    figures(
        "A32",
        "A request that fixes the noise's seed; two nodes with the same data",
        without="both nodes draw the same noise",
        with_defence=f"{differ} of 26 cells differ; a plan with `seed` is refused",
        mark="different noise; refused",
        benign="the same plan without `seed`: released",
    )


def _released(federation: Federation, site: str) -> dict[str, Any]:
    from sojourn.analysis.partial import decode

    answer = federation.nodes[site].released()[0]["answer"]
    return {name: decode(array) for name, array in answer["release"]["partial"]["arrays"].items()}


def test_a34_two_accounts_have_one_budget(figures: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    without = _answers(monkeypatch, defect=True)
    together = _answers(monkeypatch, defect=False)
    assert without == 18 and together == 9  # of ten, the last one is close to the limit and waits for people
    figures(
        "A34",
        "Two researchers of two projects ask in turn, a budget of ten answers",
        without=f"{without} answers where each project has a budget of its own alone",
        with_defence=f"{together} answers to both together",
        mark="two accounts together cannot exceed the budget",
        benign="nine answers: released",
    )


def _answers(monkeypatch: pytest.MonkeyPatch, defect: bool) -> int:
    """How many different questions two accounts get answered."""
    with monkeypatch.context() as patched, under(10 * RELEASE, "avon") as federation:
        if defect:
            alone = privacy.account_of

            def of_project_alone(budget: Any, project: str) -> Any:
                return replace(alone(budget, project), total=1e9)

            patched.setattr(privacy, "account_of", of_project_alone)
        second = PrivateKey.generate()
        federation.hub.add_project("second")
        federation.hub.add_member("second", second.public.hex)
        federation.nodes["avon"].approve("second", second.public.hex)
        projects = [federation.project(), federation.connection(second).project("second")]
        answered = 0
        for low in range(24):
            run = projects[low % 2].submit(count(f"age >= {20 + low}").replace(purpose="NRES"))
            site = run.wait(60)["n0"].sites["avon"]
            assert site in ("contributed", "not released: privacy budget")
            answered += site == "contributed"
        return answered


def test_two_accounts_in_one_project_have_one_budget() -> None:
    with under(10 * RELEASE, "avon") as federation:
        second = PrivateKey.generate()
        federation.hub.add_member(PROJECT, second.public.hex)
        federation.nodes["avon"].approve(PROJECT, second.public.hex)
        projects = [federation.project(), federation.connection(second).project(PROJECT)]
        done = [
            projects[low % 2].submit(count(f"age >= {20 + low}").replace(purpose="NRES")).wait(60)["n0"].sites["avon"]
            for low in range(12)
        ]
        assert done == ["contributed"] * 9 + ["not released: privacy budget"] * 3


# ---- one noisy site beside clear ones


def test_one_noisy_site_beside_clear_ones(tmp_path: Path) -> None:
    analyses = {
        "n": sj.count(by=["sex"]),
        "table": sj.crosstab("sick", "sex"),
        "age": sj.describe("age", "sick", by="sex"),
        "bins": sj.histogram("age", edges=[20, 40, 60, 80]),
        "model": sj.glm("age ~ sick", family="gaussian"),
    }
    clear = {"brent": frame(1), "cam": frame(2)}
    budget = {"avon": {"people": {"epsilon": 10.0, "delta": 1e-6, "release": 1.0, "publish": True}}}
    tables = {"avon": {"people": frame()}, **{site: {"people": data} for site, data in clear.items()}}
    with Federation(tables, privacy=budget, review=bounded) as federation:
        results = federation.run(Plan(table="people", analyses=analyses, min_sites=1))
        assert federation.nodes["avon"].publication().rules["privacy"] == {
            "people": {"epsilon": 10.0, "delta": 1e-6, "release": 1.0}
        }
        assert federation.nodes["avon"].show()["privacy"][0]["answers"] == 4  # of describe one for both rounds
    pooled = pd.concat([frame(), *clear.values()])
    for name in ("n", "table", "age", "bins"):
        assert set(results[name].sites.values()) == {"contributed"}
        assert results[name].exactness == "approximate: differentially private (epsilon 1, delta 1e-06) at avon"
        assert any("standard deviation" in warning for warning in results[name].warnings)
    counted = results["n"].table["n"]
    deviation = 12  # of one count; the bound is 20 of them
    assert all(abs(counted[sex] - (pooled["sex"] == sex).sum()) < 20 * deviation for sex in "FM")
    means = results["age"].table["mean"]
    assert abs(means["age"].iloc[0] - pooled["age"].mean()) < 20
    assert results["table"].facts == {} and any("tests" in warning for warning in results["table"].warnings)
    assert results["model"].sites == {
        "avon": "not released: formal privacy",
        "brent": "contributed",
        "cam": "contributed",
    }
    assert results["model"].exactness == "pooled"
    assert "differentially private" in results.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(check.ok for check in results.study.checks)


def test_small_and_empty_cells_are_answered_like_all_others() -> None:
    """A cell that is hidden for being small would tell that it is, which no noise could take back."""
    rare = frame()
    rare["sick"] = [True] + [False] * 399
    budget = {"avon": {"people": {"epsilon": 2.0, "release": RELEASE}}}
    with Federation({"avon": {"people": rare}}, privacy=budget, review=bounded) as federation:
        results = federation.run(Plan(table="people", min_sites=1, analyses={"n": sj.crosstab("sick", "sex")}))
        table = results["n"].table["n"]
    assert len(table) == 4 and table.dtype == "int64"  # nothing is suppressed
    assert set(results["n"].sites.values()) == {"contributed"}
