"""Opens what sites deliver and refuses whatever is not exactly the release that was asked for."""

from __future__ import annotations

import json

from sqlalchemy import select

from sojourn.disclosure.masked_gate import Received, ReceivedMasked
from sojourn.disclosure.rehearsal import is_rehearsal
from sojourn.errors import IdentityError
from sojourn.forms import Document
from sojourn.hub.store import HubStore
from sojourn.hub.tables import seal_keys
from sojourn.identity.envelope import Request
from sojourn.identity.keys import PublicKey
from sojourn.messages import Delivery, ReceivedAnswer, received
from sojourn.wire.seal import open_sealed, release_info


def open_delivery(store: HubStore, request: Request, site: str, message: Delivery) -> tuple[Document, str]:
    """The signed release inside a delivery and its digest; IdentityError where anything does not fit."""
    row = store.row(select(seal_keys.c.private).where(seal_keys.c.public == request.seal_key))
    if row is None or message.sealed is None:
        raise _refuse("The answer is sealed to a key of another hub.")
    try:
        info = release_info(study=message.study, analysis=message.analysis, round=message.ask, site=site)
        document = json.loads(open_sealed(row["private"], bytes.fromhex(message.sealed), info))
        answer = ReceivedAnswer.read(document, PublicKey.from_hex(request.roster[site]))
    except (ValueError, KeyError, RecursionError) as error:
        raise _refuse("The answer cannot be opened or read.") from error
    header = answer.release.header
    place = (header.study, header.plan, header.analysis, header.ask, header.site)
    if place != (message.study, request.plan_hash, message.analysis, message.ask, site):
        raise _refuse("The answer belongs to another question.")
    if isinstance(answer.release, ReceivedMasked) != (request.plan.get("aggregation") == "masked"):
        raise _refuse("A clear answer was given in a masked study, or a masked one in a clear study.")
    if is_rehearsal(header.watermark) != request.rehearsal:
        raise _refuse("A rehearsal was answered for a study, or a study for a rehearsal.")
    return answer.document, answer.release.digest()


class Releases:
    """The releases read last, by study, analysis, ask and site: what a site answered never changes."""

    def __init__(self, most: int = 2048) -> None:
        self._most = most
        self._held: dict[tuple[str, str, str, str], Received] = {}

    def read(self, place: tuple[str, str, str, str], answer: str) -> Received:
        """The release in this answer of this place."""
        release = self._held.get(place)
        if release is None:
            release = self._held[place] = received(json.loads(answer))
            while len(self._held) > self._most:
                self._held.pop(next(iter(self._held)), None)
        return release

    def forget(self, study: str, analysis: str) -> None:
        """What an analysis was concluded from is not asked for again."""
        for place in [place for place in tuple(self._held) if place[:2] == (study, analysis)]:
            self._held.pop(place, None)


def _refuse(words: str) -> IdentityError:
    return IdentityError(words, remedy="Upgrade the node to the hub's version, or ask the custodian.")
