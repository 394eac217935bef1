"""Whether a study's record holds, with nothing but its own bytes: each check names the files that fail it.

Law: nothing is believed before the checks that it rests on hold. A file that cannot be read fails the check that needs
it; what follows from the evidence is made again here, and compared.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import rfc8785

from sojourn.client.archive import SIGNATURE, SIGNED_TYPE, place, statement
from sojourn.client.verification import RELATIVE, LogIdentity, agree, proofs_of, record_of
from sojourn.errors import SojournError
from sojourn.identity.envelope import Envelope, Request
from sojourn.identity.keys import PublicKey
from sojourn.messages import AnalysisView, AskDocument, ReceivedAnswer, ResultsView, RoundDocument, Stated, StudyView
from sojourn.report.bag import Bag, unpacked
from sojourn.report.contents import DRAWN_WITH, Ground, as_json, drawn, follows, made_with
from sojourn.report.crate import METADATA, described, shape
from sojourn.report.record import Check, StudyRecord, estimate_from_dict
from sojourn.secrecy.exchange import Stated as StatedKey
from sojourn.study.circle import Circle
from sojourn.study.masked import history_of
from sojourn.study.plan import Plan

Faults = Iterator[tuple[str, str]]
_UNREADABLE = (SojournError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


@dataclass(frozen=True)
class Verdict:
    """What was found. checks: in their order; after one that others rest on has failed, none follows.

    faults: file → what is wrong. researcher, log: whose keys the record rests on (hex); compare them with those known.
    made_with: Sojourn's version then; another one may compute or say things otherwise.
    """

    study: str
    checks: tuple[Check, ...]
    faults: Mapping[str, str]
    researcher: str
    origin: str
    log: str
    made_with: str

    @property
    def holds(self) -> bool:
        """Whether every check was made, and none failed."""
        return {check.name for check in self.checks} == set(CHECKS) and all(check.ok for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        checks = [{"name": check.name, "ok": check.ok, "words": check.words} for check in self.checks]
        keys = {"researcher": self.researcher, "log": {"origin": self.origin, "key": self.log}}
        said = {"study": self.study, "made_with": self.made_with, "holds": self.holds, "checks": checks}
        return {**said, "faults": dict(self.faults), **keys}


class _Archive:
    """A record's files as what they say; raises one of `_UNREADABLE` where they do not say it."""

    def __init__(self, bag: Bag, hub: LogIdentity | None, researcher: str) -> None:
        self.payload, self.tags = bag.payload, bag.tags
        self.hub, self.expected = hub, researcher

    def read(self, name: str) -> Any:
        return json.loads(self.payload[name])

    @cached_property
    def envelope(self) -> Envelope:
        return Envelope.from_dict(self.read("request.json"))

    @cached_property
    def request(self) -> Request:
        return Request.read(self.envelope)

    @cached_property
    def log(self) -> LogIdentity:
        proofs = self.read("proofs.json")
        return LogIdentity(str(proofs["origin"]), str(proofs["key"]))

    @cached_property
    def record(self) -> StudyRecord:
        """As it was written down."""
        return StudyRecord.from_dict(self.read("study.json"))

    @cached_property
    def masked(self) -> bool:
        return Plan.from_dict(dict(self.request.plan)).aggregation == "masked"

    @cached_property
    def rounds(self) -> dict[str, list[dict[str, Any]]]:
        said = self.read("hub.json")["analyses"]
        return {
            name: [self.read(place(name, at)) for at in range(1, int(one["rounds"]) + 1)] for name, one in said.items()
        }

    @cached_property
    def view(self) -> ResultsView:
        """What the hub gave; of a masked study without its rounds."""
        said, proofs = self.read("hub.json"), self.read("proofs.json")
        analyses = {}
        for name, one in said["analyses"].items():
            told = [] if self.masked else [RoundDocument.model_validate(past) for past in self.rounds[name]]
            words = {word: value for word, value in one.items() if word != "rounds"}
            analyses[name] = AnalysisView.model_validate({**words, "transcript": told})
        exchange = proofs["exchange"]
        return ResultsView(
            study=StudyView.model_validate({**said["study"], "events": [], "message": ""}),
            request=self.read("request.json"),
            analyses=analyses,
            receipts=proofs["receipts"],
            log_origin=self.log.origin,
            log_key=self.log.key,
            exchange=None
            if exchange is None
            else {site: Stated.model_validate(word) for site, word in exchange.items()},
        )

    @cached_property
    def ground(self) -> Ground:
        key = PublicKey.from_hex(self.envelope.key).id
        made = self.read("versions.json")["record"]
        return Ground(self.record, self.request, self.rounds, key, self.log.origin, made)


def verify(data: bytes, hub: LogIdentity | None = None, researcher: str = "") -> Verdict:
    """Check the bytes of a study's record. AuditError where they are none.

    hub, researcher (hex): the keys that it must rest on; without them it is only consistent in itself, and the verdict
    says on which keys.
    """
    bag = unpacked(data)
    archive = _Archive(bag, hub, researcher)
    checks: list[Check] = []
    faults: dict[str, str] = {}
    for name, (words, look, stops) in CHECKS.items():
        found = dict(bag.faults) if name == "bag" else _found(look, archive)
        checks.append(Check(name, not found, words if not found else _sentence(found)))
        faults |= {file: what for file, what in found.items() if file not in faults}
        if found and stops:
            break
    study, key, log, made = _keys(archive)
    return Verdict(study, tuple(checks), faults, key, log.origin, log.key, made)


def _found(look: Callable[[_Archive], Faults], archive: _Archive) -> dict[str, str]:
    """What a check finds; an exception in it is a fault of the record."""
    found: dict[str, str] = {}
    try:
        for file, what in look(archive):
            found.setdefault(file, what)
    except _UNREADABLE as error:
        if not found:
            found["the evidence"] = f"cannot be read ({type(error).__name__})"
    return found


def _sentence(found: Mapping[str, str]) -> str:
    told = [f"{file} {what}" for file, what in sorted(found.items())]
    return "; ".join(told[:5]) + (f"; {len(told) - 5} more" if len(told) > 5 else "")


def _keys(archive: _Archive) -> tuple[str, str, LogIdentity, str]:
    try:
        made = str(archive.read("versions.json")["record"]["sojourn"])
        return archive.request.study, archive.envelope.key, archive.log, made
    except _UNREADABLE:
        return "", "", LogIdentity("", ""), ""


def _nothing(_: _Archive) -> Faults:
    yield from ()


def _request(archive: _Archive) -> Faults:
    try:
        plan = Plan.from_dict(dict(archive.request.plan))
        sound = archive.envelope.holds() and plan.hash == archive.request.plan_hash
    except _UNREADABLE:
        sound = False
    if not sound:
        yield "request.json", "is not a request under its researcher's signature"
    elif archive.expected and archive.envelope.key != archive.expected:
        yield "request.json", "is signed by another researcher than the one that you named"


def _signature(archive: _Archive) -> Faults:
    """The researcher's word for all files together."""
    try:
        signed = Envelope.from_dict(json.loads(archive.tags[SIGNATURE]))
        sound = signed.payload_type == SIGNED_TYPE and signed.holds() and signed.key == archive.envelope.key
        sound = sound and signed.payload == statement(archive.request.study, archive.payload)
    except _UNREADABLE:
        sound = False
    if not sound:
        yield SIGNATURE, "is not the researcher's signature on these files"


def _log(archive: _Archive) -> Faults:
    if archive.hub is not None and archive.hub != archive.log:
        yield "proofs.json", "is of another hub than the one that you named"
    try:
        entries = [archive.log.verify(receipt) for receipt in archive.read("proofs.json")["receipts"]]
        kinds = {str(entry["kind"]): entry for entry in entries}
        begun = kinds["study.submitted"]
        sound = all(entry["study"] == archive.request.study for entry in entries)
        sound = sound and begun["facts"]["plan"] == archive.request.plan_hash
        sound = sound and begun["facts"]["sites"] == sorted(archive.request.roster)
        sound = sound and begun["actor"] == f"researcher:{PublicKey.from_hex(archive.envelope.key).id}"
        sound = sound and any(kind in kinds for kind in ("study.completed", "study.failed", "study.cancelled"))
    except _UNREADABLE:
        sound = False
    if not sound:
        yield "proofs.json", "does not prove that the hub's log holds this study from its request to its end"


def _releases(archive: _Archive) -> Faults:
    """Each round under its sites' signatures; of a masked study its hashes, against what the hub's log says."""
    study = archive.request.study
    for name, told in archive.rounds.items():
        for number, past in enumerate(told, start=1):
            try:
                sound = archive.masked or _signed(archive.request, past)
            except _UNREADABLE:
                sound = False
            if not sound:
                yield place(name, number), "does not carry its sites' signatures"
    known = {place(name, at) for name, told in archive.rounds.items() for at in range(1, len(told) + 1)}
    for file in sorted(set(archive.payload) - known):
        if file.startswith("releases/"):
            yield file, "is of no round"
    if archive.masked:
        yield from _hashes(archive, study)


def _signed(request: Request, past: Mapping[str, Any]) -> bool:
    AskDocument.model_validate(past["ask"]).ask()
    for site, answer in past["answers"].items():
        ReceivedAnswer.read(answer, PublicKey.from_hex(request.roster[site]))
    return set(past) == {"ask", "answers"} and bool(past["answers"])


def _hashes(archive: _Archive, study: str) -> Faults:
    """Whether the hub's log names the same circle, rounds and result of each masked analysis."""
    logged = {}
    for receipt in archive.read("proofs.json")["receipts"]:
        entry = archive.log.verify(receipt)
        if entry["kind"] == "analysis.concluded" and entry["study"] == study:
            logged[entry["facts"]["analysis"]] = entry["facts"]
    stated = {
        site: StatedKey(site, word.key, bytes.fromhex(word.signature))
        for site, word in (archive.view.exchange or {}).items()
    }
    circle = Circle.of(archive.request.roster, stated, archive.log.origin).hash
    for name, seen in archive.view.analyses.items():
        facts, told = logged.get(name, {}), archive.rounds[name]
        said = [(past["ask"], {site: one["digest"] for site, one in past["answers"].items()}) for past in told]
        headers = [(site, one["header"]) for past in told for site, one in past["answers"].items()]
        of = (circle, study, name)
        if any((it["roster"], it["study"], it["analysis"]) != of or it["site"] != site for site, it in headers):
            yield f"releases/{name}", "has a header of something else"
        if facts.get("roster") != circle or facts.get("transcript") != history_of(said):
            yield f"releases/{name}", "is not what the hub's log says of the rounds"
        result = "" if seen.estimate is None else hashlib.sha256(rfc8785.dumps(seen.estimate)).hexdigest()
        if facts.get("result") != result:
            yield "hub.json", f"is not what the hub's log says of the result of {name}"


def _recomputed(archive: _Archive) -> Faults:
    """The record again: of a clear study from its releases, of a masked one from what the hub's log says."""
    if archive.masked:
        yield from _consistent(archive)
        return
    mine = record_of(archive.view, archive.log, PublicKey.from_hex(archive.envelope.key))
    if not all(check.ok for check in mine.checks):
        failed = ", ".join(check.name for check in mine.checks if not check.ok)
        yield "hub.json", f"does not follow from the releases ({failed})"
    if not alike(json.loads(as_json(mine.to_dict())), archive.read("study.json")):
        yield "study.json", "does not follow from request, releases and what the hub said"


def _consistent(archive: _Archive) -> Faults:
    record, view, request = archive.record, archive.view, archive.request
    proofs, sound = proofs_of(view, archive.log)
    words = (record.study, record.plan_hash, record.aggregation, record.rehearsal)
    same = words == (request.study, request.plan_hash, "masked", request.rehearsal) and set(record.sites) == set(
        request.roster
    )
    same = same and dict(record.plan) == dict(request.plan) and record.proofs == proofs and sound
    same = same and all(check.ok for check in record.checks) and set(record.analyses) == set(view.analyses)
    for name, analysis in record.analyses.items():
        theirs = view.analyses[name].estimate
        same = same and not analysis.by_site and not analysis.hidden and analysis.rounds == len(archive.rounds[name])
        if analysis.estimate is None or theirs is None:
            same = same and analysis.estimate is None and theirs is None
        else:
            same = same and "n_by_site" not in analysis.estimate.facts
            same = same and agree(analysis.estimate, estimate_from_dict(theirs))
    if not same:
        yield "study.json", "is not what request, log and hub say of a masked study"


def _follows(archive: _Archive) -> Faults:
    """What follows from the evidence, made again."""
    made = follows(archive.ground)
    for name, data in made.items():
        if name.endswith(".json"):
            equal = alike(json.loads(data), archive.read(name))
        else:
            equal = archive.payload.get(name) == data
        if not equal:
            yield name, "does not follow from the evidence"
    described_again = as_json(described(archive.ground, set(archive.payload) - {METADATA}))
    if not alike(json.loads(described_again), archive.read(METADATA)):
        yield METADATA, "does not describe this record"


def _drawn(archive: _Archive) -> Faults:
    """Report and figures, drawn again where the programs are the same; else their signature has to do."""
    again = drawn(archive.record) if not _other_programs(archive) else {}
    there = {name for name in archive.payload if name == "report.html" or name.startswith("figures/")}
    for name in sorted(there | set(again)) if again else ():
        if archive.payload.get(name) != again.get(name):
            yield name, "is not drawn from this record"


def _other_programs(archive: _Archive) -> bool:
    made, here = archive.ground.versions, made_with()
    return any(made.get(name) != here[name] for name in ("sojourn", *DRAWN_WITH))


def _crate(archive: _Archive) -> Faults:
    lacking = shape(archive.payload.get(METADATA, b""), archive.payload)
    if lacking:
        yield METADATA, f"lacks {lacking[0]}"


def alike(ours: Any, theirs: Any) -> bool:
    """Whether two JSON documents are the same, their numbers to a relative 1e-9: another machine's last digits."""
    if isinstance(ours, Mapping):
        keys = isinstance(theirs, Mapping) and set(ours) == set(theirs)
        return keys and all(alike(value, theirs[key]) for key, value in ours.items())
    if isinstance(ours, list):
        long = isinstance(theirs, list) and len(ours) == len(theirs)
        return long and all(alike(one, other) for one, other in zip(ours, theirs, strict=True))
    if isinstance(ours, float) and isinstance(theirs, float):
        return math.isclose(ours, theirs, rel_tol=RELATIVE, abs_tol=0.0)
    return type(ours) is type(theirs) and bool(ours == theirs)


CHECKS: Mapping[str, tuple[str, Callable[[_Archive], Faults], bool]] = {
    "bag": ("Every file has its sha-512, and none is missing or added.", _nothing, True),
    "request": ("The researcher signed the request, and the plan has the hash that it names.", _request, True),
    "signature": ("The researcher signed these files.", _signature, False),
    "log": ("The hub's log holds the submission and its end.", _log, True),
    "releases": ("Every release carries its site's signature, or its hash is in the hub's log.", _releases, True),
    "recomputed": ("The record follows from the releases; of a masked study, from the hub's log.", _recomputed, True),
    "files": ("Results, decisions, sites and checks follow from the evidence.", _follows, False),
    "drawings": ("Report and figures are those of the record, where the same programs draw them.", _drawn, False),
    "profile": ("The description has the shape of the Five Safes profile.", _crate, False),
}
