"""One seed: a federation, its studies, its faults, a quiet time, and judgement."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import select

from simulation.checkers import Checkers
from simulation.faults import heal, misfortunes, strike
from simulation.material import (
    ANALYSES,
    EPOCH,
    POLICY,
    PROJECTS,
    SITES,
    TABLE,
    VARIABLES,
    node_key,
    researcher_key,
    scratch,
    seal_key,
)
from simulation.network import Network
from simulation.parties import HubProcess, NodeProcess
from simulation.witness import Violation, Witness
from simulation.world import NoProgress, World
from sojourn import __version__
from sojourn.errors import IdentityError, SojournError
from sojourn.hub import service
from sojourn.hub.statements import LIVE
from sojourn.hub.tables import studies
from sojourn.identity.envelope import REQUEST_TYPE, Request, sign
from sojourn.node import polling
from sojourn.study.plan import Plan
from sojourn.wire.transport import ServerRefused

QUIET = 1800.0  # simulated seconds after the last fault in which everything must come to an end
LOOK = 8.0
WEIGHED = ("counts", "counts", "cells", "moments", "moments", "both", "line", "line", "risk", "seldom")


@dataclass(frozen=True)
class Outcome:
    """What became of a seed. digest: of everything that happened. problem: the invariant that did not hold."""

    seed: int
    digest: str
    seconds: float
    events: int
    faults: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    problem: str = ""


class Federation:
    """The parties of one seed and the people outside."""

    def __init__(self, world: World, folder: Path, seed: int) -> None:
        self.world = world
        self.witness = self.new_witness()
        self.network = Network(world, self.witness)
        chosen = world.random
        self.hub = HubProcess(world, self.network, folder)
        names = SITES[: chosen.choice((3, 3, 3, 4, 5))]
        self.nodes = [NodeProcess(world, self.network, name, folder) for name in names]
        self.checkers = Checkers(world, self, seed)
        self.ends: Counter[str] = Counter()
        self.trouble = True
        self.talking = 0  # researchers who have not heard yes or no
        self._seals = 0

    def new_witness(self) -> Witness:
        return Witness()

    @property
    def processes(self) -> list[HubProcess | NodeProcess]:
        return [self.hub, *self.nodes]

    def start(self, trouble: float) -> None:
        """Everyone starts; studies come while there is trouble."""
        for process in self.processes:
            process.start()
        self.checkers.start()
        for _ in range(self.world.random.choice((1, 1, 2, 2))):
            request, project = self._request, self.world.random.choice(PROJECTS)
            delay = self.world.random.uniform(0.5, trouble * 0.4)
            self.talking += 1
            self.world.spawn(lambda project=project: self._research(project), delay=delay)
            del request

    def new_seal_key(self) -> tuple[bytes, str]:
        """The hub's next sealing key, from the seed."""
        self._seals += 1
        return seal_key(f"{self.world.random.random()} {self._seals}")

    # ---- a researcher

    def _research(self, project: str) -> None:
        """Submit until the hub has said yes or no; then perhaps cancel, or submit the same once more."""
        key = researcher_key(project)
        view = self._call(f"/v1/projects/{project}/preparations/{key.public.hex}", b"{}")
        request = self._request(project, view["seal_key"])
        body = json.dumps(sign(REQUEST_TYPE, request.encode(), key).to_dict()).encode()
        path = f"/v1/studies/{key.public.hex}"
        chosen = self.world.random
        if self.trouble:
            strike(self.world, self, request.roster, project)
        if self._submit(request.study, path, body):
            self.witness.acknowledged.add(request.study)
        self.talking -= 1
        if chosen.random() < 0.15:
            self.world.sleep(chosen.uniform(0.0, 60.0))
            self.world.fault("submitted again")
            self._submit(request.study, path, body)
        if chosen.random() < 0.15:
            self.world.sleep(chosen.uniform(0.0, 30.0))
            self.world.fault("cancelled")
            self._call(f"/v1/studies/{request.study}/cancellation/{key.public.hex}", b"{}")

    def _submit(self, study: str, path: str, body: bytes) -> bool:
        try:
            return bool(self._call(path, body)["study"] == study)
        except ServerRefused as error:
            self.world.tell("refused", study[:8], error.args[0])
            return "before" in str(error.args[0])
        except IdentityError:  # expired by the hub's clock
            return False

    def _call(self, path: str, body: bytes) -> dict[str, Any]:
        """Ask until there is an answer; a hub that is full or failing is asked again."""
        while True:
            try:
                document: dict[str, Any] = json.loads(self.network.call(None, path, body, "researcher"))
                return document
            except SojournError as error:
                if isinstance(error, IdentityError) or getattr(error, "status", 500) == 409:
                    raise
                self.world.sleep(self.world.random.uniform(1.0, 5.0))

    def plan(self) -> tuple[str, list[str], Plan]:
        """What is asked next: its name, of whom, and how."""
        chosen = self.world.random
        name = chosen.choice(WEIGHED)
        analyses = ANALYSES[name]
        count = chosen.randint(2, len(self.nodes))
        roster = sorted(node.name for node in chosen.sample(self.nodes, count))
        plan = Plan(
            table=TABLE,
            purpose="HMB",
            analyses=analyses,
            variables={column: VARIABLES[column] for one in analyses.values() for column in one.variables()},
            min_sites=chosen.randint(1, count),
            stragglers=chosen.choice(("wait", "wait", 15, 60, "abort")),
        )
        return name, roster, plan

    def _request(self, project: str, seal: str) -> Request:
        name, roster, plan = self.plan()
        chosen, now = self.world.random, int(EPOCH + self.world.now)
        study, nonce = (chosen.randbytes(16).hex() for _ in range(2))
        self.witness.plans[study] = name
        self.world.tell("submit", study[:8], name, plan.stragglers, plan.min_sites, *roster)
        return Request(
            study=study,
            project=project,
            plan=plan.to_dict(),
            plan_hash=plan.hash,
            roster={site: node_key(site).public.hex for site in roster},
            min_sites=plan.least_sites,
            seal_key=seal,
            software=__version__,
            policy_version=POLICY.version,
            issued=now,
            expires=now + chosen.choice((90, 600, 7200, 86400)),
            nonce=nonce,
        )

    # ---- the end

    def judge(self) -> None:
        """All that must hold at the end."""
        self.witness.judge(self.hub, self.nodes)
        for node in self.checkers.nodes:
            self.witness.judge_reviews(node)
        for process in self.processes:
            self.world.tell(process.name, process.store.checkpoint().replace("\n", " "))
        for row in self.hub.store.rows(select(studies.c.state)):
            self.ends[row["state"]] += 1

    def close(self) -> None:
        """Let go of the databases."""
        for process in self.processes:
            process.let_go()
            process.buried()

    def settled(self) -> bool:
        """Whether nothing is under way any more."""
        if self.talking or not all(process.up and process.store is not None for process in self.processes):
            return False
        if self.network.hub is None or _any(self.hub, f"SELECT 1 FROM study WHERE state IN {LIVE}"):
            return False
        waiting = "SELECT 1 FROM run WHERE ended = '' UNION SELECT 1 FROM release WHERE NOT acknowledged"
        return not any(_any(node, waiting) for node in self.nodes)


def _any(process: HubProcess | NodeProcess, query: str) -> bool:
    return process.store.read(lambda connection: connection.exec_driver_sql(f"{query} LIMIT 1").first()) is not None


def simulate(seed: int, show: Callable[[str], object] | None = None, kind: type[Federation] = Federation) -> Outcome:
    """Run one seed of a kind of federation to its end and judge it."""
    world = World(seed, show)
    federation = kind(world, scratch(os.getpid()), seed)
    problem = ""
    luck = patch.object(polling, "random", world.random)  # of its pauses
    with luck, patch.object(service, "new_seal_key", federation.new_seal_key):
        try:
            _run(world, federation)
        except (Violation, NoProgress) as error:
            problem = str(error)
        except Exception as error:  # what a thread of the product did not bear
            problem = f"a thread died: {type(error).__name__}: {error}"
        finally:
            world.end()
            federation.close()
    world.tell("end:", problem or "all invariants hold")
    return Outcome(seed, world.digest, world.now, world.events, world.faults, federation.ends, problem)


def _run(world: World, federation: Federation) -> None:
    trouble = world.random.choice((50.0, 80.0, 160.0))
    done = False

    def look() -> None:
        nonlocal done
        done = federation.settled()
        world.at(LOOK, look)

    misfortunes(world, federation, trouble)
    federation.start(trouble)
    look()
    world.run(trouble, lambda: done)
    heal(federation)
    for _ in range(3):
        federation.network.again()
    done = False
    world.run(world.now + QUIET, lambda: done)
    federation.judge()
