"""Opens a run's computation: its table, out of its one snapshot, in a warm worker of the sandbox."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sojourn.errors import SandboxUnavailable, SiteRefused
from sojourn.node.admission import Run
from sojourn.node.computing import Computation
from sojourn.node.config import NodeHome
from sojourn.node.extract import extract
from sojourn.node.sandbox import Pool, Sandbox, choose


class Openings:
    """The node's stock of workers. Without a sandbox it opens nothing."""

    def __init__(self, home: NodeHome, sandbox: Sandbox | None = None) -> None:
        self._home = home
        self._sandbox = sandbox
        self.started: Callable[[], None] = lambda: None  # hears of each worker that starts
        self._pool: Pool | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The sandbox as it is published: what custodian and researcher should know of it."""
        return self._sandbox.name if self._sandbox is not None else self._home.sandbox

    def warm(self) -> None:
        """Have a worker ready; SandboxUnavailable with the remedy where none can be had."""
        with self._lock:
            if self._pool is None:
                sandbox = self._sandbox or choose(self._home.sandbox)
                self._pool = Pool(sandbox, self._home.jobs, started=lambda: self.started())

    def open(self, run: Run) -> Computation:
        """The computation of one admitted run; SiteRefused where this site cannot answer the plan."""
        try:
            self.warm()
        except SandboxUnavailable as error:
            raise SiteRefused("no sandbox") from error
        assert self._pool is not None
        # Another folder, in which no record ever was: a rehearsal that asks for a real snapshot finds none.
        folder = self._home.stand_ins if run.request.rehearsal else self._home.folder
        roster = tuple(run.request.roster)
        extracted = extract(folder, run.plan.table, run.snapshot, run.plan, self._home.site, roster)
        return Computation(self._pool, extracted.population, run.plan.analyses)

    def close(self) -> None:
        """End the workers in stock."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
                self._pool = None
