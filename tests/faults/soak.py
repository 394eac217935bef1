"""Many small studies over many nodes while the hub is killed again and again: what was lost, what was doubled."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mortal_processes import ENDED, Mortals, counting, patients

from sojourn.client.studies import Federation, Run
from sojourn.errors import SojournError
from sojourn.wire.transport import AccessRefused, ServerRefused, TransportError


class Soak(Mortals):
    """A hub and so many nodes, each a process with workers in threads, and researchers who never give up."""

    def __init__(self, home: Path, nodes: int) -> None:
        self.sites = tuple(f"n{number:02}" for number in range(nodes))
        super().__init__(home)
        self.runs: dict[str, str] = {}  # study → the state that its researcher saw at its end
        self.problems: list[str] = []
        self._submitted = 0
        self._lock = threading.Lock()

    def soak(self, studies: int, restarts: int, researchers: int, seconds: float) -> dict[str, Any]:
        """Submit so many studies from so many threads; the hub is killed `restarts` times, evenly spread."""
        began, used = time.monotonic(), self.processor()
        memory: dict[int, dict[str, float]] = {}  # by studies done
        people = [threading.Thread(target=self._work, args=(studies,), daemon=True) for _ in range(researchers)]
        for person in people:
            person.start()
        kills = [studies * (number + 1) // (restarts + 1) for number in range(restarts)]
        back: list[float] = []
        while any(person.is_alive() for person in people):
            assert time.monotonic() - began < seconds, f"{len(self.runs)} of {studies} studies in {seconds} s"
            if len(self.runs) >= len(memory) * max(1, studies // 10):
                memory[len(self.runs)] = self.memory()
            if kills and len(self.runs) >= kills[0]:
                kills.pop(0)
                self.kill("hub")
                killed = time.monotonic()
                self.start("hub")
                back.append(time.monotonic() - killed)
            self.running_still()
            time.sleep(0.05)
        took = time.monotonic() - began
        memory[len(self.runs)] = self.memory()
        spent = self.processor()
        self.tended("the nodes' rest", lambda: not any(self._open(site) for site in self.sites))
        return {
            "studies": studies,
            "nodes": len(self.sites),
            "restarts": restarts,
            "researchers": researchers,
            "seconds": round(took, 1),
            "studies_per_minute": round(60 * studies / took, 1),
            "hub_answers_again_after_s": [round(value, 2) for value in back],
            "memory_mb": memory,
            "processor_s": {
                "hub_since_last_start": round(spent["hub"], 1),
                "all_nodes": round(sum(spent[site] - used[site] for site in self.sites), 1),
            },
            **self.counted(studies),
        }

    def counted(self, studies: int) -> dict[str, Any]:
        """What the stores of all parties say; `problems` is empty where nothing is lost or doubled."""
        states = dict(self.hub_rows("SELECT state, count(*) FROM study GROUP BY 1"))
        entries = [json.loads(data) for (data,) in self.hub_rows("SELECT data FROM log_entry")]
        answers = Counter(
            (entry["study"], entry["facts"]["site"], entry["facts"]["ask"])
            for entry in entries
            if entry["kind"] == "round.answered"
        )
        submitted = Counter(entry["study"] for entry in entries if entry["kind"] == "study.submitted")
        doubled = [key for key, times in (answers + submitted).items() if times > 1]
        lost = [study for study in self.runs if submitted[study] != 1]
        lost += [str(row) for row in self.hub_rows("SELECT * FROM task WHERE state <> 'contributed'")]
        for site in self.sites:
            doubled += self._doubled(site)
        wrong = self._wrong()
        reports = {name: self.hub("verify") if name == "hub" else self.node(name, "verify") for name in self._names()}
        return {
            "terminal": {state: number for state, number in states.items() if state in ENDED},
            "not_terminal": sum(number for state, number in states.items() if state not in ENDED),
            "seen_by_researchers": dict(Counter(self.runs.values())),
            "lost": len(lost) + studies - len(self.runs),
            "doubled": len(doubled),
            "wrong_answers": wrong,
            "releases": len(answers),
            "hub_log_entries": len(entries),
            "logs_verified": sum(report["ok"] for report in reports.values()),
            "problems": self.problems[:10],
        }

    def memory(self) -> dict[str, float]:
        """Resident megabytes of the hub, and of the largest node."""
        sizes = {name: resident(process.pid) for name, process in self.running.items()}
        return {"hub": sizes.pop("hub"), "largest_node": max(sizes.values())}

    def processor(self) -> dict[str, float]:
        """Seconds of processor time of each process so far."""
        return {name: processor(process.pid) for name, process in self.running.items()}

    def _names(self) -> Sequence[str]:
        return ("hub", *self.sites)

    def _open(self, site: str) -> list[Any]:
        return self.rows(site, "SELECT 1 FROM release WHERE acknowledged = 0 UNION SELECT 1 FROM run WHERE ended = ''")

    def _doubled(self, site: str) -> list[Any]:
        """Entries of a node that there must be one of for each answer, charge or run, and are more."""
        seen: Counter[Any] = Counter()
        for (data,) in self.rows(site, "SELECT data FROM log_entry"):
            entry = json.loads(data)
            facts = entry["facts"]
            if entry["kind"].startswith(("release.", "ledger.", "run.")):
                seen[entry["kind"], entry["study"], facts.get("ask", "")] += 1
        return [key for key, times in seen.items() if times > 1]

    def _wrong(self) -> int:
        """Estimates that are not the counts over all rows."""
        frames = [patients(place, 300) for place in range(len(self.sites))]
        sick = int(sum(frame["sick"].sum() for frame in frames))
        expected = {300 * len(frames) - sick, sick}
        found = [json.loads(estimate) for (estimate,) in self.hub_rows("SELECT estimate FROM result")]
        return sum(not expected <= numbers(estimate) for estimate in found)

    # ---- researchers

    def _work(self, studies: int) -> None:
        federation = self.researcher()
        while True:
            with self._lock:
                if self._submitted >= studies:
                    return
                self._submitted += 1
            try:
                self._one(federation)
            except Exception as error:
                self.problems.append(f"{type(error).__name__}: {error}")

    def _one(self, federation: Federation) -> None:
        project = federation.project("wards")
        request = patiently(lambda: project.request(counting()))

        def send() -> Run:
            try:
                return project.send(request)
            except SojournError as error:
                if "submitted before" not in str(error):
                    raise
                return federation.study(request.study)

        run = patiently(send)
        since = 0
        while True:
            seen = patiently(partial(run.view, since, wait=20.0))
            since += len(seen.events)
            if seen.state in ENDED:
                self.runs[run.study] = seen.state
                return


def patiently(ask: Any) -> Any:
    """Ask again while the hub is away."""
    for _ in range(600):
        try:
            return ask()
        except (ServerRefused, AccessRefused):
            raise
        except TransportError:
            time.sleep(0.1)
    raise AssertionError("the hub did not come back")


def numbers(document: Any) -> set[Any]:
    """Every number in a JSON document."""
    if isinstance(document, dict):
        return set().union(*(numbers(value) for value in document.values())) if document else set()
    if isinstance(document, list):
        return set().union(*(numbers(value) for value in document)) if document else set()
    return {document} if isinstance(document, int | float) else set()


def processor(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """Megabytes in memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return round(int(status.partition("VmRSS:")[2].split()[0]) / 1024, 1)
