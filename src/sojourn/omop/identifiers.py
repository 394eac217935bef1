"""Numbers of rows and pseudonyms: made from the source alone, so that each run makes the same.

A row whose file has a key gets 63 bits of a keyed hash of source, table and key: who knows a patient's identifier, and
not the custodian's key, finds no number by trying. A row without one gets its rule's 23 bits, its place in the file (33
bits) and its concept's place among those of the code (7 bits), which cannot collide within a rule. Of several files
that are one table the place is the file's number (above these 33 bits) and the row's in it; as files come and go, row
numbers follow from the file's name by the keyed hash.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from sojourn.errors import HarmonisationError

ORDINALS, RECORDS = 7, 33  # bits
INNER, OUTER = "inner_pad", "outer_pad"  # variables of the session, so that no SQL text holds the key
_BLOCK = 64
_BLOCK_BITS = 13  # of a place in its file, whose bits stand together where numbers are looked at
# RFC 2104 over the engine's SHA-256; `keyed` in Python is the reference that tests compare with.
MACROS = (
    f"CREATE TEMP MACRO keyed(said) AS sha256(getvariable('{OUTER}') || "
    f"unhex(sha256(getvariable('{INNER}') || encode(said))))",
    "CREATE TEMP MACRO keyed_id(said) AS CAST(CAST('0x' || left(keyed(said), 16) AS UBIGINT) >> 1 AS BIGINT)",
)


def pads(key: bytes) -> dict[str, bytes]:
    """The two blocks of an HMAC's key, for the engine's variables; a key has 32 bytes."""
    block = key.ljust(_BLOCK, b"\0")
    return {INNER: bytes(byte ^ 0x36 for byte in block), OUTER: bytes(byte ^ 0x5C for byte in block)}


def keyed(key: bytes, said: str) -> str:
    """What the macro of that name gives: HMAC-SHA-256, hex."""
    return hmac.new(key, said.encode("utf-8"), hashlib.sha256).hexdigest()


def keyed_id(key: bytes, said: str) -> int:
    """What the macro of that name gives: the first 63 bits of it."""
    return int(keyed(key, said)[:16], 16) >> 1


def key_text(columns: Sequence[str], prefix: str) -> str:
    """SQL of what names a row: its key's columns, empty if any of them is."""
    named = [f"{prefix}.{quoted(column)}" for column in columns]
    return named[0] if len(named) == 1 else "(" + " || chr(31) || ".join(named) + ")"


def row_number_base(source: str, rule: str, table: str) -> int:
    """The 23 bits of a rule's rows in a table, in their place."""
    digest = hashlib.sha256(f"{source}\x1f{rule}\x1f{table}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 41) << (ORDINALS + RECORDS)


def twice_sql(table: str, key: str, by_place: bool) -> str:
    """A query that gives a row if two rows of a table have one number.

    by_place: whether all numbers are made of places in files. Such numbers lie close together, so that a bit for each
    tells whether it is new: a kilobyte for 8,192 rows of a file, whatever the numbers turn out to be.
    """
    if not by_place:
        return f"SELECT 1 FROM {quoted(table)} GROUP BY {quoted(key)} HAVING count(*) > 1 LIMIT 1"
    number, most = quoted(key), (1 << _BLOCK_BITS) - 1
    bits = f"bitstring_agg(({number} >> {ORDINALS}) & {most}, 0, {most})"
    return (
        f"SELECT 1 FROM (\n  SELECT count(*) AS rows, bit_count({bits}) AS numbers\n"
        f"  FROM {quoted(table)} GROUP BY {number} >> {ORDINALS + _BLOCK_BITS}, {number} & {(1 << ORDINALS) - 1}\n"
        ") WHERE rows IS DISTINCT FROM numbers LIMIT 1"
    )


def record_place(record: str) -> str:
    """SQL of a row's place in its own file, from 0."""
    return f"({record} & {(1 << RECORDS) - 1})"


def file_place(record: str) -> str:
    """SQL of the place of a row's file among those of its table, from 0."""
    return f"({record} >> {RECORDS})"


def demand_apart(bases: Sequence[int]) -> None:
    """HarmonisationError where two rules would number their rows alike."""
    if len(set(bases)) != len(bases):
        raise HarmonisationError("Two rules number their rows alike by chance.", remedy="Rename one of the rules.")


def quoted(name: str) -> str:
    """An identifier as SQL text."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL text."""
    return "'" + text.replace("'", "''") + "'"
