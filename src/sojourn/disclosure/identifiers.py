"""What identifiers look like: national numbers with their check digits, accounts, addresses, dates, record numbers.

Each pattern is a shape and, where the issuer made one public, its check. A shape without a check is a hint: findings
are for a reviewer's eyes, and a text that has none is not thereby safe. Sources stand at each check.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sojourn.disclosure.text import Spot


@dataclass(frozen=True)
class Pattern:
    """A kind of identifier. check: of the match without its separators, in capitals; True where none is known."""

    kind: str
    shape: re.Pattern[str]
    check: Callable[[str], bool] = lambda compact: True


def identifier_spots(text: str) -> Iterator[Spot]:
    """Where a text holds something of an identifier's shape whose check holds; digits of all scripts are read."""
    plain = "".join(_plain(sign) for sign in text)  # one sign for each: places stay
    for pattern in PATTERNS:
        for found in pattern.shape.finditer(plain):
            if pattern.check(re.sub(r"[\s./-]", "", found[0]).upper()):
                yield Spot(pattern.kind, found.start(), found.end())


def _plain(sign: str) -> str:
    if (digit := unicodedata.decimal(sign, None)) is not None:
        return str(digit)
    folded = unicodedata.normalize("NFKC", sign)
    return folded if len(folded) == 1 else sign


# ---- check digits


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B: double every second digit from the right; the sum is a multiple of ten."""
    values = [int(digit) for digit in reversed(digits)]
    return (sum(values[::2]) + sum(sum(divmod(2 * value, 10)) for value in values[1::2])) % 10 == 0


def nhs_number(digits: str) -> bool:
    """NHS Data Dictionary, NHS NUMBER: weights 10 to 2, modulus 11."""
    check = 11 - _weighted(digits[:9], range(10, 1, -1)) % 11
    return check % 11 == int(digits[9]) and check != 10


def us_ssn(digits: str) -> bool:
    """Social Security Administration, since 2011: no area 000, 666 or 900 to 999, no group 00, no serial 0000."""
    return digits[:3] not in ("000", "666") and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"


def dni(compact: str) -> bool:
    """Spanish DNI and NIE: the letter is the number modulo 23 (X, Y, Z stand for 0, 1, 2)."""
    number = int(compact[:-1].translate(str.maketrans("XYZ", "012")))
    return "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23] == compact[-1]


def nir(compact: str) -> bool:
    """French NIR (INSEE): key = 97 − number mod 97; Corsica's 2A and 2B count as 19 and 18."""
    number = compact[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(compact[13:])


def kvnr(compact: str) -> bool:
    """German Krankenversichertennummer (§ 290 SGB V): the letter's place as two digits, weights 1 and 2, digit sums."""
    digits = f"{ord(compact[0]) - ord('A') + 1:02d}{compact[1:9]}"
    summed = sum(sum(divmod(int(digit) * (1 + place % 2), 10)) for place, digit in enumerate(digits))
    return summed % 10 == int(compact[9])


def personnummer(digits: str) -> bool:
    """Swedish personal number (Skatteverket): a date, and Luhn over the last ten digits; day + 60: co-ordination."""
    ten = digits.replace("+", "")[-10:]
    return _day(ten[4:6], 60) and _month(ten[2:4]) and luhn(ten)


def cpr(digits: str) -> bool:
    """Danish CPR number: begins with a date; the old modulus 11 is not demanded since 2007."""
    return _day(digits[:2]) and _month(digits[2:4])


def hetu(compact: str) -> bool:
    """Finnish personal identity code (DVV): nine digits modulo 31 give the last sign."""
    digits = re.sub(r"\D", "", compact[:-1])
    return _day(digits[:2]) and "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(digits) % 31] == compact[-1]


def fodselsnummer(digits: str) -> bool:
    """Norwegian national identity number (Skatteetaten): two check digits, modulus 11; day + 40: D number."""
    first = -_weighted(digits[:9], (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
    second = -_weighted(digits[:10], (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return _day(digits[:2], 40) and [first, second] == [int(digit) for digit in digits[9:]]


def bsn(digits: str) -> bool:
    """Dutch burgerservicenummer: weights 9 to 2 and −1, modulus 11."""
    return int(digits) > 0 and _weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def iban(compact: str) -> bool:
    """ISO 13616: country and check digits moved to the end, letters as 10 to 35, modulus 97 is 1."""
    return int("".join(str(int(sign, 36)) for sign in compact[4:] + compact[:4])) % 97 == 1


def full_date(compact: str) -> bool:
    """A day that exists, in any order of year, month and day; years 1880 to 2099, or two digits."""
    return bool(dates(compact))


def dates(compact: str) -> set[str]:
    """All readings of six or eight digits as a day, as YYYYMMDD; of two-digit years both centuries."""
    orders = {8: ("YYYYMMDD", "DDMMYYYY", "MMDDYYYY"), 6: ("YYMMDD", "DDMMYY", "MMDDYY")}
    found = set()
    for order in orders.get(len(compact), ()):
        part = {word: "".join(sign for sign, at in zip(compact, order, strict=True) if at == word) for word in "YMD"}
        for century in ("",) if len(part["Y"]) == 4 else ("19", "20"):
            year = century + part["Y"]
            if "1880" <= year <= "2099" and _is_day(int(year), int(part["M"]), int(part["D"])):
                found.add(f"{year}{part['M']}{part['D']}")
    return found


def _is_day(year: int, month: int, day: int) -> bool:
    try:
        return bool(datetime.date(year, month, day))
    except ValueError:
        return False


def _weighted(digits: str, weights: range | tuple[int, ...]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def _day(two: str, more: int = 0) -> bool:
    return 1 <= int(two) <= 31 or 1 <= int(two) - more <= 31


def _month(two: str) -> bool:
    return 1 <= int(two) <= 12


MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = f"(?:{'|'.join(MONTHS)})[a-z]{{0,6}}"
_EDGE, _END = r"(?<![\w])", r"(?![\w])"


def _shape(inner: str, flags: int = re.IGNORECASE) -> re.Pattern[str]:
    return re.compile(f"{_EDGE}(?:{inner}){_END}", flags | re.ASCII)


_DIGITS_OF_A_DAY = r"\d{4}([-./ ]?)\d{2}\1\d{2}|\d{2}([-./ ]?)\d{2}\2\d{4}|\d{2}([-./])\d{2}\3\d{2}"
_NAMED_DAY = rf"\d{{1,2}}[ .-]{{0,2}}{_MONTH}[ .,-]{{0,2}}\d{{4}}|{_MONTH}[ .]{{0,2}}\d{{1,2}},? ?\d{{4}}"
_RECORD = r"(?:MRN|PID|(?:record|hospital|patient|case|chart)[ _-]?(?:no|nr|number|id))\W{0,3}[A-Z]{0,4}-?\d{4,12}"
_ADDRESS_V6 = r"(?:[0-9A-F]{1,4}:){7}[0-9A-F]{1,4}|(?:[0-9A-F]{1,4}:){1,6}(?::[0-9A-F]{1,4}){1,6}"
_WEB = r"(?:https?|ftp|file|s3|data)://?[^\s\"'<>]{1,400}|(?<!\w)www\.[^\s\"'<>]{1,400}"
_NIR = r"[1278] ?\d{2} ?(?:0[1-9]|[1-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}"

PATTERNS = (
    Pattern("NHS number", _shape(r"\d{3}[ -]?\d{3}[ -]?\d{4}"), nhs_number),
    Pattern("US social security number", _shape(r"\d{3}[- ]\d{2}[- ]\d{4}"), us_ssn),
    Pattern("Spanish DNI or NIE", _shape(r"(?:\d{8}|[XYZ]-?\d{7})[ -]?[A-Z]"), dni),
    Pattern("French NIR", _shape(_NIR), nir),
    Pattern("German KVNR", _shape(r"[A-Z]\d{9}"), kvnr),
    Pattern("Swedish personal number", _shape(r"(?:\d{2})?\d{6}[-+]?\d{4}"), personnummer),
    Pattern("Danish CPR number", _shape(r"\d{6}-\d{4}"), cpr),
    Pattern("Finnish personal identity code", _shape(r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]"), hetu),
    Pattern("Norwegian identity number", _shape(r"\d{6} ?\d{5}"), fodselsnummer),
    Pattern("Dutch BSN", _shape(r"\d{4}\.?\d{2}\.?\d{3}"), bsn),
    Pattern("payment card", _shape(r"\d(?:[ -]?\d){12,18}"), luhn),
    Pattern("IBAN", _shape(r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?"), iban),
    Pattern("e-mail address", _shape(r"[\w.+%-]{1,64}@[A-Z0-9-]{1,63}(?:\.[A-Z0-9-]{1,63}){1,5}")),
    Pattern("telephone number", re.compile(r"(?<![\w+])(?:\+|00)\d(?:[ ()./-]{0,2}\d){7,14}(?!\w)", re.ASCII)),
    Pattern("telephone number", _shape(r"\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}|0\d{2,4}[ /-]\d{3,4}[ -]?\d{3,4}")),
    Pattern("date", _shape(_DIGITS_OF_A_DAY), full_date),
    Pattern("date", _shape(_NAMED_DAY)),
    Pattern("postcode", _shape(r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}", 0)),
    Pattern("postcode", _shape(r"[A-Z]\d[A-Z] ?\d[A-Z]\d|[1-9]\d{3} ?[A-Z]{2}|\d{5}-\d{4}|[A-Z]{2} \d{5}", 0)),
    Pattern("record number", _shape(_RECORD)),
    Pattern("network address", _shape(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)")),
    Pattern("network address", _shape(_ADDRESS_V6)),
    Pattern("network address", _shape(r"(?:[0-9A-F]{2}[:-]){5}[0-9A-F]{2}")),
    Pattern("web address", re.compile(_WEB, re.IGNORECASE)),
    Pattern("GUID", _shape(r"[0-9A-F]{8}-(?:[0-9A-F]{4}-){3}[0-9A-F]{12}|[0-9A-F]{32}")),
    Pattern("position", _shape(r"-?\d{1,2}\.\d{4,}[,; ]{1,2}-?\d{1,3}\.\d{4,}")),
)
