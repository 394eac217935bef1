"""What a study is for, in the words of the GA4GH Data Use Ontology (DUO, https://github.com/EBISPOT/DUO)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sojourn.analysis.suggestion import did_you_mean
from sojourn.errors import PlanError

SHORT_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "NRES": "DUO:0000004",  # no restriction
        "GRU": "DUO:0000042",  # general research use
        "HMB": "DUO:0000006",  # health, medical or biomedical research
        "DS": "DUO:0000007",  # disease-specific research
        "POA": "DUO:0000011",  # population origins or ancestry research
        "CC": "DUO:0000043",  # clinical care
    }
)
INVESTIGATIONS: Mapping[str, str] = MappingProxyType(
    {
        "DUO:0000031": "method development",
        "DUO:0000032": "population research",
        "DUO:0000033": "ancestry research",
        "DUO:0000034": "age category research",
        "DUO:0000035": "gender category research",
        "DUO:0000036": "research control",
        "DUO:0000037": "biomedical research",
        "DUO:0000038": "genetic research",
        "DUO:0000039": "drug development research",
        "DUO:0000040": "disease category research",
    }
)
WORDS = (*SHORT_NAMES, *SHORT_NAMES.values(), *INVESTIGATIONS)
_BY_ID = {identifier: name for name, identifier in SHORT_NAMES.items()}


def canonical_purpose(word: str, field: str = "purpose") -> str:
    """The short name where DUO has one, else the identifier; PlanError for any other word."""
    if word not in WORDS:
        remedy = did_you_mean(word, SHORT_NAMES) or f"Use one of {', '.join(SHORT_NAMES)}, or an identifier of DUO."
        raise PlanError(f"`{word}` is no purpose of the Data Use Ontology.", remedy=remedy, field=field)
    return _BY_ID.get(word, word)
