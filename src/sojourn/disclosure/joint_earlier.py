"""What a site that takes part with nothing still says in a joint test: who of an earlier sum is gone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.disclosure.joint import Layout, Told, still_hidden
from sojourn.secrecy.joint import MOST


def vanished(layout: Layout, told: Sequence[Told], clear: Sequence[BitMap]) -> NDArray[np.int64]:
    """What a site puts in that has nobody now: zeros, but its part of each earlier set as what the set of now lacks.

    Else the sum before less the sum now would be its whole part, and the test would see no difference. told: as the
    layout was made with. clear: as in `Layout.numbers`.
    """
    gone = {
        f"less {number} {place}": min(still_hidden(persons, clear), MOST)
        for number, earlier in enumerate(told)
        for place, persons in enumerate(earlier.persons)
    }
    found = (gone.get(" ".join(label.split(" ", 3)[:3]), 0) for label in layout.labels())
    return np.fromiter(found, dtype=np.int64, count=layout.inputs)
