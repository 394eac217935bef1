"""What a site that takes part with nothing still says in a joint test: who of an earlier sum is gone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.disclosure.joint import Layout, Told, still_hidden
from sojourn.disclosure.joint_questions import SOME
from sojourn.secrecy.joint import MOST


def compared(layout: Layout, told: Sequence[Told], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """What a site puts in, without a difference from what it does not remember: see `lacks`.

    Such a sum has no part of this site, so that it adds nothing behind which another site's difference could hide.
    """
    lacking = {str(number) for number, earlier in enumerate(told) if lacks(earlier)}
    if not lacking:
        return numbers
    words = (label.removeprefix(f"{SOME} ").split(" ", 2) for label in layout.labels())
    differs = np.array([word[0] in ("more", "less", "differ", "changed") and word[1] in lacking for word in words])
    return np.where(differs, 0, numbers)


def padded(told: Told) -> Told:
    """The same, with nobody in each set where the site lacks it."""
    return Told(told.name, told.labels, tuple(BitMap() for _ in told.labels)) if lacks(told) else told


def lacks(told: Told) -> bool:
    """Whether a site does not remember an earlier release, of which another one told; or as one of other sets."""
    return len(told.persons) != len(told.labels)


def vanished(layout: Layout, told: Sequence[Told], clear: Sequence[BitMap]) -> NDArray[np.int64]:
    """What a site puts in that has nobody now: zeros, but its part of each earlier set as what the set of now lacks.

    Else the sum before less the sum now would be its whole part, and the test would see no difference. told: as the
    layout was made with. clear: as in `Layout.numbers`.
    """
    gone: dict[str, int] = {}
    for number, earlier in enumerate(map(padded, told)):
        for place, persons in enumerate(earlier.persons):
            hidden = min(still_hidden(persons, clear), MOST)
            gone |= {f"less {number} {place}": hidden, f"{SOME} differ {number} {place}": int(hidden > 0)}
    words = (label.split(" ") for label in layout.labels())
    found = (gone.get(" ".join(word[: 4 if word[0] == SOME else 3]), 0) for word in words)
    return np.fromiter(found, dtype=np.int64, count=layout.inputs)
