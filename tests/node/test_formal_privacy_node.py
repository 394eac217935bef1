"""Charged before it is drawn, drawn once, remembered: whatever crashes, and whoever asks at the same time."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sqlalchemy import select

import sojourn as sj
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.audit.entry import Entry
from sojourn.disclosure import mechanisms
from sojourn.disclosure.budget import EPSILON, Account, Budget, Loss, spent
from sojourn.errors import ConfigurationError, DatasetError, DisclosureRefused
from sojourn.node import privacy
from sojourn.node.admission import Run
from sojourn.node.privacy import FormalPrivacy
from sojourn.node.tables import losses, noisy
from sojourn.study.plan import Plan
from sojourn.testbed import Federation

VARIABLES = {"sick": Variable(Kind.BOOLEAN), "age": Variable(Kind.NUMBER)}
BUDGET = Budget(epsilon=1.0, release=0.1)


@dataclass(frozen=True)
class Request:
    """What formal privacy reads of a signed request."""

    study: str = "s"
    project: str = "heart"


@dataclass
class Site:
    """One node's privacy on its real store; `measured` counts what its computation was asked."""

    privacy: FormalPrivacy
    snapshot: str
    measured: int = 0

    def ask(self, plan: Plan, project: str = "heart", attended: bool = True) -> np.ndarray:
        plan = replace(plan, variables={name: VARIABLES[name] for name in plan.names})
        run = Run(Request(project=project), plan, with_site(plan.variables, ("avon",)), "people", self.snapshot)  # type: ignore[arg-type]
        noised = self.privacy.answer(run, "n", Ask("count"), self._measure, attended, 0.0)
        assert noised is not None
        return noised.partial["count"]

    def _measure(self, ask: Ask) -> Partial:
        self.measured += 1
        return Partial({"count": np.array([600, 400])})

    def rows(self, table: Any) -> list[Any]:
        return self.privacy.store.rows(select(table))

    def kinds(self) -> list[str]:
        found = self.privacy.store.read(
            lambda connection: connection.exec_driver_sql("SELECT data FROM log_entry").all()
        )
        return [kind for (data,) in found for kind in ("privacy.charged", "privacy.drawn") if kind in str(data)]


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    frame = pd.DataFrame({"sick": [True, False] * 500, "age": np.arange(1_000.0) % 90})
    with Federation({"avon": {"people": frame}}, privacy={"avon": {"people": {"epsilon": 1.0, "release": 0.1}}}) as one:
        yield one


@pytest.fixture
def site(federation: Federation) -> Iterator[Site]:
    node = federation.nodes["avon"]
    snapshot = node.datasets()[0]["snapshot"]
    yield Site(FormalPrivacy(node.store, node.home.folder, "avon", {"people": BUDGET}), snapshot)

    def forget(connection: Any) -> None:
        connection.execute(losses.delete())
        connection.execute(noisy.delete())

    node.store.write(Entry("test.forgotten", "test"), forget)


def plan(where: str | None = None) -> Plan:
    return Plan(table="people", purpose="NRES", where=where, analyses={"n": sj.count(by="sick")})


def test_equal_questions_get_one_answer_and_cost_once(site: Site) -> None:
    first = site.ask(plan("age >= 50"))
    for where in ("not (age < 50)", "age > 50 or age = 50", "age >= 50 and (sick = true or sick = false)"):
        assert (site.ask(plan(where)) == first).all()
    assert len(site.rows(losses)) == 1 and site.measured == 1
    assert site.kinds()[-2:] == ["privacy.charged", "privacy.drawn"]
    site.ask(plan("age >= 51"))
    assert len(site.rows(losses)) == 2


def test_the_budget_ends_for_all_and_answered_questions_stay(site: Site) -> None:
    answers = [site.ask(plan(f"age >= {low}")) for low in range(10)]
    with pytest.raises(DisclosureRefused, match="budget"):
        site.ask(plan("age >= 10"))
    assert (site.ask(plan("age >= 3")) == answers[3]).all()
    with pytest.raises(DisclosureRefused):
        site.ask(plan("age >= 11"), project="lung")  # the dataset's own limit, over all projects
    assert (site.ask(plan("age >= 3"), project="lung") == answers[3]).all()  # but this one is known already
    total = spent(site.privacy.store.losses("people"), EPSILON)
    assert total is not None and total <= 1


def test_close_to_the_limit_somebody_must_be_there(site: Site) -> None:
    for low in range(9):
        site.ask(plan(f"age >= {low}"), attended=False)
    with pytest.raises(DisclosureRefused):
        site.ask(plan("age >= 9"), attended=False)
    assert site.ask(plan("age >= 9"), attended=True).shape == (2,)
    assert site.privacy.left()[0]["spent"] == 1.0 and site.privacy.left()[0]["projects"] == {"heart": 1.0}


class Died(BaseException):
    """A process's end, as far as one process can play it."""


@pytest.mark.parametrize("moment", ["before the charge", "before the draw", "before it is kept", "after it is kept"])
def test_a_crash_never_charges_twice_and_never_answers_twice(
    site: Site, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place: dict[str, tuple[Any, str]] = {
        "before the charge": (type(site.privacy.store), "charge"),
        "before the draw": (privacy, "draw"),
        "before it is kept": (type(site.privacy.store), "keep_noisy"),
        "after it is kept": (privacy, "Noised"),
    }
    drawn = spied(monkeypatch)

    def die(*_: Any, **__: Any) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(*place[moment], die)
        with pytest.raises(Died):
            site.ask(plan())
    charged, kept = len(site.rows(losses)), len(site.rows(noisy))
    assert charged == (moment != "before the charge") and kept == (moment == "after it is kept")
    answer = site.ask(plan())
    assert (site.ask(plan()) == answer).all()
    assert [len(site.rows(table)) for table in (losses, noisy)] == [1, 1]
    assert (answer == drawn[-1]).all()
    assert len(drawn) == (2 if moment == "before it is kept" else 1)  # the first draw was seen by nobody


def spied(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Every noisy vector that is drawn; and each draw must have been charged."""
    seen: list[np.ndarray] = []

    def draw(*words: Any) -> np.ndarray:
        seen.append(mechanisms.draw(*words))
        return seen[-1]

    monkeypatch.setattr(privacy, "draw", draw)
    return seen


def test_nothing_is_drawn_that_is_not_charged(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen to fail where the charge comes after: see the planted defect below."""
    assert uncharged_draws(site, monkeypatch) == 0


def test_a_charge_after_the_draw_is_seen(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    store = type(site.privacy.store)
    monkeypatch.setattr(store, "charge", lambda *_: 0.0)  # the defect: as if it came later
    with pytest.raises(DisclosureRefused):  # and even then nothing is kept that was not charged
        uncharged_draws(site, monkeypatch)
    assert site.rows(noisy) == []


def uncharged_draws(site: Site, monkeypatch: pytest.MonkeyPatch) -> int:
    charged: list[int] = []

    def draw(*words: Any) -> np.ndarray:
        charged.append(len(site.rows(losses)))
        return mechanisms.draw(*words)

    monkeypatch.setattr(privacy, "draw", draw)
    site.ask(plan("age >= 70"))
    return charged.count(0)


@pytest.mark.parametrize("threads", [8])
def test_many_at_once_never_overspend_and_see_one_answer(site: Site, threads: int) -> None:
    gate = threading.Barrier(threads)

    def one(number: int) -> list[Any]:
        gate.wait()
        return [_tried(lambda low=low: site.ask(plan(f"age >= {low}"), project=f"p{number % 2}")) for low in range(14)]

    with ThreadPoolExecutor(threads) as pool:
        seen = list(pool.map(one, range(threads)))
    total = spent(site.privacy.store.losses("people"), EPSILON)
    assert total is not None and 0.9 < total <= 1
    for answers in zip(*seen, strict=True):
        assert len({answer for answer in answers if answer is not None}) <= 1


def _tried(ask: Callable[[], np.ndarray]) -> Any:
    try:
        return tuple(ask().tolist())
    except DisclosureRefused:
        return None


def test_a_recalled_answer_is_charged_whatever_the_budget_holds(site: Site) -> None:
    recalled = site.privacy.restored("study", "people", "heart", ["n", "m"])
    assert [(one.cost, one.project) for one in recalled] == [(0.1, "heart")] * 2
    assert len({one.key for one in recalled}) == 2 and site.privacy.restored("study", "others", "heart", ["n"]) == []
    account = Account(EPSILON, 0.1, 0.2, 0.2)
    assert account.after(recalled, Loss("new", "heart", 0.1, EPSILON)) is None


# ---- what a dataset must declare


def people(rows_of_first: int) -> pd.DataFrame:
    persons = ["a"] * rows_of_first + [f"b{i}" for i in range(40)]
    return pd.DataFrame({"person_id": persons, "sick": [True] * len(persons)})


def test_persons_with_several_rows_need_a_declared_bound() -> None:
    settings = {"avon": {"people": {"epsilon": 1.0, "release": 0.5}}}
    ask = Plan(table="people", purpose="NRES", min_sites=1, analyses={"n": sj.count()})
    with Federation({"avon": {"people": people(3)}}, privacy=settings) as federation:
        assert federation.run(ask)["n"].sites == {"avon": "not released: formal privacy"}
    with Federation(
        {"avon": {"people": people(3)}},
        privacy=settings,
        review=lambda dictionary: replace(dictionary, rows_per_person=3),
    ) as federation:
        assert federation.run(ask)["n"].sites == {"avon": "contributed"}


def test_an_import_enforces_the_bound() -> None:
    with pytest.raises(DatasetError, match="rows_per_person"):
        Federation({"avon": {"people": people(4)}}, review=lambda one: replace(one, rows_per_person=3))


def test_without_opendp_a_budget_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="OpenDP"):
        mechanisms.demand()


@pytest.mark.parametrize("library", ["opendp", "scipy.optimize", "mpyc"])
def test_a_heavy_library_is_loaded_by_the_first_answer_alone(library: str) -> None:
    code = f"import sys, sojourn.node.program, sojourn.cli; sys.exit({library!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_manuals_example_is_a_setting() -> None:
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "formal-privacy.md").read_text(encoding="utf-8")
    document = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    budget = Budget.from_dict(document["privacy"]["patients"])
    assert budget.public() == {"epsilon": 4.0, "delta": 1e-6, "release": 0.25}
    assert [budget.of_project(name) for name in ("heart", "lung")] == [3.0, 2.0]


def test_a_budget_of_no_dataset_is_told(site: Site) -> None:
    assert site.privacy.trouble() == ""
    assert "peopel" in replace(site.privacy, budgets={"peopel": BUDGET}).trouble()
