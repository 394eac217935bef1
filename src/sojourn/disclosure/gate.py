"""The disclosure gate: the only maker of a Release.

Law: nothing leaves a site but a Release; a Release exists only if every rule of its statistic was asked and none
refused; what a rule hides is zeroed and marked before the Release is made; an exception in a rule is a refusal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Final, Never, Protocol

import numpy as np
import rfc8785

from sojourn.analysis.partial import MOST_NUMBERS, Partial, canonical
from sojourn.disclosure.differencing import Bounds
from sojourn.disclosure.output import Finding, Output, Tier, Verdict
from sojourn.disclosure.policy import RULES
from sojourn.disclosure.rules import CHECK_FAILED, joined, refuse
from sojourn.errors import REASONS, DisclosureRefused

OUTPUT_SCHEMA = "output schema"


class Policy(Protocol):
    """A site's rules. `name` and `version` are public; `watermark` is not empty where rules are not the product's."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def watermark(self) -> str: ...

    def hidden_max(self) -> int:
        """The largest number of persons that a suppressed cell may hold (T - 1); published."""

    def differencing(self) -> Bounds | None:
        """How answers are compared with all that was released before; None: not at all."""

    def judge(self, output: Output) -> Finding:
        """The strictest word of all rules that apply; an empty policy refuses."""


@dataclass(frozen=True)
class Header:
    """What a release says of itself; checked by the hub and by every other node of a clear plan."""

    study: str
    plan: str  # plan hash
    analysis: str
    round: int
    ask: str  # hash of (step, broadcast) that it answers
    site: str
    snapshot: str
    policy: str
    policy_version: str
    hidden_max: int
    software: str
    watermark: str

    def to_dict(self) -> dict[str, Any]:
        """JSON form, a word a field."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Header:
        """Read `to_dict`'s form; ValueError on anything else."""
        types = {item.name: {"str": str, "int": int}[str(item.type)] for item in fields(cls)}
        if not isinstance(document, Mapping) or set(document) != set(types):
            raise ValueError("not a header")
        if any(type(document[name]) is not kind for name, kind in types.items()):
            raise ValueError("a header's word has the wrong type")
        if document["round"] < 0 or document["hidden_max"] < 0:
            raise ValueError("a header's number is negative")
        return cls(**document)


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


def judge(output: Output, policy: Policy) -> Finding:
    """The asking form: what would happen to this output. Never raises: an exception in a rule is a refusal.

    A rule's own refusal comes before a fault of form, so that a small population looks the same whatever its numbers.
    """
    try:
        finding = _checked(output, policy.judge(output))
    except Exception as error:  # any failure of a check is high risk
        finding = refuse(CHECK_FAILED, type(error).__name__)
    if finding.verdict is Verdict.REFUSE and finding.family != CHECK_FAILED:
        return finding
    try:
        fault = _fault(output)
    except Exception as error:
        fault = type(error).__name__
    return refuse(OUTPUT_SCHEMA, fault) if fault else finding


def release(output: Output, policy: Policy, header: Header, further: Sequence[Finding] = ()) -> Release:
    """The raising form: a Release, or DisclosureRefused with the rule's family.

    further: what others than the policy's rules say of it; they can only hide more, or refuse.

    The gate itself writes into the header which policy judged, so that no caller can leave out a watermark.
    """
    finding = _checked(output, joined([judge(output, policy), *further]))
    if finding.verdict is Verdict.REFUSE:
        raise DisclosureRefused(finding.family)
    header = replace(
        header,
        policy=policy.name,
        policy_version=policy.version,
        hidden_max=policy.hidden_max(),
        watermark=policy.watermark,
    )
    return Release(header, _cleared(output.partial, finding), finding.tier.value, _KEY)


def _checked(output: Output, finding: Finding) -> Finding:
    """A finding that can be carried out; ValueError where a policy contradicts itself."""
    hides = any(mask.any() for mask in finding.cells.values())
    for name, mask in finding.cells.items():
        if mask.dtype != np.bool_ or mask.shape != output.partial.arrays[name].shape:
            raise ValueError("a mask does not fit its array")
    if hides != (finding.verdict is Verdict.SUPPRESS):
        raise ValueError("verdict and cells disagree")
    if finding.verdict is Verdict.REFUSE and finding.family not in REASONS:
        raise ValueError("a refusal has no known family")
    return finding


def _fault(output: Output) -> str:
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
        numbers = canonical(np.where(hidden, 0, partial.arrays[name]))
        numbers.flags.writeable = hidden.flags.writeable = False
        arrays[name] = numbers
        if hidden.any():
            suppressed[name] = hidden
    return Partial(MappingProxyType(arrays), MappingProxyType(suppressed))


def _document(release: Release | ReceivedRelease) -> dict[str, Any]:
    return {"header": release.header.to_dict(), "tier": release.tier, "partial": release.partial.to_dict()}


def _digest(release: Release | ReceivedRelease) -> str:
    return hashlib.sha256(rfc8785.dumps(_document(release))).hexdigest()
