"""Risk that learns: a small model of what checkers of this site let leave. It can raise a tier and never lowers one.

A logistic regression of "rejected" on the features below, standardised, with a ridge penalty of 1 on every slope (as
if one more observation had been seen for each, Hoerl & Kennard 1970; le Cessie & van Houwelingen 1992), fitted by
Newton's method in a fixed number of steps from zero, so that the same decisions give the same model. It needs LEAST
decisions of either kind; before that it says nothing. A predicted probability of rejection of at least HELD raises the
tier by one, of at least FULL to high.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.variable import SITE
from sojourn.disclosure.output import Finding, Output, Tier, Verdict

LEAST = 5  # approvals, and as many rejections, before the model says anything
HELD, FULL = 0.5, 0.9
RIDGE = 1.0
STEPS = 25
SHOWN = 3  # reasons
PLACES = ("zip", "postcode", "postal", "county", "municipality", "district", "region", "canton", "area", "geo")

WORDS: Mapping[str, str] = {
    "cells": "the number of cells",
    "smallest": "how few persons stand behind the smallest number",
    "hidden": "the share of numbers that are hidden",
    "dimensions": "the number of dimensions",
    "geography": "a geographic dimension",
    "parameters": "the number of parameters",
    "leverage": "how much one person weighs in the model",
    "population": "how few persons there are in all",
    "overlap": "how near it is to what was released before",
    "left": "how much this researcher has had from this site",
    "refused": "how often this researcher was refused here",
}


def features(output: Output, finding: Finding, past: Mapping[str, int], overlap: float = 0.0) -> dict[str, float]:
    """What the model learns from: of the output, the request and its researcher's history at this site.

    past: numbers of outputs that left, were refused and were rejected. overlap: 0 to 1, how near the nearest set of
    persons is that was released before (the ledger's word).
    """
    support = output.support
    counts = np.concatenate([cells.counts().ravel() for cells in support.cells] or [np.zeros(0, dtype=np.int64)])
    seen = counts[counts > 0]
    names = [name for cells in support.cells for name in cells.dimensions if name != SITE]
    hidden = sum(int(mask.sum()) for mask in finding.cells.values())
    design = support.design
    asked = past.get("left", 0) + past.get("refused", 0)
    return {
        "cells": math.log1p(counts.size),
        "smallest": -math.log1p(int(seen.min())) if seen.size else -math.log1p(len(support.population)),
        "hidden": hidden / max(1, output.partial.numbers()),
        "dimensions": float(max((len(cells.dimensions) for cells in support.cells), default=0)),
        "geography": float(any(place in name.lower() for name in names for place in PLACES)),
        "parameters": math.log1p(design.parameters) if design is not None else 0.0,
        "leverage": design.leverage if design is not None else 0.0,
        "population": -math.log1p(len(support.population)),
        "overlap": overlap,
        "left": math.log1p(past.get("left", 0)),
        "refused": past.get("refused", 0) / asked if asked else 0.0,
    }


@dataclass(frozen=True)
class Model:
    """What was learnt. means, scales, slopes: by name of the feature; the intercept is under the empty name."""

    means: Mapping[str, float]
    scales: Mapping[str, float]
    slopes: Mapping[str, float]
    name: ClassVar[str] = "review"

    def contributions(self, seen: Mapping[str, float]) -> dict[str, float]:
        """What each feature adds to the log odds of a rejection, beside an average output of those decided."""
        return {
            name: self.slopes[name] * (seen.get(name, self.means[name]) - self.means[name]) / self.scales[name]
            for name in self.means
        }

    def probability(self, seen: Mapping[str, float]) -> float:
        """How probable it is that a checker of this site would reject it."""
        score = self.slopes[""] + math.fsum(self.contributions(seen).values())
        return float(_logistic(np.array([score]))[0])

    def judge(self, finding: Finding, seen: Mapping[str, float]) -> Finding:
        """What to join to a finding: a higher tier where this site's checkers would probably reject it, else nothing.

        Joining takes the strictest word, so that it can never lower a tier or show a cell.
        """
        chance = self.probability(seen)
        if finding.verdict is Verdict.REFUSE or finding.tier is Tier.HIGH or not chance >= HELD:
            return Finding(Verdict.RELEASE)
        tier = Tier.HIGH if chance >= FULL or finding.tier is Tier.MEDIUM else Tier.MEDIUM
        note = f"checkers here would probably reject it, for {'; '.join(self.reasons(seen)) or 'all that they saw'}"
        return Finding(Verdict.RELEASE, tier=tier, note=note, raised=self.name)

    def reasons(self, seen: Mapping[str, float]) -> list[str]:
        """What raises the risk most, in words, the largest first."""
        found = sorted(self.contributions(seen).items(), key=lambda item: (-item[1], item[0]))
        return [WORDS.get(name, name) for name, share in found[:SHOWN] if share > 0]


def train(decisions: Sequence[tuple[Mapping[str, float], bool]]) -> Model | None:
    """The model of these decisions (features, rejected); None where there are too few of either kind."""
    known = [(seen, rejected) for seen, rejected in decisions if all(map(math.isfinite, seen.values()))]
    rejected = np.array([word for _, word in known], dtype=np.float64)
    if rejected.sum() < LEAST or len(known) - rejected.sum() < LEAST:
        return None
    names = [name for name in sorted(WORDS) if all(name in seen for seen, _ in known)]
    rows = np.array([[seen[name] for name in names] for seen, _ in known], dtype=np.float64).reshape(len(known), -1)
    means, scales = rows.mean(axis=0), rows.std(axis=0)
    scales = np.where(scales > 1e-12, scales, 1.0)
    slopes = _fitted(np.column_stack([np.ones(len(known)), (rows - means) / scales]), rejected)
    return Model(
        dict(zip(names, means.tolist(), strict=True)),
        dict(zip(names, scales.tolist(), strict=True)),
        dict(zip(["", *names], slopes.tolist(), strict=True)),
    )


def _fitted(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Penalised logistic regression; the intercept is not penalised."""
    penalty = np.diag([0.0] + [RIDGE] * (x.shape[1] - 1))
    beta = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = _logistic(x @ beta)
        information = x.T @ (x * (p * (1 - p))[:, None]) + penalty + 1e-9 * np.eye(len(beta))
        beta = beta + np.linalg.solve(information, x.T @ (y - p) - penalty @ beta)
    return np.asarray(beta)


def _logistic(score: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(score, -500, 500))))
