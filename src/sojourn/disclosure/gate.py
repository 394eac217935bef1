"""The disclosure gate: the only maker of a Release.

Law: nothing leaves a site but a Release; a Release exists only if every rule of its statistic was asked and none
refused; what a rule hides is zeroed and marked before the Release is made; an exception in a rule is a refusal. What is
riskier than the site lets out by itself becomes one only where enough checkers have signed the hash of its very bytes,
or have approved, for the whole run, an output that was no less risky.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final, Never

import numpy as np
import rfc8785
from numpy.typing import NDArray

from sojourn.analysis.partial import MOST_NUMBERS, Array, Partial, canonical
from sojourn.disclosure.header import Header as Header
from sojourn.disclosure.output import Finding, Output, Tier, Verdict, strictness
from sojourn.disclosure.perturbation import Perturbation
from sojourn.disclosure.policy import RULES
from sojourn.disclosure.policy import Policy as Policy
from sojourn.disclosure.review import event, no_riskier, votes
from sojourn.disclosure.rules import CHECK_FAILED, by_itself, joined, refuse
from sojourn.disclosure.suppression import union
from sojourn.errors import REASONS, DisclosureRefused, IdentityError, ReviewError
from sojourn.identity.keys import PublicKey

OUTPUT_SCHEMA = "output schema"
_RELEASE_TYPE = b"sojourn-release-v1\n"
_OF_REPEATS = ("site", "snapshot", "policy", "policy_version", "hidden_max", "software", "watermark", "treatment")
_EXACT = 2.0**53  # whole numbers below it are the same in both types


class _Key:
    """What only this module holds."""


_KEY: Final = _Key()


class Release:
    """What passed the gate: a header and the cleared partial. Cannot be constructed outside this module."""

    __slots__ = ("header", "partial", "tier")
    header: Header
    partial: Partial
    tier: str

    def __init__(self, header: Header, partial: Partial, tier: str, key: _Key) -> None:
        if key is not _KEY:
            raise TypeError("only the disclosure gate makes a Release")
        for name, value in (("header", header), ("partial", partial), ("tier", tier)):
            object.__setattr__(self, name, value)

    def __init_subclass__(cls) -> Never:
        raise TypeError("a Release has no other kinds")

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError("a Release does not change")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError("a Release does not change")

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("a Release is not copied or pickled; send its `to_dict`")

    def to_dict(self) -> dict[str, Any]:
        """Canonical JSON-able document: {"header": …, "tier": …, "partial": …}."""
        return _document(self)

    def digest(self) -> str:
        """sha256 (hex) of the canonical bytes of `to_dict`."""
        return _digest(self)


@dataclass(frozen=True)
class ReceivedRelease:
    """A release as the hub, another node or the client reads it: never sent on as one's own answer."""

    header: Header
    partial: Partial
    tier: str

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> ReceivedRelease:
        """Read `Release.to_dict`'s form; ValueError on anything else, a number under a suppressed cell included."""
        if not isinstance(document, Mapping) or set(document) != {"header", "tier", "partial"}:
            raise ValueError("not a release")
        try:
            partial = Partial.from_dict(document["partial"])
            received = cls(Header.from_dict(document["header"]), partial, Tier(document["tier"]).value)
        except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
            raise ValueError("not a release") from error
        if any(partial.arrays[name][mask].any() for name, mask in partial.suppressed.items()):
            raise ValueError("a suppressed cell holds a number")
        if received.to_dict() != document:
            raise ValueError("a release is not in its canonical form")
        return received

    def to_dict(self) -> dict[str, Any]:
        """The document that was read."""
        return _document(self)

    def digest(self) -> str:
        """sha256 (hex) of the canonical bytes, the same as `Release.digest`."""
        return _digest(self)


@dataclass(frozen=True)
class Held:
    """An output that waits for checkers: the canonical bytes that would leave, their hash, and why they wait."""

    document: bytes
    digest: str
    finding: Finding


@dataclass(frozen=True)
class Decided:
    """Checkers' votes (signed envelopes) on bytes of this hash, who may vote (name → key), and what they looked at."""

    digest: str
    votes: tuple[Mapping[str, Any], ...]
    seated: Mapping[str, str]
    finding: Finding

    def approves(self, for_run: bool = False) -> bool:
        """Whether enough of them approve; for_run: each of them for later rounds too."""
        counted = votes(self.votes, self.digest, self.seated)
        agreed = event(self.finding.tier, counted) == "approve"
        return agreed and (not for_run or all(vote.for_run for vote in counted.values()))


class Looked:
    """What a policy's rules said of one output, asked once. Cannot be constructed outside this module."""

    __slots__ = ("finding", "output", "policy", "treated")
    output: Output
    policy: Policy
    treated: Output
    finding: Finding

    def __init__(self, output: Output, policy: Policy, treated: Output, finding: Finding, key: _Key) -> None:
        if key is not _KEY:
            raise TypeError("only the disclosure gate looks at an output")
        for name, value in (("output", output), ("policy", policy), ("treated", treated), ("finding", finding)):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError("what was said does not change")


def look(output: Output, policy: Policy) -> Looked:
    """Ask every rule of the policy, once for all that follows. Never raises: an exception in a rule is a refusal.

    A rule's own refusal comes before a fault of form, so that a small population looks the same whatever its numbers.
    """
    seen = output
    try:
        seen = treated(output, policy)
        finding = _checked(seen, policy.judge(seen))
    except Exception as error:  # any failure of a check is high risk
        finding = refuse(CHECK_FAILED, type(error).__name__)
    if finding.verdict is Verdict.REFUSE and finding.family != CHECK_FAILED:
        return Looked(output, policy, seen, finding, _KEY)
    try:
        fault = fault_of(seen)
    except Exception as error:
        fault = type(error).__name__
    return Looked(output, policy, seen, refuse(OUTPUT_SCHEMA, fault) if fault else finding, _KEY)


def judge(output: Output | Looked, policy: Policy, *more: Finding) -> Finding:
    """The asking form: what the rules say of this output. Never raises.

    more: what else is known of it, which can only make it stricter. A tier above the policy's `automatic` does not
    leave by itself: see `by_itself`.
    """
    looked = _looked(output, policy)
    if not more:
        return looked.finding
    try:
        return _checked(looked.treated, joined([looked.finding, *more]))
    except Exception as error:  # any failure of a check is high risk
        return refuse(CHECK_FAILED, type(error).__name__)


def release(
    output: Output | Looked, policy: Policy, header: Header, *more: Finding, standing: Decided | None = None
) -> Release:
    """The raising form: a Release, or DisclosureRefused with the rule's family.

    output: also as this policy has looked at it. more: as in `judge`. standing: an approval for the run, which covers
    an output that is no riskier. The gate itself writes into the header which policy judged, so that no caller can
    leave out a watermark.
    """
    looked = _looked(output, policy)
    finding = judge(looked, policy, *more)
    covered = standing is not None and standing.approves(for_run=True) and no_riskier(finding, standing.finding)
    if not covered:
        finding = by_itself(finding, automatic_of(policy))
    if finding.verdict is Verdict.REFUSE:
        raise DisclosureRefused(finding.family)
    return Release(written(header, policy), _cleared(looked.treated.partial, finding), finding.tier.value, _KEY)


def hold(output: Output | Looked, policy: Policy, header: Header, *more: Finding) -> Held:
    """What would leave if checkers let it, cleared of all that a rule hides; DisclosureRefused where a rule refuses."""
    looked = _looked(output, policy)
    finding = judge(looked, policy, *more)
    if finding.verdict is Verdict.REFUSE:
        raise DisclosureRefused(finding.family)
    partial = _cleared(looked.treated.partial, finding)
    document = rfc8785.dumps(_document(ReceivedRelease(written(header, policy), partial, finding.tier.value)))
    return Held(document, hashlib.sha256(document).hexdigest(), finding)


def _looked(output: Output | Looked, policy: Policy) -> Looked:
    """Of this very policy; whoever looked with another one has not looked."""
    if isinstance(output, Looked):
        return output if output.policy is policy else look(output.output, policy)
    return look(output, policy)


def hide_more(held: Held, masks: Mapping[str, NDArray[np.bool_]], tier: Tier | None = None) -> Held:
    """The same with further cells hidden, and of a higher tier where one is given: other bytes, with no votes."""
    waiting = _read(held.document, held.digest)
    cells = {name: mask for name, mask in masks.items() if mask.any()}
    highest = max(Tier(waiting.tier), tier or Tier.LOW, key=strictness)
    finding = replace(held.finding, verdict=Verdict.SUPPRESS if cells else held.finding.verdict, tier=highest)
    if cells:
        finding = replace(finding, cells=union([held.finding.cells, cells]))
    cleared = _cleared(waiting.partial, replace(finding, cells=cells))
    document = rfc8785.dumps(_document(ReceivedRelease(waiting.header, cleared, highest.value)))
    return Held(document, hashlib.sha256(document).hexdigest(), finding)


def approved(held: Held, decided: Decided) -> Release:
    """The Release of exactly the bytes that were held; ReviewError unless enough checkers approve their hash."""
    waiting = _read(held.document, held.digest)
    if decided.digest != held.digest or decided.finding.tier.value != waiting.tier or not decided.approves():
        raise ReviewError("The checkers have not approved these bytes.", remedy="See `sojourn airlock show`.")
    partial = _cleared(waiting.partial, Finding(Verdict.RELEASE))
    done = Release(waiting.header, partial, waiting.tier, _KEY)
    if rfc8785.dumps(done.to_dict()) != held.document:
        raise ReviewError("The held bytes are not in their canonical form.", remedy="Reject it, and report this.")
    return done


def repeat(signed: Mapping[str, Any], own: PublicKey, policy: Policy, header: Header) -> Release | None:
    """The Release, under a new header, of numbers that left this site before by themselves; None where that may not be.

    signed: {"release": …, "signature": …} as the site stored it. IdentityError where the site's key did not sign it:
    who can write into the node's store lets nothing out.
    """
    if not own.verify(bytes.fromhex(signed["signature"]), signed_bytes(signed["release"])):
        remedy = "Keep the database as evidence."
        raise IdentityError("A stored answer does not carry this site's signature.", remedy=remedy)
    before, now = ReceivedRelease.from_dict(signed["release"]), written(header, policy)
    same = all(getattr(before.header, word) == getattr(now, word) for word in _OF_REPEATS)
    if not same or before.header.noise or strictness(Tier(before.tier)) > strictness(automatic_of(policy)):
        return None
    return Release(now, _cleared(before.partial, Finding(Verdict.RELEASE)), before.tier, _KEY)


def signed_bytes(release: Mapping[str, Any]) -> bytes:
    """What a site signs of a release's document."""
    return _RELEASE_TYPE + rfc8785.dumps(dict(release))


def automatic_of(policy: Policy) -> Tier:
    """The highest risk that leaves without a checker; low where a policy does not say."""
    return getattr(policy, "automatic", Tier.LOW)


def _read(document: bytes, digest: str) -> ReceivedRelease:
    """What is held, its hash checked again."""
    if hashlib.sha256(document).hexdigest() != digest:
        raise ReviewError("The held bytes are not those that were checked.", remedy="Keep the database as evidence.")
    return ReceivedRelease.from_dict(json.loads(document))


def written(header: Header, policy: Policy) -> Header:
    """The header with the policy's own words: no caller can leave out a watermark."""
    return replace(
        header,
        policy=policy.name,
        policy_version=policy.version,
        hidden_max=policy.hidden_max(),
        watermark=policy.watermark,
        treatment="; ".join(change.words for change in _perturbations(policy)),
    )


def treated(output: Output, policy: Policy) -> Output:
    """The output after the policy's own perturbations, which are pure, so that judging twice sees the same numbers."""
    for change in _perturbations(policy):
        output = change.apply(output)
    return output


def _perturbations(policy: Policy) -> tuple[Perturbation, ...]:
    """A policy that has none need not say so."""
    return tuple(getattr(policy, "perturbations", ()))


def _checked(output: Output, finding: Finding) -> Finding:
    """A finding that can be carried out; ValueError where a policy contradicts itself."""
    hides = any(mask.any() for mask in finding.cells.values())
    for name, mask in (*finding.cells.items(), *finding.risky.items()):
        if mask.dtype != np.bool_ or mask.shape != output.partial.arrays[name].shape:
            raise ValueError("a mask does not fit its array")
    if hides != (finding.verdict is Verdict.SUPPRESS):
        raise ValueError("verdict and cells disagree")
    if finding.verdict is Verdict.REFUSE and finding.family not in REASONS:
        raise ValueError("a refusal has no known family")
    return finding


def fault_of(output: Output) -> str:
    """How the output differs from its declared form; empty where it does not."""
    arrays = output.partial.arrays
    if not output.rules or not set(output.rules) <= set(RULES):
        return "the statistic names no rule, or one that is not known"
    if set(arrays) != set(output.step.partial):
        return "the arrays are not those of the step"
    if any(array.dtype not in ("<f8", "<i8") for array in arrays.values()):
        return "an array has another type"
    if any(array.shape != tuple(output.step.partial[name]) for name, array in arrays.items()):
        return "an array has another shape"
    if any(not np.isfinite(array).all() for array in arrays.values()):
        return "a number is not finite"
    if output.partial.numbers() > MOST_NUMBERS:
        return "too many numbers"
    if any(name not in arrays or mask.shape != arrays[name].shape for name, mask in output.partial.suppressed.items()):
        return "a mask does not fit its array"
    return ""


def _cleared(partial: Partial, finding: Finding) -> Partial:
    """A copy that nobody can change, with zeros and marks where a cell is hidden."""
    arrays, suppressed = {}, {}
    for name in sorted(partial.arrays):
        hidden = partial.hidden(name) | finding.cells.get(name, False)
        numbers = of_one_type(canonical(np.where(hidden, 0, partial.arrays[name])))
        numbers.flags.writeable = hidden.flags.writeable = False
        arrays[name] = numbers
        if hidden.any():
            suppressed[name] = hidden
    return Partial(MappingProxyType(arrays), MappingProxyType(suppressed))


def of_one_type(numbers: Array) -> Array:
    """Whole numbers as int64, others as float64, whatever they came as: an array's type says nothing of its own."""
    if numbers.dtype == "<f8" and (np.abs(numbers) < _EXACT).all() and (numbers == np.trunc(numbers)).all():
        return canonical(numbers.astype("<i8"))
    if numbers.dtype == "<i8" and (np.abs(numbers.astype("<f8")) >= _EXACT).any():
        return canonical(numbers.astype("<f8"))
    return numbers


def _document(release: Release | ReceivedRelease) -> dict[str, Any]:
    return {"header": release.header.to_dict(), "tier": release.tier, "partial": release.partial.to_dict()}


def _digest(release: Release | ReceivedRelease) -> str:
    return hashlib.sha256(rfc8785.dumps(_document(release))).hexdigest()
