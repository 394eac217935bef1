"""The figures of the rules: disclosure-control thresholds as data, each with its default and its source."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sojourn.analysis.partial import MOST_NUMBERS
from sojourn.disclosure.output import Tier, strictness
from sojourn.disclosure.perturbation import OFF, ROUNDINGS
from sojourn.errors import ConfigurationError

CONFIDENTIAL = ("p_percent", "cell_key")


@dataclass(frozen=True)
class Parameters:
    """What a custodian sets; the defaults are the product's, each rule's docstring names their source.

    threshold: T, the smallest number of persons that may be shown. zero_shown: whether an empty cell may be seen to be
    empty. dimensions: the most axes of a table that leaves by itself. sensitive_percent: the largest share of a group
    in a sensitive level. dominance_n, dominance_k: the n largest may not exceed k percent of a sum (n is 1 or 2).
    p_percent: how closely the second largest may estimate the largest; confidential, since it tells an intruder the
    width of the protection: it is in no repr, header, error or public form. residual: least residual degrees of
    freedom. observations: largest parameters / persons. leverage: largest leverage of a person. automatic: the
    highest risk that leaves without a checker. suppressed: the risk of an output of which something is hidden.
    rounding: of counts. cell_key: the seed of the noise on counts, 0 for none; confidential like p, and nobody can take
    the noise away without it. zip3, custom_area: the smallest population of an area. numbers: the most numbers of one
    analysis, over all its rounds. numbers_in_all: the most about a dataset that one researcher, and one project, may
    get in all, an answer that is repeated counted once; 0 for no bound. ledger_hit: `hold` an answer that tells of few
    persons together with earlier ones, for checkers where there are any, or `refuse` it. ledger_beyond: `hold` what the
    search of the ledger does not reach, or go by `pairs` and trackers alone. ledger_bound: how far it reaches, in
    independent sets × groups of persons. ledger_share: the most independent numbers about a group of persons, as a
    share of their number.
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
    suppressed: Tier = Tier.LOW
    rounding: str = OFF
    cell_key: int = field(default=0, repr=False)
    zip3: int = 20_000
    custom_area: int = 100
    numbers: int = 1_000_000
    numbers_in_all: int = 0
    ledger_hit: str = "hold"
    ledger_beyond: str = "hold"
    ledger_bound: int = 50_000_000
    ledger_share: float = 0.2

    def __post_init__(self) -> None:
        for name, (holds, words) in RANGES.items():
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
        for name in {"automatic", "suppressed"} & set(settings):
            settings[name] = _tier(name, settings[name])
        return cls(**settings)

    def public(self) -> dict[str, Any]:
        """What may be published of them: everything but the confidential figures."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name not in CONFIDENTIAL}


def strictest(*layers: Parameters) -> Parameters:
    """The parameters that are nowhere milder than any of the layers; the product's own where there is none.

    Product, jurisdiction, site and dataset compose so: each value declares in which direction it is stricter, and a
    further layer never loosens.
    """
    layers = layers or (Parameters(),)
    values = {
        name: max((getattr(layer, name) for layer in layers), key=direction) for name, direction in STRICTER.items()
    }
    return Parameters(**values)


def layer(document: Mapping[str, Any], below: Parameters | None = None) -> Parameters:
    """One more layer as a custodian or a jurisdiction's pack writes it, upon what holds already; it never loosens.

    A value that the document does not name stays as it is below.
    """
    below = below or Parameters()
    named = {name: getattr(Parameters.from_dict(document), name) for name in document}
    return strictest(below, replace(below, **named))


def _tier(name: str, word: object) -> Tier:
    try:
        return Tier(word)  # type: ignore[arg-type]
    except ValueError as error:
        raise ConfigurationError(
            f"The disclosure setting `{name}` is no tier.", remedy="Give low or medium."
        ) from error


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and math.isfinite(value) and low < value <= high


_HITS = ("hold", "refuse")  # from mildest to strictest
_BEYOND = ("pairs", "hold")

RANGES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
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
    "ledger_hit": (lambda value: value in _HITS, "hold or refuse"),
    "ledger_beyond": (lambda value: value in _BEYOND, "hold or pairs"),
    "ledger_bound": (_whole(0, 1_000_000_000), "a whole number to a thousand million"),
    "ledger_share": (_number(0, 1), "a fraction above 0 and at most 1"),
    "automatic": (lambda value: value in (Tier.LOW, Tier.MEDIUM), "low or medium"),
    "suppressed": (lambda value: value in (Tier.LOW, Tier.MEDIUM), "low or medium"),
    "rounding": (lambda value: value in ROUNDINGS, f"one of {', '.join(ROUNDINGS)}"),
    "cell_key": (_whole(0, 2**63 - 1), "a whole number, 0 for no noise"),
    "zip3": (_whole(1, 10_000_000), "a whole number from 1"),
    "custom_area": (_whole(1, 10_000_000), "a whole number from 1"),
    "numbers": (_whole(1, MOST_NUMBERS), f"a whole number from 1 to {MOST_NUMBERS}"),
    "numbers_in_all": (_whole(0, 10**12), "a whole number, 0 for no bound"),
}

# What orders each value from mildest to strictest.
STRICTER: Mapping[str, Callable[[Any], Any]] = {
    "threshold": operator.pos,
    "zero_shown": operator.not_,
    "dimensions": operator.neg,
    "sensitive_percent": operator.neg,
    "dominance_n": operator.pos,
    "dominance_k": operator.neg,
    "p_percent": operator.pos,
    "residual": operator.pos,
    "observations": operator.neg,
    "leverage": operator.neg,
    "automatic": lambda tier: -strictness(tier),
    "suppressed": strictness,
    "rounding": ROUNDINGS.index,
    "cell_key": operator.pos,  # none is mildest; of two seeds any one will do
    "zip3": operator.pos,
    "custom_area": operator.pos,
    "numbers": operator.neg,
    "numbers_in_all": lambda most: -most if most else -math.inf,
    "ledger_hit": _HITS.index,
    "ledger_beyond": _BEYOND.index,
    "ledger_bound": operator.pos,
    "ledger_share": operator.neg,
}
