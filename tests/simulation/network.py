"""The network between nodes, people and the hub: it loses, delays, repeats and reorders, one way or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulation.world import Killed, Strand, World
from sojourn.errors import TransportError

if TYPE_CHECKING:
    from simulation.parties import HubProcess, Process
    from simulation.witness import Witness

PATIENCE = 60.0  # seconds that a request may take, as the programs' clients have it
LARGE = 1_000  # bytes
REMEMBERED = 60  # requests that may be sent again


@dataclass(frozen=True)
class Request:
    """A request on its way. sent: by its sender's clock; None where it is a repetition."""

    sender: str
    path: str
    body: bytes
    sent: float | None


class Network:
    """Everything between the parties."""

    def __init__(self, world: World, witness: Witness) -> None:
        self.world = world
        self.witness = witness
        self.hub: HubProcess | None = None
        self.loss = 0.0
        self.twice = 0.0  # chance that a request arrives once more
        self.late = 0.0  # chance that a message takes seconds
        self.hurry = 0.0  # chance that another thread comes between a write and its commit
        self.cut_there: set[str] = set()  # senders whose requests do not arrive
        self.cut_back: set[str] = set()  # senders whose answers do not arrive
        self.narrow: set[str] = (
            set()
        )  # senders whose large requests are lost on the way, as in a black hole of path MTU
        self.past: list[Request] = []

    def call(self, sender: Process | None, path: str, body: bytes, name: str = "") -> bytes:
        """Called in a strand: the hub's answer; TransportError where none comes."""
        name = sender.name if sender is not None else name
        if sender is not None:
            sender.point("before a request")
        sent = sender.clock() if sender is not None else None
        request = Request(name, path, body, sent)
        strand = self.world.current
        assert strand is not None
        ticket = strand.ticket()
        self._remember(request)
        fits = name not in self.narrow or len(body) <= LARGE
        if fits and self._arrives(name, self.cut_there):
            self.world.at(self._delay(), lambda: self._arrive(request, (strand, ticket)))
        else:
            self.world.fault("request lost" if fits else "large request lost", name)
            if not fits or self.world.chance(0.85):  # the connection breaks, and one hears of it
                strand.wake(ticket, None)
        answer = strand.wait(PATIENCE)
        if sender is not None:
            sender.point("after a request")
        if answer is None:
            raise TransportError("The other side could not be reached.", remedy="Try again later.")
        if isinstance(answer, Exception):
            raise answer
        return bytes(answer)

    def _remember(self, request: Request) -> None:
        repeated = Request(request.sender, request.path, request.body, None)
        if not request.path.endswith("/poll"):
            if len(self.past) >= REMEMBERED:
                self.past.pop(self.world.random.randrange(len(self.past)))
            self.past.append(repeated)
        if self.world.chance(self.twice):
            self.world.fault("request repeated", request.sender)
            self.world.at(self._delay() + self.world.random.choice((0.0, 0.1, 3.0)), lambda: self._arrive(repeated))

    def again(self) -> None:
        """An old request arrives once more."""
        if self.past:
            request = self.world.random.choice(self.past)
            self.world.fault("old request repeated", request.sender, request.path.rsplit("/", 1)[-1])
            self._arrive(request)

    def _arrives(self, name: str, cut: set[str]) -> bool:
        return name not in cut and not self.world.chance(self.loss)

    def _delay(self) -> float:
        chosen = self.world.random
        return chosen.uniform(1.0, 20.0) if self.world.chance(self.late) else chosen.uniform(0.001, 0.05)

    def _arrive(self, request: Request, back: tuple[Strand, int] | None = None) -> None:
        hub = self.hub
        if hub is None or not hub.up:
            if back is not None:
                back[0].wake(back[1], None)
            return
        hub.strand(lambda: self._serve(hub, request, back))

    def _serve(self, hub: HubProcess, request: Request, back: tuple[Strand, int] | None) -> None:
        answer: Any
        try:
            answer = hub.answer(request.path, request.body, request.sent)
        except Exception as error:
            answer = error
        except Killed:  # the connection ends with the process
            if back is not None:
                back[0].wake(back[1], None)
            raise
        outcome = (
            "answered" if isinstance(answer, bytes) else f"{type(answer).__name__} {getattr(answer, 'reason', '')}"
        )
        self.world.tell(request.sender, request.path[4:], len(request.body) // 1000, outcome)
        hub.point("before an answer")
        if back is None:
            return
        if self._arrives(request.sender, self.cut_back):
            strand, ticket = back
            self.world.at(self._delay(), lambda: strand.wake(ticket, answer))
        else:
            self.world.fault("answer lost", request.sender)
            if self.world.chance(0.85):
                back[0].wake(back[1], None)
