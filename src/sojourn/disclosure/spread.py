"""Squares about a mean: what is hidden of a table's deviations, so that none shows how far out one person is.

A deviation is about one person where this person gives nearly all squares: mean + sd sqrt(n - 1) is then nearly the
value. So squares about a site's own mean are judged as sums are, by what persons give to them; where they fail, they
are hidden alone, while numbers and means stay. Squares of a margin are those of its cells and what lies between them,
which numbers and means tell:

    squares about the mean of all = sum over cells (squares about the cell's mean + n (mean of the cell - mean)^2)

so hidden squares also have a complement, and what is left of a margin must not be one person's either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.support import Cells, Contributions, Support
from sojourn.disclosure.complement import complement
from sojourn.disclosure.suppression import Mask, small

Unsafe = Callable[[Contributions], Mask]
Places = NDArray[np.int64]


def hidden_squares(squares: Contributions, support: Support, unsafe: Unsafe, threshold: int, zero_shown: bool) -> Mask:
    """The cells of a table whose squares are hidden; all false where all may be shown."""
    hidden = np.asarray(unsafe(squares))
    tables = [cells for cells in support.cells if set(squares.output) & set(cells.output)]
    if not hidden.any() or not tables:
        return hidden
    cells = tables[0]
    hidden = hidden | small(cells, threshold, zero_shown)
    while True:
        hidden = complement(cells, hidden, threshold, zero_shown)
        more = _more(squares, cells, hidden, unsafe)
        if not more.any():
            return hidden
        hidden = hidden | more


def _more(squares: Contributions, cells: Cells, hidden: Mask, unsafe: Unsafe) -> Mask:
    """Of each line whose hidden squares together are nearly one person's, the shown cell with the most squares."""
    more = np.zeros(hidden.size, dtype=bool)
    gone, total = hidden.ravel(), squares.total.ravel()
    for line in _lines(cells):
        out = line[gone[line]]
        left = line[~gone[line] & (total[line] > 0)]
        if len(out) and len(left) and unsafe(_together(squares, out)).any():
            more[left[int(np.argmax(total[left]))]] = True
    return more.reshape(hidden.shape)


def _together(squares: Contributions, places: Places) -> Contributions:
    """The contributions to the sum of some cells; of a person who is in several, as if they were of several."""
    largest, second = squares.largest.ravel()[places], squares.second.ravel()[places]
    top = np.sort(np.concatenate([largest, second]))[::-1]
    total = np.array([squares.total.ravel()[places].sum()])
    return replace(squares, largest=top[:1], second=top[1:2], total=total, most=None)


def _lines(cells: Cells) -> Iterator[Places]:
    """The cells of each number that a table by fewer dimensions would show."""
    axes = range(len(cells.shape) if cells.dimensions else 0)
    places = np.arange(math.prod(cells.shape), dtype=np.int64).reshape(cells.shape)
    for kept in (kept for size in range(len(axes)) for kept in combinations(axes, size)):
        moved = np.moveaxis(places, kept, range(len(kept)))
        yield from moved.reshape(math.prod(moved.shape[: len(kept)]), -1)
