"""A27 and A28: what errors say outside, and what failing says again and again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import hostile
import numpy as np
import pandas as pd
import pytest
import structlog
from encoders import Spy
from hostile import HostileHub, heart_dictionary

import sojourn as sj
from sojourn.errors import REASONS, SojournError
from sojourn.node.attempts import ALIKE, WINDOW, shape_of
from sojourn.node.computing import WORDS
from sojourn.study.plan import Plan
from sojourn.testbed import Federation

SITE = "Cleveland"
CANARIES = [f"Kanarienvogel-{number:05d}-{number * 7919 % 99991:05d}" for number in range(50)]


def _sql(statement: str) -> Callable[[str], object]:
    return lambda value: duckdb.sql(statement.format(value=value)).fetchall()


def _group(value: str) -> None:
    raise ExceptionGroup(value, [ValueError(value)])


def _chained(value: str) -> None:
    try:
        int(value)
    except ValueError as error:
        raise RuntimeError(f"of {value}") from error


def _noted(value: str) -> None:
    error = ValueError("x")
    error.add_note(value)
    raise error


def _says_a_word(value: str) -> None:
    from sojourn.errors import SiteRefused

    error = SiteRefused("worker")
    error.reason = value
    raise error


def _raise(error: BaseException) -> None:
    raise error


SNIPPETS: dict[str, Callable[[str], object]] = {
    "int": lambda value: int(value),
    "float": lambda value: float(value),
    "key": lambda value: {}[value],
    "attribute": lambda value: getattr(object(), value),
    "index of a frame": lambda value: pd.DataFrame({"a": [1]})[value],
    "number of a frame": lambda value: pd.to_numeric(pd.Series([value])),
    "date": lambda value: pd.Timestamp(value),
    "category": lambda value: pd.Series(["a"]).astype("category").loc[value],
    "array": lambda value: np.array([value]).astype(float),
    "assertion": lambda value: _raise(AssertionError(value)),
    "path": lambda value: Path("/", value).read_text(),
    "group": _group,
    "chain": _chained,
    "note": _noted,
    "a word that is none": _says_a_word,
    "import": lambda value: __import__(value),
    "SQL cast": _sql("SELECT CAST('{value}' AS INTEGER)"),
    "SQL date": _sql("SELECT DATE '{value}'"),
    "SQL name": _sql('SELECT "{value}" FROM range(1)'),
    "SQL error": _sql("SELECT error('{value}')"),
}  # fmt: skip


@pytest.fixture(scope="module")
def spied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HostileHub, Spy]]:
    spy = Spy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hostile, "InProcess", lambda: spy)
        folder = tmp_path_factory.mktemp("failing")
        with HostileHub(folder, {SITE: (hostile.HEART[SITE], heart_dictionary())}) as hub:
            yield hub, spy


def test_a27_no_canary_leaves_by_an_error(
    spied: tuple[HostileHub, Spy],
    figures: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """50 values in 20 failing snippets: in the node's own journal they may stand, outside they are nowhere."""
    hub, spy = spied
    plan = Plan(table="patients", analyses={"n": sj.count()}, min_sites=1)
    outside: list[str] = []
    really = 0
    caplog.set_level(logging.DEBUG)
    with structlog.testing.capture_logs() as said:
        for place, snippet in enumerate(SNIPPETS.values()):
            for canary in CANARIES[:: 5 if place == 0 else 25]:
                spy.deed = lambda folder, secret, canary=canary, snippet=snippet: snippet(canary)  # type: ignore[misc,return-value]
                study = hub.study(plan)
                ask = hub.next(study, "n", [])
                row = hub.sites[SITE].decide(hub.task(study, "n", ask))  # type: ignore[arg-type]
                assert row["sealed"] is None and row["reason"] in WORDS
                outside.append(f"{row['reason']} {row['note']}")
        for canary in CANARIES:  # the rest of the 1,000: the worker's word for each
            for snippet in SNIPPETS.values():
                try:
                    snippet(canary)
                except Exception as error:
                    told = (repr(error), repr(error.__cause__), str(getattr(error, "__notes__", "")), str(vars(error)))
                    really += any(canary in words for words in told)
                    outside.append(_word(error))
    node = hub.sites[SITE].node
    captured = capfd.readouterr()
    outside += [str(said), captured.out, captured.err, caplog.text, node.metrics.text()]
    outside.append(node.store.checkpoint())
    outside += [path.read_bytes().decode("latin-1") for path in node.home.folder.glob("node.db*")]
    found = sum(canary in text for text in outside for canary in CANARIES)
    assert found == 0 and len(outside) > 1_000
    assert really >= 900  # nearly every error's own text holds the value
    figures(
        "A27",
        "50 planted values in 20 failing snippets of Python and SQL",
        without=f"in the error's own words in {really} of 1,000",
        with_defence="0 in messages, logs, metrics, audit log and database of the node",
        mark="0 outside the node",
        benign="the same ask without a failure is released",
    )


def _word(error: BaseException) -> str:
    from sojourn.node import worker

    return worker._word(error) if isinstance(error, Exception) else "worker"


def test_a_word_that_is_none_is_not_passed_on() -> None:
    assert set(WORDS) <= set(REASONS)


# ---- A28

PEOPLE = 400


def federation(most_refusals: int, secret: int) -> Federation:
    """One person's income is wanted; nine others of that age have none below 2048, so that the tenth decides."""
    chosen = np.random.default_rng(5)
    frame = pd.DataFrame(
        {"income": chosen.integers(0, 2048, PEOPLE).astype(float), "age": chosen.integers(20, 60, PEOPLE)}
    )
    frame.loc[:9, "age"] = 77
    frame.loc[:8, "income"] = 0.0
    frame.loc[9, "income"] = float(secret)
    return Federation({SITE: {"people": frame}}, most_refusals=most_refusals)


def search(federation: Federation, asks: int = 10) -> tuple[int, int]:
    """Halve the interval by whether an ask fails; how many bits were had, and how many values are left."""
    low, high, had = 0, 1024, 0
    for _ in range(asks):
        middle = (low + high) // 2
        plan = Plan(table="people", where=f"age == 77 and income < {middle}", analyses={"n": sj.count()}, min_sites=1)
        outcome = word(federation, plan)
        if outcome == REASONS["attempts"].sentence or "attempts" in outcome:
            break
        low, high = (low, middle) if outcome == "contributed" else (middle, high)
        had += 1
    return had, high - low


def word(federation: Federation, plan: Plan) -> str:
    try:
        results = federation.run(plan)
    except SojournError as error:
        return str(error)
    return str(results["n"].sites[SITE])


def test_a28_a_search_by_failing_is_stopped(figures: Callable[..., None]) -> None:
    secret = 730
    with federation(0, secret) as open_ended:
        assert search(open_ended) == (10, 1)  # without the bound it succeeds
    with federation(20, secret) as bounded:
        had, left = search(bounded)
        assert had == ALIKE < 10 and left == 2 ** (10 - ALIKE)
        benign = Plan(
            table="people", where="age < 60", analyses={"n": sj.count(), "m": sj.describe("income")}, min_sites=1
        )
        assert word(bounded, benign) == "contributed"
    figures(
        "A28",
        "one person's value by halving, each ask released or refused",
        without="10 bits in 10 asks: the value",
        with_defence=f"{had} bits, then no more asks of that form within seven days",
        mark="stopped before 10 bits",
        benign="another ask of the same researcher is released",
    )


def test_a28_asks_of_ever_other_forms_are_stopped_by_their_number() -> None:
    with federation(5, 730) as bounded:
        words = []
        for number in range(8):
            more = " and ".join(["age == 77"] * (number + 1))
            plan = Plan(table="people", where=f"{more} and income < 1", analyses={"n": sj.count()}, min_sites=1)
            words.append(word(bounded, plan))
        assert ["attempts" in said or REASONS["attempts"].sentence in said for said in words] == [False] * 5 + [
            True
        ] * 3


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("age > 40", "age > 41.5", True),
        ("sex == 'F'", "sex == 'M'", True),
        ("age > 40", "age < 40", False),
        ("age > 40", "chol > 40", False),
    ],
)
def test_asks_that_are_alike(one: str, other: str, same: bool) -> None:
    plans: list[dict[str, Any]] = [{"where": where, "analyses": {"n": {"count": {}}}} for where in (one, other)]
    assert (shape_of(plans[0]) == shape_of(plans[1])) is same
    assert 0 < ALIKE < 10 and WINDOW > 0
