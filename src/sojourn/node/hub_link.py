"""The node's only way out: signed requests to its hub. Nothing comes in but answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sojourn import __version__
from sojourn.audit.receipt import Receipt
from sojourn.errors import AuditError
from sojourn.identity.keys import PublicKey
from sojourn.messages import (
    PROTOCOL,
    Acknowledgement,
    Delivery,
    Greeting,
    Join,
    Joined,
    PastStudy,
    Poll,
    Publish,
    Recall,
    Recalled,
    Shown,
    Standing,
    Work,
)
from sojourn.storage.witnessing import Peer
from sojourn.wire.transport import call

if TYPE_CHECKING:
    import httpx

ARRIVED = "round.answered"
KINDS = (ARRIVED, "round.refused", "round.late")


@dataclass(frozen=True)
class Settled:
    """What the hub made of a delivery: the receipt of its log entry, and that entry's kind."""

    receipt: Receipt
    kind: str


class HubLink:
    """One node's words with its hub over any transport; the client signs every request with the node's key."""

    def __init__(self, client: httpx.Client, site: str, federation: str, log_key: PublicKey) -> None:
        self.client = client
        self.site = site
        self.federation = federation
        self.log_key = log_key

    def join(self, token: str, key: str, log_key: str) -> Joined:
        """Show the one-time token and the node's keys."""
        message = Join(protocol=PROTOCOL, software=__version__, site=self.site, token=token, key=key, log_key=log_key)
        return Joined.model_validate(self._call("/v1/join", message))

    def publish(self, message: Publish) -> None:
        """Tell the federation which datasets there are, by their approved dictionaries."""
        self._call(f"/v1/sites/{self.site}/publication", message)

    def standing(self) -> Standing:
        """What the hub knows of this node; it takes no work by asking."""
        message = Greeting(protocol=PROTOCOL, software=__version__)
        return Standing.model_validate(self._call(f"/v1/sites/{self.site}/standing", message))

    @property
    def peer(self) -> Peer:
        """The hub as the owner of a log."""
        return Peer(self.federation, self.log_key)

    def poll(
        self,
        known: list[str],
        running: list[str],
        wait: float,
        log: Shown | None = None,
        reviews: Sequence[str] = (),
    ) -> Work:
        """Ask for work and show this node's log; the hub answers when there is work, or after `wait` seconds.

        reviews: the asks whose answers wait for a checker here.
        """
        message = Poll(
            protocol=PROTOCOL,
            software=__version__,
            known=known,
            running=running,
            wait=wait,
            log=log,
            reviews=list(reviews) or None,
        )
        return Work.model_validate(self._call(f"/v1/sites/{self.site}/poll", message))

    def deliver(self, message: Delivery) -> tuple[Settled | None, Shown | None]:
        """Hand over a sealed answer or a reason: what became of it, proven, else AuditError.

        None and the hub's word on our log where that log is not accepted: then nothing was taken.
        """
        document = self._call(f"/v1/sites/{self.site}/deliveries", message)
        acknowledgement = Acknowledgement.model_validate(document)
        if acknowledgement.receipt is None:
            return None, acknowledgement.log
        receipt = Receipt.from_dict(acknowledgement.receipt)
        entry = receipt.verify(self.federation, self.log_key)
        place = {"analysis": message.analysis, "ask": message.ask, "site": self.site}
        about = entry.get("study") == message.study and place.items() <= dict(entry.get("facts") or {}).items()
        if not about or entry.get("kind") not in KINDS:
            raise AuditError(
                "The hub's receipt is of something else.",
                remedy="Report this to all custodians: the hub may be faulty.",
            )
        return Settled(receipt, str(entry["kind"])), None

    def recall(self, after: str) -> list[PastStudy]:
        """What this site once said in the next studies after this one; its receipts are not verified yet."""
        return Recalled.model_validate(self._call(f"/v1/sites/{self.site}/recall", Recall(after=after))).studies

    def _call(self, path: str, message: Any) -> dict[str, Any]:
        return call(self.client, "POST", path, message.model_dump(mode="json"))
