"""Where a worker runs: sealed by bubblewrap, in a plain process or (testbed only) in this one; and a warm stock."""

from __future__ import annotations

import concurrent.futures
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import sojourn
from sojourn.errors import SandboxUnavailable, SiteRefused
from sojourn.node.bubblewrap import ONE_THREAD, WORKER, Bubblewrap
from sojourn.node.frames import HEAD, pack, unpack
from sojourn.node.session import Limits, ProcessSession, Session, data_folder
from sojourn.node.worker import Worker

_STARTING = 60.0  # seconds for a fresh worker to say that it is there


class Sandbox(Protocol):
    """Starts workers; one worker serves one run and is then ended."""

    name: str

    def start(self, job: Path) -> Session:
        """A worker that sees `job/data` (made here; files may come later) and writes its log to `job/worker.log`."""


class PlainProcess:
    """A worker without a sandbox, for custodians who configured `sandbox: none`: limits and an empty environment."""

    name = "none"

    def __init__(self, limits: Limits | None = None, program: Sequence[str] = WORKER) -> None:
        self._limits = limits or Limits()
        self._program = tuple(program)
        found = {tool: shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") for tool in ("prlimit", "setpriv")}
        if lost := sorted(tool for tool, path in found.items() if path is None):
            raise SandboxUnavailable(f"The program {lost[0]} is missing.", remedy="Install util-linux.")
        # A worker ends with its node, however that ends.
        self._before = (str(found["setpriv"]), "--pdeathsig", "KILL", "--", str(found["prlimit"]))

    def start(self, job: Path) -> ProcessSession:
        """See `Sandbox`."""
        data = data_folder(job)
        packages = Path(np.__file__).resolve().parents[1]
        code = Path(sojourn.__path__[0]).resolve().parent
        environment = {"PYTHONPATH": f"{code}:{packages}", "LANG": "C.UTF-8", **ONE_THREAD}
        python = (sys.executable, "-s", "-S", "-B")
        command = [*self._before, *self._limits.words(), "--", *python, *self._program, str(data)]
        return ProcessSession(job, command, environment=environment)


class InProcess:
    """A worker that is a thread of this process: for the testbed, where all data are the tester's own."""

    name = "in process"

    def start(self, job: Path) -> Session:
        """See `Sandbox`."""
        return _ThreadSession(job)


class _ThreadSession:
    def __init__(self, job: Path) -> None:
        self.job = job
        self.data = data_folder(job)
        self._worker = Worker(self.data, self._keep)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="worker")
        self._killed: Future[None] = Future()
        self._killing = threading.Lock()

    def ask(self, document: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """See `Session`. Documents pass through their bytes, as they do with a process."""
        if self._killed.done():
            raise SiteRefused("worker")
        answer = self._thread.submit(self._worker.answer, unpack(pack(document)[HEAD:]))
        waiting: set[Future[Any]] = {answer, self._killed}
        done, _ = concurrent.futures.wait(waiting, timeout, FIRST_COMPLETED)
        if self._killed in done:
            raise SiteRefused("worker")
        if not done:
            self.kill()
            raise SiteRefused("time")
        return unpack(pack(answer.result())[HEAD:])

    def alive(self) -> bool:
        """See `Session`."""
        return not self._killed.done()

    def kill(self) -> None:
        """Nothing is answered from now on; a thread cannot be stopped, and its result is thrown away."""
        with self._killing:
            if not self._killed.done():
                self._killed.set_result(None)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """See `Session`."""
        self.kill()

    def _keep(self, text: str) -> None:
        with (self.job / "worker.log").open("a", encoding="utf-8") as log:
            log.write(text)


class Pool:
    """Warm workers in stock: interpreter and libraries are loaded, the run's data are not. Each is used once.

    A worker that is taken is not replaced at once, for starting one would compete with the run's first rounds: who
    ends a run calls `restock`.
    """

    def __init__(self, sandbox: Sandbox, jobs: Path, size: int = 1, started: Callable[[], None] = lambda: None) -> None:
        self.sandbox = sandbox
        self._started = started
        self._jobs = jobs
        self._size = size
        self._open = True
        self._lock = threading.Lock()
        jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in jobs.glob("*/data"):  # of a node that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        for leftover in jobs.parent.glob("spill-*"):  # records that a killed node's query had put aside
            shutil.rmtree(leftover, ignore_errors=True)
        self._stock = [self._start() for _ in range(size)]

    def take(self) -> Session:
        """A worker that is ready; SiteRefused("no sandbox") where none starts."""
        with self._lock:
            session = self._stock.pop(0) if self._stock else None
        session = session or self._start()
        for spare in (True, False):
            try:
                session.ask({"hello": None}, _STARTING)
                return session
            except SiteRefused:
                end(session)
                if spare:  # it may have died in stock
                    session = self._start()
        raise SiteRefused("no sandbox")

    def restock(self) -> None:
        """Start what the stock lacks."""
        with self._lock:
            while self._open and len(self._stock) < self._size:
                self._stock.append(self._start())

    def close(self) -> None:
        """End the workers in stock; those taken belong to their takers."""
        with self._lock:
            self._open = False
            stock, self._stock = self._stock, []
        for session in stock:
            end(session)

    def _start(self) -> Session:
        session = self.sandbox.start(self._jobs / secrets.token_hex(8))
        self._started()
        return session


def end(session: Session) -> None:
    """End a worker, remove its table, and its folder too unless its log says something."""
    session.close()
    shutil.rmtree(session.data, ignore_errors=True)
    log = session.job / "worker.log"
    if not log.exists() or not log.stat().st_size:
        shutil.rmtree(session.job, ignore_errors=True)


def choose(config: str) -> Sandbox:
    """The sandbox of a node's configuration, `bubblewrap` (tried out) or `none`; SandboxUnavailable otherwise."""
    if config == "none":
        return PlainProcess()
    if config != "bubblewrap":
        raise SandboxUnavailable("There is no such sandbox.", remedy="Configure `bubblewrap` or `none`.")
    sandbox = Bubblewrap()
    _try(sandbox)
    return sandbox


def best_available() -> Bubblewrap | None:
    """Bubblewrap where it works on this machine."""
    try:
        sandbox = Bubblewrap()
        _try(sandbox)
    except SandboxUnavailable:
        return None
    return sandbox


def _try(sandbox: Sandbox) -> None:
    with tempfile.TemporaryDirectory(prefix="trial-") as folder:
        session = sandbox.start(Path(folder))
        try:
            session.ask({"hello": None}, _STARTING)
        except SiteRefused:
            session.close()
            said = (session.job / "worker.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise SandboxUnavailable(
                f"The sandbox does not start here ({said[-1][:200] if said else 'it said nothing'}).",
                remedy="Allow user namespaces for the node's user (sysctl kernel.unprivileged_userns_clone=1, or an "
                "AppArmor profile for bwrap), or configure `sandbox: none` and take the responsibility.",
            ) from None
        finally:
            session.close()
