"""The gate of masked plans: the only maker of a MaskedRelease.

Law: of a site's numbers nothing leaves but under masks over the whole roster, with the cells zeroed that failed the
joint test, in the one form that the step declares. What may not leave is replaced by random numbers with a veto, so
that the sum is nothing to anybody and nobody learns whose veto it was; a site that takes part with nothing sends zeros.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Never

import numpy as np
import rfc8785
from numpy.typing import NDArray

from sojourn.analysis.partial import MOST_NUMBERS, Partial, canonical
from sojourn.analysis.statistic import Step
from sojourn.disclosure.gate import ReceivedRelease, fault_of, of_one_type, written
from sojourn.disclosure.header import Header
from sojourn.disclosure.output import Output
from sojourn.disclosure.policy import Policy
from sojourn.secrecy import ring as rings
from sojourn.secrecy.ring import Ring
from sojourn.secrecy.uniformity import plausible

Masks = Mapping[str, NDArray[np.bool_]]
Mask = Callable[[Ring], Ring]  # puts a site's vector under its masks for one place
_WORDS = {"header", "ring", "told", "sealed"}
_EXACT = 2**53


class _Key:
    """What only this module holds."""


_KEY: Final = _Key()


class MaskedRelease:
    """What passed the gate of a masked plan. Cannot be constructed outside this module.

    ring: numbers under masks; empty in the rounds of the joint test. told: what is said openly there (thresholds, test
    shares that are to be opened) and of an overlap that passed. sealed: site → shares that only it can open.
    """

    __slots__ = ("header", "ring", "sealed", "told")
    header: Header
    ring: bytes
    told: Mapping[str, Any]
    sealed: Mapping[str, bytes]

    def __init__(
        self, header: Header, ring: bytes, told: Mapping[str, Any], sealed: Mapping[str, bytes], key: _Key
    ) -> None:
        if key is not _KEY:
            raise TypeError("only the disclosure gate makes a MaskedRelease")
        for name, value in (("header", header), ("ring", ring), ("told", dict(told)), ("sealed", dict(sealed))):
            object.__setattr__(self, name, value)

    def __init_subclass__(cls) -> Never:
        raise TypeError("a MaskedRelease has no other kinds")

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError("a MaskedRelease does not change")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError("a MaskedRelease does not change")

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("a MaskedRelease is not copied or pickled; send its `to_dict`")

    def to_dict(self) -> dict[str, Any]:
        """Canonical JSON-able document."""
        return _document(self)

    def digest(self) -> str:
        """sha256 (hex) of the canonical bytes of `to_dict`."""
        return _digest(self)


@dataclass(frozen=True)
class ReceivedMasked:
    """A masked release as the hub, another node or the client reads it. Words as of `MaskedRelease`."""

    header: Header
    ring: bytes
    told: Mapping[str, Any]
    sealed: Mapping[str, bytes]

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> ReceivedMasked:
        """Read `MaskedRelease.to_dict`'s form; ValueError on anything else."""
        if not isinstance(document, Mapping) or set(document) != _WORDS or not isinstance(document["told"], Mapping):
            raise ValueError("not a masked release")
        try:
            sealed = {str(site): _read(text) for site, text in document["sealed"].items()}
            ring = _read(document["ring"])
        except (AttributeError, TypeError, binascii.Error) as error:
            raise ValueError("not a masked release") from error
        received = cls(Header.from_dict(document["header"]), ring, dict(document["told"]), sealed)
        if (
            not (received.header.roster and received.header.transcript)
            or len(ring) > (MOST_NUMBERS + 1) * rings.ELEMENT
        ):
            raise ValueError("not a masked release")
        if received.to_dict() != document:
            raise ValueError("a masked release is not in its canonical form")
        return received

    def to_dict(self) -> dict[str, Any]:
        """The document that was read."""
        return _document(self)

    def digest(self) -> str:
        """sha256 (hex) of the canonical bytes, the same as `MaskedRelease.digest`."""
        return self._hash

    @cached_property
    def _hash(self) -> str:
        return _digest(self)  # each round's history asks for it again


Received = ReceivedRelease | ReceivedMasked


def shares(policy: Policy, header: Header, told: Mapping[str, Any], sealed: Mapping[str, bytes]) -> MaskedRelease:
    """A site's word in a round of the joint test: secret shares, each sealed to one evaluator, and what is told openly.

    told: thresholds, names of earlier releases, and shares of what the test opens; never a count.
    """
    return MaskedRelease(written(header, policy), b"", told, sealed, _KEY)


def matched(
    policy: Policy, header: Header, passed: Collection[str], told: Mapping[str, Mapping[str, int]]
) -> MaskedRelease:
    """A site's word on the pairs of an overlap that passed the joint test: matches that it counted, persons made up.

    told: word → pair → number. ValueError where a pair did not pass.
    """
    if not all(set(numbers) <= set(passed) for numbers in told.values()):
        raise ValueError("a number of a pair that did not pass")
    return MaskedRelease(written(header, policy), b"", told, {}, _KEY)


def masked(
    output: Output | Step, policy: Policy, header: Header, cells: Masks, parties: int, mask: Mask, veto: bool = False
) -> MaskedRelease:
    """A site's numbers of one round under its masks. An exception in a check is a veto, as is what does not fit.

    output: a step alone where the site takes part with nothing. cells: by array, what failed the joint test. veto: the
    site's own rules refuse this round.
    """
    step = output.step if isinstance(output, Output) else output
    try:
        if veto or (isinstance(output, Output) and fault_of(output)):
            raise ValueError("this may not leave")
        partial = output.partial if isinstance(output, Output) else nothing(step)
        vector = rings.allowed(_encoded(step, partial, cells, parties))
    except Exception:  # any failure of a check
        vector = rings.vetoed(numbers_of(step))
    return MaskedRelease(written(header, policy), rings.to_bytes(mask(vector)), {}, {}, _KEY)


def nothing(step: Step) -> Partial:
    """The zeros of a site that takes part with nothing."""
    return Partial({name: np.zeros(shape) for name, shape in step.partial.items()})


def summed(step: Step, vectors: list[bytes], cells: Masks) -> Partial | None:
    """The sum over the whole roster, its failed cells marked; None where a site vetoed it.

    ValueError where a vector is not one of the step or was not masked, as its bytes show, or masks did not cancel.
    """
    if not all(map(plausible, vectors)):
        raise ValueError("a vector is not masked")
    total = rings.without_veto(rings.add(_vector(step, vector) for vector in vectors))
    if total is None:
        return None
    numbers, start, arrays = rings.decode(total, np.float64), 0, {}
    for name, shape in sorted(step.partial.items()):
        size = int(np.prod(shape, dtype=np.int64))
        arrays[name] = of_one_type(canonical(numbers[start : start + size].reshape(shape)))
        start += size
    hidden = {name: mask for name, mask in cells.items() if name in arrays and mask.any()}
    if any(arrays[name][mask].any() for name, mask in hidden.items()):
        raise ValueError("a suppressed cell holds a number")
    return Partial(arrays, hidden)


def numbers_of(step: Step) -> int:
    """How many numbers a step's partial has."""
    return sum(int(np.prod(shape, dtype=np.int64)) for shape in step.partial.values())


def _encoded(step: Step, partial: Partial, cells: Masks, parties: int) -> Ring:
    """Floats and whole numbers alike in fixed point, so that an array's type tells nothing."""
    parts = []
    for name in sorted(step.partial):
        array = partial.arrays[name]
        if array.dtype.kind == "i" and (np.abs(array) >= _EXACT).any():
            raise ValueError("a whole number is too large")
        shown = np.where(cells.get(name, np.False_), 0.0, array.astype(np.float64))
        parts.append(rings.encode(shown, parties))
    return np.concatenate(parts)


def _vector(step: Step, data: bytes) -> Ring:
    vector = rings.from_bytes(data)
    if len(vector) != numbers_of(step) + 1:
        raise ValueError("a vector is not one of this step")
    return vector


def _document(release: MaskedRelease | ReceivedMasked) -> dict[str, Any]:
    return {
        "header": release.header.to_dict(),
        "ring": _text(release.ring),
        "told": dict(release.told),
        "sealed": {site: _text(blob) for site, blob in sorted(release.sealed.items())},
    }


def _digest(release: MaskedRelease | ReceivedMasked) -> str:
    return hashlib.sha256(rfc8785.dumps(_document(release))).hexdigest()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _read(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
