"""The node's conversation with its hub: poll, take, deliver, again; every wait has an end, every failure a next try."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable

from sojourn import __version__
from sojourn.audit.entry import Entry
from sojourn.audit.witness import Reason
from sojourn.errors import AuditError
from sojourn.messages import Publish, Shown, Work
from sojourn.node.hub_link import ARRIVED, HubLink, Settled
from sojourn.node.outgoing import outgoing
from sojourn.node.runner import Runner
from sojourn.node.store import NodeStore
from sojourn.operations.logs import SILENT, Log, error_fields
from sojourn.storage.witnessing import Witnessing
from sojourn.versions import advice, demand_near
from sojourn.wire.requests import MAX_SKEW, skew
from sojourn.wire.transport import ServerRefused

LONGEST_POLL = 20.0
LONGEST_PAUSE = 30.0
FIRST_PAUSE = 0.25
HELD = 5.0  # seconds between polls of a node that takes nothing, where the hub answers at once
PARTING = 2.0
TRIES = 5  # to hand over; and to show our log from the size that the hub remembers, while a poll shows it too
_WORDS = {
    "": "The hub's log is accepted.",
    "behind": "The hub remembers more of this node's log than it holds: run `sojourn node recover`.",
}


class Polling:
    """One thread that asks for work. `publication` is told again at each new connection."""

    def __init__(
        self,
        link: HubLink,
        store: NodeStore,
        runner: Runner,
        publication: Callable[[], Publish],
        clock: Callable[[], float],
        journal: Callable[[str, str], None],
        witnessing: Witnessing,
        log: Log = SILENT,
    ) -> None:
        self.link = link
        self.witnessing = witnessing
        self.store = store
        self.runner = runner
        self._publication = publication
        self._clock = clock
        self._journal = journal
        self._log = log
        self.latest: tuple[float, float] | None = None  # our time at the last answered poll; the hub's less ours
        self._closing = threading.Event()
        self._publish_again = threading.Event()
        self._publish_again.set()
        self._send_again = threading.Event()
        self._send_again.set()  # what a node that was killed had still to hand over
        self._sending = threading.Lock()
        self._unsent = 0  # failures to hand over since the last success
        self._troubles: dict[str, str] = {}
        self._showing = threading.Lock()
        self._since: int | None = None  # the size of our log that the hub remembers
        self._late = 0  # answers one after the other that crossed another message
        self._held = witnessing.distrusts(link.peer.origin)
        self._turned = threading.Event()  # a person decided something about a log
        self.hub_software = ""
        self._thread = threading.Thread(target=self._run, name=f"node-{link.site}", daemon=True)
        self.connected = threading.Event()

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def leave(self) -> None:
        """Ask no more after the poll in hand."""
        self._closing.set()
        self._turned.set()

    def stop(self) -> None:
        """Ask no more. A poll that the hub still holds is left to end by itself: what it brings is not taken."""
        self.leave()
        if self._thread.is_alive():
            self._thread.join(timeout=PARTING)
        self.link.client.close()

    def publish(self) -> None:
        """Tell the hub at the next turn what this site offers now."""
        self._publish_again.set()

    @property
    def trouble(self) -> str:
        """What stands between this node and its hub now, for its custodian; empty where nothing does."""
        return " ".join(self._troubles.values())

    def again(self) -> None:
        """A log was accepted or recovered: do not wait before the next poll."""
        self._turned.set()

    def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            try:
                self._turn()
                failures = 0
                self._troubles.pop("asking", None)
            except Exception as error:  # whatever the hub sends, the node goes on asking
                if self._closing.is_set():
                    return
                if self.connected.is_set() or not failures:
                    reason = str(getattr(error, "reason", ""))
                    self._log.warning("hub.lost", site=self.link.site, reason=reason, **error_fields(error))
                self.connected.clear()
                self._publish_again.set()
                self._send_again.set()
                self._troubles["asking"] = str(error)
                self._journal("", f"hub: {type(error).__name__}: {error}")
                failures += 1
                self._closing.wait(_pause(failures))

    def _turn(self) -> None:
        if self._publish_again.is_set():
            self._publish_again.clear()
            self.link.publish(self._publication())
            self.connected.set()
            self._log.info("hub.reached", site=self.link.site)
        if self._send_again.is_set():
            self._send_again.clear()
            self._resend()
        self.runner.expire()
        shown, sent = self._show()
        work = self._poll(LONGEST_POLL, shown)
        self._heed(work.software)
        self._compare_clocks(self._clock() - work.time)
        held = self._hear(work.log, sent)
        self._late = self._late + 1 if held == Reason.OLD_SIZE else 0
        if held and (work.tasks or work.ended) and self._late != 1:
            self._turned.wait(HELD)  # a hub that is not believed would answer at once, again and again
        self._turned.clear()
        if held or self._closing.is_set():
            return
        for study, how in work.ended.items():
            self.runner.end(study, how)
        for task in work.tasks:
            self.runner.take(task)

    def _poll(self, wait: float, shown: Shown) -> Work:
        in_hand = self.runner.known()  # first: a task is let go of when its answer waits, and not before
        waiting = sorted(self.runner.airlock.reviews.waiting())
        return self.link.poll(sorted({*in_hand, *waiting}), self.store.live_runs(), wait, shown, waiting)

    def tell(self) -> None:
        """Say at once what waits for a checker; where that fails, the next poll says it. Its answer brings nothing that
        the next poll would not bring again.
        """
        if self._held or self._closing.is_set():
            return
        try:
            shown, sent = self._show()
            self._hear(self._poll(0.0, shown).log, sent)
        except Exception as error:
            if not self._closing.is_set():
                self._journal("", f"hub: {error}")

    def _compare_clocks(self, ahead: float) -> None:
        self.latest = (self._clock(), -ahead)
        if abs(ahead) <= MAX_SKEW:
            self._troubles.pop("clock", None)
            return
        words = f"The clocks of this machine and of the hub differ by more than a minute. {skew(ahead)}"
        self._troubles["clock"] = words = words.replace("The sender's", "This machine's")
        self._journal("", f"{words} Remedy: Set both by a time server.")

    def _show(self) -> tuple[Shown, int]:
        """Our log for the hub, and its size. What is sent is taken to arrive; where it does not, the hub says so."""
        with self._showing:
            shown = self.witnessing.show(self.link.peer.origin, self._since)
            self._since = max(shown.old, shown.size)
            return shown, self._since

    def _hear(self, shown: Shown | None, sent: int) -> str:
        """Witness the hub's log before anything that it says is believed; why nothing is taken, empty where it is.

        sent: the size of our log that the message had which is answered. Later ones may still be on their way.
        """
        heard = self.witnessing.hear(self.link.peer, shown)
        with self._showing:
            if shown is not None and (heard.since < sent or self._since == sent):
                self._since = heard.since
        held = "behind" if heard.behind else heard.refused
        if held == Reason.OLD_SIZE:  # two of our messages crossed: the next one will be right
            return held
        if held != self._held:
            self._journal("", _WORDS.get(held, f"The log that the hub shows is not accepted: {held}."))
            if not held:
                self._send_again.set()
            self._held = held
        return held

    def _heed(self, software: str) -> None:
        """Say once that the hub's version differs; ConfigurationError where it is too far from ours."""
        if software != self.hub_software:
            self.hub_software = software
            if advice("the hub", software, "this node"):
                self._log.warning("version.differs", site=self.link.site, software=software, own=__version__)
        demand_near("the hub", software, "this node")

    def _resend(self) -> None:
        for row in self.store.unacknowledged():
            error = self.hand_over(row["study"], row["analysis"], row["ask"])
            if error is not None and not (isinstance(error, ServerRefused) and error.status < 500):
                return  # the rest is not pressed upon a hub, or an own store, that can take nothing now

    def send(self, study: str, analysis: str, ask: str) -> None:
        """Hand over what is stored for an ask; without an acknowledgement it is kept and handed over again.

        After a failure this waits, longer each time: the hub would ask at once for what it does not have. It tries a
        few times by itself, as the next turn begins only when the hub has answered the poll in hand.
        """
        for _ in range(TRIES):
            if self.hand_over(study, analysis, ask) is None or self._closing.wait(_pause(self._unsent)):
                return

    def hand_over(self, study: str, analysis: str, ask: str) -> Exception | None:
        """Hand over what is stored for an ask, once. None where it is acknowledged; else why not."""
        try:
            self._deliver(study, analysis, ask)
        except Exception as error:  # a closed client too; what is stored is handed over again
            if not self._closing.is_set():
                self._journal(study, f"hub: {error}")
                self._troubles["handing over"] = str(error)
                self._unsent += 1
                self._send_again.set()  # the next turn begins with handing over what is not acknowledged
            return error
        self._unsent = 0
        self._troubles.pop("handing over", None)
        return None

    def _deliver(self, study: str, analysis: str, ask: str) -> None:
        if self._held:  # kept, and handed over when the hub's log is accepted
            return
        with self._sending:
            settled = self._sent(study, analysis, ask)
        if settled is None:
            return
        self.witnessing.compare(self.link.peer, settled.receipt.checkpoint)
        facts = {"analysis": analysis, "ask": ask, "hub_entry": settled.receipt.index, "settled": settled.kind}
        entry = Entry("release.acknowledged", f"node:{self.link.site}", study=study, facts=facts)
        proof = json.dumps(settled.receipt.to_dict())
        self.store.acknowledge((study, analysis, ask), proof, settled.kind == ARRIVED, entry)

    def _sent(self, study: str, analysis: str, ask: str) -> Settled | None:
        """Hand over with the log that holds it, again where the hub remembers another size of it than was thought: a
        poll under way shows our log too, and arrives before this or after it, or between two tries.

        What may leave is asked just before each sending. None where nothing is left to hand over.
        """
        for _ in range(TRIES):
            message = outgoing(self.runner.store, self.runner.airlock.site, study, analysis, ask)
            if message is None:
                return None
            shown, sent = self._show()
            settled, log = self.link.deliver(message.model_copy(update={"log": shown}))
            if settled is not None:
                return settled
            if self._hear(log, sent) not in ("", Reason.OLD_SIZE):
                raise AuditError("Nothing is handed over now.", remedy="See `sojourn node show`.")
        raise AuditError("The hub does not accept this node's log.", remedy="See `sojourn node show`.")


def _pause(failures: int) -> float:
    """Seconds to the next try: twice as long after each failure, up to a bound; not at once for all nodes."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 8)) * random.uniform(0.5, 1.0)
