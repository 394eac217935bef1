"""Seeds whose studies are masked: the same troubles, and what must hold of sums that nobody sees the parts of."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from simulation.material import ANALYSES, POLICY, TABLE, VARIABLES, differs, pooled_of
from simulation.simulator import Federation
from simulation.witness import Witness, demand
from simulation.world import World
from sojourn.analysis.statistic import Statistic, Step
from sojourn.analysis.variable import with_site
from sojourn.disclosure.masked_gate import ReceivedMasked, summed
from sojourn.hub.tables import results, tasks
from sojourn.messages import received
from sojourn.node.tables import masked_sets, releases
from sojourn.statistics.catalogue_counts import count, describe
from sojourn.study.plan import Plan

if TYPE_CHECKING:
    from simulation.parties import NodeProcess

LEAST = 3
NAMES = ("counts", "counts", "cells", "mean")
ENDS = ("DisclosureRefused", "DroppedOut", "TooFewSites")
MASKED: Mapping[str, Mapping[str, Statistic]] = {
    "counts": ANALYSES["counts"],
    "cells": {"cells": count(by=["sex", "stage"]), "n": count()},
    "mean": {"mean": describe("age")},
}


class MaskedFederation(Federation):
    """Nobody checks masked sums; answers that rest on records leave at a pace, or at once."""

    def __init__(self, world: World, folder: Path, seed: int) -> None:
        super().__init__(world, folder, seed)
        self.checkers.nodes.clear()
        for node in self.nodes:
            node.policy = POLICY
            node.home = replace(node.home, masked_pace=world.random.choice((0.0, 2.0, 5.0)))

    def new_witness(self) -> Witness:
        return MaskedWitness()

    def plan(self) -> tuple[str, list[str], Plan]:
        """Mostly of the whole roster, as a second one is refused after a sum."""
        chosen = self.world.random
        name = chosen.choice(NAMES)
        whole = chosen.random() < 0.85
        count_ = len(self.nodes) if whole else chosen.randint(LEAST, len(self.nodes))
        roster = sorted(node.name for node in chosen.sample(self.nodes, count_))
        analyses = MASKED[name]
        plan = Plan(
            table=TABLE,
            purpose="HMB",
            analyses=analyses,
            variables={column: VARIABLES[column] for one in analyses.values() for column in one.variables()},
            min_sites=chosen.randint(1, len(roster)),
            stragglers=chosen.choice(("wait", "wait", "wait", 60, "abort")),
            aggregation="masked",
        )
        return name, roster, plan

    def _submit(self, study: str, path: str, body: bytes) -> bool:
        """Again, where the hub has not heard of a site's exchange key yet."""
        for _ in range(20):
            if super()._submit(study, path, body):
                return True
            self.world.sleep(5.0)
        return False


class MaskedWitness(Witness):
    """A place is answered to one circle and one broadcast, once; a sum is over the whole roster, or is none."""

    def judge_completed(self, study: str, envelope: Any, asked: list[Any], store: Any) -> None:
        import base64

        request = json.loads(base64.b64decode(envelope["payload"]))
        roster, plan = set(request["roster"]), self.plans[study]
        for row in store.rows(select(results).where(results.c.study == study)):
            if row["estimate"] is None:
                words = json.loads(row["error"])["error"]
                demand(words in ENDS, "an analysis failed", study, row["analysis"], row["error"])
                continue
            sites = set(json.loads(row["contributed"])["sites"])
            demand(sites == roster and len(sites) >= LEAST, "a sum over fewer sites than the roster", study, *sites)
            expected = pooled_masked(plan, row["analysis"], tuple(sorted(sites)))
            found = without_sites(json.loads(row["estimate"]))
            demand(not differs(found, expected), "a sum is not the pooled one", study, row["analysis"], found, expected)

    def _judge_rounds(self, hub: Any) -> None:
        super()._judge_rounds(hub)
        self._judge_parts(hub)

    def _judge_parts(self, hub: Any) -> None:
        """No part of the sites' vectors gives numbers: what is missing is as random as a mask."""
        rings: dict[tuple[str, str, str], dict[str, bytes]] = defaultdict(dict)
        for task in hub.store.rows(select(tasks).where(tasks.c.answer.is_not(None))):
            release = received(json.loads(task["answer"]))
            demand(isinstance(release, ReceivedMasked), "a clear answer in a masked study", task["study"])
            assert isinstance(release, ReceivedMasked)
            if release.ring:
                rings[task["study"], task["analysis"], task["ask"]][task["site"]] = release.ring
        for (study, analysis, ask), parts in rings.items():
            statistic = MASKED[self.plans[study]][analysis]
            sites = sorted(parts)
            for step in statistic.steps(with_site(VARIABLES, tuple(sites))):
                for left_out in sites if len(sites) > 1 else []:
                    some = [parts[site] for site in sites if site != left_out]
                    demand(not _reads(step, some), "a part of a sum can be read", study, analysis, ask, left_out)

    def judge_charges(self, node: NodeProcess, kinds: Counter[tuple[Any, ...]]) -> None:
        """One circle a study, one ask a round, and the sets that a sum makes known once, with its first numbers."""
        circles: dict[str, set[str]] = defaultdict(set)
        asks: dict[tuple[str, str, int], set[str]] = defaultdict(set)
        numbers = set()
        for row in node.store.rows(select(releases).where(releases.c.answer.is_not(None))):
            release = received(json.loads(row["answer"]))
            assert isinstance(release, ReceivedMasked)
            circles[row["study"]].add(str(release.header.roster))
            asks[row["study"], row["analysis"], row["round"]].add(row["ask"])
            if release.ring:
                numbers.add((row["study"], row["analysis"]))
        demand(all(len(one) == 1 for one in circles.values()), "a nonce answered two rosters", node.name)
        demand(all(len(one) == 1 for one in asks.values()), "a nonce answered two broadcasts", node.name)
        rows = node.store.rows(select(masked_sets))
        charged = Counter((row["study"], row["analysis"], row["label"]) for row in rows)
        demand(all(times == 1 for times in charged.values()), "budget charged once", node.name)
        demand({place[:2] for place in charged} == numbers, "budget charged once: not with the numbers", node.name)


def _reads(step: Step, rings: list[bytes]) -> bool:
    try:
        return summed(step, rings, {}) is not None
    except ValueError:
        return False


def pooled_masked(plan: str, analysis: str, sites: tuple[str, ...]) -> Any:
    """As `pooled`, of the masked plans."""
    return without_sites(pooled_of(MASKED[plan][analysis], sites))


def without_sites(estimate: Any) -> Any:
    """Masked sums say nothing by site."""
    if isinstance(estimate, dict):
        return {word: without_sites(value) for word, value in estimate.items() if word not in ("n_by_site", "secrecy")}
    return estimate
