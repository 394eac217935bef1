"""The figures of the rules: disclosure-control thresholds as data, each with its default and its source."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sojourn.disclosure.output import Tier, strictness
from sojourn.errors import ConfigurationError


@dataclass(frozen=True)
class Parameters:
    """What a custodian sets; the defaults are the product's, each rule's docstring names their source.

    threshold: T, the smallest number of persons that may be shown. zero_shown: whether an empty cell may be seen to be
    empty. dimensions: the most axes of a table that leaves by itself. sensitive_percent: the largest share of a group
    in a sensitive level. dominance_n, dominance_k: the n largest may not exceed k percent of a sum (n is 1 or 2).
    p_percent: how closely the second largest may estimate the largest; confidential, since it tells an intruder the
    width of the protection: it is in no repr, header, error or public form. residual: least residual degrees of
    freedom. observations: largest parameters / persons. leverage: largest leverage of a person. automatic: the
    highest risk that leaves without a checker. ledger_hit: `hold` an answer that tells of few persons together with
    earlier ones, for checkers where there are any, or `refuse` it. ledger_beyond: `hold` what the search of the ledger
    does not reach, or go by `pairs` and trackers alone. ledger_bound: how far it reaches, in independent sets × groups
    of persons. ledger_share: the most independent numbers about a group of persons, as a share of their number.
    """

    threshold: int = 10
    zero_shown: bool = False
    dimensions: int = 3
    sensitive_percent: float = 90.0
    dominance_n: int = 2
    dominance_k: float = 90.0
    p_percent: float = field(default=10.0, repr=False)
    residual: int = 10
    observations: float = 0.33
    leverage: float = 1 / 3
    automatic: Tier = Tier.LOW
    ledger_hit: str = "hold"
    ledger_beyond: str = "hold"
    ledger_bound: int = 50_000_000
    ledger_share: float = 0.25

    def __post_init__(self) -> None:
        for name, (holds, words) in _RANGES.items():
            if not holds(getattr(self, name)):
                raise ConfigurationError(f"The disclosure setting `{name}` is out of range.", remedy=f"Give {words}.")

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Parameters:
        """Settings as a custodian writes them, defaults for what is left out. ConfigurationError on anything else."""
        known = {item.name for item in fields(cls)}
        if unknown := sorted(str(name) for name in document if name not in known):
            remedy = f"Use only {', '.join(sorted(known))}."
            raise ConfigurationError(f"There is no disclosure setting `{unknown[0][:40]}`.", remedy=remedy)
        settings = dict(document)
        if "automatic" in settings:
            settings["automatic"] = _tier(settings["automatic"])
        return cls(**settings)

    def public(self) -> dict[str, Any]:
        """What may be published of them: everything but the confidential p."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "p_percent"}


def strictest(a: Parameters, b: Parameters) -> Parameters:
    """The parameters that are nowhere milder than either: jurisdiction and dataset compose so."""
    return Parameters(
        threshold=max(a.threshold, b.threshold),
        zero_shown=a.zero_shown and b.zero_shown,
        dimensions=min(a.dimensions, b.dimensions),
        sensitive_percent=min(a.sensitive_percent, b.sensitive_percent),
        dominance_n=max(a.dominance_n, b.dominance_n),
        dominance_k=min(a.dominance_k, b.dominance_k),
        p_percent=max(a.p_percent, b.p_percent),
        residual=max(a.residual, b.residual),
        observations=min(a.observations, b.observations),
        leverage=min(a.leverage, b.leverage),
        automatic=min(a.automatic, b.automatic, key=strictness),
        ledger_hit="refuse" if "refuse" in (a.ledger_hit, b.ledger_hit) else "hold",
        ledger_beyond="hold" if "hold" in (a.ledger_beyond, b.ledger_beyond) else "pairs",
        ledger_bound=max(a.ledger_bound, b.ledger_bound),
        ledger_share=min(a.ledger_share, b.ledger_share),
    )


def _tier(word: object) -> Tier:
    try:
        return Tier(word)  # type: ignore[arg-type]
    except ValueError as error:
        raise ConfigurationError(
            "The disclosure setting `automatic` is no tier.", remedy="Give low or medium."
        ) from error


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and math.isfinite(value) and low < value <= high


_RANGES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    # of two persons each knows the other's value, so a group has at least three
    "threshold": (_whole(3, 1_000_000), "a whole number from 3"),
    "zero_shown": (lambda value: type(value) is bool, "true or false"),
    "dimensions": (_whole(1, 32), "a whole number from 1 to 32"),
    "sensitive_percent": (_number(0, 100), "a percentage above 0"),
    "dominance_n": (_whole(1, 2), "1 or 2"),
    "dominance_k": (_number(0, 100), "a percentage above 0"),
    "p_percent": (_number(0, 100), "a percentage above 0"),
    "residual": (_whole(1, 1_000_000), "a whole number from 1"),
    "observations": (_number(0, 1), "a fraction above 0 and at most 1"),
    "leverage": (_number(0, 1), "a fraction above 0 and at most 1"),
    "ledger_hit": (lambda value: value in ("hold", "refuse"), "hold or refuse"),
    "ledger_beyond": (lambda value: value in ("hold", "pairs"), "hold or pairs"),
    "ledger_bound": (_whole(0, 1_000_000_000), "a whole number to a thousand million"),
    "ledger_share": (_number(0, 1), "a fraction above 0 and at most 1"),
    "automatic": (lambda value: value in (Tier.LOW, Tier.MEDIUM), "low or medium"),
}
