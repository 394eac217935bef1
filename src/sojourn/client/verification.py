"""The client believes nothing that it can check: signatures, the transcript, the hub's estimate, the hub's log."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from sojourn.analysis.formula import parse
from sojourn.analysis.statistic import Compared, Estimate, Matched, Statistic
from sojourn.analysis.variable import Kind, Variables, with_site
from sojourn.audit import checkpoint as checkpoints
from sojourn.audit.receipt import Receipt
from sojourn.disclosure.formal_privacy import NOT_CERTIFIED, OVERSPENT
from sojourn.disclosure.gate import ReceivedRelease
from sojourn.disclosure.mitigation import Asked, offers
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import RULES
from sojourn.disclosure.rehearsal import HELD, WATERMARK
from sojourn.errors import REASONS, UNKNOWN_WORD, AuditError, IdentityError, SojournError
from sojourn.forms import Document
from sojourn.identity.envelope import Envelope, Request
from sojourn.identity.keys import PublicKey
from sojourn.messages import AnalysisView, Outcome, ReceivedAnswer, ResultsView
from sojourn.report.record import (
    AnalysisRecord,
    Check,
    Failure,
    Proof,
    Refusal,
    SiteOutcome,
    StudyRecord,
    estimate_from_dict,
)
from sojourn.report.secrecy import learned, learned_of_pairs
from sojourn.secrecy.exchange import Stated
from sojourn.statistics.by_site import told_by_sites
from sojourn.study.circle import Circle
from sojourn.study.masked import coherent_masked, replay_masked, said_of
from sojourn.study.plan import Plan
from sojourn.study.question import Question
from sojourn.study.transcript import Round, coherent, replay

RELATIVE = 1e-9
_FAMILIES = (rule(Parameters()).family for rule in RULES.values())
_VALUES = "dictionary"  # the reason of a site whose values do not fit
_SILENT = ("not released", "no answer")
DISCLOSURE = frozenset({NOT_CERTIFIED, OVERSPENT, "review", HELD, "differencing", *_FAMILIES})


@dataclass(frozen=True)
class LogIdentity:
    """The hub's log as it was pinned at login: its origin and its key (hex)."""

    origin: str
    key: str

    def verify(self, document: Document) -> dict[str, Any]:
        """The entry of a receipt, proved to be in the hub's log; AuditError otherwise."""
        return Receipt.from_dict(document).verify(self.origin, PublicKey.from_hex(self.key))


def record_of(view: ResultsView, log: LogIdentity, researcher: PublicKey) -> StudyRecord:
    """The study's record with what was checked here. Only a forged request or release raises; the rest is told."""
    with threadpool_limits(limits=1, user_api="blas"):  # with more threads last digits could differ between runs
        return _record_of(view, log, researcher)


def _record_of(view: ResultsView, log: LogIdentity, researcher: PublicKey) -> StudyRecord:
    request = _request(view, researcher)
    plan = Plan.from_dict(dict(request.plan))
    variables = with_site(plan.variables, tuple(request.roster))
    circle = _circle(view, request, plan, log)
    analyses: dict[str, AnalysisRecord] = {}
    sites: dict[str, dict[str, SiteOutcome]] = {site: {} for site in request.roster}
    watermarks: set[str] = {WATERMARK} if request.rehearsal else set()
    asked: list[Asked] = []
    replayed = True
    for name, statistic in plan.analyses.items():
        if name not in view.analyses:
            continue
        seen = view.analyses[name]
        rounds = list(_rounds(request, name, seen))
        asks = None if circle is None else Question.of(request.study, name, plan, variables, circle)
        watermarks |= {release.header.watermark for past in rounds for release in past.releases.values()}
        estimate, agrees = _replayed(request, name, statistic, variables, rounds, seen, asks)
        replayed = replayed and agrees
        analyses[name] = AnalysisRecord(
            kind=statistic.name,
            arguments=statistic.arguments(),
            estimate=estimate,
            rounds=len(rounds),
            refused=None if estimate is not None else _refusal(seen, circle is not None, _hint(statistic, variables)),
            bytes_left={site: outcome.bytes for site, outcome in seen.outcomes.items()},
            hidden=_hidden_cells(rounds),
            secrecy=() if asks is None else _learned(asks, estimate is not None),
            by_site={} if asks is not None or estimate is None else _by_site(statistic, variables, rounds, estimate),
        )
        for site, outcome in seen.outcomes.items():
            sites[site][name] = _outcome(outcome, circle is not None)
        asked.append(_asked(name, plan, rounds, seen))
    said = None if circle is None else _said(view, log, request, circle)
    for one in asked:
        analyses[one.name] = replace(analyses[one.name], offers=offers(one, variables, asked))
    proofs, sound = proofs_of(view, log)
    return StudyRecord(
        title=plan.title,
        purpose=plan.purpose or "",
        plan=plan.to_dict(),
        plan_hash=plan.hash,
        study=request.study,
        submitted=_time(view.study.submitted),
        finished=_time(view.study.finished),
        aggregation="clear" if circle is None else "masked",
        sites=sites,
        analyses=analyses,
        checks=_checks(replayed, sound, said),
        proofs=proofs,
        hashes={"plan": plan.hash},
        watermark="; ".join(dict.fromkeys("; ".join(sorted(watermarks - {""})).split("; "))),
        rehearsal=request.rehearsal,
    )


def _checks(replayed: bool, sound: bool, said: bool | None) -> tuple[Check, ...]:
    """said: of a masked study, whether all parties said the same."""
    words = "Hub and sites have logged the same roster, rounds and results as are here, under their signatures."
    return (
        *(() if said is None else (Check("transcripts", said, words),)),
        Check("request", True, "The request that ran is the one that you signed, byte for byte."),
        Check("signatures", True, "Every release carries the signature of its site, by the keys in your request."),
        Check("recomputed", replayed, "The coordinator's steps were recomputed here from the releases and agree."),
        Check("log", sound, "The hub's log proves that the submission and its end are recorded."),
    )


def _circle(view: ResultsView, request: Request, plan: Plan, log: LogIdentity) -> Circle | None:
    """The sites of a masked study with the exchange keys that they stated; None of a clear one."""
    if plan.aggregation != "masked":
        return None
    try:
        stated = {
            site: Stated(site, word.key, bytes.fromhex(word.signature)) for site, word in (view.exchange or {}).items()
        }
        return Circle.of(request.roster, stated, log.origin)
    except ValueError as error:
        raise IdentityError(
            "The results of a masked study lack its sites' exchange keys.",
            remedy="Report this to all custodians: the hub may be faulty or hostile.",
        ) from error


def _request(view: ResultsView, researcher: PublicKey) -> Request:
    envelope = Envelope.from_dict(view.request)
    request = Request.read(envelope)
    if envelope.key != researcher.hex or not envelope.holds() or request.study != view.study.study:
        raise IdentityError(
            "The results are for a request that you did not sign.",
            remedy="Report this to all custodians: the hub may be faulty or hostile.",
        )
    return request


def _rounds(request: Request, analysis: str, seen: AnalysisView) -> Iterator[Round]:
    for document in seen.transcript:
        releases = {
            site: ReceivedAnswer.read(answer, PublicKey.from_hex(request.roster[site])).release
            for site, answer in document.answers.items()
        }
        yield Round(document.ask.ask(), document.ask.digest(request.study, analysis), releases)


def _replayed(
    request: Request,
    name: str,
    statistic: Statistic,
    variables: Variables,
    rounds: list[Round],
    seen: AnalysisView,
    asks: Question | None = None,
) -> tuple[Estimate | None, bool]:
    """This side's own estimate from the releases, and whether the hub's agrees with it. asks: of a masked plan."""
    if seen.estimate is None:
        return None, True
    own = min(rounds[0].releases) if rounds and rounds[0].releases else ""
    of = (request.study, request.plan_hash, name, own, request.min_sites, request.rehearsal)
    if asks is not None:
        sound = coherent_masked(asks, rounds, request.plan_hash, request.rehearsal)
    else:
        sound = coherent(rounds, *of)
    if not sound:
        return None, False
    try:
        mine = replay(statistic, variables, rounds) if asks is None else replay_masked(asks, rounds).state
    except (ValueError, SojournError):
        return None, False
    if not isinstance(mine, Estimate):
        return None, False
    return mine, agree(mine, estimate_from_dict(seen.estimate))


def agree(mine: Estimate, theirs: Estimate) -> bool:
    """Whether two estimates are the same to `RELATIVE`, suppressed cells exactly."""
    if (mine.index, mine.columns, len(mine.rows)) != (theirs.index, theirs.columns, len(theirs.rows)):
        return False
    pairs = zip((c for row in mine.rows for c in row), (c for row in theirs.rows for c in row), strict=True)
    return all(_same(ours, other) for ours, other in pairs)


def _same(ours: object, other: object) -> bool:
    if isinstance(ours, float) and isinstance(other, int | float):
        try:  # NumPy's `isclose`, which takes a quarter of a millisecond for two numbers
            return ours == other or (math.isfinite(other) and abs(ours - other) <= RELATIVE * abs(other))
        except OverflowError:  # a whole number beyond all floats
            return False
    return ours == other


def _asked(name: str, plan: Plan, rounds: list[Round], seen: AnalysisView) -> Asked:
    """What is known here of an analysis that may not have passed: of each site's table, which cells it hid."""
    statistic = plan.analyses[name]
    said = {site: outcome for site, outcome in seen.outcomes.items() if outcome.status == "not released"}
    return Asked(
        name=name,
        kind=statistic.name,
        arguments=statistic.arguments(),
        hidden=_hidden(rounds),
        refused={site: outcome.reason for site, outcome in said.items() if outcome.reason in DISCLOSURE},
        contributed=tuple(sorted(site for site, it in seen.outcomes.items() if it.status == "contributed")),
        enough=plan.least_sites,
    )


def _hidden(rounds: list[Round]) -> dict[str, NDArray[np.bool_]]:
    """For each site and array of its table which cells it hid: those of a table of counts, or of groups."""
    return {
        f"{site}: {array}": release.partial.hidden(array)
        for past in rounds
        for site, release in _clear(past)
        for array in release.partial.arrays
        if array == "count" or array.startswith("group_")
    }


def _clear(past: Round) -> list[tuple[str, ReceivedRelease]]:
    """The releases that show a site's own numbers: none of a masked plan."""
    return [(site, release) for site, release in past.releases.items() if isinstance(release, ReceivedRelease)]


def _by_site(statistic: Statistic, variables: Variables, rounds: list[Round], estimate: Estimate) -> dict[str, Any]:
    told = [(past.ask, {site: release.partial for site, release in _clear(past)}) for past in rounds]
    return told_by_sites(statistic, variables, told, estimate)


def _hidden_cells(rounds: list[Round]) -> dict[str, int]:
    """How many cells of its tables each site hid, a cell of several arrays once; sites that hid none are left out."""
    tables: dict[str, dict[tuple[str, tuple[int, ...]], NDArray[np.bool_]]] = {}
    for past in rounds:
        for site, release in _clear(past):
            for array, mask in release.partial.suppressed.items():
                table = (array.split("_")[0], mask.shape)
                known = tables.setdefault(site, {})
                known[table] = known[table] | mask if table in known else mask
    return {site: sum(int(mask.sum()) for mask in masks.values()) for site, masks in sorted(tables.items())}


def _hint(statistic: Statistic, variables: Variables) -> str:
    """What may be wrong with values that do not fit, as far as the plan tells: a number as an outcome of yes or no."""
    said = statistic.arguments()
    binomial = said.get("family") == "binomial" or statistic.name == "firth"
    if not binomial or "formula" not in said:
        return ""
    name = str(getattr(parse(str(said["formula"])).outcome, "name", ""))
    if name not in variables or variables[name].kind is not Kind.NUMBER:
        return ""
    return (
        f"`{name}` is a number without a declared range, and the outcome of the binomial family "
        "is yes or no: use `glm` with `family: gaussian`, or another outcome."
    )


def _refusal(seen: AnalysisView, masked: bool = False, hint: str = "") -> Refusal:
    """Why there is no answer, in the hub's word or ours. masked: it is the word of all sites together. hint: the
    remedy where values do not fit what is declared.
    """
    if seen.error is None:
        return Refusal("StudyFailed", "The hub's estimate does not follow from the releases.", "Report this.")
    error, words, remedy = (str(seen.error[word]) for word in ("error", "words", "remedy"))
    if masked and error == "DisclosureRefused":
        return Refusal("DisclosureRefused", words, remedy, str(seen.error["family"]))
    silent = {outcome.reason for outcome in seen.outcomes.values() if outcome.status in ("not released", "no answer")}
    families = [outcome.reason for outcome in seen.outcomes.values() if outcome.reason in DISCLOSURE]
    # Where the first refusal leaves too few sites, the others may end for want of rounds: the rule is the cause.
    if families and all(outcome.status == "not released" for outcome in seen.outcomes.values()):
        family = max(sorted(set(families)), key=families.count)
        return Refusal(
            "DisclosureRefused", f"No site released this. {REASONS[family].sentence}", REASONS[family].remedy, family
        )
    if error == "TooFewSites" and len(silent) == 1 and silent <= set(REASONS):
        [reason] = silent
        words, remedy = f"{words} {REASONS[reason].sentence}", (hint * (reason == _VALUES)) or REASONS[reason].remedy
    elif error not in ("TooFewSites", "DroppedOut") and (gone := _gone(seen)):
        words = f"{words} Not in it: {gone}."
    known: tuple[Failure, ...] = ("TooFewSites", "ConvergenceError", "DroppedOut")
    kinds: dict[str, Failure] = {kind: kind for kind in known}
    return Refusal(kinds.get(error, "StudyFailed"), words, remedy)


def _gone(seen: AnalysisView) -> str:
    """The sites that did not release, each with its reason."""
    pairs = ((site, done) for site, done in sorted(seen.outcomes.items()) if done.status in _SILENT)
    return ", ".join(f"{site} ({done.reason if done.reason in REASONS else done.status})" for site, done in pairs)


def _outcome(outcome: Outcome, masked: bool) -> SiteOutcome:
    if outcome.status == "contributed":
        return SiteOutcome("took part" if masked else "contributed")
    if outcome.status == "waiting":
        why = "in review" if outcome.reason == "in review" else "no answer"
        return SiteOutcome("no answer", why, REASONS[why].remedy)
    reason = outcome.reason if outcome.reason in REASONS else UNKNOWN_WORD
    return SiteOutcome(outcome.status, reason, REASONS[reason].remedy)


def _said(view: ResultsView, log: LogIdentity, request: Request, circle: Circle) -> bool:
    """Whether the hub's log says of each masked analysis what was received here; sites said it in their releases."""
    logged: dict[str, dict[str, Any]] = {}
    try:
        for document in view.receipts:
            entry = log.verify(document)
            if entry["kind"] == "analysis.concluded":
                logged[entry["facts"]["analysis"]] = entry["facts"]
    except (AuditError, KeyError, TypeError):
        return False
    for name, seen in view.analyses.items():
        estimate = None if seen.estimate is None else json.dumps(seen.estimate)
        here = said_of(circle.hash, list(_rounds(request, name, seen)), estimate)
        if not here.items() <= logged.get(name, {}).items():
            return False
    return True


def proofs_of(view: ResultsView, log: LogIdentity) -> tuple[tuple[Proof, ...], bool]:
    """Where the log holds what its receipts say of the study, and whether all of them are proved."""
    proofs = []
    try:
        for document in view.receipts:
            entry = log.verify(document)
            if entry["study"] != view.study.study:
                return (), False
            receipt = Receipt.from_dict(document)
            signed = checkpoints.read(receipt.checkpoint, log.origin, PublicKey.from_hex(log.key))
            proofs.append(Proof(log.origin, receipt.size, receipt.index, signed.root.hex()))
    except AuditError:
        return (), False
    return tuple(proofs), bool(proofs)


def _time(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _learned(asks: Question, answered: bool) -> tuple[str, ...]:
    if isinstance(asks.statistic, Matched):
        return learned_of_pairs(asks.circle.sites, asks.evaluators)
    k = asks.statistic.k if isinstance(asks.statistic, Compared) else 0
    return learned(asks.circle.sites, asks.evaluators, answered, k)
