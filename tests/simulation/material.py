"""What every seed starts from: five hospitals, plans over their rows, pooled answers, the parties' first stores.

All of it is the same in every run: keys and rows come from fixed words, not from chance.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from sojourn import __version__
from sojourn.analysis.declaration import variable_to_dict
from sojourn.analysis.partial import Partial, total
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Ask, Gathered, Squared, Statistic
from sojourn.analysis.support import Contributions, Support, Working
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.audit.entry import Entry
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.forms import log_of
from sojourn.hub.program import MIGRATIONS as HUB_MIGRATIONS
from sojourn.hub.service import Hub
from sojourn.hub.store import HubStore
from sojourn.hub.tables import metadata as hub_tables
from sojourn.identity.keys import PrivateKey
from sojourn.messages import PROTOCOL, Join
from sojourn.node.config import NodeHome
from sojourn.node.opening import Openings
from sojourn.node.program import MIGRATIONS as NODE_MIGRATIONS
from sojourn.node.service import Node
from sojourn.node.store import NodeStore
from sojourn.node.tables import metadata as node_tables
from sojourn.report.record import estimate_to_dict
from sojourn.statistics.catalogue_counts import count, describe
from sojourn.statistics.catalogue_models import glm
from sojourn.storage.engine import open_engine
from sojourn.storage.migrate import upgrade
from sojourn.study.plan import Plan

SITES = ("amber", "beryl", "coral", "dune", "ember")
PROJECTS = ("heart", "lung")  # each with a researcher of its own
FEDERATION = "simulated"
TABLE = "patients"
EPOCH = 1_800_000_000.0
POLICY = StandardPolicy(Parameters())
VARIABLES = {
    "age": Variable(Kind.NUMBER, low=0, high=120),
    "sex": Variable(Kind.CATEGORY, levels=("F", "M")),
    "stage": Variable(Kind.CATEGORY, levels=("I", "II", "III")),
    "score": Variable(Kind.NUMBER),
    "ill": Variable(Kind.BOOLEAN),
    "rare": Variable(Kind.BOOLEAN),
}
ANALYSES: Mapping[str, Mapping[str, Statistic]] = {
    "counts": {"n": count(by="sex")},
    "cells": {"cells": count(by=["sex", "stage"]), "n": count()},
    "moments": {"moments": describe("age", "score", by="sex")},
    "both": {"n": count(by="stage"), "moments": describe("score")},
    "line": {"line": glm("score ~ age + C(sex)")},
    "risk": {"risk": glm("ill ~ age + C(sex)", family="binomial")},
    "seldom": {"n": count(by="sex"), "seldom": glm("rare ~ age", family="binomial")},  # coral refuses: too few events
}


def private_key(words: str) -> PrivateKey:
    """The signing key that these words name."""
    return PrivateKey(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(words.encode()).digest()))


def seal_key(words: str) -> tuple[bytes, str]:
    """As `new_seal_key`, from words."""
    private = hashlib.sha256(words.encode()).digest()
    public = X25519PrivateKey.from_private_bytes(private).public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return private, raw.hex()


# ---- rows and pooled answers


@cache
def rows(site: str) -> dict[str, np.ndarray]:
    """One row a person."""
    made = np.random.default_rng([20, *site.encode()])
    n = int(made.integers(160, 260))
    age = made.normal(60, 9, n).round(1)
    sex = made.integers(0, 2, n).astype(np.int32)
    return {
        "age": age,
        "sex": sex,
        "stage": made.integers(0, 3, n).astype(np.int32),
        "score": (0.05 * age - 0.4 * sex + made.normal(size=n)).round(3),
        "ill": (made.random(n) < 1 / (1 + np.exp(-(0.04 * (age - 60) + 0.3 * sex - 0.4)))).astype(np.int8),
        "rare": (made.random(n) < (0.01 if site == "coral" else 0.3)).astype(np.int8),
    }


@cache
def population(site: str, names: tuple[str, ...], roster: tuple[str, ...]) -> Population:
    """The analysis table of one site for a plan that names these columns."""
    columns = {name: rows(site)[name] for name in names}
    persons = np.arange(len(rows(site)["age"]), dtype=np.uint32)
    nobody = np.array([], dtype=np.uint32)
    return Population(site, with_site(VARIABLES, roster), columns, persons, dict.fromkeys(names, nobody))


def _pooled(sites: tuple[str, ...], names: tuple[str, ...]) -> Population:
    columns = {name: np.concatenate([rows(site)[name] for site in sites]) for name in names}
    persons = np.arange(len(columns[names[0]]) if names else 0, dtype=np.uint32)
    if not names:
        persons = np.arange(sum(len(rows(site)["age"]) for site in sites), dtype=np.uint32)
    nobody = np.array([], dtype=np.uint32)
    return Population("all", with_site(VARIABLES, ("all",)), columns, persons, dict.fromkeys(names, nobody))


@cache
def pooled(plan: str, analysis: str, sites: tuple[str, ...]) -> dict[str, Any]:
    """What the analysis gives over the rows of these sites in one heap, without any disclosure control."""
    return pooled_of(ANALYSES[plan][analysis], sites)


@cache
def pooled_of(statistic: Statistic, sites: tuple[str, ...]) -> dict[str, Any]:
    """The same of a statistic."""
    heap = _pooled(sites, statistic.variables())
    coordinator = statistic.coordinator(heap.variables)
    ask = next(coordinator)
    while True:
        part = statistic.local(ask.step, heap, ask.broadcast)
        try:
            ask = coordinator.send(Gathered(total([part]), {"all": part}, {"all": 0}))
        except StopIteration as end:
            return json.loads(json.dumps(estimate_to_dict(end.value)))


# ---- what a node computes: pure functions of the site's rows, remembered over all seeds


class Computing:
    """The statistics over one site's table, as a worker would compute them."""

    def __init__(self, site: str, plan: Plan, roster: tuple[str, ...]) -> None:
        self._site = site
        self._plan = plan
        self._roster = roster

    def support(self, analysis: str) -> Support:
        return _support(self._site, self._roster, self._statistic(analysis))

    def local(self, analysis: str, ask: Ask) -> Partial:
        return _local(self._site, self._roster, self._statistic(analysis), _Asked(ask))

    def working(self, analysis: str, ask: Ask) -> Working | None:
        return _working(self._site, self._roster, self._statistic(analysis), _Asked(ask))

    def squares(self, analysis: str, ask: Ask) -> tuple[Contributions, ...]:
        return _squares(self._site, self._roster, self._statistic(analysis), _Asked(ask))

    def _statistic(self, analysis: str) -> Statistic:
        return self._plan.analyses[analysis]


class _Asked:
    """An ask that can be looked up."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self._key = (ask.step, tuple((name, array.tobytes()) for name, array in sorted(ask.broadcast.items())))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self._key == other._key


@cache
def _support(site: str, roster: tuple[str, ...], statistic: Statistic) -> Support:
    return statistic.support(population(site, statistic.variables(), roster))


@cache
def _local(site: str, roster: tuple[str, ...], statistic: Statistic, asked: _Asked) -> Partial:
    return statistic.local(asked.ask.step, population(site, statistic.variables(), roster), asked.ask.broadcast)


@cache
def _working(site: str, roster: tuple[str, ...], statistic: Statistic, asked: _Asked) -> Working | None:
    return statistic.working(asked.ask.step, population(site, statistic.variables(), roster), asked.ask.broadcast)


@cache
def _squares(site: str, roster: tuple[str, ...], statistic: Statistic, asked: _Asked) -> tuple[Contributions, ...]:
    assert isinstance(statistic, Squared)
    return statistic.distances(population(site, statistic.variables(), roster), asked.ask.broadcast)


# ---- the stores that a federation has after everyone has joined


def _clock() -> float:
    return EPOCH


def _instant() -> datetime:
    return datetime.fromtimestamp(EPOCH, UTC)


def log_key(party: str) -> PrivateKey:
    return private_key(f"log of {party}")


def node_key(site: str) -> PrivateKey:
    return private_key(f"node {site}")


def researcher_key(project: str) -> PrivateKey:
    return private_key(f"researcher of {project}")


def node_home(folder: Path, site: str) -> NodeHome:
    return NodeHome(folder, site, sandbox="none", least_sites=1)


@cache
def scratch(of: int) -> Path:
    """The folder of this process, in memory where there is one: what is simulated is a program, not a disk's speed."""
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="sojourn-simulation-", dir=memory if memory.is_dir() else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@cache
def first_stores() -> Path:
    """A folder with `hub.db` and one database a site: joined, published, approved; made once a process."""
    folder = scratch(os.getpid()) / "first"
    folder.mkdir()
    hub = _first_hub(folder)
    for site in SITES:
        _first_node(folder, site, hub)
    hub.close()
    return folder


def _first_hub(folder: Path) -> Hub:
    engine = open_engine(folder / "hub.db")
    upgrade(engine, HUB_MIGRATIONS)
    hub = Hub(HubStore(engine, hub_tables, log_key("hub"), FEDERATION, _instant, inline=True), _clock)
    for project in PROJECTS:
        hub.add_project(project)
        hub.add_member(project, researcher_key(project).public.hex)
    return hub


def _first_node(folder: Path, site: str, hub: Hub) -> None:
    home = folder / site
    home.mkdir()
    engine = open_engine(folder / f"{site}.db")
    upgrade(engine, NODE_MIGRATIONS)
    key = node_key(site)
    store = NodeStore(engine, node_tables, log_key(site), log_of(site), _instant, inline=True)
    node = Node(node_home(home, site), store, key, POLICY, Openings(node_home(home, site)), _clock)
    columns = {name: variable_to_dict(variable) for name, variable in VARIABLES.items()}
    public = {"table": TABLE, "columns": columns, "row_is_person": True}
    row = {"name": TABLE, "snapshot": f"snapshot-{site}", "dictionary": json.dumps(public), "added": EPOCH}
    store.add_dataset(row, Entry("dataset.added", "custodian", dataset=TABLE))
    for project in PROJECTS:
        node.approve(project, researcher_key(project).public.hex)
    for other in SITES:
        if other != site:
            node.pin(other, node_key(other).public.hex)
    join = Join(
        protocol=PROTOCOL,
        software=__version__,
        site=site,
        token=hub.invite(site),
        key=key.public.hex,
        log_key=store.public_key.hex,
    )
    hub.join(join, key.public)
    hub.publish(site, node.publication())
    node.close()


def differs(found: Any, expected: Any) -> bool:
    """Whether an estimate is another one than the pooled one: counts exactly, other numbers to rounding, and what is
    suppressed within its bounds."""
    match found:
        case {"suppressed": [low, high]}:
            return not (low is None or low <= expected) or not (high is None or expected <= high)  # masked: no bounds
    if isinstance(expected, dict):
        skip = {"newton_decrement", "n_by_site"}  # rounding error; and the heap has no sites
        if not isinstance(found, dict) or found.keys() != expected.keys():
            return True
        return any(differs(found[word], expected[word]) for word in expected if word not in skip)
    if isinstance(expected, list):
        return len(found) != len(expected) or any(differs(*pair) for pair in zip(found, expected, strict=True))
    if isinstance(expected, float) and isinstance(found, float):
        return not np.isclose(found, expected, rtol=1e-7, atol=1e-9)
    return bool(found != expected)
