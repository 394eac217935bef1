"""Units as exports write them, read as UCUM codes: `mcg/dl`, `x10^3/µL`, `IU/L`, `mmHg`, `MG/DL`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import yaml

from sojourn.omop.units_ucum import measure

LONGEST = 60
_MICRO = str.maketrans({"µ": "u", "μ": "u", "×": "x", "·": ".", "⋅": ".", "∕": "/", "⁄": "/", "−": "-", "’": "'"})
_POWER = re.compile(r"(?<![\d.])(?:x|\*)?10(?:\^|\*\*|\*|e|exp|\()?\+?(\d{1,2})\)?(?=[/.]|$)", re.IGNORECASE)
_DAY = re.compile(r"/\(?24\.?(?:h|hr|hrs|hours?)\)?(?![a-z])", re.IGNORECASE)
_PER_CREATININE = re.compile(r"(/(?:g|mg|mmol|umol|mol))(?:of)?(?:creatinine|creat|crea|cre|cr)\.?$", re.IGNORECASE)
_FIBRINOGEN = re.compile(r"^([A-Za-z]+)(/[A-Za-z]+)\(?(FEU|DDU)\)?$")
_PIECES = re.compile(r"(\{[^{}]*\}|\[[^\[\]]*\]|[^A-Za-z_'\[\]{}]+)")


@lru_cache(maxsize=8192)
def ucum(spelling: str) -> str | None:
    """The UCUM code of a unit as somebody wrote it, or None where it is unknown or can mean two things.

    A code that is UCUM already and cannot mean anything else in medicine stays as it is: reading is idempotent.
    """
    text = _plain(spelling)
    if not text or len(text) > LONGEST or readings(spelling):
        return None
    for candidate in _candidates(text):
        if candidate and measure(candidate) is not None:
            return candidate
    return None


def readings(spelling: str) -> tuple[str, ...]:
    """The meanings of a spelling that has several, between which only the owner of the data can choose."""
    found: tuple[str, ...] = _table()["ambiguous"].get(_plain(spelling), ())
    return found


def _plain(spelling: str) -> str:
    """Without blanks, and with plain letters for the signs that stand for them."""
    text = unicodedata.normalize("NFKC", spelling.translate(_MICRO)).translate(_MICRO)
    return re.sub(r"\bper\b", "/", text, flags=re.IGNORECASE).replace(" ", "").strip() if text.isprintable() else ""


def _candidates(text: str) -> tuple[str | None, ...]:
    """Readings in the order of trust: a known whole, then word by word, then as it stands."""
    table = _table()
    known = table["exact"].get(text) or table["whole"].get(text.casefold())
    powered = _POWER.sub(lambda found: f"10*{int(found[1])}", text)
    powered = _PER_CREATININE.sub(r"\1{creat}", _DAY.sub("/(24.h)", powered.replace("^", "")))
    powered = _FIBRINOGEN.sub(r"\1{\3}\2", powered)
    again = table["whole"].get(powered.casefold())
    return known, again, _word_by_word(powered), powered


def _word_by_word(text: str) -> str:
    """Known words replaced. A word in its UCUM form stays, but for capitals only, where M is no mega and G no gauss."""
    loud = not re.search(r"[a-z]", re.sub(r"\{[^{}]*\}|\[[^\[\]]*\]", "", text))
    table: Mapping[str, str] = _table()["words"]
    parts = []
    for part in _PIECES.split(text):
        if (re.fullmatch(r"[A-Za-z_']+", part) and (loud or part not in table.values())) or part.startswith("["):
            part = table.get(part.casefold(), part)
        parts.append(part)
    return "".join(parts)


@cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    text = (resources.files("sojourn.omop") / "spellings.yaml").read_text(encoding="utf-8")
    read = yaml.safe_load(text)
    turned = {
        part: {word.casefold(): code for code, spelled in read[part].items() for word in spelled}
        for part in ("whole", "words")
    }
    exact = {word: code for code, spelled in read["exact"].items() for word in spelled}
    return {**turned, "exact": exact, "ambiguous": {word: tuple(codes) for word, codes in read["ambiguous"].items()}}
