"""What sites ask of a joint table in the open, and which of them evaluate it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sojourn.disclosure.parameters import Parameters
from sojourn.errors import DisclosureRefused

MOST_EVALUATORS = 5
# A site that colludes could search for a count by other demands in each study: it gets no further than these.
THRESHOLDS = (3, 5, 6, 10, 11, 20, 30, 50, 100, 200, 500, 1000)
RESIDUALS = tuple(threshold - 1 for threshold in THRESHOLDS)  # one person more is what is asked for
OBSERVATIONS = (1.0, 0.5, 0.33, 0.2, 0.1, 0.05, 0.02, 0.01)
STRIDE = 10


@dataclass(frozen=True)
class Demands:
    """What a site's rules ask of the whole, stated in the open: each one of a few values that are the same for all.

    threshold: T. residual, observations: of a model.
    """

    threshold: int
    residual: int
    observations: float

    @classmethod
    def of(cls, parameters: Parameters) -> Demands:
        """Of a site's parameters: of each the next stricter value. DisclosureRefused where there is none."""
        thresholds = [one for one in THRESHOLDS if one >= parameters.threshold]
        residuals = [one for one in RESIDUALS if one >= parameters.residual]
        shares = [one for one in OBSERVATIONS if one <= parameters.observations]
        if not (thresholds and residuals and shares):
            raise DisclosureRefused("capacity")
        return cls(thresholds[0], residuals[0], shares[0])

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Demands:
        """Read `to_dict`'s form; ValueError on anything else, and on demands that `of` does not make."""
        if not isinstance(document, Mapping) or set(document) != {"threshold", "residual", "observations"}:
            raise ValueError("not demands")
        threshold, residual, observations = (document[word] for word in ("threshold", "residual", "observations"))
        if type(threshold) is not int or threshold not in THRESHOLDS:
            raise ValueError("not a threshold")
        if type(residual) is not int or residual not in RESIDUALS:
            raise ValueError("not residual degrees of freedom")
        if type(observations) not in (int, float) or observations not in OBSERVATIONS:
            raise ValueError("not a share of parameters")
        return cls(threshold, residual, float(observations))


def strictest(demands: Iterable[Demands]) -> Demands:
    """What satisfies all sites."""
    every = list(demands)
    return Demands(
        max(one.threshold for one in every),
        max(one.residual for one in every),
        min(one.observations for one in every),
    )


def stride(threshold: int) -> int:
    """What a number must be a multiple of that totals are compared with: the smallest of 10, 20, 40 .. not below T.

    So a search over many such numbers brackets a total between two that lie T apart or more. Each divides the next, so
    that a threshold which is changed between two questions brings none closer than the smaller one.
    """
    found = STRIDE
    while found < threshold:
        found *= 2
    return found


def coarse(least: int, threshold: int) -> int:
    """What is tested where a plan's own choice, of terms say, asks for so many persons: T, or a multiple of `stride`.

    Else models with one term more and one less would bracket a total between two numbers that lie closer together.
    """
    step = stride(threshold)
    return threshold if least <= threshold else -(-least // step) * step


def evaluators(members: str, sites: Iterable[str]) -> tuple[str, ...]:
    """The sites that evaluate: an odd number of at most five, by a lot that `members` draws.

    members: hash of the sites with their nodes' keys, and of nothing else, so that one roster has the same evaluators
    in all studies and nobody draws until the lot falls on friends. ValueError where there are fewer than three sites.
    """
    every = sorted(set(sites), key=lambda site: hashlib.sha256(f"{members}\n{site}".encode()).digest())
    if len(every) < 3:
        raise ValueError("a joint test needs three sites")
    most = min(MOST_EVALUATORS, len(every))
    return tuple(sorted(every[: most - (most % 2 == 0)]))
