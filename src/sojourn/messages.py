"""Everything that crosses between hub, node and client; nothing else does.

Law: an `Answer` holds only a release, which only the gate of its kind of plan, clear or masked, can make. Every other
message carries identifiers, hashes, signed requests and words of `errors.REASONS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import rfc8785
from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from sojourn.analysis.partial import decode, encode
from sojourn.analysis.statistic import Ask
from sojourn.audit.checkpoint import stated_size
from sojourn.disclosure.gate import ReceivedRelease, Release, signed_bytes
from sojourn.disclosure.masked_gate import MaskedRelease, Received, ReceivedMasked
from sojourn.errors import IdentityError
from sojourn.forms import ArrayDocument, Digest, Document, Hex16, Message, Name, Note, Question, Reply, Word
from sojourn.identity.keys import PrivateKey, PublicKey

PROTOCOL = 1
_MASKED_TYPE = b"sojourn-masked-v1\n"

# ---- asks and answers -------------------------------------------------------------------------------------------


class AskDocument(Message):
    """One round's question in wire form."""

    step: Word
    broadcast: dict[Word, ArrayDocument]

    @classmethod
    def of(cls, ask: Ask) -> AskDocument:
        """The wire form of an ask."""
        return cls(step=ask.step, broadcast={name: encode(array) for name, array in sorted(ask.broadcast.items())})

    def ask(self) -> Ask:
        """The ask; ValueError on damaged arrays, and on another spelling of the same ones: it has another digest."""
        ask = Ask(self.step, {name: decode(array) for name, array in self.broadcast.items()})
        if any(encode(array)["data"] != self.broadcast[name]["data"] for name, array in ask.broadcast.items()):
            raise ValueError("not an array")
        return ask

    def digest(self, study: str, analysis: str) -> str:
        """Names this ask within its study: sha256 of its canonical bytes."""
        body: Document = {"study": study, "analysis": analysis, "step": self.step, "broadcast": self.broadcast}
        return hashlib.sha256(rfc8785.dumps(body)).hexdigest()


class Answer:
    """A release under its site's signature: the only thing with numbers that a node ever sends."""

    def __init__(self, release: Release | MaskedRelease, key: PrivateKey) -> None:
        if type(release) not in (Release, MaskedRelease):
            raise TypeError("an Answer holds only a release that the gate made")
        self.release = release
        self._kind = "release" if isinstance(release, Release) else "masked"
        self._signature = key.sign(_signed_bytes(self._kind, release.to_dict()))

    def to_dict(self) -> Document:
        """The document that is sealed and sent."""
        return {self._kind: self.release.to_dict(), "signature": self._signature.hex()}


class ReceivedAnswer:
    """An answer as another party reads it, its signature checked against the site's key from the signed roster."""

    def __init__(self, release: Received, document: Document) -> None:
        self.release = release
        self.document = document

    @classmethod
    def read(cls, document: Mapping[str, Any], key: PublicKey) -> ReceivedAnswer:
        """IdentityError where the signature does not hold, ValueError where it is not an answer."""
        kind, release, signature = _parts(document)
        try:
            holds = key.verify(bytes.fromhex(signature), _signed_bytes(kind, release))
        except (RecursionError, TypeError) as error:
            raise ValueError("not an answer") from error
        if not holds:
            raise IdentityError(
                "A release does not carry its site's signature.",
                remedy="Report this to all custodians: the hub may be faulty or hostile.",
            )
        return cls(received(document), dict(document))


def received(document: Mapping[str, Any]) -> Received:
    """The release in an answer whose signature was verified; ValueError where it is none."""
    kind, release, _ = _parts(document)
    return ReceivedMasked.from_dict(release) if kind == "masked" else ReceivedRelease.from_dict(release)


def _parts(document: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], str]:
    match document:
        case {"release": Mapping() as release, "signature": str(signature), **others} if not others:
            return "release", release, signature
        case {"masked": Mapping() as release, "signature": str(signature), **others} if not others:
            return "masked", release, signature
    raise ValueError("not an answer")


def _signed_bytes(kind: str, release: Mapping[str, Any]) -> bytes:
    return signed_bytes(release) if kind == "release" else _MASKED_TYPE + rfc8785.dumps(dict(release))


def _without_nothing(document: dict[str, Any], word: str) -> dict[str, Any]:
    """A message without a word that says nothing: readers of an older version do not know it."""
    return {name: value for name, value in document.items() if name != word or value is not None}


# ---- node and hub -----------------------------------------------------------------------------------------------


class RoundDocument(Message):
    """One past round: what was asked, and each site's signed answer."""

    ask: AskDocument
    answers: dict[Name, Document]


class Stated(Reply):
    """A site's public exchange key (X25519), stated by its node's key: see `secrecy.exchange`."""

    key: Digest
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class Task(Reply):
    """What the hub asks of one node: one round of one analysis, with everything needed to check it."""

    study: Hex16
    analysis: Word
    ask: AskDocument
    transcript: list[RoundDocument]
    request: Document  # the researcher's envelope
    exchange: dict[Name, Stated] | None = None  # of a masked plan: the sites' keys for masks, under their signatures

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `exchange` in clear plans: an older node does not know the word."""
        return _without_nothing(dump(self), "exchange")

    def key(self) -> str:
        """Names the task: (study, analysis, ask)."""
        return self.ask.digest(self.study, self.analysis)


class Join(Question):
    """A new node shows its one-time token and its keys; the request itself is signed with `key`."""

    protocol: int
    software: str
    site: Name
    token: str
    key: Digest
    log_key: Digest


class Joined(Reply):
    """The hub's word that a node belongs to the federation."""

    site: Name
    protocol: int
    software: str


class Publish(Question):
    """The datasets' public dictionaries: all that a node tells of its data without being asked."""

    datasets: list[Document]
    rules: Document  # the policy's public name, version and threshold
    sandbox: str
    software: str = ""


class Shown(Reply):
    """One party's log, for the other one to witness: its latest signed checkpoint, proven from `old` on.

    `old`: the size that the other one remembers, as far as known here. `remembers`: what this party remembers of the
    other's log, under its cosignature. `refused`: why it does not accept the other's log.
    """

    checkpoint: Note
    old: Annotated[int, Field(ge=0)]
    proof: Annotated[list[Digest], Field(max_length=63)]
    remembers: Note | None
    refused: Word | None

    @property
    def size(self) -> int:
        """The size that the checkpoint states, before it is verified; -1 where it states none."""
        return stated_size(self.checkpoint)


class Greeting(Question):
    """A node asks how it stands with the hub (`sojourn node doctor`); it takes no work by it."""

    protocol: int
    software: Word


class Standing(Reply):
    """What the hub knows of the node that asks: its keys; and the hub's own software and clock."""

    site: Name
    key: Digest
    log_key: Digest
    protocol: int
    software: Word
    time: float


class Poll(Question):
    """A node asks for work. `known`: tasks in hand; `running`: studies in hand; `log`: not said before version 0.2.

    `reviews`: those tasks in hand whose answers wait for a checker; not said where there are none.
    """

    protocol: int
    software: str
    known: list[Digest]
    running: list[Hex16]
    wait: Annotated[float, Field(ge=0, le=30)]
    log: Shown | None = None
    reviews: Annotated[list[Digest], Field(max_length=10_000)] | None = None

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `reviews` where nothing waits: an older hub does not know the word."""
        return _without_nothing(dump(self), "reviews")


class Work(Reply):
    """What the hub answers: new tasks, studies that have ended, and the hub's time (UTC seconds) and version.

    `log` is set only for a node that showed its own: an older one would not know the word.
    """

    tasks: list[Task]
    ended: dict[str, Literal["completed", "failed", "cancelled"]]
    time: float
    log: Shown | None = None
    software: str = ""


class Delivery(Question):
    """A sealed answer, or a reason from the fixed list; exactly one of them."""

    study: Hex16
    analysis: Word
    ask: Digest
    sealed: Annotated[str, Field(pattern=r"^([0-9a-f]{2})+$")] | None = None
    reason: Word | None = None
    log: Shown | None = None  # which holds the answer or reason, so that a receipt is given only for what is witnessed

    @model_validator(mode="after")
    def _one(self) -> Delivery:
        if (self.sealed is None) == (self.reason is None):
            raise ValueError("a delivery is a sealed answer or a reason")
        return self


class Acknowledgement(Reply):
    """The hub's receipt: its log entry with inclusion proof and signed checkpoint.

    None where the hub does not accept the log that came with the delivery: `log` says what it remembers of it.
    """

    receipt: Document | None
    log: Shown | None = None


class Recall(Question):
    """A node whose log lost its end asks what it did: for the studies after this one, in the order of their names."""

    after: str = Field(pattern=r"^([0-9a-f]{32})?$")


class PastTask(Reply):
    """What the asking node once said to one ask: its own signed answer, or its reason; neither where it came too late.

    receipt: the hub's log entry about it.
    """

    analysis: Word
    ask: Digest
    round: int
    answer: Document | None
    reason: Word | None
    receipt: Document


class PastStudy(Reply):
    """One study in which the asking node said something."""

    study: Hex16
    request: Document  # the researcher's envelope
    tasks: list[PastTask]


class Recalled(Reply):
    """The next studies in the order of their names; none at the end."""

    studies: list[PastStudy]


# ---- client and hub ---------------------------------------------------------------------------------------------


class SiteView(Reply):
    """What a researcher may know of a site before asking."""

    site: Name
    key: Digest
    online: bool
    datasets: list[Document]
    rules: Document
    suspended: Word | None = None  # `log`: hub or site does not trust the other's log, so that it gets no task

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `suspended` where there is nothing to say: an older client does not know the word."""
        return _without_nothing(dump(self), "suspended")


class Federation(Reply):
    """What a researcher needs in order to sign a request."""

    protocol: int
    software: str
    sites: list[SiteView]
    seal_key: Digest
    log_origin: str
    log_key: Digest


class Submitted(Reply):
    """The hub took the request; its receipt proves it."""

    study: Hex16
    receipt: Document


class StudyView(Reply):
    """Where a study stands. `events` from the number asked for on."""

    study: Hex16
    title: str
    project: str
    state: Literal["submitted", "running", "completed", "failed", "cancelled"]
    message: str
    submitted: float
    finished: float | None
    events: list[Document]


class Outcome(Reply):
    """What one site did for one analysis."""

    status: Literal["waiting", "contributed", "not released", "no answer"]
    reason: str
    bytes: int


class AnalysisView(Reply):
    """One analysis at its end: the hub's estimate or its error, and the whole signed transcript to check it by."""

    estimate: Document | None
    error: Document | None
    transcript: list[RoundDocument]
    outcomes: dict[Name, Outcome]


class ResultsView(Reply):
    """A study's end as the client fetches it."""

    study: StudyView
    request: Document
    analyses: dict[str, AnalysisView]
    receipts: list[Document]
    log_origin: str
    log_key: Digest
    exchange: dict[Name, Stated] | None = None  # of a masked plan, as in every `Task` of it

    @model_serializer(mode="wrap")
    def _said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `exchange` in clear plans."""
        return _without_nothing(dump(self), "exchange")
