"""What a site's local part gives: named arrays with marks for suppressed cells, and their exact wire form."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64] | NDArray[np.int64]
_DTYPES = {"<f8": np.dtype("<f8"), "<i8": np.dtype("<i8")}
MOST_NUMBERS = 4_000_000


def canonical(values: Any) -> Array:
    """Little-endian float64 or int64, C order, without -0.0; NaN and infinities are refused (they could carry bits)."""
    array = np.asarray(values)
    if array.dtype.kind in "iub":
        return np.ascontiguousarray(array, dtype="<i8")
    array = np.ascontiguousarray(array, dtype="<f8") + 0.0  # turns -0.0 into 0.0
    if not np.isfinite(array).all():
        raise ValueError("a partial holds a number that is not finite")
    return array


@dataclass(frozen=True)
class Partial:
    """Named arrays of numbers, float64 or int64; `suppressed` marks cells that may not be shown (their number is 0)."""

    arrays: Mapping[str, Array]
    suppressed: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def hidden(self, name: str) -> NDArray[np.bool_]:
        """The suppression mask of one array, all False where nothing is suppressed."""
        mask = self.suppressed.get(name)
        return np.zeros(self.arrays[name].shape, dtype=bool) if mask is None else mask

    def numbers(self) -> int:
        """How many numbers it carries."""
        return sum(array.size for array in self.arrays.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON form that keeps every bit."""
        return {
            "arrays": {name: encode(array) for name, array in sorted(self.arrays.items())},
            "suppressed": {
                name: [int(i) for i in np.flatnonzero(mask)]
                for name, mask in sorted(self.suppressed.items())
                if mask.any()
            },
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Partial:
        """Read `to_dict`'s form; ValueError on anything else."""
        if set(document) != {"arrays", "suppressed"}:
            raise ValueError("not a partial")
        arrays = {str(name): decode(value) for name, value in document["arrays"].items()}
        suppressed = {}
        for name, places in document["suppressed"].items():
            mask = np.zeros(arrays[name].size, dtype=bool)
            mask[np.asarray(places, dtype=np.int64)] = True
            suppressed[str(name)] = mask.reshape(arrays[name].shape)
        return cls(arrays, suppressed)


def encode(array: Array) -> dict[str, Any]:
    """One array as JSON: type, shape, base64 of its bytes."""
    array = canonical(array)
    data = base64.b64encode(array.tobytes()).decode("ascii")
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}


def decode(document: Mapping[str, Any]) -> Array:
    """Read `encode`'s form; ValueError on anything else."""
    try:
        dtype = _DTYPES[document["dtype"]]
        shape = tuple(int(size) for size in document["shape"])
        raw = base64.b64decode(document["data"], validate=True)
    except (KeyError, TypeError, binascii.Error) as error:
        raise ValueError("not an array") from error
    if any(size < 0 for size in shape) or int(np.prod(shape, dtype=np.int64)) * 8 != len(raw):
        raise ValueError("an array's shape and bytes disagree")
    if len(raw) > MOST_NUMBERS * 8:
        raise ValueError("an array is too large")
    return canonical(np.frombuffer(raw, dtype=dtype).reshape(shape))


def total(partials: Iterable[Partial]) -> Partial:
    """The sum over sites, in the order given; a cell that any site suppressed stays suppressed."""
    parts = list(partials)
    if not parts:
        raise ValueError("nothing to add")
    names = set(parts[0].arrays)
    if any(set(part.arrays) != names for part in parts):
        raise ValueError("the partials do not have the same arrays")
    arrays: dict[str, Array] = {}
    suppressed: dict[str, NDArray[np.bool_]] = {}
    for name in sorted(names):
        shapes = {part.arrays[name].shape for part in parts}
        if len(shapes) != 1:
            raise ValueError("the partials do not have the same shapes")
        arrays[name] = canonical(np.sum([part.arrays[name] for part in parts], axis=0))
        mask = np.logical_or.reduce([part.hidden(name) for part in parts])
        if mask.any():
            suppressed[name] = mask
    return Partial(arrays, suppressed)
