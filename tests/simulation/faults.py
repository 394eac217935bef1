"""What goes wrong in a seed. Each seed draws which kinds of trouble it has and how much: seeds differ in kind."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from simulation.material import PROJECTS, researcher_key
from simulation.world import World
from sojourn.errors import SojournError

if TYPE_CHECKING:
    from simulation.parties import NodeProcess, Process
    from simulation.simulator import Federation

JUMPS = (300.0, -300.0, -3600.0)


def misfortunes(world: World, federation: Federation, trouble: float) -> None:
    """Draw the seed's faults; all of them are over after `trouble` seconds."""
    chosen, network = world.random, federation.network
    network.loss = chosen.choice((0.0, 0.05, 0.15, 0.3))
    network.twice = chosen.choice((0.0, 0.1, 0.3))
    network.late = chosen.choice((0.0, 0.05, 0.2))
    network.hurry = chosen.choice((0.0, 0.1, 0.3))
    frail = chosen.choice((0.0, 0.005, 0.02))
    for process in federation.processes:
        process.frail = frail
    for node in federation.nodes:
        node.slowness = chosen.choice((1.0, 1.0, 1.0, 20.0, 100.0))
    kinds: list[tuple[int, Callable[[], None]]] = [
        (chosen.choice((0, 1, 2)), lambda: _partition(world, federation, _half(world, federation))),
        (chosen.choice((0, 1, 2)), lambda: chosen.choice(federation.processes).crash("at any time")),
        (chosen.choice((0, 0, 1)), lambda: _full(world, chosen.choice(federation.processes))),
        (chosen.choice((0, 0, 2)), lambda: _jump(world, chosen.choice(federation.processes))),
        (chosen.choice((0, 0, 1)), lambda: _withdraw(world, chosen.choice(federation.nodes), chosen.choice(PROJECTS))),
        (chosen.choice((0, 4, 8)), network.again),
    ]
    for times, happen in kinds:
        for _ in range(times):
            world.at(chosen.uniform(1.0, trouble), happen)
    world.at(trouble, lambda: heal(federation))


def strike(world: World, federation: Federation, sites: Collection[str], project: str) -> None:
    """Faults seldom choose their hour; these do: they come in the seconds after a study was submitted."""
    chosen = world.random
    asked = [node for node in federation.nodes if node.name in sites]
    kinds: list[tuple[float, Callable[[], None]]] = [
        (0.3, lambda: _withdraw(world, chosen.choice(asked), project)),
        (0.3, lambda: _withdraw(world, chosen.choice(asked), project)),
        (0.6, lambda: _narrow(world, federation, [node.name for node in asked])),
        (0.15, lambda: _partition(world, federation, [chosen.choice(asked).name])),
        (0.15, lambda: federation.hub.crash("at any time")),
        (0.15, lambda: _full(world, federation.hub)),
        (0.1, lambda: _full(world, chosen.choice(asked))),
    ]
    for probability, happen in kinds:
        if world.chance(probability):
            world.at(chosen.expovariate(1.0), happen)


def heal(federation: Federation) -> None:
    """No more trouble: what is broken comes back, clocks are set, nothing is lost any more."""
    network, federation.trouble = federation.network, False
    network.loss = network.twice = network.late = 0.0
    network.cut_there.clear()
    network.cut_back.clear()
    network.narrow.clear()
    for process in federation.processes:
        process.skew = process.frail = 0.0
        process.full = False
    for node in federation.nodes:
        node.slowness = 1.0


def _half(world: World, federation: Federation) -> list[str]:
    names = [node.name for node in federation.nodes]
    return world.random.sample(names, world.random.choice((1, max(1, len(names) // 2))))


def _partition(world: World, federation: Federation, cut: list[str]) -> None:
    """These nodes are cut off; both ways, or one."""
    chosen = world.random
    way = chosen.choice(("both", "there", "back", "back"))
    world.fault(f"partition {way}", *sorted(cut))
    if way != "back":
        federation.network.cut_there.update(cut)
    if way != "there":
        federation.network.cut_back.update(cut)

    def mend() -> None:
        federation.network.cut_there.difference_update(cut)
        federation.network.cut_back.difference_update(cut)

    world.at(chosen.choice((5.0, 30.0, 100.0)) * chosen.uniform(0.5, 1.5), mend)


def _narrow(world: World, federation: Federation, names: list[str]) -> None:
    """Polls pass, answers are too large for the way."""
    federation.network.narrow.update(names)
    world.at(world.random.uniform(25.0, 80.0), lambda: federation.network.narrow.difference_update(names))


def _full(world: World, process: Process) -> None:
    process.full = True
    world.fault("disk full", process.name)

    def mend() -> None:
        process.full = False

    world.at(world.random.choice((3.0, 15.0, 50.0)) * world.random.uniform(0.5, 1.5), mend)


def _jump(world: World, process: Process) -> None:
    jump = world.random.choice(JUMPS)
    process.skew += jump
    world.fault(f"clock {jump:+.0f} s", process.name)


def _withdraw(world: World, node: NodeProcess, project: str) -> None:
    """A custodian withdraws an approval, and sometimes gives it again later."""
    again = world.random.choice((None, None, world.random.uniform(5.0, 60.0)))
    if node.up and hasattr(node, "node"):
        world.fault("approval withdrawn", node.name, project)
        node.strand(lambda: _custodian(world, node, project, again))


def _custodian(world: World, node: NodeProcess, project: str, again: float | None) -> None:
    key = researcher_key(project).public.hex
    try:
        node.node.revoke(project, key)
        if again is not None:
            world.sleep(again)
            node.node.approve(project, key)
    except SojournError as error:  # withdrawn before, or the disk is full: the custodian sees it
        world.tell("custodian:", type(error).__name__)
