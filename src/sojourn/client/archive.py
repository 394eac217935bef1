"""A study's record as one file that proves itself: the evidence as it came, what follows from it, and a signature.

Law: it holds what the analyst was given, and less of a masked plan: there no release is kept, only its header and its
hash. A masked number tells nothing as long as keys stay secret; an archive may outlive them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785

from sojourn import __version__
from sojourn.client.verification import LogIdentity
from sojourn.identity.envelope import Envelope, Request, sign
from sojourn.identity.keys import PrivateKey, PublicKey
from sojourn.messages import AnalysisView, ResultsView, RoundDocument, received
from sojourn.report.bag import packed, payload_manifest
from sojourn.report.contents import Ground, as_json, drawn, follows, made_with
from sojourn.report.crate import METADATA, described
from sojourn.report.record import StudyRecord

SIGNATURE, SIGNED_TYPE = "signature.json", "application/vnd.sojourn.record+json"


@dataclass(frozen=True)
class Evidence:
    """What the hub gave at a study's end, the log it is proved by, and the researcher's key."""

    view: ResultsView
    log: LogIdentity
    key: PrivateKey

    def archive(self, record: StudyRecord) -> bytes:
        """The study's record as the bytes of a ZIP file."""
        payload = files(record, self.view, self.log)
        info = {
            "Bag-Software-Agent": f"Sojourn {__version__}",
            "Bagging-Date": (record.finished or record.submitted)[:10],
            "External-Identifier": record.study,
        }
        signed = sign(SIGNED_TYPE, statement(record.study, payload), self.key)
        return packed(f"study-{record.study}", payload, info, {SIGNATURE: as_json(signed.to_dict())})


def statement(study: str, payload: Mapping[str, bytes]) -> bytes:
    """What the researcher signs: the study, and the sha-512 of the manifest of all its files."""
    return rfc8785.dumps({"study": study, "manifest": hashlib.sha512(payload_manifest(payload)).hexdigest()})


def files(record: StudyRecord, view: ResultsView, log: LogIdentity) -> dict[str, bytes]:
    """All files of a record by their names."""
    made = made_of(record, view, log)
    written = StudyRecord.from_dict(json.loads(made["study.json"]))  # as whoever checks it will read it
    made |= drawn(written)
    return {**made, METADATA: as_json(described(_ground(written, view, log), made))}


def made_of(record: StudyRecord, view: ResultsView, log: LogIdentity) -> dict[str, bytes]:
    """The evidence and what follows from it, without report, figures and description."""
    written = as_json(record.to_dict(), in_order=True)
    ground = _ground(StudyRecord.from_dict(json.loads(written)), view, log)
    exchange = {site: stated.model_dump() for site, stated in (view.exchange or {}).items()}
    proofs = {"origin": log.origin, "key": log.key, "receipts": view.receipts, "exchange": exchange or None}
    return {
        "request.json": as_json(view.request),
        "hub.json": as_json(_said(view)),
        "proofs.json": as_json(proofs),
        "study.json": written,
        **{
            place(name, at): as_json(one)
            for name, told in ground.rounds.items()
            for at, one in enumerate(told, start=1)
        },
        **follows(ground),
    }


def _ground(record: StudyRecord, view: ResultsView, log: LogIdentity) -> Ground:
    envelope = Envelope.from_dict(view.request)
    masked = record.aggregation == "masked"
    rounds = {
        name: [_round(view.study.study, name, past, masked) for past in seen.transcript]
        for name, seen in view.analyses.items()
    }
    return Ground(record, Request.read(envelope), rounds, PublicKey.from_hex(envelope.key).id, log.origin, made_with())


def place(analysis: str, number: int) -> str:
    """The file of a round."""
    return f"releases/{analysis}/{number:02d}.json"


def _said(view: ResultsView) -> dict[str, Any]:
    study = view.study.model_dump(exclude={"events", "message"})
    return {"study": study, "analyses": {name: _concluded(seen) for name, seen in view.analyses.items()}}


def _concluded(seen: AnalysisView) -> dict[str, Any]:
    return {**seen.model_dump(exclude={"transcript"}), "rounds": len(seen.transcript)}


def _round(study: str, analysis: str, past: RoundDocument, masked: bool) -> dict[str, Any]:
    if not masked:
        return past.model_dump()
    releases = {site: received(answer) for site, answer in past.answers.items()}
    return {
        "step": past.ask.step,
        "ask": past.ask.digest(study, analysis),
        "answers": {
            site: {"header": release.header.to_dict(), "digest": release.digest()} for site, release in releases.items()
        },
    }
