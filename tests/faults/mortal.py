"""Starts the real programs as processes that can be told where to die. Run by `mortal_processes`, not by hand.

It imports the product once and forks: a child is `sojourn hub start` or `sojourn node start`, as the command line runs
it, with its own process id, and costs no second import. The product knows nothing of this: the child wraps the commit
of the database driver and a few methods before it starts, and sends itself SIGKILL at the moment that it was told.

Questions come one JSON line each on standard input, answers go the same way on standard output:
{"start": words, "out": file, "trace": file, "orders": {...}} → {"pid"}; {"poll": pid} → {"code": number or null}.
Orders: `strike`: [moment, point, number]; `slow`: seconds that each local computation takes longer; `threads`: workers
without processes of their own; `tier`: a file with the tier that this node's ledger would say; `wait`: [moment, point,
file], to wait there until the file exists.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

CLOCK = Path(sys.argv[1])  # seconds by which everybody's clock is ahead
_true_time = time.time
time.time = lambda: _true_time() + float(CLOCK.read_text())  # before any import that keeps it as a default

import sqlalchemy.engine.default  # noqa: E402

import sojourn.cli  # noqa: E402
import sojourn.node.opening  # noqa: E402
from sojourn.disclosure.output import Finding, Tier, Verdict  # noqa: E402
from sojourn.disclosure.rules import joined  # noqa: E402
from sojourn.hub.service import Hub  # noqa: E402
from sojourn.hub.studies import Studies  # noqa: E402
from sojourn.messages import AskDocument, Delivery  # noqa: E402
from sojourn.node.computing import Computation  # noqa: E402
from sojourn.node.hub_link import HubLink  # noqa: E402
from sojourn.node.ledgers import Ledgers  # noqa: E402
from sojourn.node.opening import Openings  # noqa: E402
from sojourn.node.sandbox import InProcess  # noqa: E402
from sojourn.storage.journal import Journal  # noqa: E402

HUB_METHODS = {
    "Hub.submit": (Hub, "submit"),
    "Hub.poll": (Hub, "poll"),
    "Studies.deliver": (Studies, "deliver"),
    "Studies.advance": (Studies, "advance"),
}
NODE_METHODS = {
    "HubLink.publish": (HubLink, "publish"),
    "HubLink.poll": (HubLink, "poll"),
    "HubLink.deliver": (HubLink, "deliver"),
    "Openings.open": (Openings, "open"),
    "Computation.support": (Computation, "support"),
    "Computation.round": (Computation, "round"),
}
PR_SET_PDEATHSIG = 1


class Fate:
    """What one child was ordered, and what it has come past."""

    def __init__(self, trace: str, orders: dict[str, Any]) -> None:
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._strike = tuple(orders["strike"]) if "strike" in orders else ()
        self._wait = tuple(orders["wait"]) if "wait" in orders else ()
        self._passed: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def passes(self, moment: str, point: str, what: str = "") -> None:
        """Note that the process stands here; it may be the last thing that it does."""
        with self._lock:
            self._passed[moment, point] += 1
            fatal = (moment, point, self._passed[moment, point]) == self._strike
            line = {"pid": os.getpid(), "time": _true_time(), "moment": moment, "point": point, "what": what}
            os.write(self._trace, (json.dumps({**line, "fatal": fatal}) + "\n").encode())
            if fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        if (moment, point) == self._wait[:2]:
            while not os.path.exists(self._wait[2]):
                time.sleep(0.01)


def arm(fate: Fate, orders: dict[str, Any]) -> None:
    """Put the wrappers on."""
    _wrap_commits(fate)
    for point, (kind, name) in (HUB_METHODS | NODE_METHODS).items():
        _wrap(fate, point, kind, name, orders.get("slow", 0.0) if point == "Computation.round" else 0.0)
    if "tier" in orders:
        judge = Ledgers.judge

        def judging(self: Any, *arguments: Any) -> Any:
            said = judge(self, *arguments)
            return replace(said, finding=joined([said.finding, _tier(Path(orders["tier"]).read_text())]))

        Ledgers.judge = judging
    if orders.get("threads"):
        sojourn.node.opening.choose = lambda config: InProcess()


def _tier(word: str) -> Finding:
    return Finding(Verdict.RELEASE, tier=Tier(word), raised="design support")


def _wrap(fate: Fate, point: str, kind: type, name: str, slow: float) -> None:
    original = getattr(kind, name)

    def wrapped(self: Any, *arguments: Any, **words: Any) -> Any:
        what = _named(arguments)
        fate.passes("before", point, what)
        time.sleep(slow)
        try:
            return original(self, *arguments, **words)
        finally:
            fate.passes("after", point, what)

    setattr(kind, name, wrapped)


def _named(arguments: tuple[Any, ...]) -> str:
    """Which question a call is about, and a digest of exactly the bytes that it hands over."""
    match arguments:
        case [Delivery() as message]:
            return f"{message.ask} {hashlib.sha256((message.sealed or message.reason or '').encode()).hexdigest()}"
        case [str(analysis), ask] if hasattr(ask, "broadcast"):
            return AskDocument.of(ask).digest("", analysis)
    return ""


def _wrap_commits(fate: Fate) -> None:
    """A commit is named by the kinds of the log entries that it makes durable."""
    append, commit = Journal.append, sqlalchemy.engine.default.DefaultDialect.do_commit
    pending = threading.local()

    def appending(self: Any, connection: Any, head: Any, encoded: Any) -> Any:
        pending.kinds = [json.loads(entry)["kind"] for entry in encoded]
        return append(self, connection, head, encoded)

    def committing(self: Any, connection: Any) -> None:
        kinds, pending.kinds = getattr(pending, "kinds", []), []
        for kind in kinds:
            fate.passes("before", kind)
        commit(self, connection)
        for kind in kinds:
            fate.passes("after", kind)

    Journal.append = appending
    sqlalchemy.engine.default.DefaultDialect.do_commit = committing


def start(order: dict[str, Any]) -> int:
    """Fork a child that runs the command line; its process id."""
    pid = os.fork()
    if pid:
        return pid
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # no child outlives the tests, however they end
    out = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (out, 2)):
        os.dup2(descriptor, target)
    code = 1
    try:
        arm(Fate(order["trace"], order["orders"]), order["orders"])
        sojourn.cli.main(order["start"])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def poll(pid: int) -> int | None:
    """The exit status of a child as subprocess tells it, or None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def main() -> None:
    """Obey until the tests hang up."""
    for line in sys.stdin:
        order = json.loads(line)
        answer = {"pid": start(order)} if "start" in order else {"code": poll(order["poll"])}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
