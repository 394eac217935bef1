"""One run's computation in a worker: right answers, bounded time, deaths that harm one request, silent failures."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

import sojourn
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Ask, Statistic
from sojourn.analysis.support import Cells, Contributions, Design, Support
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.errors import REASONS, SiteRefused
from sojourn.node.bubblewrap import Bubblewrap
from sojourn.node.computing import Computation, Patience
from sojourn.node.evidence import support_from_dict, support_to_dict
from sojourn.node.prepared import write_population
from sojourn.node.sandbox import InProcess, PlainProcess, Pool, Sandbox, best_available
from sojourn.node.session import Limits
from sojourn.node.worker import Worker
from sojourn.statistics.catalogue import make

CANARY = "Zebedee-7731"
NUMBER = 7731.4242
VARIABLES = with_site(
    {
        "age": Variable(Kind.NUMBER, low=0, high=10_000),
        "sex": Variable(Kind.CATEGORY, levels=("F", CANARY)),
        "ill": Variable(Kind.BOOLEAN),
    },
    ("uk", "us"),
)
ANALYSES: Mapping[str, Statistic] = {
    "n": make("count", {"by": ["sex"]}),
    "model": make("glm", {"formula": "ill ~ age", "family": "binomial"}),
}
SANDBOXES = ("bubblewrap", "none", "in process")


def population(rows: int = 60) -> Population:
    place = np.arange(rows)
    columns = {
        "age": np.where(place == 3, NUMBER, 40.0 + place % 7),
        "sex": (place % 2).astype(np.int32),
        "ill": (place % 3 == 0).astype(np.int8),
    }
    return Population("uk", VARIABLES, columns, (place // 2).astype(np.uint32), {"age": np.array([5], np.uint32)})


@pytest.fixture(scope="session")
def sandboxes() -> dict[str, Sandbox | None]:
    return {"bubblewrap": best_available(), "none": PlainProcess(), "in process": InProcess()}


@pytest.fixture(params=SANDBOXES)
def sandbox(request: pytest.FixtureRequest, sandboxes: dict[str, Sandbox | None]) -> Sandbox:
    found = sandboxes[request.param]
    if found is None:
        pytest.skip("bubblewrap does not start here")
    return found


@pytest.fixture
def pool(sandbox: Sandbox, tmp_path: Path) -> Iterator[Pool]:
    stocked = Pool(sandbox, tmp_path / "jobs")
    yield stocked
    stocked.close()


@pytest.fixture
def computation(pool: Pool) -> Iterator[Computation]:
    made = Computation(pool, population(), ANALYSES)
    yield made
    made.cancel()


def first_ask(statistic: Statistic) -> Ask:
    return next(statistic.coordinator(VARIABLES))


def test_a_worker_answers_what_the_statistic_itself_says(computation: Computation) -> None:
    for name, statistic in ANALYSES.items():
        ask = first_ask(statistic)
        expected = statistic.local(ask.step, population(), ask.broadcast)
        assert computation.round(name, ask)[0].to_dict() == expected.to_dict()
        assert support_to_dict(computation.support(name)) == support_to_dict(statistic.support(population()))
    assert computation.round("n", Ask("count"))[0]["count"].tolist() == [30, 30]


def test_a_failing_request_says_a_word_and_no_value(pool: Pool, tmp_path: Path) -> None:
    """What failing code says of the data stays in the log of the site."""
    wrong = {"age": np.array([CANARY, str(NUMBER)]), "sex": np.array([CANARY] * 2), "ill": np.array([CANARY] * 2)}
    broken = Population("uk", VARIABLES, wrong, np.array([1, 2], np.uint32), {})
    computation = Computation(pool, broken, ANALYSES)
    job = computation._session.job
    try:
        for name, statistic in ANALYSES.items():
            ask = first_ask(statistic)
            answers = [
                computation._session.ask({"support": name}, 30),
                computation._session.ask({"round": {"analysis": name, "step": ask.step, "broadcast": {}}}, 30),
            ]
            for answer in answers:
                assert set(answer) == {"refused"}
                assert answer["refused"] in REASONS
            with pytest.raises(SiteRefused) as caught:
                computation.support(name)
            assert CANARY not in str(caught.value)
            assert "7731" not in str(caught.value)
    finally:
        computation.cancel()
    assert CANARY in (job / "worker.log").read_text()  # the attack was real; the log never leaves
    assert not (job / "data").exists()


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"load": {}},
        {"load": {"file": "../../etc/passwd", "analyses": {}}},
        {"load": {"file": "other.npz", "analyses": {}}},
        {"support": "absent"},
        {"support": ["n"]},
        {"round": {"analysis": "n", "step": "count"}},
        {"round": {"analysis": "n", "step": "count", "broadcast": {"x": 3}}},
        {"hello": None, "support": "n"},
        {"exec": "1"},
    ],
)
def test_a_request_that_is_none_is_refused_and_the_worker_lives(tmp_path: Path, document: dict[str, object]) -> None:
    said: list[str] = []
    worker = Worker(tmp_path, said.append)
    write_population(population(), tmp_path / "population.npz")
    assert worker.answer({"load": {"file": "population.npz", "analyses": {"n": {"count": {"by": "sex"}}}}}) == {
        "loaded": True
    }
    assert worker.answer(document)["refused"] in REASONS
    assert said
    assert "support" in worker.answer({"support": "n"})


def test_time_runs_out_for_one_request_and_the_next_has_a_fresh_worker(pool: Pool) -> None:
    made = Computation(pool, population(), ANALYSES, Patience(answer=0))
    try:
        with pytest.raises(SiteRefused) as caught:
            made.support("model")
        assert caught.value.reason == "time"
        made._patience = Patience()
        assert made.round("n", Ask("count"))[0]["count"].tolist() == [30, 30]
    finally:
        made.cancel()


def test_a_dead_worker_is_noticed_and_replaced(pool: Pool) -> None:
    made = Computation(pool, population(), ANALYSES)
    try:
        first = made._session
        first.kill()
        assert made.round("n", Ask("count"))[0]["count"].tolist() == [30, 30]
        assert made._session is not first
        assert not first.data.exists()
    finally:
        made.cancel()


def test_after_cancel_nothing_is_answered_and_no_table_is_left(pool: Pool, tmp_path: Path) -> None:
    made = Computation(pool, population(), ANALYSES)
    assert len(list(tmp_path.rglob("population.npz"))) == 1
    made.cancel()
    with pytest.raises(SiteRefused) as caught:
        made.support("n")
    assert caught.value.reason == "cancelled"
    assert list(tmp_path.rglob("population.npz")) == []
    made.cancel()


def test_cancel_ends_a_request_in_hand(pool: Pool) -> None:
    """Asked again and again from one thread, cancelled from another: the word is always `cancelled`."""
    made = Computation(pool, population(20_000), ANALYSES)
    reasons: list[str] = []
    begun = threading.Event()

    def ask() -> None:
        try:
            while True:
                made.support("model")
                begun.set()
        except SiteRefused as error:
            reasons.append(error.reason)

    thread = threading.Thread(target=ask)
    thread.start()
    assert begun.wait(60)
    made.cancel()
    thread.join(60)
    assert reasons == ["cancelled"]


def test_each_worker_is_used_once(pool: Pool) -> None:
    first, second = pool.take(), pool.take()
    assert first.job != second.job
    for session in (first, second):
        session.close()
        assert not session.alive()
    third = pool.take()
    assert third.job not in (first.job, second.job)
    third.close()


def test_the_end_of_a_run_makes_the_next_worker_ready(pool: Pool) -> None:
    """Not its beginning: a worker that starts would compete with the run's first rounds."""
    first = Computation(pool, population(), ANALYSES)
    assert pool._stock == []
    first.finish()
    [ready] = pool._stock
    second = Computation(pool, population(), ANALYSES)
    assert second._session is ready
    second.cancel()
    pool.close()
    second.finish()
    assert pool._stock == []


def test_a_worker_that_died_in_stock_is_replaced(pool: Pool) -> None:
    pool._stock[0].kill()
    session = pool.take()
    assert session.ask({"hello": None}, 30) == {"ready": True}
    session.close()


def test_tables_of_a_node_that_was_killed_are_removed(tmp_path: Path) -> None:
    left = tmp_path / "jobs" / "abc" / "data"
    left.mkdir(parents=True)
    (left / "population.npz").write_bytes(b"x")
    Pool(InProcess(), tmp_path / "jobs").close()
    assert not left.exists()


def ask_everything(pool: Pool, table: Population) -> None:
    made = Computation(pool, table, ANALYSES)
    try:
        for name in ANALYSES:
            made.support(name)
    finally:
        made.cancel()


def test_a_bomb_of_memory_ends_alone(tmp_path: Path, sandboxes: dict[str, Sandbox | None]) -> None:
    if sandboxes["bubblewrap"] is None:
        pytest.skip("bubblewrap does not start here")
    pool = Pool(Bubblewrap(Limits(memory=600 << 20)), tmp_path / "jobs", size=0)
    big = population(8_000_000)  # its table alone is over the limit, once loaded and indexed
    with pytest.raises(SiteRefused) as caught:
        ask_everything(pool, big)
    assert caught.value.reason == "worker"
    assert list(tmp_path.rglob("population.npz")) == []
    pool.close()


def test_the_worker_loads_neither_web_nor_figures_nor_databases() -> None:
    code = "import sys, json, sojourn.node.worker; print(json.dumps(sorted(sys.modules)))"
    root = ":".join(str(Path(path).parent) for path in (sojourn.__path__[0], np.__path__[0]))
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": root}, capture_output=True, check=True, timeout=60
    )
    modules = json.loads(done.stdout)
    forbidden = (
        "pandas",
        "fastapi",
        "sqlalchemy",
        "duckdb",
        "ibis",
        "httpx",
        "cryptography",
        "altair",
        "yaml",
        "typer",
    )
    assert {name for name in forbidden if name in modules} == set()
    node = {name for name in modules if name.startswith("sojourn.node.")}
    assert node == {f"sojourn.node.{name}" for name in ("worker", "evidence", "frames", "prepared")}
    assert not {name for name in modules if name.startswith(("sojourn.wire", "sojourn.storage", "sojourn.identity"))}


persons = st.builds(BitMap, st.sets(st.integers(0, 2**32 - 1), max_size=20))
names = st.lists(st.text(max_size=5), max_size=2).map(tuple)


@st.composite
def supports(draw: st.DrawFn) -> Support:
    shape = draw(st.tuples(st.integers(0, 3), st.integers(1, 2)))
    size = shape[0] * shape[1]
    cells = Cells(draw(names), shape, tuple(draw(persons) for _ in range(size)), draw(names), draw(names))
    sums = [
        np.array(draw(st.lists(st.floats(0, 1e300), min_size=size, max_size=size))).reshape(shape) for _ in range(3)
    ]
    count = st.integers(0, 9)
    design = Design(
        draw(count), draw(count), draw(count), draw(st.dictionaries(st.text(max_size=5), persons, max_size=2)),
        draw(st.none() | count), draw(st.floats(0, 1)), draw(st.none() | st.floats(0, 9)), draw(st.none() | count),
    )  # fmt: skip
    contributions = (Contributions(draw(names), *sums),)
    return Support(
        draw(persons), draw(names), (cells,), contributions, draw(st.none() | st.just(design)), constant=draw(names)
    )


@settings(max_examples=40)
@given(supports())
def test_evidence_keeps_every_bit(support: Support) -> None:
    document = json.loads(json.dumps(support_to_dict(support)))
    read = support_from_dict(document)
    assert support_to_dict(read) == document
    assert (read.population, read.cells, read.design) == (support.population, support.cells, support.design)
    for ours, theirs in zip(support.contributions, read.contributions, strict=True):
        assert np.array_equal(ours.largest, theirs.largest)
        assert np.array_equal(ours.total, theirs.total)


@settings(max_examples=60)
@given(supports(), st.data())
def test_evidence_that_a_worker_made_up_is_refused_or_read_never_raised_otherwise(
    support: Support, data: st.DataObject
) -> None:
    document = json.loads(json.dumps(support_to_dict(support)))
    places = [
        document,
        *document["cells"],
        *document["contributions"],
        *([document["design"]] if document["design"] else []),
    ]
    place = data.draw(st.sampled_from(places))
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(
        st.none() | st.integers() | st.text(max_size=8) | st.lists(st.none() | st.integers(-2, 9) | st.text(max_size=3))
    )
    try:
        read = support_from_dict(document)
    except ValueError:
        return
    assert isinstance(read, Support)
