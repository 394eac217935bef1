"""Sites whose every output waits for people, and the people, who look when they feel like it."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from simulation.material import POLICY, private_key
from simulation.world import World
from sojourn.disclosure.output import Finding, Output, Tier, strictness
from sojourn.disclosure.policy import StandardPolicy
from sojourn.disclosure.review import APPROVE, REJECT, Vote
from sojourn.errors import SojournError

if TYPE_CHECKING:
    from simulation.parties import NodeProcess
    from simulation.simulator import Federation

CHECKED = 0.35  # of the seeds have such sites
MOST = 2  # of them
PAUSES = (4.0, 10.0, 25.0)  # mean seconds between two looks
NAMES = ("Carol", "Dora")
KEYS = {name: private_key(f"checker {name}") for name in NAMES}


@dataclass(frozen=True)
class Careful(StandardPolicy):
    """The product's rules, and nothing is less risky than this."""

    least: Tier = Tier.MEDIUM

    def judge(self, output: Output) -> Finding:
        """The rules' finding with its tier raised."""
        finding = super().judge(output)
        tier = max(finding.tier, self.least, key=strictness)
        return Finding(
            finding.verdict, finding.family, finding.cells, tier, finding.note, finding.raised, finding.risky
        )


class Checkers:
    """The people of one seed. Their luck is their own: a seed without them is what it was before there were any."""

    def __init__(self, world: World, federation: Federation, seed: int) -> None:
        self._world = world
        self._luck = Random(f"checkers {seed}")
        self.nodes: list[NodeProcess] = []
        if self._luck.random() < CHECKED:
            self.nodes = self._luck.sample(federation.nodes, min(MOST, len(federation.nodes)))
        for node in self.nodes:
            node.policy = Careful(POLICY.parameters, least=self._luck.choice((Tier.MEDIUM, Tier.HIGH)))

    def start(self) -> None:
        """They come and go until the end."""
        for node in self.nodes:
            for name in NAMES:
                mean = self._luck.choice(PAUSES)
                self._world.spawn(lambda node=node, name=name, mean=mean: self._come_and_go(node, name, mean))

    def _come_and_go(self, node: NodeProcess, name: str, mean: float) -> None:
        while True:
            self._world.sleep(self._luck.expovariate(1 / mean))
            if node.up and hasattr(node, "node"):
                node.strand(lambda: self._look(node, name))

    def _look(self, node: NodeProcess, name: str) -> None:
        """Enrol, where that has not been done; then say something about one thing that waits."""
        desk = node.node.desk
        try:
            if name not in desk.airlock.reviews.enrolled():
                desk.enrol(name, KEYS[name].public.hex)
            waiting = desk.airlock.reviews.live()
            if not waiting:
                return
            row = self._luck.choice(waiting)
            verdict = APPROVE if self._luck.random() < 0.9 else REJECT
            for_run = verdict == APPROVE and self._luck.random() < 0.5
            vote = Vote(row["id"], row["digest"], verdict, "looked at it", (), for_run, (), int(node.clock()))
            done = desk.vote(vote.signed(KEYS[name]).to_dict())
            self._world.fault(f"review {done['state']}", node.name, name)
        except SojournError as error:  # decided meanwhile, voted before, withdrawn, the disk is full: they see it
            self._world.tell("checker:", name, type(error).__name__)
