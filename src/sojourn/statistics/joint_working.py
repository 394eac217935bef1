"""How few persons the sums of a masked round rest on, judged by one site against the sums of all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.support import Working
from sojourn.statistics.rows import Rows, Weighed

Vector = NDArray[np.float64]
_RANK = 1e-9  # eigenvalues under this share of the largest are zero


def joint_working(rows: Rows, weighed: Weighed, centre: Vector, gram: Vector) -> Working | None:
    """As `design.working`, of the persons here in the design of all sites; None where no sums are made.

    gram: cross-products of all sites' rows around `centre`, under the weights of the latest round whose sum is known:
    those of this round are not known before it is over. effective: at least so many persons share the weights, since
    nobody's here is greater.
    """
    weight = weighed.weight
    if not (np.isfinite(weight).all() and (weight >= 0).all() and np.isfinite(gram).all()):
        return None
    if not len(weight):
        return Working(np.inf, 0.0)
    size = np.sqrt(np.maximum(np.diag(gram), 0.0))
    kept = size > 0
    if not kept.any():
        return Working(0.0, 1.0)
    sizes, axes = np.linalg.eigh(gram[np.ix_(kept, kept)] / np.outer(size[kept], size[kept]))
    sound = sizes > _RANK * sizes[-1]
    turn = axes[:, sound] / np.sqrt(sizes[sound]) / size[kept][:, None]
    of_row = np.concatenate([(((rows.x[part] - centre)[:, kept] @ turn) ** 2).sum(axis=1) for part in rows.blocks()])
    largest = float(rows.per_person(weight * of_row).max())
    share = float(rows.per_person(weight).max())
    total = _total(rows, gram, weight)
    return Working(total / share if share else np.inf, largest)


def _total(rows: Rows, gram: Vector, weight: Vector) -> float:
    """The weights of all sites' rows together: the intercept's own product; without one, at least those here."""
    if () in rows.layout.columns:
        place = rows.layout.columns.index(())
        return float(gram[place, place])
    return float(weight.sum())
