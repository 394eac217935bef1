"""The record of a finished study: the one plain value from which results, report and figures are drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar, cast, get_args

from sojourn.analysis.statistic import Cell, Estimate, Suppressed
from sojourn.disclosure.change import Offer, change_from_dict
from sojourn.disclosure.rehearsal import HELD
from sojourn.errors import REASONS, PlanError

Status = Literal["contributed", "took part", "not released", "no answer"]
Failure = Literal["DisclosureRefused", "TooFewSites", "ConvergenceError", "StudyFailed", "DroppedOut"]
_Value = TypeVar("_Value")
_PLAIN: Mapping[str, type] = {"str": str, "int": int, "bool": bool}


@dataclass(frozen=True)
class SiteOutcome:
    """What one site did for one analysis. family: the rule's family where it did not release. Never a count.

    Of a masked analysis a site only took part, whatever it had to give.
    """

    status: Status
    family: str = ""
    remedy: str = ""

    def __post_init__(self) -> None:
        _one_of(self.status, Status)

    def __str__(self) -> str:
        return f"{self.status}: {self.family}" if self.family else self.status


@dataclass(frozen=True)
class Refusal:
    """Why an analysis has no answer. error: the class of `sojourn.errors` that reading its table raises."""

    error: Failure
    words: str
    remedy: str
    family: str = ""  # a word of REASONS, for DisclosureRefused only

    def __post_init__(self) -> None:
        _one_of(self.error, Failure)
        if self.error == "DisclosureRefused" and self.family not in REASONS:
            raise ValueError("a disclosure refusal needs one of the fixed families")


@dataclass(frozen=True)
class AnalysisRecord:
    """One analysis of the plan: what was asked and either its estimate or its refusal.

    kind, arguments: as in the plan. rounds: trips taken. bytes_left: bytes of released numbers that left each site.
    offers: what may pass instead, where something did not. hidden: how many cells each site hid, where it hid any.
    secrecy: of a masked analysis what each party learns, in sentences. by_site: of a clear one what each site's
    releases say of it (`statistics.by_site`).
    """

    kind: str
    arguments: Mapping[str, Any]
    estimate: Estimate | None
    rounds: int
    refused: Refusal | None = None
    bytes_left: Mapping[str, int] = field(default_factory=dict)
    offers: tuple[Offer, ...] = ()
    hidden: Mapping[str, int] = field(default_factory=dict)
    secrecy: tuple[str, ...] = ()
    by_site: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.estimate is None) == (self.refused is None):
            raise ValueError("an analysis has either an estimate or a refusal")


@dataclass(frozen=True)
class Check:
    """One thing that was verified where the record was made, and what it means."""

    name: str
    ok: bool
    words: str = ""


@dataclass(frozen=True)
class Proof:
    """A place in an append-only log (RFC 6962): its origin, size and root (hex), and the entry's index."""

    origin: str
    size: int
    index: int
    root: str


@dataclass(frozen=True)
class StudyRecord:
    """A finished study, from releases only.

    study: its identifier. submitted, finished: UTC, ISO 8601. sites: {site: {analysis: outcome}}. watermark: not empty
    where a site's rules were not the product's, or nothing real was asked. hashes: {what: sha256 hex}. rehearsal: on
    synthetic stand-ins.
    """

    title: str
    purpose: str
    plan: Mapping[str, Any]
    plan_hash: str
    study: str
    submitted: str
    finished: str
    aggregation: str
    sites: Mapping[str, Mapping[str, SiteOutcome]]
    analyses: Mapping[str, AnalysisRecord]
    checks: tuple[Check, ...] = ()
    proofs: tuple[Proof, ...] = ()
    hashes: Mapping[str, str] = field(default_factory=dict)
    watermark: str = ""
    rehearsal: bool = False

    def would(self, analysis: str) -> dict[str, str]:
        """What each site did of one analysis as a rehearsal says it, e.g. "would be released, 2 cells suppressed"."""
        hidden = self.analyses[analysis].hidden
        return {site: _would(done, hidden.get(site, 0)) for site, done in self.outcomes(analysis).items()}

    @property
    def mitigation(self) -> tuple[str, ...]:
        """What was changed so that the analysis may pass, in words; from the plan as it was signed."""
        return tuple(change_from_dict(change, "mitigation").done for change in self.plan.get("mitigation", ()))

    @property
    def offers(self) -> tuple[Offer, ...]:
        """What may pass instead, over all analyses, in the order in which they are numbered."""
        return tuple(offer for analysis in self.analyses.values() for offer in analysis.offers)

    def outcomes(self, analysis: str) -> dict[str, SiteOutcome]:
        """What each site did for one analysis; a site that says nothing of it gave no answer."""
        silent = SiteOutcome("no answer", "", REASONS["no answer"].remedy)
        return {site: done.get(analysis, silent) for site, done in self.sites.items()}

    def to_dict(self) -> dict[str, Any]:
        """JSON form; a suppressed cell is `{"suppressed": [low, high]}`. ValueError where a number is not finite."""
        return {
            **{item.name: getattr(self, item.name) for item in fields(self)},
            "plan": dict(self.plan),
            "hashes": dict(self.hashes),
            "sites": {
                site: {name: _flat(outcome) for name, outcome in done.items()} for site, done in self.sites.items()
            },
            "analyses": {name: analysis_to_dict(analysis) for name, analysis in self.analyses.items()},
            "checks": [_flat(check) for check in self.checks],
            "proofs": [_flat(proof) for proof in self.proofs],
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> StudyRecord:
        """Read `to_dict`'s form exactly; ValueError on anything else."""
        try:
            return _build(
                cls,
                {
                    **document,
                    "sites": {
                        site: {name: _build(SiteOutcome, outcome) for name, outcome in done.items()}
                        for site, done in document["sites"].items()
                    },
                    "analyses": {name: analysis_from_dict(value) for name, value in document["analyses"].items()},
                    "checks": tuple(_build(Check, check) for check in document["checks"]),
                    "proofs": tuple(_build(Proof, proof) for proof in document["proofs"]),
                },
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a study record") from error


def analysis_to_dict(analysis: AnalysisRecord) -> dict[str, Any]:
    """JSON form of one analysis."""
    return {
        "kind": analysis.kind,
        "arguments": dict(analysis.arguments),
        "estimate": None if analysis.estimate is None else estimate_to_dict(analysis.estimate),
        "rounds": analysis.rounds,
        "refused": None if analysis.refused is None else _flat(analysis.refused),
        "bytes_left": dict(analysis.bytes_left),
        "offers": [offer.to_dict() for offer in analysis.offers],
        "hidden": dict(analysis.hidden),
        "secrecy": list(analysis.secrecy),
        "by_site": _encode(analysis.by_site),
    }


def analysis_from_dict(document: Mapping[str, Any]) -> AnalysisRecord:
    """Read `analysis_to_dict`'s form exactly; ValueError on anything else."""
    estimate, refused = document["estimate"], document["refused"]
    return _build(
        AnalysisRecord,
        {
            **document,
            "estimate": None if estimate is None else estimate_from_dict(estimate),
            "refused": None if refused is None else _build(Refusal, refused),
            "offers": tuple(map(_offer, document["offers"])),
            "secrecy": tuple(map(str, document.get("secrecy", ()))),
            "by_site": _decode(document.get("by_site", {})),
        },
    )


def _offer(document: Mapping[str, Any]) -> Offer:
    try:
        offer = Offer(str(document["analysis"]), change_from_dict(document["change"], "offers"))
    except PlanError as error:
        raise ValueError("not an offer") from error
    if offer.to_dict() != document:
        raise ValueError("not an offer")
    return offer


def estimate_to_dict(estimate: Estimate) -> dict[str, Any]:
    """JSON form of an estimate."""
    return {
        "index": list(estimate.index),
        "columns": list(estimate.columns),
        "rows": [[_encode(cell) for cell in row] for row in estimate.rows],
        "facts": _encode(estimate.facts),
        "exactness": estimate.exactness,
        "warnings": list(estimate.warnings),
    }


def estimate_from_dict(document: Mapping[str, Any]) -> Estimate:
    """Read `estimate_to_dict`'s form exactly; ValueError on anything else."""
    width = len(document["index"]) + len(document["columns"])
    rows = tuple(tuple(cast(Cell, _decode(cell)) for cell in row) for row in document["rows"])
    if any(len(row) != width for row in rows):
        raise ValueError("an estimate's rows and columns disagree")
    return _build(
        Estimate,
        {
            **document,
            "index": tuple(document["index"]),
            "columns": tuple(document["columns"]),
            "rows": rows,
            "facts": _decode(document["facts"]),
            "warnings": tuple(document["warnings"]),
        },
    )


def _encode(value: Any) -> Any:
    """JSON value of a cell or fact; suppressed stays a state of its own."""
    if isinstance(value, Suppressed):
        return {"suppressed": [_encode(value.low), _encode(value.high)]}
    if isinstance(value, Mapping):
        if "suppressed" in value:
            raise ValueError("the word `suppressed` is reserved for suppressed cells")
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item) for item in value]
    value = value.item() if hasattr(value, "item") else value  # a NumPy scalar
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("an estimate holds a number that is not finite")
    if value is not None and not isinstance(value, (str, int, float)):
        raise ValueError("an estimate holds a value that JSON cannot hold")
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "suppressed" not in value:
            return {key: _decode(item) for key, item in value.items()}
        bounds = value["suppressed"]
        if len(value) != 1 or not isinstance(bounds, list) or len(bounds) != 2 or not all(map(_is_bound, bounds)):
            raise ValueError("not a suppressed cell")
        return Suppressed(bounds[0], bounds[1])
    return [_decode(item) for item in value] if isinstance(value, list) else _encode(value)


def _is_bound(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value is None or (number and math.isfinite(cast(float, value)))


def _would(outcome: SiteOutcome, hidden: int) -> str:
    if outcome.status == "no answer":
        return str(outcome)
    if outcome.status == "not released":
        return outcome.family if outcome.family == HELD else f"would be refused: {outcome.family}"
    cells = f", {hidden} {'cell' if hidden == 1 else 'cells'} suppressed" if hidden else ""
    return f"would be released{cells}"


def _flat(value: Any) -> dict[str, Any]:
    return {item.name: getattr(value, item.name) for item in fields(value)}


def _build(kind: type[_Value], document: Mapping[str, Any]) -> _Value:
    """A dataclass from a document with exactly its fields, of their plain types."""
    declared = {item.name: str(item.type) for item in fields(cast(Any, kind))}
    if set(document) != set(declared):
        raise ValueError(f"not the fields of {kind.__name__}")
    for name, value in document.items():
        if declared[name] in _PLAIN and type(value) is not _PLAIN[declared[name]]:
            raise ValueError(f"{kind.__name__}.{name} is not of its type")
    return kind(**document)


def _one_of(value: str, permitted: Any) -> None:
    if value not in get_args(permitted):
        raise ValueError("not one of the permitted words")
