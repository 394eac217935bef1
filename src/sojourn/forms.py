"""What messages are made of: names, digests and documents; and how strictly a reader takes a message's words."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from sojourn.analysis.partial import MOST_NUMBERS
from sojourn.errors import ConfigurationError
from sojourn.versions import Skew, skew

Hex16 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
SITE_NAME = r"^[A-Za-z][A-Za-z0-9_.-]*$"
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=SITE_NAME)]
Word = Annotated[str, Field(min_length=1, max_length=40)]
Note = Annotated[str, Field(min_length=1, max_length=4000)]  # a C2SP signed note


def _finite(document: dict[str, Any]) -> dict[str, Any]:
    """Refuse what JSON cannot say: a NaN that one party lets in breaks whoever writes the document out again."""
    json.dumps(document, allow_nan=False)
    return document


def _array(document: dict[str, Any]) -> dict[str, Any]:
    """Refuse what has not the form of an array; its bytes are read later."""
    match document:
        case {"dtype": str(), "shape": [*sizes], "data": str(), **others} if not others:
            if all(type(size) is int and 0 <= size <= MOST_NUMBERS for size in sizes):
                return document
    raise ValueError("not an array")


Document = Annotated[dict[str, Any], AfterValidator(_finite)]
ArrayDocument = Annotated[dict[str, Any], AfterValidator(_array)]


def site_name(text: str) -> str:
    """The name of a site, as every message carries it; ConfigurationError where it is none."""
    if not re.fullmatch(SITE_NAME, text) or len(text) > 80:
        raise ConfigurationError(
            "That is no name of a site.", remedy="Use letters, digits, `.`, `_` and `-`, a letter first, e.g. St-Mary."
        )
    return text


def log_of(site: str) -> str:
    """The origin of a site's log."""
    return f"{site}.node"


class Message(BaseModel):
    """Frozen; unknown words are refused. What is signed or hashed is never anything looser."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Question(Message):
    """A node's words to its hub. Unknown words are left out where the node's version is a newer one, else refused.

    Its version is its own word `software`, or what the reader's context knows: `{"software": a function}`.
    """

    @model_validator(mode="before")
    @classmethod
    def _known(cls, document: Any, info: ValidationInfo) -> Any:
        if not isinstance(document, dict) or document.keys() <= cls.model_fields.keys():
            return document
        software = document.get("software") if "software" in cls.model_fields else _sender(info)
        if not isinstance(software, str) or skew(software) is not Skew.NEWER:
            return document
        return {word: value for word, value in document.items() if word in cls.model_fields}


class Reply(Message):
    """A hub's words, and in `Shown` a node's: unknown ones are left out, as a newer version adds them."""

    model_config = ConfigDict(extra="ignore")


def _sender(info: ValidationInfo) -> str:
    return str(info.context["software"]()) if info.context else ""
