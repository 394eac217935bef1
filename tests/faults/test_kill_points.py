"""Processes killed at every commit and step of a study: it ends, and nothing is lost, doubled or charged twice."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from federation_processes import SITES, alive, descendants, dictionary, until
from mortal_processes import (
    ENDED,
    Mortals,
    Point,
    counting,
    mortals_fixture,  # noqa: F401  (pytest finds it here)
    ordinary,
    right,
    same_bytes,
    settled,
    shared_mortals_fixture,  # noqa: F401
    sound,
)

import sojourn
import sojourn as sj
from sojourn.client.studies import Run
from sojourn.errors import SojournError
from sojourn.hub import program as hub_program
from sojourn.identity.keys import PrivateKey
from sojourn.node import program as node_program
from sojourn.node.config import NodeHome
from sojourn.study.lifecycle import STUDY

pytestmark = pytest.mark.timeout(300)
MOMENTS = ("before", "after")
ALONE = pytest.mark.faults  # to see which of them it was, where both together fail


def around(*points: str) -> list[Point]:
    """Die before the first of them, after it, before the next, …: each in a life of its own."""
    return [(moment, point, 1) for point in points for moment in MOMENTS]


# In the order in which a study comes past them, a kind of log entry standing for the commit that holds it.
HUB = around("study.prepared", "study.submitted", "Hub.submit", "round.asked", "Studies.advance", "Hub.poll")
HUB += around("Studies.deliver", "round.answered", "analysis.concluded", "study.completed")
NODE = around("HubLink.publish", "HubLink.poll", "run.admitted", "Openings.open", "Computation.support")
NODE += around("Computation.round", "ledger.charged", "release.sealed", "HubLink.deliver", "release.acknowledged")
NODE += around("run.ended")
REFUSING_HUB, REFUSING_NODE = around("round.refused"), around("run.refused", "release.refused")
GIVEN_UP, LATE, CANCELLED = around("round.dropped", "study.failed"), around("round.late"), around("study.cancelled")
HUB_PEOPLE = ("project.added", "project.member", "site.invited", "site.joined", "site.removed")
NODE_PEOPLE = ("dataset.added", "rehearsal.supplied", "researcher.approved", "researcher.revoked", "artifact.scanned")
NODE_PEOPLE += ("site.pinned", "pilot.signed", "tables.published", "tables.undone", "tables.redone", "row.explained")
ALARMED = around("researcher.suspected", "researcher.cleared")
PUBLISHED, RECOVERED = around("site.published"), around("run.restored", "node.recovered")
# Swept by `test_review_kill_points`.
HELD = around("review.opened", "round.held")
REVIEWED = around("checker.enrolled", "checker.removed", "review.edited", "review.raised", "review.voted")
REVIEWED += around("review.approved", "review.rejected", "review.closed")
WITHDRAWN, PRIVATE = around("release.withdrawn"), around("privacy.charged", "privacy.drawn")
REPEATED = around("release.sealed", "HubLink.deliver", "release.acknowledged")


def test_the_sweeps_come_past_every_kind_of_entry_that_the_programs_write() -> None:
    swept = [*HUB, *NODE, *REFUSING_HUB, *REFUSING_NODE, *GIVEN_UP, *LATE, *CANCELLED]
    swept += [*ALARMED, *PUBLISHED, *around(*HUB_PEOPLE, *NODE_PEOPLE)]
    swept += [*RECOVERED, *WITHDRAWN, *HELD, *REVIEWED, *PRIVATE]
    kinds = {point for _, point, _ in swept if point[0].islower()}
    assert kinds == kinds_in_code()


def kinds_in_code() -> set[str]:
    """Every kind of log entry that hub and node write: the texts of the functions that make an `Entry`."""
    kinds = {f"study.{state}" for state in STUDY.terminal}  # written as f"study.{state}"
    for path in Path(sojourn.__path__[0]).glob("*/*.py"):
        functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
        for function in functions if path.parent.name in ("hub", "node") else []:
            inside = list(ast.walk(function))
            called = {
                getattr(node.func, "id", getattr(node.func, "attr", "")) for node in inside if hasattr(node, "func")
            }
            if called & {"Entry", "_entry"}:
                texts = (str(node.value) for node in inside if isinstance(node, ast.Constant))
                kinds |= {text for text in texts if re.fullmatch(r"[a-z]+\.[a-z]+", text)}
    return kinds


# ---- C01-C05: the five kills that everybody asks about


def test_c01_a_node_killed_while_it_computes(mortals: Mortals) -> None:
    """By its process id, with a real worker process in hand."""
    mortals.orders["Avon"] = {"slow": 2.0}
    mortals.armed(Avon=[])
    since = mortals.traced("Avon")
    run = mortals.submit(mortals.project(), ordinary())
    until("a computation", lambda: points(mortals, "Avon", "Computation.round", since))
    below = descendants(mortals.running["Avon"].pid)
    mortals.orders["Avon"] = {}
    mortals.kill("Avon")
    assert below
    until("the end of its workers", lambda: not any(alive(pid) for pid in below), 10)
    mortals.start("Avon")
    sound(mortals, run)
    computed = points(mortals, "Avon", "Computation.round", since)
    assert len(computed) == len(set(computed)) + 1  # what was in hand is computed once more, under the same charge


def test_c02_a_node_killed_between_sealing_and_sending(mortals: Mortals) -> None:
    mortals.armed(Brent=[("after", "release.sealed", 2)])
    since = mortals.traced("Brent")
    run = mortals.submit(mortals.project(), ordinary())
    sound(mortals, run)
    computed = points(mortals, "Brent", "Computation.round", since)
    assert len(computed) == len(set(computed))  # sent as it was sealed, not computed again


def test_c03_a_node_killed_about_its_charge(mortals: Mortals) -> None:
    """Charge and first release are one commit: killed before it, both happen after the restart; after it, neither."""
    mortals.armed(Brent=[("before", "ledger.charged", 1), ("after", "ledger.charged", 1)])
    sound(mortals, mortals.submit(mortals.project(), ordinary()))
    assert [death.point[:2] for death in mortals.deaths] == [("before", "ledger.charged"), ("after", "ledger.charged")]


def test_c04_a_hub_killed_before_it_commits_an_answer(mortals: Mortals) -> None:
    mortals.armed(hub=[("before", "round.answered", 2)])
    run = mortals.submit(mortals.project(), ordinary())
    sound(mortals, run)
    assert max(attempts for site in SITES for attempts in same_bytes(mortals, site, run).values()) > 1


def test_c05_a_hub_killed_between_commit_and_acknowledgement(mortals: Mortals) -> None:
    mortals.armed(hub=[("after", "round.answered", 2)])
    run = mortals.submit(mortals.project(), ordinary())
    sound(mortals, run)
    assert max(attempts for site in SITES for attempts in same_bytes(mortals, site, run).values()) > 1


def points(mortals: Mortals, party: str, point: str, since: int) -> list[str]:
    """What a party began at this point, in order."""
    lines = mortals.trace(party, since)
    return [line["what"] for line in lines if (line["moment"], line["point"]) == ("before", point)]


# ---- C06: everywhere


@pytest.mark.parametrize(
    "parties",
    [
        pytest.param(("hub", "Brent"), marks=pytest.mark.long),
        *(pytest.param((one,), marks=ALONE) for one in ("hub", "Brent")),
    ],
)
def test_c06_killed_around_every_step_of_a_study(mortals: Mortals, parties: tuple[str, ...]) -> None:
    fates = {party: HUB if party == "hub" else NODE for party in parties}
    mortals.armed(**fates)
    sound(mortals, mortals.submit(mortals.insist(mortals.project), ordinary()))
    for name, expected in fates.items():
        assert [death.point for death in mortals.deaths if death.party == name] == expected


def test_c06_killed_around_a_refusal(mortals: Mortals) -> None:
    mortals.node("Cam", "revoke", project="wards", key=mortals.key.public.hex)
    try:
        mortals.armed(hub=REFUSING_HUB, Cam=REFUSING_NODE)
        run = mortals.submit(mortals.project(), ordinary(min_sites=2))
        assert mortals.finish(run) == "completed"
    finally:
        mortals.node("Cam", "approve", project="wards", key=mortals.key.public.hex)
    assert len(mortals.deaths) == len(REFUSING_HUB) + len(REFUSING_NODE)
    settled(mortals, run)
    right(mortals, run, SITES[:2])


def test_c06_a_node_killed_around_what_it_withdraws(mortals: Mortals) -> None:
    """Sealed, not yet handed over, and then its approval is withdrawn: a refusal leaves in its place."""
    mortals.armed(Cam=[("after", "release.sealed", 1), *WITHDRAWN])
    run = mortals.submit(mortals.project(), counting(min_sites=2))
    until("Cam's end", lambda: mortals.running["Cam"].poll() is not None)
    mortals.node("Cam", "revoke", project="wards", key=mortals.key.public.hex)
    try:
        assert mortals.finish(run) == "completed"
    finally:
        mortals.node("Cam", "approve", project="wards", key=mortals.key.public.hex)
    settled(mortals, run, ["Avon", "Brent"])
    kinds = [entry["kind"] for entry in mortals.log("Cam", run.study)]
    assert [kinds.count(kind) for kind in ("release.sealed", "release.withdrawn", "release.acknowledged")] == [1, 1, 1]
    assert ("Cam", "round.refused") in [
        (entry["facts"].get("site"), entry["kind"]) for entry in mortals.log("hub", run.study)
    ]
    assert len(mortals.deaths) == 1 + len(WITHDRAWN)


def test_c06_a_node_killed_around_what_it_charges_and_draws(mortals: Mortals) -> None:
    """One charge and one draw, however often it dies about them."""
    home = NodeHome.load(mortals.home / "Cam")
    replace(home, privacy={"patients": {"epsilon": 4.0, "release": 0.5}}).save()
    try:
        mortals.armed(Cam=PRIVATE)
        run = mortals.submit(mortals.project(), counting())
        assert mortals.finish(run) == "completed"
    finally:
        home.save()
        mortals.armed(Cam=[])
    assert [death.point for death in mortals.deaths] == PRIVATE
    settled(mortals, run)
    kinds = [entry["kind"] for entry in mortals.log("Cam", run.study)]
    assert [kinds.count(kind) for kind in ("privacy.charged", "privacy.drawn", "release.sealed")] == [1, 1, 1]
    assert mortals.rows("Cam", "SELECT count(*) FROM privacy_loss NATURAL JOIN noisy_answer") == [(1,)]


@pytest.mark.long
def test_c06_a_node_killed_around_what_it_repeats(mortals: Mortals) -> None:
    """Both rounds of an identical ask leave as they left before, each once: nothing is computed, nothing charged."""
    home = NodeHome.load(mortals.home / "Cam")
    replace(home, repeats=True).save()
    plan = sj.Plan(table="patients", purpose="HMB", analyses={"ages": sj.describe("age", by="sick")})
    try:
        mortals.armed(Cam=[])
        first = mortals.submit(mortals.project(), plan)
        assert mortals.finish(first) == "completed"
        ledger = mortals.rows("Cam", "SELECT count(*) FROM ledger")
        mortals.armed(Cam=[*REPEATED, *REPEATED])
        since = mortals.traced("Cam")
        run = mortals.submit(mortals.project(), plan)
        assert mortals.finish(run) == "completed"
    finally:
        home.save()
        mortals.armed(Cam=[])
    assert [death.point for death in mortals.deaths] == [*REPEATED, *REPEATED]
    assert points(mortals, "Cam", "Computation.round", since) == []
    settled(mortals, first)
    settled(mortals, run)
    assert max(same_bytes(mortals, "Cam", run, since).values()) > 1
    query = "SELECT round, first_study, first_analysis, numbers FROM release WHERE study = ? ORDER BY round"
    before, after = (mortals.rows("Cam", query, one.study) for one in (first, run))
    assert [row[:3] for row in after] == [(1, first.study, "ages"), (2, first.study, "ages")]
    assert [row[3] for row in before] == [row[3] for row in after]
    assert mortals.rows("Cam", "SELECT count(*) FROM ledger") == ledger
    tables = [mortals.insist(lambda one=one: mortals.researcher().study(one.study).results()) for one in (first, run)]
    assert tables[1].trusted and tables[0]["ages"].table.equals(tables[1]["ages"].table)


@pytest.mark.long
def test_c06_killed_around_giving_up_a_site_and_what_it_says_too_late(mortals: Mortals) -> None:
    release = hold(mortals, "Cam")
    project = mortals.project()
    without = mortals.submit(project, counting(min_sites=2, stragglers=100))
    failing = mortals.submit(project, counting(min_sites=3, stragglers=100))
    mortals.tended("answers", lambda: len(answers(mortals, without)) == len(answers(mortals, failing)) == 2)
    mortals.tended("Cam's answers", lambda: sealed(mortals, "Cam", without) and sealed(mortals, "Cam", failing))
    mortals.armed(hub=GIVEN_UP)
    ends = {without: "completed", failing: "failed"}
    mortals.later("both ends", lambda: all(state(mortals, run) == end for run, end in ends.items()), 101)
    mortals.tended("all deaths", lambda: len(mortals.deaths) == len(GIVEN_UP))
    mortals.armed(hub=LATE)
    release()
    for run, end in ends.items():
        assert mortals.finish(run) == end
        settled(mortals, run, ["Avon", "Brent"])
        late = [entry["facts"]["site"] for entry in mortals.log("hub", run.study) if entry["kind"] == "round.late"]
        assert late == ["Cam"]
        said = [entry["kind"] for entry in mortals.log("Cam", run.study)]
        assert said.count("release.sealed") == said.count("release.acknowledged") == 1
    assert [death.point for death in mortals.deaths] == [*GIVEN_UP, *LATE]


def test_c06_killed_around_a_cancellation(mortals: Mortals) -> None:
    release = hold(mortals, "Cam")
    run = mortals.submit(mortals.project(), counting())
    mortals.tended("two answers", lambda: len(answers(mortals, run)) == 2 and sealed(mortals, "Cam", run))
    mortals.armed(hub=CANCELLED)
    assert not mortals.insist(run.cancel)  # cancelled by the request whose answer was lost
    release()
    assert mortals.finish(run) == "cancelled"
    settled(mortals, run, ["Avon", "Brent"])
    assert [death.point for death in mortals.deaths] == CANCELLED


def hold(mortals: Mortals, site: str) -> Callable[[], None]:
    """Let a site come to its answer and not hand it over; what is returned lets it."""
    gate = mortals.home / f"{site}-{mortals.traced(site)}.gate"
    mortals.orders[site] |= {"wait": ["before", "HubLink.deliver", str(gate)]}
    mortals.armed(**{site: []})
    return lambda: gate.write_text("")


def answers(mortals: Mortals, run: Run) -> list[str]:
    """The sites whose answers the hub has, in order."""
    return [entry["facts"]["site"] for entry in mortals.log("hub", run.study) if entry["kind"] == "round.answered"]


def sealed(mortals: Mortals, site: str, run: Run) -> int:
    """How many answers a site has sealed for a study."""
    return len([entry for entry in mortals.log(site, run.study) if entry["kind"] == "release.sealed"])


def state(mortals: Mortals, run: Run) -> str:
    """The state of a study as the hub has stored it."""
    return str(mortals.hub_rows("SELECT state FROM study WHERE id = ?", run.study)[0][0])


@pytest.mark.long
def test_c06_killed_around_every_decision_of_the_hub_s_administrator(mortals: Mortals) -> None:
    """Whoever got no answer asks again: then it is done, or had been done."""
    node_program.create(mortals.home / "Dee", "Dee", "none", least_sites=1)
    key = PrivateKey.generate().public.hex
    lines: list[str] = []

    def ask(name: str, /, **words: str) -> Callable[[], object]:
        return lambda: hub_program.ask(mortals.home / "hub", name, **words)

    asks: dict[str, Callable[[], object]] = {
        "project.added": ask("add_project", name="lungs"),
        "project.member": ask("add_member", project="lungs", key=key),
        "site.invited": lambda: lines.append(str(mortals.hub("invite", site="Dee"))),
        "site.joined": lambda: mortals.command("node", "join", lines[-1], "--home", str(mortals.home / "Dee")),
        "site.removed": ask("remove", site="Dee"),
    }
    assert tuple(asks) == HUB_PEOPLE
    before = len(mortals.log("hub", ""))
    for kind, act in asks.items():
        mortals.armed(hub=around(kind))
        die_twice(mortals, act)
        assert again(act) in (None, "There is a project lungs already.", "There is no site Dee."), kind
    logged = [entry["kind"] for entry in mortals.log("hub", "")][before:]
    assert [logged.count(kind) for kind in ("site.joined", "site.removed")] == [1, 1]
    assert mortals.hub("verify")["ok"]


@pytest.mark.long
def test_c06_killed_around_every_decision_of_a_custodian(mortals: Mortals) -> None:
    key = PrivateKey.generate().public.hex
    source, words = (str(mortals.home / f"Cam-patients.{end}") for end in ("parquet", "yaml"))

    def ask(name: str, /, **words: object) -> Callable[[], object]:
        return lambda: node_program.ask(mortals.home / "Cam", name, **words)

    asks = {
        "dataset.added": ask("add_dataset", source=source, dictionary=words),
        "rehearsal.supplied": ask("add_stand_in", source=source, table="patients"),
        "researcher.approved": ask("approve", project="wards", key=key),
        "researcher.revoked": ask("revoke", project="wards", key=key),
        "artifact.scanned": ask("scanned", facts={"sha256": "0" * 64, "bytes": 1, "clean": True}),
        "site.pinned": ask("pin", site="Elsewhere", key=key),
        **{word: ask("harmonised", word=word, facts={"source": "clinic"}) for word in NODE_PEOPLE[-5:]},
    }
    assert tuple(asks) == NODE_PEOPLE
    for kind, act in asks.items():
        mortals.armed(Cam=around(kind))
        die_twice(mortals, act)
        assert again(act) in (None, "There is no such approval."), kind
    assert mortals.node("Cam", "verify")["ok"]
    sound(mortals, mortals.submit(mortals.project(), ordinary()))


@ALONE
def test_c06_a_node_killed_around_an_alarm(mortals: Mortals) -> None:
    """Five tables that Cam publishes and approved for nobody: one alarm, however often it dies, and cleared once."""
    source = str(mortals.home / "Cam-patients.parquet")
    for number in range(5):
        words = mortals.home / f"beyond{number}.yaml"
        dictionary(f"beyond{number}").save(words)
        mortals.node("Cam", "add_dataset", source=source, dictionary=str(words))
    beyond = {f"beyond{number}" for number in range(5)}

    def tables() -> set[str]:
        return {str(data["table"]) for view in mortals.project().sites() for data in view.datasets}

    mortals.tended("the tables", lambda: beyond <= mortals.insist(tables))
    cam = NodeHome.load(mortals.home / "Cam")
    replace(cam, usual_asks=20).save()
    mortals.armed(Cam=around("researcher.suspected"))
    before = len(mortals.deaths)

    def ask(plan: sj.Plan) -> None:
        run = mortals.submit(mortals.insist(mortals.project), plan)
        mortals.tended("an end", lambda: state(mortals, run) in ENDED)

    for table in sorted(beyond):
        ask(counting(min_sites=1).replace(table=table))
    for _ in range(3):  # a crash before the commit leaves it to what is asked next
        if len(mortals.deaths) < before + 2:
            ask(counting(min_sites=2))
    [alarm] = mortals.node("Cam", "alarms")
    assert alarm["scope"] == "5 of 5"
    mortals.armed(Cam=around("researcher.cleared"))

    def clear() -> object:
        return mortals.node("Cam", "clear", key=alarm["key"], reason="a test")

    die_twice(mortals, clear)
    assert again(clear) == "No alarm stands about this key."
    logged = [kind for (kind,) in mortals.rows("Cam", "SELECT data ->> 'kind' FROM log_entry")]
    assert [logged.count(kind) for kind in ("researcher.suspected", "researcher.cleared")] == [1, 1]
    cam.save()
    mortals.armed(Cam=[])
    assert mortals.node("Cam", "verify")["ok"]
    sound(mortals, mortals.submit(mortals.project(), ordinary()))


def test_c06_a_hub_killed_around_what_a_site_publishes(mortals: Mortals) -> None:
    source, words = mortals.home / "Cam-patients.parquet", mortals.home / "published.yaml"
    dictionary("published").save(words)
    mortals.armed(hub=PUBLISHED)
    mortals.node("Cam", "add_dataset", source=str(source), dictionary=str(words))
    mortals.tended("two deaths", lambda: len(mortals.deaths) == len(PUBLISHED))

    def tables() -> set[str]:
        return {str(data["table"]) for view in mortals.project().sites() for data in view.datasets}

    mortals.tended("the table", lambda: "published" in mortals.insist(tables))
    logged = [entry["facts"]["tables"] for entry in mortals.log("hub", "") if entry["kind"] == "site.published"]
    assert [names for names in logged if "published" in names] == [["patients", "published"]]


@pytest.mark.nightly
def test_c06_a_node_killed_around_its_recovery_from_a_backup(mortals: Mortals) -> None:
    mortals.stop("Cam")
    shutil.copytree(mortals.home / "Cam", mortals.home / "backup")
    mortals.start("Cam")
    run = mortals.submit(mortals.project(), ordinary())
    sound(mortals, run)
    charged = mortals.rows("Cam", "SELECT analysis, label FROM ledger WHERE study = ? ORDER BY 1, 2", run.study)
    mortals.stop("Cam")
    shutil.rmtree(mortals.home / "Cam")
    shutil.move(mortals.home / "backup", mortals.home / "Cam")
    mortals.fates["Cam"] = [*RECOVERED]
    mortals.start("Cam")

    def behind() -> bool:
        shown = mortals.node("Cam", "show")
        return bool(shown["connected"] and any(row["behind"] for row in shown["log"]["witnessed_by"]))

    said: list[str | None] = []

    def dies(point: Point) -> bool:
        """Ask again where there was no way to the hub just then; `said` tells what else was in the way."""
        until("the hub's memory", behind)
        said.append(again(lambda: mortals.node("Cam", "recover")))
        try:
            return mortals.tended("a death", lambda: bool(mortals.deaths) and mortals.deaths[-1].point == point, 5.0)
        except AssertionError:
            return False

    for point in RECOVERED:
        until(f"a death at {point}; {said}", lambda point=point: dies(point), 60)
    assert "nothing to recover" in str(again(lambda: mortals.node("Cam", "recover")))
    mortals.hub("accept_log", site="Cam", reason="restored from a backup")
    assert charged and charged == mortals.rows(
        "Cam", "SELECT analysis, label FROM ledger WHERE study = ? ORDER BY 1, 2", run.study
    )
    kinds = [entry["kind"] for entry in mortals.log("Cam", run.study)]
    assert kinds.count("run.restored") == 1
    sound(mortals, mortals.submit(mortals.project(), ordinary()))


@pytest.mark.long
def test_a_node_that_is_stopped_while_it_computes_goes_on_after_its_start(mortals: Mortals) -> None:
    """A stop is no refusal: the computation is still in hand when its worker is ended, two seconds after SIGTERM."""
    mortals.orders["Avon"] |= {"slow": 4.0}
    mortals.armed(Avon=[])
    since = mortals.traced("Avon")
    run = mortals.submit(mortals.project(), ordinary())
    until("a computation", lambda: points(mortals, "Avon", "Computation.round", since))
    mortals.orders["Avon"] = {"threads": True}
    mortals.stop("Avon")
    mortals.start("Avon")
    sound(mortals, run)
    computed = points(mortals, "Avon", "Computation.round", since)
    assert len(computed) == len(set(computed)) + 1  # what was in hand, once more


def die_twice(mortals: Mortals, act: Callable[[], object]) -> None:
    """Whoever asks gets no answer: the program dies before the commit, and once more after it."""
    for _ in MOMENTS:
        before = len(mortals.deaths)
        with pytest.raises(SojournError):
            act()
        mortals.tended("a death and a start", lambda before=before: len(mortals.deaths) == before + 1)


def again(act: Callable[[], object]) -> str | None:
    """What it says when it is asked again; None where it does as it is asked."""
    try:
        act()
    except SojournError as error:
        return str(error.args[0])
    return None


# ---- every single occurrence: `make faults`


def occurrences(mortals: Mortals, party: str) -> Iterator[Point]:
    """Every step that a party comes past in one study without a fault, each time that it does."""
    mortals.armed(**{party: []})
    since = mortals.traced(party)
    sound(mortals, mortals.submit(mortals.project(), ordinary()))
    count: dict[tuple[str, str], int] = {}
    for line in mortals.trace(party, since):
        place = (line["moment"], line["point"])
        count[place] = count.get(place, 0) + 1
        yield (*place, count[place])


@pytest.mark.faults
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("party", ["hub", "Brent"])
def test_c06_killed_at_every_single_step(mortals: Mortals, party: str) -> None:
    everywhere = list(occurrences(mortals, party))
    assert len(everywhere) > 50
    reached = 0
    for point in everywhere:
        mortals.deaths.clear()
        mortals.armed(**{party: [point]})
        run = mortals.submit(mortals.insist(mortals.project), ordinary())
        over = mortals.tended("the end", lambda run=run: state(mortals, run) in ENDED)
        assert over
        if mortals.fates[party] or mortals.lives[party].fate is not None:  # polls are not the same each time
            mortals.armed(**{party: []})
        reached += bool(mortals.deaths)
        sound(mortals, run)
    assert reached >= 0.9 * len(everywhere)
