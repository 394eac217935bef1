"""Reviews: people look at what is too risky to leave by itself. The life of a held output, and how votes count.

The laws. A vote is over the hash of the held bytes, under the checker's own key: bytes that change have no votes.
Medium risk needs one checker, high risk two different ones who agree; where two do not agree, nothing leaves. Nobody
checks an output of their own: not the researcher's key, nor anybody of the researcher's name. Who is no longer
enrolled has no vote. A checker may hide further cells, which makes other bytes, and never show one.

Source: the "four eyes" of output checking in the SDC Handbook (Griffiths et al. 2019) and in Welpton, Handbook on
Statistical Disclosure Control for Outputs (2019), chapter 2.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import numpy as np
import rfc8785
from numpy.typing import NDArray

from sojourn.audit.lifecycle import Lifecycle
from sojourn.disclosure.output import Finding, Tier, Verdict, strictness
from sojourn.errors import EnvelopeRefused, ReviewError
from sojourn.identity.envelope import Envelope, sign
from sojourn.identity.keys import PrivateKey

VOTE_TYPE = "application/vnd.sojourn.vote+json"
APPROVE, REJECT, HIDE = "approve", "reject", "hide"
NEEDED: Mapping[Tier, int] = MappingProxyType({Tier.LOW: 0, Tier.MEDIUM: 1, Tier.HIGH: 2})
MOST_WORDS = 2000  # characters of a reason or condition

REVIEW = Lifecycle(
    name="review",
    initial="open",
    terminal=frozenset({"approved", "rejected", "closed"}),
    transitions=MappingProxyType(
        {
            "open": {
                "vote": "voted once",
                "approve": "approved",
                "reject": "rejected",
                "edit": "open",
                "raise": "open",
                "close": "closed",
            },
            "voted once": {
                "vote": "voted once",
                "approve": "approved",
                "reject": "rejected",
                "edit": "open",
                "raise": "open",
                "close": "closed",
            },
        }
    ),
    owners=MappingProxyType(
        {
            "vote": ("checker",),
            "approve": ("checker",),
            "reject": ("checker", "custodian"),
            "edit": ("checker",),
            "raise": ("node",),
            "close": ("node", "researcher", "custodian"),
        }
    ),
    again="It is decided: a new output needs a new request.",
    error=ReviewError,
)
LIVE = tuple(state for state in REVIEW.states if state not in REVIEW.terminal)


@dataclass(frozen=True)
class Vote:
    """What one checker says of one held output.

    review: its name. digest: sha256 (hex) of the held bytes. verdict: approve, reject or hide. reason: for the record.
    conditions: what the custodian is to see to, in words. for_run: also for later rounds that are no riskier. hide:
    cells that are to be hidden too, e.g. `count[0,1]`. time: UTC seconds.
    """

    review: str
    digest: str
    verdict: str
    reason: str
    conditions: tuple[str, ...]
    for_run: bool
    hide: tuple[str, ...]
    time: int

    def __post_init__(self) -> None:
        """ReviewError where a word is of another form, or a verdict has no reason."""
        words = (self.review, self.digest, self.verdict, self.reason, *self.conditions, *self.hide)
        if not all(isinstance(word, str) and len(word) <= MOST_WORDS for word in words):
            raise ReviewError("A vote's word is too long, or none.", remedy=f"Use at most {MOST_WORDS} characters.")
        if self.verdict not in (APPROVE, REJECT, HIDE) or bool(self.hide) != (self.verdict == HIDE):
            raise ReviewError("A vote approves, rejects or hides cells.", remedy="Say one of them.")
        if not self.reason.strip():
            raise ReviewError("A vote needs a reason.", remedy="Give --reason: it is kept with the decision.")
        if type(self.for_run) is not bool or type(self.time) is not int or (self.for_run and self.verdict != APPROVE):
            raise ReviewError("Only an approval is for the run.", remedy="Leave --for-run out.")

    def signed(self, key: PrivateKey) -> Envelope:
        """The vote under its checker's key."""
        document: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        document |= {"conditions": list(self.conditions), "hide": list(self.hide)}
        return sign(VOTE_TYPE, rfc8785.dumps(document), key)

    @classmethod
    def read(cls, envelope: Envelope) -> Vote:
        """The vote that `envelope.key` signed; ReviewError where there is none."""
        if envelope.payload_type != VOTE_TYPE or not envelope.holds():
            raise ReviewError("The vote does not carry a signature that holds.", remedy="Sign it with your own key.")
        try:
            document = json.loads(envelope.payload)
            lists = {name: tuple(document[name]) for name in ("conditions", "hide")}
            vote = cls(**{**document, **lists})
        except (ValueError, TypeError, KeyError) as error:
            raise ReviewError("The vote cannot be read.", remedy="Use the same version as the node.") from error
        return vote


def bench(enrolled: Mapping[str, str], author: str, named: Iterable[str]) -> dict[str, str]:
    """Who may check an output of this author, name → key: of the enrolled all but the author's key and names."""
    names = {fold(name) for name in named}
    return {name: key for name, key in enrolled.items() if key != author and fold(name) not in names}


def fold(name: str) -> str:
    """A person's name as it is compared: without case and outer or doubled spaces."""
    return " ".join(name.split()).casefold()


def votes(envelopes: Iterable[Mapping[str, Any]], digest: str, seated: Mapping[str, str]) -> dict[str, Vote]:
    """The votes that count for bytes of this hash, by checker's name: the first of each who may check it."""
    names = {key: name for name, key in seated.items()}
    counted: dict[str, Vote] = {}
    for document in envelopes:
        try:
            envelope = Envelope.from_dict(document)
            vote = Vote.read(envelope)
        except (EnvelopeRefused, ReviewError):
            continue
        name = names.get(envelope.key)
        if name is not None and vote.digest == digest and vote.verdict != HIDE:
            counted.setdefault(name, vote)
    return counted


def event(tier: Tier, counted: Mapping[str, Vote]) -> str:
    """What these votes move: `vote` (another checker is to say something), `approve` or `reject`; empty: nothing."""
    if not counted:
        return ""
    if len(counted) < max(1, NEEDED[tier]):
        return "vote"
    return "approve" if all(vote.verdict == APPROVE for vote in counted.values()) else "reject"


def enough(tier: Tier, seated: Mapping[str, str]) -> bool:
    """Whether so many may check that an output of this tier can be decided at all."""
    return len(set(seated.values())) >= max(1, NEEDED[tier])


def no_riskier(finding: Finding, approved: Finding) -> bool:
    """Whether a later round is covered by the approval of an earlier one for the run: the same family by which it is
    risky, no higher tier, no cell hidden or to be looked at that was not so before."""
    if finding.verdict is Verdict.REFUSE or strictness(finding.tier) > strictness(approved.tier):
        return False
    same = (finding.raised or finding.family) == (approved.raised or approved.family)
    return same and all(
        _within(now, before) for now, before in ((finding.cells, approved.cells), (finding.risky, approved.risky))
    )


def _within(masks: Mapping[str, NDArray[np.bool_]], before: Mapping[str, NDArray[np.bool_]]) -> bool:
    for name, mask in masks.items():
        known = before.get(name)
        if mask.any() and (known is None or known.shape != mask.shape or (mask & ~known).any()):
            return False
    return True


def finding_to_dict(finding: Finding) -> dict[str, Any]:
    """JSON form, for the site's own store."""
    return {
        "verdict": finding.verdict.value,
        "family": finding.family,
        "tier": finding.tier.value,
        "note": finding.note,
        "raised": finding.raised,
        "cells": _masks_to_dict(finding.cells),
        "risky": _masks_to_dict(finding.risky),
    }


def finding_from_dict(document: Mapping[str, Any]) -> Finding:
    """Read `finding_to_dict`'s form; ValueError or KeyError on anything else."""
    return Finding(
        Verdict(document["verdict"]),
        document["family"],
        _masks(document["cells"]),
        Tier(document["tier"]),
        document["note"],
        document["raised"],
        _masks(document["risky"]),
    )


def _masks_to_dict(masks: Mapping[str, NDArray[np.bool_]]) -> dict[str, Any]:
    return {
        name: {"shape": list(mask.shape), "cells": [int(i) for i in np.flatnonzero(mask)]}
        for name, mask in masks.items()
    }


def _masks(document: Mapping[str, Any]) -> dict[str, NDArray[np.bool_]]:
    found = {}
    for name, said in document.items():
        mask = np.zeros(tuple(said["shape"]), dtype=bool)
        mask.flat[np.asarray(said["cells"], dtype=np.int64)] = True
        found[name] = mask
    return found


def cell_names(name: str, shape: Sequence[int]) -> list[str]:
    """What the cells of an array are called, C order: `count[0,1]`."""
    return [f"{name}[{','.join(map(str, place))}]" for place in np.ndindex(tuple(shape))]
