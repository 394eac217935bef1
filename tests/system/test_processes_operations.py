"""What operators do with the real programs: ask whether they are ready, read metrics and logs, stop, upgrade."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from federation_processes import (  # noqa: F401  (pytest finds them here)
    CANARY_LEVEL,
    CANARY_NUMBER,
    SITES,
    Processes,
    shared_fixture,
    until,
    wards_fixture,
)
from prometheus_client.parser import text_string_to_metric_families

import sojourn as sj
from sojourn import __version__
from sojourn.client.studies import Run
from sojourn.errors import ConfigurationError
from sojourn.hub import program as hub_program
from sojourn.node import program as node_program
from sojourn.operations.logs import FIELDS, FIXED
from sojourn.wire.administration import listens
from sojourn.wire.authorities import pinned_context

pytestmark = pytest.mark.long

TITLE = "Xylophagous"
MAJOR, MINOR = (int(part) for part in __version__.split(".")[:2])
NEWER, TOO_NEW = (f"{MAJOR}.{MINOR + step}.0" for step in (1, 2))
ENDS_WITHIN = 5.0

# Another version: its messages say a word more, as a newer one's may.
PATCHED = """
import sys
import sojourn
sojourn.__version__ = sys.argv.pop(1)
from sojourn import messages
if sys.argv.pop(1) == "with more words":
    for name in ("Publish", "Poll", "Shown", "Delivery", "Work", "Task", "Acknowledgement", "Federation"):
        kind = getattr(messages, name)
        words = {"__annotations__": {"mood": str}, "mood": "calm", "__module__": kind.__module__}
        setattr(messages, name, type(name, (kind,), words))
from sojourn.cli import main
main(sys.argv[1:])
"""


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sojourn", *words], capture_output=True, text=True, timeout=60, check=False
    )


def plan(table: str = "patients", **words: Any) -> sj.Plan:
    model = sj.glm("sick ~ age + lab", family="binomial")
    return sj.Plan(table=table, purpose="HMB", title=TITLE, analyses={"model": model}, **words)


def log_of(wards: Processes, name: str, since: int = 0) -> list[dict[str, Any]]:
    """The lines of a program's log, after the checks that hold for each."""
    text = (wards.home / f"{name}.out").read_text()[since:]
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    for line in found:
        assert list(line)[: len(FIXED)] == list(FIXED)
        assert set(line) <= {*FIXED, *FIELDS}
        assert line["event"] != "entry.not_watched", line
        assert line["program"] == ("hub" if name == "hub" else "node")
    rest = [line for line in text.splitlines() if not line.startswith("{")]
    assert all(line.startswith(("The hub answers at", f"{name} asks")) for line in rest), rest
    return found


def written(wards: Processes, name: str) -> int:
    return len((wards.home / f"{name}.out").read_text())


def test_programs_say_whether_they_are_ready(wards: Processes) -> None:
    assert hub_program.not_ready(wards.home / "hub") == node_program.not_ready(wards.home / "Cam") == []
    authority = (wards.home / "Cam" / "hub-ca.pem").read_text()
    with httpx.Client(verify=pinned_context(authority), base_url=wards.url, trust_env=False) as client:
        assert client.get("/v1/ready").json() == {"ready": True, "reasons": [], "software": __version__}
    wards.stop("Cam")
    said = command("node", "ready", "--home", str(wards.home / "Cam"), "--json")
    assert said.returncode == 1
    assert json.loads(said.stdout) == {"ready": False, "reasons": ["it does not run"]}
    with pytest.raises(ConfigurationError, match="not running"):
        node_program.metrics(wards.home / "Cam")


def test_programs_show_their_metrics(wards: Processes) -> None:
    said = command("hub", "metrics", "--home", str(wards.home / "hub")).stdout
    for program, text in (("hub", said), ("node", node_program.metrics(wards.home / "Avon"))):
        found = {family.name: family for family in text_string_to_metric_families(text)}
        assert found[f"sojourn_{program}_info"].samples[0].labels == {"version": __version__}
        assert 3e7 < found["process_resident_memory_bytes"].samples[0].value < 1e9
        assert sum(sample.value for sample in found[f"sojourn_{program}_not_ready"].samples) == 0


def test_logs_hold_events_and_nothing_of_data_or_plans(wards: Processes) -> None:
    good = wards.project().submit(plan())
    few = wards.project().submit(plan(where="lab > 13.10007"))
    assert good.wait(60).trusted
    few.wait(60)
    authority = (wards.home / "Cam" / "hub-ca.pem").read_text()
    with httpx.Client(verify=pinned_context(authority), base_url=wards.url, trust_env=False) as client:
        assert client.post(f"/v1/sites/{TITLE}/poll", json={"title": TITLE}).status_code == 403

    def events() -> set[str]:
        return {line["event"] for line in log_of(wards, "hub") if line.get("study") == good.study}

    wanted = {"study.submitted", "round.asked", "round.answered", "analysis.concluded", "study.completed"}
    until("its events", lambda: wanted <= events())
    found = {name: log_of(wards, name) for name in ("hub", *SITES)}
    assert any(line["event"] == "round.refused" and line["reason"] for line in found["hub"])
    assert any(line["event"] == "release.sealed" for line in found["Avon"])
    for name in found:
        text = (wards.home / f"{name}.out").read_text()
        assert not any(word in text for word in (TITLE, CANARY_LEVEL, str(CANARY_NUMBER), "10007", "patients", '"lab"'))


def settled(wards: Processes, run: Run) -> None:
    """Every site answered every round once, and the hub has confirmed it all."""
    results = run.wait(90)
    assert results.trusted and set(results["model"].sites.values()) == {"contributed"}
    for site in SITES:
        until(f"{site}'s receipts", lambda site=site: all(row["acknowledged"] for row in mine(wards, site, run)))
        rounds = [row["round"] for row in mine(wards, site, run) if row["bytes"]]
        assert sorted(rounds) == list(range(1, results["model"].rounds + 1))


def mine(wards: Processes, site: str, run: Run) -> list[dict[str, Any]]:
    return list(wards.node(site, "released", study=run.study))


@pytest.mark.parametrize("stopped", ["hub", "Avon"])
def test_a_stop_is_quick_and_loses_nothing_while_a_study_runs(wards: Processes, stopped: str) -> None:
    since = written(wards, stopped)
    run = wards.project().submit(plan())
    until("a release", lambda: any(mine(wards, site, run) for site in SITES))
    # A researcher's program and the nodes wait at the hub now; Avon may be handing over.
    assert wards.stop(stopped) < ENDS_WITHIN
    last = log_of(wards, stopped, since)[-1]
    assert last["event"] == "program.ended" and last["seconds"] < ENDS_WITHIN
    wards.ensure()
    settled(wards, run)


def test_a_second_signal_ends_at_once() -> None:
    script = (
        "from sojourn.wire.serving import until_told_to_stop\nimport time\n"
        "print('there', flush=True)\nuntil_told_to_stop()\nprint('told', flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        until("its handlers", lambda: handles(process.pid))
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "told\n"
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM
        assert time.monotonic() - began < ENDS_WITHIN


def handles(pid: int) -> bool:
    """Whether a process catches SIGTERM."""
    [mask] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt")]
    return bool(int(mask.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def start_as(wards: Processes, name: str, software: str, more: bool) -> None:
    """Run this program as another version; with more words in its messages, as a newer one's may have."""
    wards.stop(name)
    words = ["hub" if name == "hub" else "node", "start", "--home", str(wards.home / name)]
    with (wards.home / f"{name}.out").open("ab") as log:
        code = [sys.executable, "-c", PATCHED, software, "with more words" if more else "", *words]
        wards.running[name] = subprocess.Popen(code, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


@pytest.fixture
def changing(wards: Processes) -> Iterator[Processes]:
    """The federation, whose programs run as their own version again afterwards."""
    before = dict(wards.running)
    yield wards
    for name in [name for name, process in before.items() if wards.running[name] is not process]:
        wards.stop(name)
    wards.ensure()


def warnings(wards: Processes, name: str, since: int) -> list[tuple[str, str]]:
    found = [line for line in log_of(wards, name, since) if line["event"] == "version.differs"]
    return [(line["software"], line["own"]) for line in found]


def answered(wards: Processes) -> None:
    """A study is answered by every site."""
    counting = sj.Plan(table="patients", purpose="HMB", analyses={"model": sj.count()})
    settled(wards, wards.project().submit(counting))


def test_a_node_one_minor_version_newer_works_and_both_say_so(changing: Processes) -> None:
    since = {name: written(changing, name) for name in ("hub", "Cam")}
    start_as(changing, "Cam", NEWER, more=True)
    until("Cam", lambda: changing.running_still() and changing.connected(), 60)
    answered(changing)
    seen = {row["site"]: row for row in changing.hub("show")["sites"]}
    assert (seen["Cam"]["software"], seen["Brent"]["advice"]) == (NEWER, "")
    assert seen["Cam"]["advice"] == f"The node of Cam runs {NEWER}, the hub {__version__}: upgrade the hub."
    shown = changing.node("Cam", "show")
    assert (shown["software"], shown["hub_software"]) == (NEWER, __version__)
    assert shown["advice"] == f"The hub runs {__version__}, this node {NEWER}: upgrade the hub."
    assert warnings(changing, "hub", since["hub"]) == [(NEWER, __version__)]
    assert warnings(changing, "Cam", since["Cam"]) == [(__version__, NEWER)]
    # and one further away is refused in words that name both
    start_as(changing, "Cam", TOO_NEW, more=True)
    until("Cam", lambda: listens(changing.home / "Cam" / "admin.sock"))
    trouble = until("a refusal", lambda: changing.node("Cam", "show")["trouble"])
    assert f"The node runs Sojourn {TOO_NEW}, the hub {__version__}" in trouble and "Upgrade the hub." in trouble
    assert node_program.not_ready(changing.home / "Cam") == ["the hub is not reached"]


def test_a_hub_one_minor_version_newer_works_with_older_nodes_and_researchers(changing: Processes) -> None:
    since = written(changing, "Brent")
    start_as(changing, "hub", NEWER, more=True)
    until("the hub", changing.shown)
    until("all sites", lambda: changing.running_still() and changing.connected(), 60)
    answered(changing)
    assert changing.hub("show")["software"] == NEWER
    advice = f"The hub runs {NEWER}, this node {__version__}: upgrade this node."
    assert changing.node("Brent", "show")["advice"] == advice
    assert warnings(changing, "Brent", since) == [(NEWER, __version__)]
