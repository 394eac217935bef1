"""Names of people, addresses and free text in an export: by a column's name in several languages, and by its values.

A value that many rows hold is not yet one that many persons hold: thirty results of one patient name one relative.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_SHARE, _ALL = 0.1, 0.8  # of a sample
_PEOPLE = re.compile(
    r"physician|doctor|clinician|attending|surgeon|nurse|author($|_)|employer|guardian|spouse|next.?of.?kin|mother|father|"
    r"(^|_)contact($|_name|_person)|insured|policy.?holder|(^|_)gp($|_)|"
    r"arzt|ärzt|vorname|nachname|geburtsname|arbeitgeber|angehörig|versicherte|"
    r"nombre|apellido|m[eé]dico|pr[eé]nom|(^|_)nom($|_)|m[eé]decin|cognome|(^|_)nome($|_)|naam",
    re.IGNORECASE,
)
_PLACES = re.compile(
    r"residence|domicil|adres|anschrift|stra(ß|ss)e|wohnort|direcci[oó]n|indirizzo|endere[cç]o",
    re.IGNORECASE,
)
_TEXTS = re.compile(
    r"(^|_)(free.?)?te?xts?($|_)|notes?($|_)|comment|remark|narrative|memo($|_)|(medical|past|case).?history|"
    r"bemerkung|kommentar|anmerkung|freitext|notiz|anamnes|"
    r"remarque|observaciones|observations?_?libres?|comentario|(^|_)notas?($|_)|opmerking|annotazion",
    re.IGNORECASE,
)
_UPPER, _LETTERS = "A-ZÀ-Þ", r"\w'’.-"
_TITLED = re.compile(
    rf"\b(?i:dr|mr|mrs|prof|herr|frau|sra|dra|mme|mlle|dott)\b\.?\s+[{_UPPER}][{_LETTERS}]+", re.UNICODE
)
_ADDRESSED = re.compile(
    rf"\d+\s*\w?,?\s+(?:[{_LETTERS}]+\s+){{1,4}}(?i:street|road|rd|avenue|ave|lane|drive|boulevard|blvd|terrace|crescent)\b"
    r"|(?i:stra(?:ß|ss)e|str\.|weg|platz|gasse|allee|straat|laan|vägen|gatan)\s+\d+"
    rf"|^(?i:calle|rue|via|rua|avenida|plaza|piazza|paseo|carrer)\s+(?:\w{{1,3}}\s+)*[{_UPPER}].*\d"
)
_LISTED = re.compile(rf"[{_UPPER}][{_LETTERS}]+,\s?[{_UPPER}][{_LETTERS}]*(?:\s[{_UPPER}]\.?)?")


def of_people(name: str, sample: Sequence[str]) -> str:
    """Why a column of texts is likely to hold names or addresses of people; empty where nothing speaks for it."""
    if _PEOPLE.search(name) or _PLACES.search(name):
        return "by its name"
    if sample and sum(telling(value) for value in sample) >= _SHARE * len(sample):
        return "the values have the form of: names or addresses of people"
    if sample and sum(bool(_LISTED.fullmatch(value.strip())) for value in sample) >= _ALL * len(sample):
        return "the values have the form of: surname, first name"
    return ""


def telling(value: str) -> bool:
    """Whether a value has a title with a name, or an address, in it: it is never shown."""
    return _TITLED.search(value) is not None or _ADDRESSED.search(value) is not None


def named_as_text(name: str) -> bool:
    """Whether a column's name says that people write into it what they like."""
    return _TEXTS.search(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)) is not None
