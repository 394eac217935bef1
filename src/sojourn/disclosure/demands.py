"""What sites ask of a joint table in the open, and which of them evaluate it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sojourn.disclosure.parameters import Parameters
from sojourn.secrecy.joint import MOST

MOST_EVALUATORS = 5
STRIDE = 10


@dataclass(frozen=True)
class Demands:
    """What a site's rules ask of the whole, stated in the open. threshold: T. residual, observations: of a model."""

    threshold: int
    residual: int
    observations: float

    @classmethod
    def of(cls, parameters: Parameters) -> Demands:
        """Of a site's parameters; none of them is confidential."""
        return cls(parameters.threshold, parameters.residual, parameters.observations)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Demands:
        """Read `to_dict`'s form; ValueError on anything else, and on demands that no site's parameters could make."""
        if not isinstance(document, Mapping) or set(document) != {"threshold", "residual", "observations"}:
            raise ValueError("not demands")
        threshold, residual, observations = (document[word] for word in ("threshold", "residual", "observations"))
        if type(threshold) is not int or not 3 <= threshold <= MOST:
            raise ValueError("not a threshold")
        if type(residual) is not int or not 1 <= residual <= MOST:
            raise ValueError("not residual degrees of freedom")
        if type(observations) not in (int, float) or not 0 < observations <= 1:
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


def evaluators(study: str, sites: Iterable[str]) -> tuple[str, ...]:
    """The sites that evaluate: an odd number of at most five, by a lot that the study's name draws.

    ValueError where there are fewer than three sites.
    """
    every = sorted(set(sites), key=lambda site: hashlib.sha256(f"{study}\n{site}".encode()).digest())
    if len(every) < 3:
        raise ValueError("a joint test needs three sites")
    most = min(MOST_EVALUATORS, len(every))
    return tuple(sorted(every[: most - (most % 2 == 0)]))
