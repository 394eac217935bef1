"""A medicine's name, strength and form as one row's columns tell them: which ingredients, how much, in which form.

Nothing is taken that was not read: a name that means several things, a name that nobody knows, and words beside a known
name of which nobody knows whether they change it (`PM`, `plus`) are reasons, not guesses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sojourn.omop import drugs
from sojourn.omop.drugs import Kind, Strength
from sojourn.omop.units import Conversion, conversion

MEDICINE = "medicine"  # the vocabulary's name in decisions about texts
NO_NAME, UNKNOWN, AMBIGUOUS, UNREAD = "no name", "unknown medicine", "ambiguous medicine", "unread words"
NO_VOCABULARY = "unknown vocabulary"
_BASES = ("mg", "mL", "mmol", "meq", "h")
_INTERNATIONAL = frozenset({"[IU]", "[iU]", "[U]", "U", "{unit}"})  # of medicines always international or like it
_PIECES = frozenset({"{tablet}", "{capsule}"})
# Words that say how a medicine is taken or packed, and never which it is.
_HARMLESS_WORDS = (
    "oral orally po iv im sc s.c i.v i.m p.o intravenous intramuscular subcutaneous topical rectal sublingual nasal "
    "ophthalmic inhaled daily once twice prn stat bd tds qid od tid bid pack packs box bottle blister sachet piece "
    "pieces usp bp ph.eur generic branded per every for use peroral täglich stück packung flasche dose doses dosis "
    "boîte boite flacon par jour caja frasco scatola via dia día diaria"
)
_HARMLESS = frozenset(_HARMLESS_WORDS.split())
# As a database declares what `Reader` gives.
_PART = "STRUCT(ingredient BIGINT, amount DOUBLE, unit VARCHAR, per VARCHAR)"
STRUCT = f"STRUCT(parts {_PART}[], form VARCHAR, reason VARCHAR)"


@dataclass(frozen=True)
class Names:
    """What a vocabulary knows. known: by `drugs.key`, as `drugs.parse` takes them. ids: of each ingredient's name."""

    known: Mapping[str, tuple[str, Kind]]
    ids: Mapping[str, int]


class Reader:
    """Reads one row's three texts after the other; a function that a database can call."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def __call__(self, name: str | None, strength: str | None, form: str | None) -> dict[str, Any]:
        """parts: each ingredient's concept, with its amount by `normal`; form: a word of `drugs`; reason: why not."""
        if not name or not name.strip():
            return _nothing(NO_NAME)
        if not self._names.ids:
            return _nothing(NO_VOCABULARY)
        read = drugs.parse(_readable(name, strength or "", form or ""), self._names.known)
        parts = []
        for each in read.ingredients:
            if reason := self._fault(each):
                return _nothing(reason)
            amount, unit, per = normal(each.strength) if each.strength else (None, None, None)
            parts.append({"ingredient": self._names.ids[each.name], "amount": amount, "unit": unit, "per": per})
        return {"parts": parts, "form": read.form, "reason": None} if parts else _nothing(UNKNOWN)

    def _fault(self, each: drugs.Ingredient) -> str:
        if each.several:
            return AMBIGUOUS
        if not each.known or each.name not in self._names.ids:
            return UNKNOWN
        rest = [word.strip(".,()") for word in each.rest.casefold().split()]
        return "" if all(not word or word in _HARMLESS for word in rest) else UNREAD


def _nothing(reason: str) -> dict[str, Any]:
    return {"parts": [], "form": "", "reason": reason}


def _readable(name: str, strength: str, form: str) -> str:
    """One text; a column of strengths or forms is left out where it holds neither, e.g. `500` of what is not said."""
    told = [name]
    if drugs.tells_strength(strength):
        told.append(strength)
    if drugs.form_named(" ".join(form.split())):
        told.append(form)
    return " ".join(told)


def normal(strength: Strength) -> tuple[float | None, str | None, str | None]:
    """A strength as amount, base unit and base unit of what holds it (empty: one piece); None where there is none.

    Two strengths are the same exactly where amounts agree and both units are the same: 0.5 g and 500 mg, 10 mg/5 mL and
    2 mg/mL. A percentage has no base: by weight or by volume is not said.
    """
    top = base(strength.unit)
    if strength.per_unit in ("", *_PIECES):
        held: tuple[str, float] | None = ("", 1.0)
    else:
        held = base(strength.per_unit)
    divisor = (strength.per_value or 1.0) * (held[1] if held else 0.0)
    if top is None or held is None or divisor == 0.0:
        return None, None, None
    return strength.value * top[1] / divisor, top[0], held[0]


@lru_cache(maxsize=1024)
def base(unit: str) -> tuple[str, float] | None:
    """The base unit of a UCUM unit of strengths, and how many of it the unit is; None where it has none."""
    if unit in _INTERNATIONAL:
        return "[IU]", 1.0
    if re.fullmatch(r"\{\w+\}", unit):
        return unit, 1.0
    for each in _BASES:
        found = conversion(unit, each)
        if isinstance(found, Conversion) and found.offset == 0.0:
            return each, found.factor
    return None
