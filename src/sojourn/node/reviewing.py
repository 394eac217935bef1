"""The desk of the airlock: checkers look at what waits, and decide. Every decision is one transaction with its log.

What an approval lets leave is asked again at that moment: the approval of its researcher, the end of its run, the
ledger. A hash of a reason is logged, never the words; what one of two checkers said stays untold until both have.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import RowMapping

from sojourn.analysis.support import Cells, Support
from sojourn.audit.entry import Entry
from sojourn.disclosure import review as reviewing
from sojourn.disclosure.complement import complement
from sojourn.disclosure.gate import Held, approved, hide_more
from sojourn.disclosure.output import Output, Tier, Verdict, strictness
from sojourn.disclosure.review import HIDE, REVIEW, Vote, cell_names, finding_to_dict
from sojourn.disclosure.suppression import spread, union
from sojourn.errors import DisclosureRefused, EnvelopeRefused, ReviewError, SiteRefused
from sojourn.identity.envelope import Envelope
from sojourn.identity.keys import PublicKey
from sojourn.node.admission import Run, opened
from sojourn.node.airlock import Airlock
from sojourn.node.decisions import Place, decided, held_of, output_of

Sender = Callable[[str, str, str], None]  # study, analysis, ask


@dataclass(frozen=True)
class Desk:
    """What may be done with held outputs. send: hands over what was decided."""

    airlock: Airlock
    clock: Callable[[], float]
    send: Sender
    _deciding: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    # ---- checkers

    def enrol(self, name: str, key: str) -> dict[str, Any]:
        """Let a person check outputs at this site, under this public key (hex)."""
        name, pinned = " ".join(name.split()), PublicKey.from_hex(key)
        if not 0 < len(name) <= 200:
            raise ReviewError("A checker has a name.", remedy="Give it, e.g. `Carol Meier`.")
        entry = Entry("checker.enrolled", "custodian", facts={"checker": pinned.id})
        self.airlock.reviews.enrol(name, pinned.hex, self.clock(), entry)
        return {"name": name, "key": pinned.id, "enrolled": len(self.airlock.reviews.enrolled())}

    def dismiss(self, name: str) -> dict[str, Any]:
        """A person checks no more: votes of theirs on what still waits do not count either."""
        name = " ".join(name.split())
        key = self.airlock.reviews.enrolled().get(name, "")
        entry = Entry("checker.removed", "custodian", facts={"checker": PublicKey.from_hex(key).id if key else ""})
        self.airlock.reviews.dismiss(name, self.clock(), entry)
        return {"name": name, "enrolled": len(self.airlock.reviews.enrolled())}

    # ---- votes

    def vote(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Take a checker's signed vote: what the review is then. ReviewError where it cannot be taken."""
        try:
            envelope = Envelope.from_dict(dict(document))
        except EnvelopeRefused as error:
            raise ReviewError("The vote cannot be read.", remedy="Use the same version as the node.") from error
        vote = Vote.read(envelope)
        try:
            with self._deciding:  # two first votes at one moment would each wait for the other
                self._voted(vote, envelope)
        finally:  # also where it was closed, as nothing of its study may leave any more
            told = self._told(vote.review)
        return told

    def _voted(self, vote: Vote, envelope: Envelope) -> None:
        row = self.airlock.reviews.review(vote.review)
        place = self.place(row)
        REVIEW.move(row["state"], vote.verdict.replace(HIDE, "edit"), "checker")  # it is not decided yet
        name = self._checker(row, place.run, envelope, vote)
        if vote.digest != row["digest"]:
            raise ReviewError("The output was changed meanwhile.", remedy="Look at it again, then vote.")
        cast = {
            "review": row["id"],
            "digest": vote.digest,
            "checker": name,
            "key": envelope.key,
            "envelope": json.dumps(envelope.to_dict()),
            "given": self.clock(),
        }
        if vote.verdict == HIDE:
            self._edit(row, place, vote, cast)
        else:
            self._count(row, place, cast)

    def close(self, name: str, reason: str) -> dict[str, Any]:
        """The custodian's own no, without a vote."""
        row = self.airlock.reviews.review(name)
        with self._deciding:
            self._end(row, "reject", "custodian", "review", reason)
        return self._told(name)

    def sweep(self) -> None:
        """Close whatever waits of a run that has ended, or whose approval was withdrawn."""
        closed = []
        for study in sorted(set(self.airlock.reviews.waiting().values())):
            if reason := self.airlock.store.objection(study):
                with self._deciding:
                    closed += self.airlock.reviews.live(study)
                    for row in self.airlock.reviews.live(study):
                        self._end(row, "close", f"node:{self.airlock.site}", reason)
        for row in closed:
            self.send(row["study"], row["analysis"], row["ask"])

    def place(self, row: RowMapping) -> Place:
        """Which question a held output answers."""
        run = self.airlock.store.run(row["study"])
        assert run is not None  # it was admitted before anything of it could be held
        document = json.dumps(json.loads(run["request"]), sort_keys=True)
        sites = tuple(json.loads(row["sites"]))
        return Place(
            opened(document, run["dataset"], run["snapshot"]), row["analysis"], row["ask"], sites, row["round"]
        )

    def _checker(self, row: RowMapping, run: Run, envelope: Envelope, vote: Vote) -> str:
        """The name under which this key may vote in this review, once on the same bytes."""
        seated = self.airlock.seated(run)
        names = [name for name, key in seated.items() if key == envelope.key]
        if not names:
            author = envelope.key in self.airlock.reviews.enrolled().values()
            words = "Authors never check their own output." if author else "This key is no checker's at this site."
            raise ReviewError(words, remedy="Ask another checker; see `sojourn node show`.")
        counted = reviewing.votes(self.airlock.reviews.envelopes(row["id"]), row["digest"], seated)
        if names[0] in counted and vote.verdict != HIDE:
            raise ReviewError("You have voted on this output.", remedy="Another checker has to look at it.")
        return names[0]

    def _count(self, row: RowMapping, place: Place, cast: dict[str, Any]) -> None:
        """Store the vote with what it moves."""
        seated = self.airlock.seated(place.run)
        envelopes = [*self.airlock.reviews.envelopes(row["id"]), json.loads(cast["envelope"])]
        counted = reviewing.votes(envelopes, row["digest"], seated)
        event = reviewing.event(Tier(row["tier"]), counted)
        REVIEW.move(row["state"], event, "checker")
        if event == "vote":
            facts = self._facts(row) | {"checker": PublicKey.from_hex(cast["key"]).id, "vote": _sha(cast["envelope"])}
            self.airlock.reviews.vote(cast, self._entry("review.voted", place, f"checker:{facts['checker']}", facts))
        elif event == "approve":
            with self.airlock.ledgers.lock(place.run.dataset):
                self._approve(row, place, cast, counted, envelopes)
        else:
            actor = f"checker:{PublicKey.from_hex(cast['key']).id}"
            self._end(row, "reject", actor, "review", cast=cast, counted=counted)

    def _approve(
        self,
        row: RowMapping,
        place: Place,
        cast: dict[str, Any],
        counted: Mapping[str, Vote],
        envelopes: Sequence[Mapping[str, Any]],
    ) -> None:
        """Let exactly the checked bytes leave: vote, state, charge and seal are one transaction.

        Call it while the ledger is locked: what is asked again holds until it has left.
        """
        output = output_of(place, row)
        if self._riskier(row, place, output):
            return
        seated = self.airlock.seated(place.run)
        agreed = decided(row, envelopes, seated)
        cleared = approved(held_of(row), agreed)
        state, now = REVIEW.move(row["state"], "approve", "checker"), self.clock()
        actor = f"checker:{PublicKey.from_hex(cast['key']).id}"
        facts = self._facts(row) | {"votes": _said(counted, seated), "waited": round(now - row["opened"], 3)}
        entry = self._entry("review.approved", place, actor, facts)
        also = self.airlock.reviews.voted(cast, state, now)
        try:
            told, sets = (None, ()) if cleared.header.noise else (output, None)  # of noisy answers no set is known
            self.airlock.leave(place, cleared, told, agreed.finding, now, also, [entry], sets)
        except SiteRefused as error:  # withdrawn, or the run has ended: nothing leaves, whatever the checkers say
            self._end(row, "close", f"node:{self.airlock.site}", error.reason)
            raise ReviewError("Nothing of this study may leave any more.", remedy=error.remedy) from error
        except DisclosureRefused as error:  # others of this asker's answers left meanwhile
            self._end(row, "close", f"node:{self.airlock.site}", error.family)
            raise ReviewError("Its researcher has had all that may be had.", remedy=error.remedy) from error

    def _riskier(self, row: RowMapping, place: Place, output: Output) -> bool:
        """Whether other rules, or what was released since, make it riskier than what was voted on: then it waits anew,
        or is closed.
        """
        header, policy = json.loads(row["document"])["header"], self.airlock.policy_of(place)
        judged = (header["policy"], header["policy_version"], header["hidden_max"])
        if judged != (policy.name, policy.version, policy.hidden_max()):
            self._end(row, "close", f"node:{self.airlock.site}", "policy version")
            return True
        known = held_of(row).finding
        if "noise" not in header:  # noisy answers are compared with nothing
            known = self.airlock.again(place, output, known)
        if known.verdict is Verdict.REFUSE:
            self._end(row, "close", f"node:{self.airlock.site}", known.family)
            return True
        waiting = held_of(row)
        hides = any((mask & ~waiting.finding.cells.get(name, False)).any() for name, mask in known.cells.items())
        if strictness(known.tier) <= strictness(Tier(row["tier"])) and not hides:
            return False
        held = hide_more(waiting, known.cells, known.tier)
        facts = self._facts(row) | {
            "tier": known.tier.value,
            "family": known.raised or known.family,
            "now": held.digest,
        }
        values = self._bytes(row, held, "raise") | {"family": known.raised or known.family}
        entry = self._entry("review.raised", place, f"node:{self.airlock.site}", facts)
        self.airlock.reviews.change(row["id"], row["digest"], values, entry)
        return True

    def _edit(self, row: RowMapping, place: Place, vote: Vote, cast: dict[str, Any]) -> None:
        """Hide further cells, with their complement, in all arrays that show them."""
        held = held_of(row)
        threshold = self.airlock.policy_of(place).hidden_max() + 1
        masks = hidden_too(held, output_of(place, row).support, vote.hide, threshold)
        edited = hide_more(held, masks)
        if edited.digest == held.digest:
            raise ReviewError("These cells are hidden already.", remedy="Name cells that are shown.")
        checker = PublicKey.from_hex(cast["key"]).id
        facts = self._facts(row) | {"now": edited.digest, "cells": sum(int(mask.sum()) for mask in masks.values())}
        entry = self._entry("review.edited", place, f"checker:{checker}", facts | {"vote": _sha(cast["envelope"])})
        self.airlock.reviews.change(row["id"], row["digest"], self._bytes(row, edited, "edit"), entry, cast)

    def _bytes(self, row: RowMapping, held: Held, event: str) -> dict[str, Any]:
        """What other bytes change in a review: they have no votes."""
        return {
            "state": REVIEW.move(row["state"], event),
            "tier": held.finding.tier.value,
            "document": held.document,
            "digest": held.digest,
            "version": row["version"] + 1,
            "finding": json.dumps(finding_to_dict(held.finding)),
        }

    def _end(
        self,
        row: RowMapping,
        event: str,
        actor: str,
        how: str,
        reason: str = "",
        cast: dict[str, Any] | None = None,
        counted: Mapping[str, Vote] | None = None,
    ) -> None:
        """Nothing leaves: store that with the refusal that the hub is told, where its run goes on."""
        now, place = self.clock(), self.place(row)
        state = REVIEW.move(row["state"], event, actor.partition(":")[0])
        kind = "review.rejected" if event == "reject" else "review.closed"
        facts = self._facts(row) | {"reason": how, "waited": round(now - row["opened"], 3)}
        facts |= {"votes": _said(counted, self.airlock.seated(place.run))} if counted else {}
        facts |= {"words": _sha(reason)} if reason else {}
        entries = [self._entry(kind, place, actor, facts)]
        release = None
        if how != "cancelled":  # the hub asks no more for what was cancelled
            release = self.airlock.decision(place, now) | {"reason": how, "note": reason, "tier": row["tier"]}
            told = {"analysis": row["analysis"], "round": row["round"], "ask": row["ask"], "reason": how}
            entries.append(self._entry("release.refused", place, f"node:{self.airlock.site}", told))
        values = {"state": state, "decided": now, "how": how}
        self.airlock.reviews.close(row, values, entries, release, cast)

    def _facts(self, row: RowMapping) -> dict[str, Any]:
        """What every entry about a review says: which bytes, and the checks that they had passed."""
        policy = f"{self.airlock.policy.name} {self.airlock.policy.version}"
        place = {"review": row["id"], "analysis": row["analysis"], "ask": row["ask"], "sha256": row["digest"]}
        return place | {"rules": policy, "finding": _sha(row["finding"]), "tier": row["tier"], "family": row["family"]}

    def _entry(self, kind: str, place: Place, actor: str, facts: Mapping[str, Any]) -> Entry:
        return Entry(kind, actor, study=place.run.request.study, dataset=place.run.dataset, facts=facts)

    def _told(self, name: str) -> dict[str, Any]:
        """What a review is now; what was decided is handed over."""
        row = self.airlock.reviews.review(name)
        if row["state"] in REVIEW.terminal:
            self.send(row["study"], row["analysis"], row["ask"])
        return {word: row[word] for word in ("id", "state", "digest", "version", "tier")}


def hidden_too(held: Held, support: Support, names: Sequence[str], threshold: int) -> dict[str, NDArray[np.bool_]]:
    """The masks of these cells (`count[0,1]`) and their complement, over every array that shows them.

    ReviewError for a cell that there is not.
    """
    arrays = json.loads(held.document)["partial"]["arrays"]
    shapes = {name: tuple(array["shape"]) for name, array in arrays.items()}
    masks = [_one(name, shapes, support, threshold, held) for name in names]
    return union(masks)


def _one(
    cell: str, shapes: Mapping[str, tuple[int, ...]], support: Support, threshold: int, held: Held
) -> dict[str, NDArray[np.bool_]]:
    array = cell.partition("[")[0]
    wanted = cell.replace(" ", "")
    for cells in support.cells:
        if array in cells.output and wanted in (names := cell_names(array, cells.shape)):
            mask = np.zeros(cells.shape, dtype=bool)
            mask.flat[names.index(wanted)] = True
            mask = complement(cells, mask | _hidden(cells, held, shapes), threshold)
            return {name: spread(mask, shapes[name]) for name in cells.output if name in shapes}
    if array in shapes and wanted in (names := cell_names(array, shapes[array])):
        mask = np.zeros(shapes[array], dtype=bool)
        mask.flat[names.index(wanted)] = True
        return {array: mask}
    raise ReviewError("There is no such cell in the output.", remedy="`sojourn airlock show` names them.")


def _hidden(cells: Cells, held: Held, shapes: Mapping[str, tuple[int, ...]]) -> NDArray[np.bool_]:
    """The cells of a table that are hidden already in every array that shows them."""
    for name in cells.output:
        mask = held.finding.cells.get(name)
        if mask is not None and shapes.get(name) == cells.shape:
            return mask
    return np.zeros(cells.shape, dtype=bool)


def _said(counted: Mapping[str, Vote], seated: Mapping[str, str]) -> list[dict[str, str]]:
    """The votes of a decision for the log: who (by key), what, and hashes of the words."""
    return [
        {
            "checker": PublicKey.from_hex(seated[name]).id,
            "verdict": vote.verdict,
            "reason": _sha(vote.reason),
            "conditions": _sha("\n".join(vote.conditions)) if vote.conditions else "",
            "for_run": str(vote.for_run).lower(),
        }
        for name, vote in sorted(counted.items())
    ]


def _sha(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()
