"""Which study differs, which one decides, and whether small studies tell another story.

Source: M. Egger et al., BMJ 315, 1997; J. A. C. Sterne, M. Egger, 2005 (with tau²); B. Baujat et al., Statistics in
Medicine 21, 2002; W. Viechtbauer, M. W.-L. Cheung, Research Synthesis Methods 1, 2010 (deleted residuals).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from sojourn.analysis.heterogeneity import FIXED, REML, Studies
from sojourn.analysis.meta_analysis import NORMAL, Synthesis, combine, leave_one_out

Vector = NDArray[np.float64]
LEAST_EGGER = 3


@dataclass(frozen=True)
class Asymmetry:
    """Egger's test of a funnel. slope: of the estimate on its standard error. limit: where that error would be 0."""

    slope: float
    std_error: float
    statistic: float
    p_value: float
    limit: float


@dataclass(frozen=True, eq=False)
class Influence:
    """For each study (n): its part in Q and how far the mean moves without it, in squared standard errors (Baujat);

    and its deleted residual: how many standard errors it lies from what the others predict.
    """

    share: Vector
    moved: Vector
    deleted: Vector


def egger(studies: Studies, additive: bool = True) -> Asymmetry | None:
    """additive: a mixed model with tau² by REML and a normal test; else the first form, whose residual variance

    multiplies, with t of n - 2. None for fewer than three studies, or where all are equally precise.
    """
    errors = np.sqrt(studies.variances)
    if studies.number < LEAST_EGGER or np.ptp(errors) <= 1e-9 * errors.max():
        return None
    moderated = Studies.of(studies.estimates, studies.variances, errors.tolist())
    fitted = combine(moderated, REML if additive else FIXED, NORMAL)
    slope, error, below = float(fitted.estimate[1]), float(fitted.std_error[1]), float(fitted.p_value[1])
    if not additive:
        error *= float(np.sqrt(fitted.q / moderated.freedom))
        below = float(2 * scipy.special.stdtr(moderated.freedom, -abs(slope / error))) if error > 0 else 0.0
    return Asymmetry(slope, error, slope / error if error > 0 else 0.0, below, float(fitted.estimate[0]))


def influence(combined: Synthesis) -> Influence | None:
    """None for fewer than three studies: two do not tell which of them differs."""
    studies = combined.studies
    if studies.number < 3 or studies.freedom < 2:
        return None
    mean = studies.design @ combined.estimate
    share = (studies.estimates - mean) ** 2 / (studies.variances + combined.tau2)
    moved, deleted = np.zeros(studies.number), np.zeros(studies.number)
    for place, others in enumerate(leave_one_out(studies, combined.method, NORMAL)):
        row = studies.design[place]
        predicted = float(row @ others.estimate)
        variance = float(row @ others.studies.at(others.tau2).covariance @ row)
        moved[place] = (mean[place] - predicted) ** 2 / variance
        apart = float(studies.estimates[place]) - predicted
        deleted[place] = apart / np.sqrt(studies.variances[place] + others.tau2 + variance)
    return Influence(share, moved, deleted)
