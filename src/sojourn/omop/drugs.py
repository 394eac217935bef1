"""Medicines as they are written: which substance, how much of it, in which form. What is not understood stays.

`Tylenol 325 mg tab`, `paracetamol 325mg Tabletten` and RxNorm's `Acetaminophen 325 MG Oral Tablet` are the same. Names
come from a short table here, and from the site's own vocabulary where one is loaded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Literal

import yaml

from sojourn.omop.units_spelling import ucum

Kind = Literal["generic", "brand"]
LONGEST = 400
SEVERAL = ""  # in place of a substance: the name means more than one
_SALTS = frozenset(
    {
        "hydrochloride",
        "hcl",
        "sodium",
        "potassium",
        "calcium",
        "magnesium",
        "besylate",
        "besilate",
        "maleate",
        "tartrate",
    }
    | {"succinate", "sulfate", "sulphate", "phosphate", "acetate", "citrate", "fumarate", "mesylate", "hydrobromide"}
    | {"bromide", "nitrate", "gluconate", "trihydrate", "monohydrate", "anhydrous"}
)
_FORMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "chewable tablet": ("chewable tablet", "chew tab", "chewable tablets", "kautablette", "kautabletten"),
        "extended release tablet": ("extended release oral tablet", "er tablet", "xr tablet", "sr tablet", "retard"),
        "tablet": ("oral tablet", "tablet", "tablets", "tab", "tabs", "tabl", "tabletten", "tablette", "comprimidos",
                   "comprimido", "comprimés", "comprimé", "cp", "compresse"),
        "capsule": ("oral capsule", "capsule", "capsules", "cap", "caps", "kapseln", "kapsel", "gélule", "gélules",
                    "cápsulas", "cápsula"),
        "solution": ("oral solution", "solution", "soln", "syrup", "sirup", "sirop", "jarabe", "drops", "tropfen"),
        "suspension": ("oral suspension", "suspension", "susp"),
        "injection": ("injectable solution", "injection", "inj", "auto-injector", "prefilled syringe", "vial",
                      "ampoule", "ampulle", "cartridge", "pen injector"),
        "infusion": ("infusion", "intravenous solution"),
        "inhaler": ("metered dose inhaler", "inhaler", "inhalation powder", "aerosol", "puff", "puffs", "inhalation"),
        "nasal spray": ("nasal spray", "nasenspray"),
        "patch": ("transdermal system", "transdermal patch", "patch", "pflaster"),
        "cream": ("topical cream", "cream", "creme"),
        "ointment": ("topical ointment", "ointment", "salbe", "pomada"),
        "gel": ("topical gel", "gel"),
        "suppository": ("rectal suppository", "suppository", "suppositories", "zäpfchen", "supp"),
    }
)  # fmt: skip
_AMOUNT = r"(\d+(?:[.,]\d+)?)"
_UNIT = r"(mcg|µg|μg|ug|mg|kg|gm|g|ng|ml|l|iu|i\.u\.|unt|units?|u|meq|mmol|mol|%|unit)"
_HELD = r"(ml|l|h|hr|hour|actuat|dose|puff|spray|tablet|tab|capsule|cap|(?<=/)m?g)"
_PER = rf"(?:\s*/\s*(?:(\d+(?:[.,]\d+)?)\s*)?{_HELD}\b)?"
_STRENGTH = re.compile(rf"(?<![\w.,]){_AMOUNT}\s*{_UNIT}(?![a-zµμ]){_PER}", re.IGNORECASE)
_SEVERAL = re.compile(rf"(?<![\w.,]){_AMOUNT}((?:\s*[-/]\s*{_AMOUNT})+)\s*{_UNIT}(?![a-zµμ])", re.IGNORECASE)
_BEFORE = re.compile(r"^\s*(?:nda\d+\s+)?(?:\d+(?:\.\d+)?\s*(?:ml|hr|actuat)\s+)?", re.IGNORECASE)
_BRAND = re.compile(r"\[([^\[\]]+)\]")
_PARTS = re.compile(r"\s+/\s*|\s*\+\s*|(?<=[a-z])/(?=[a-z]{3})|\s+(?:and|und|y|et|with)\s+", re.IGNORECASE)


@dataclass(frozen=True)
class Strength:
    """An amount of substance, in a UCUM unit; per: what holds it, `mL`, `1 {tablet}`, or empty for one piece."""

    value: float
    unit: str
    per_value: float | None = None
    per_unit: str = ""


@dataclass(frozen=True)
class Ingredient:
    """name: as RxNorm names it where it is known, else as it was written. known: whether it is. by: what it was.

    rest: words after a known name that nobody read. several: the name is known, and means several substances.
    """

    name: str
    known: bool
    by: Kind | None
    strength: Strength | None
    rest: str = ""
    several: bool = False


@dataclass(frozen=True)
class Drug:
    """A medicine as read. form: a word of ours, or empty. brand: as written in brackets. original: all, as it came."""

    original: str
    ingredients: tuple[Ingredient, ...]
    form: str = ""
    brand: str = ""


def parse(original: str, names: Mapping[str, tuple[str, Kind]] | None = None) -> Drug:
    """Read one description; nothing is guessed from likeness.

    names: more names than ours, by `key`, with their substances (`SEVERAL` where one means more); these come first.
    """
    text = re.sub(r"\s+", " ", original).strip()[:LONGEST]
    found = _BRAND.search(text)
    brand = found[1].strip() if found else ""
    text = _BEFORE.sub("", _BRAND.sub(" ", text))
    form, bare = _form(_SEVERAL.sub(_each_with_unit, text))
    strengths = [_strength(found) for found in _STRENGTH.finditer(bare)]
    marked = _STRENGTH.sub(" \0 ", bare)  # so that no stroke within a strength parts two ingredients
    parts = [part for part in _PARTS.split(marked) if re.search(r"[^\W\d_]{2}", part)]
    counts = [part.count("\0") for part in parts]
    if sum(counts) != len(strengths) or any(count > 1 for count in counts):
        # All behind the last name, one for each; else they cannot be told apart, and none is said.
        each: list[Strength | None] = [*strengths] if len(strengths) == len(parts) else [None] * len(parts)
    else:
        left = iter(strengths)
        each = [next(left) if count else None for count in counts]
    read = zip(parts, each, strict=True)
    return Drug(original, tuple(_ingredient(part, strength, names or {}) for part, strength in read), form, brand)


def substance(name: str, names: Mapping[str, tuple[str, Kind]] | None = None) -> tuple[str, Kind] | None:
    """The RxNorm name of what a brand, generic or chemical name means, and which it was; None where it is not known."""
    for given in (key(name), _without_salts(key(name))):
        for table in (names or {}, known_names()):
            if given in table:
                return table[given]
    return None


def key(name: str) -> str:
    """A name as it is compared: small letters, single blanks, without accents and marks."""
    plain = name.casefold()
    if not plain.isascii():
        plain = "".join(sign for sign in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(sign))
    return " ".join(re.sub(r"[®™©*\"'()]", " ", plain).split())


@cache
def known_names() -> Mapping[str, tuple[str, Kind]]:
    """The short table: every name, by `key`, with the substance that it means."""
    text = (resources.files("sojourn.omop") / "drug_names.yaml").read_text(encoding="utf-8")
    found: dict[str, tuple[str, Kind]] = {}
    for name, others in yaml.safe_load(text).items():
        said: list[tuple[str, Kind]] = [(name, "generic"), *((word, "generic") for word in others.get("names", ()))]
        for word, kind in [*said, *((word, "brand") for word in others.get("brands", ()))]:
            if found.setdefault(key(word), (name, kind))[0] != name:
                raise ValueError(f"{word} means two things")
    return MappingProxyType(found)


def _ingredient(part: str, strength: Strength | None, names: Mapping[str, tuple[str, Kind]]) -> Ingredient:
    written = " ".join(re.sub(r"[,;:]|(?<!\w)[-./](?!\w)", " ", part.replace("\0", " ")).split())
    words = written.split()
    for length in range(len(words), 0, -1):  # the longest beginning that is a name
        if known := substance(" ".join(words[:length]), names):
            if known[0] == SEVERAL:
                return Ingredient(written, False, None, strength, several=True)
            return Ingredient(known[0], True, known[1], strength, " ".join(words[length:]))
    return Ingredient(written, False, None, strength)


def _strength(found: re.Match[str]) -> Strength:
    value, unit = _amount(found[1]), _unit(found[2])
    if not found[4]:
        return Strength(value, unit)
    held = found[4].lower()
    per = {"ml": "mL", "l": "L", "mg": "mg", "g": "g", "h": "h", "hr": "h", "hour": "h"}.get(held)
    word = {"tab": "tablet", "cap": "capsule", "puff": "actuat"}.get(held, held)
    return Strength(value, unit, _amount(found[3] or "1"), per or f"{{{word}}}")


def _each_with_unit(found: re.Match[str]) -> str:
    """`875-125 mg` as `875 mg 125 mg`."""
    return " ".join(
        f"{amount} {found[4]}" for amount in re.findall(_AMOUNT, found[0][: found.start(4) - found.start()])
    )


def _amount(written: str) -> float:
    """`1,000` is a thousand, `1,5` and `0,125` have decimals."""
    thousands = re.fullmatch(r"[1-9]\d{0,2},\d{3}", written)
    return float(written.replace(",", "" if thousands else "."))


def _unit(written: str) -> str:
    word = written.lower().rstrip(".")
    if word in ("iu", "i.u", "unt", "unit", "units", "u"):  # of medicines always international or like it
        return "[IU]"
    return ucum(word) or word


def _form(text: str) -> tuple[str, str]:
    """The form, and the text without it: the longest spelling that stands in it as words."""
    lowered = text.casefold()
    found = list(_spelled_forms().finditer(lowered)) if len(lowered) == len(text) else []
    if not found:
        return "", text
    longest = max(found, key=lambda place: place.end() - place.start())
    return form_named(longest[0]), f"{text[: longest.start()]} {text[longest.end() :]}"


def tells_strength(text: str) -> bool:
    """Whether an amount with its unit stands in it."""
    return _SEVERAL.search(text) is not None or _STRENGTH.search(text) is not None


def form_named(spelled: str) -> str:
    """The form that these words mean as a whole; empty where they are no spelling of one."""
    return _forms().get(spelled.casefold(), "")


@cache
def _forms() -> Mapping[str, str]:
    return MappingProxyType({spelled: form for form, words in _FORMS.items() for spelled in words})


@cache
def _spelled_forms() -> re.Pattern[str]:
    longest_first = sorted(_forms(), key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")


def _without_salts(name: str) -> str:
    words = name.split()
    while len(words) > 1 and words[-1] in _SALTS:
        words.pop()
    return name if words[-1:] and words[-1] in _SALTS else " ".join(words)  # `sodium phosphate` is no sodium
