"""Fingerprints of a snapshot: made from the whole source file at import, kept beside the snapshot, never sent.

home/datasets/prints.key                  the secret (0600) that keys them
home/datasets/NAME/SNAPSHOT.prints        a line of JSON, then the sorted hashes and their sources' numbers

Every column of the file counts, also those that the dictionary excludes: values and words that fewer than T persons
hold, and rare pairs and triples of quasi-identifiers. Declared levels are published, so they are not among them.
"""

from __future__ import annotations

import itertools
import json
import secrets
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sojourn.disclosure.fingerprints import (
    COMBINATION,
    IDENTIFIER,
    PART,
    RARE,
    WORD,
    Prints,
    all_keyed,
    combination,
    forms,
    part,
)
from sojourn.errors import DatasetError
from sojourn.node.dictionary import Dictionary
from sojourn.node.draft import looks_identifying, quasi_identifying
from sojourn.node.source import Source
from sojourn.node.warehouse import quote
from sojourn.node.whole import write_whole

ENDING = ".prints"
MOST_COMBINATIONS = 5_000_000  # of one pair or triple of columns; the record says where there were more
MOST_QUASI = 6  # columns that are combined
_FETCH = 100_000
_TELLING = 6  # signs of a level that is no chance meeting of short words
_ALIGNED = 64
_SEPARATORS = r"[^\pL\pN]+"
_SEVERAL = r"\pL.*[^\pL\pN]|[^\pL\pN].*\pL"  # letters and something between words


def prints_key(home: Path) -> bytes:
    """The node's secret for fingerprints (`datasets/prints.key`, 0600); made at the first import."""
    path = home / "datasets" / "prints.key"
    if not path.exists():
        write_whole(path, secrets.token_hex(32) + "\n")
    return bytes.fromhex(path.read_text(encoding="ascii").strip())


@dataclass
class _Making:
    """Hashes on their way, in 10 bytes each."""

    key: bytes
    hashes: array[int] = field(default_factory=lambda: array("Q"))
    owners: array[int] = field(default_factory=lambda: array("H"))
    sources: list[tuple[str, str]] = field(default_factory=list)
    lengths: set[int] = field(default_factory=set)
    short: dict[str, int] = field(default_factory=dict)  # column -> values too short to be found again
    cut: list[str] = field(default_factory=list)  # combinations that were too many

    def owner(self, kind: str, column: str) -> int:
        """The number of a source."""
        self.sources.append((kind, column))
        return len(self.sources) - 1

    def add(self, owner: int, made: Iterable[str], counted: bool = True) -> None:
        """Keep the fingerprints of these forms; counted: as forms that are looked for by their length."""
        forms_made = list(made)
        self.hashes.frombytes(all_keyed(self.key, forms_made).tobytes())
        self.owners.extend([owner] * len(forms_made))
        if counted:
            self.lengths |= {len(form) for form in forms_made}


def write_prints(path: Path, read: Source, dictionary: Dictionary, key: bytes, threshold: int) -> dict[str, Any]:
    """Make and write the fingerprints of an open source; returns their record, which holds counts and column names."""
    making = _Making(key)
    who = quote(dictionary.person) if dictionary.person else "_row"
    for name in read.columns:
        _values(making, read, dictionary, name, who, threshold)
    _combined(making, read, quasi_of(dictionary, read.columns), who, threshold)
    order = np.argsort(np.frombuffer(making.hashes, dtype=np.uint64), kind="stable")
    record = {
        "form": 1,
        "threshold": threshold,
        "count": len(order),
        "sources": [list(source) for source in making.sources],
        "lengths": sorted(making.lengths),
        "short": making.short,
        "cut": making.cut,
    }
    head = json.dumps(record, ensure_ascii=True).encode("ascii")
    with path.open("xb") as file:
        file.write(head.ljust((len(head) // _ALIGNED + 1) * _ALIGNED - 1) + b"\n")
        for values, kind in ((making.hashes, "<u8"), (making.owners, "<u2")):
            np.asarray(values)[order].astype(kind, copy=False).tofile(file)
    return record


def load_prints(path: Path, key: bytes) -> Prints:
    """Open a snapshot's fingerprints without reading them into memory; DatasetError where there are none."""
    try:
        with path.open("rb") as file:
            head = file.readline(1 << 24)
        record = json.loads(head)
        count = record["count"]
        if record["form"] != 1 or path.stat().st_size != len(head) + 10 * count:
            raise ValueError
        mapped = np.memmap(path, mode="r", dtype=np.uint8)
        middle = len(head) + 8 * count
        hashes, owners = mapped[len(head) : middle].view("<u8"), mapped[middle:].view("<u2")
        sources = tuple((str(kind), str(column)) for kind, column in record["sources"])
        return Prints(key, hashes, owners, sources, frozenset(record["lengths"]))
    except FileNotFoundError:
        raise DatasetError(
            "A dataset has no fingerprints: it was imported by an earlier version, or restored without its rows.",
            remedy="Run `sojourn dataset add` again with the same file and dictionary.",
        ) from None
    except (ValueError, KeyError, TypeError, OSError):
        raise DatasetError(
            "The fingerprints of a dataset are damaged.", remedy="Restore the home folder from your backup."
        ) from None


def refuse_published(prints: Prints, dictionary: Dictionary) -> None:
    """DatasetError where a level that the dictionary would publish is the identifier of a person."""
    for name, variable in dictionary.columns.items():
        told = {form for level in variable.levels for form in forms(level, IDENTIFIER) if len(form) >= _TELLING}
        if any((IDENTIFIER, dictionary.person) in sources for sources in prints.find(told).values()):
            raise DatasetError(
                f"The dictionary would publish identifiers of persons as levels of column `{name}`.",
                remedy="Exclude the column, or take these levels out of the file. Nothing was imported.",
            )


def quasi_of(dictionary: Dictionary, columns: Iterable[str]) -> tuple[str, ...]:
    """The quasi-identifiers: as declared, else by their names (age, sex, birth, postcode, …)."""
    chosen = dictionary.quasi_identifiers or [name for name in columns if quasi_identifying(name)]
    return tuple(name for name in chosen if name != dictionary.person)[:MOST_QUASI]


# ---- out of the source


def _values(making: _Making, read: Source, dictionary: Dictionary, name: str, who: str, threshold: int) -> None:
    identifying = name == dictionary.person or looks_identifying(name)
    kind = IDENTIFIER if identifying else RARE
    public = set(dictionary.columns[name].levels) if name in dictionary.columns else set()
    owner, column = making.owner(kind, name), quote(name)
    rare = f"SELECT {column} FROM source WHERE {column} IS NOT NULL GROUP BY 1 HAVING count(DISTINCT {who}) < $1"
    if name == dictionary.person:
        rare = f"SELECT DISTINCT {column} FROM source WHERE $1 > 1"
    for values in _batches(value for value in _each(read, rare, threshold) if value not in public):
        found = [forms(value, kind) for value in values]
        making.add(owner, itertools.chain.from_iterable(found))
        if short := sum(not made for made in found):
            making.short[name] = making.short.get(name, 0) + short
    words = (
        f"SELECT word FROM (SELECT unnest(string_split_regex(lower({column}), '{_SEPARATORS}')) AS word, {who} AS who "
        f"FROM source WHERE regexp_matches({column}, '{_SEVERAL}')) "
        "WHERE length(word) > 3 GROUP BY word HAVING count(DISTINCT who) < $1"
    )
    owner = making.owner(IDENTIFIER if identifying else WORD, name)
    for batch in _batches(_each(read, words, threshold)):
        found = [forms(word, IDENTIFIER if identifying else WORD) for word in batch]
        making.add(owner, itertools.chain.from_iterable(found))


def _combined(making: _Making, read: Source, columns: tuple[str, ...], who: str, threshold: int) -> None:
    """The parts, and the pairs and triples that few persons share."""
    for name in columns:
        owner, column = making.owner(PART, name), quote(name)
        query = f"SELECT DISTINCT {column} FROM source WHERE {column} IS NOT NULL AND $1 > 0"
        making.add(owner, (part(name, value) for value in _each(read, query, threshold)), counted=False)
    for names in (*itertools.combinations(columns, 2), *itertools.combinations(columns, 3)):
        listed = ", ".join(quote(name) for name in names)
        there = " AND ".join(f"{quote(name)} IS NOT NULL" for name in names)
        query = f"SELECT {listed} FROM source WHERE {there} GROUP BY ALL HAVING count(DISTINCT {who}) < $1"
        label = " + ".join(names)
        owner = making.owner(COMBINATION, label)
        rows = _rows(read, query, threshold)
        kept = itertools.islice(rows, MOST_COMBINATIONS)
        made = (combination(dict(zip(names, map(str, row), strict=True))) for row in kept)
        for batch in _batches(form for form in made if form):
            making.add(owner, batch, counted=False)
        if next(rows, None) is not None:
            making.cut.append(label)


def _batches(values: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(itertools.islice(values, _FETCH)):
        yield batch


def _each(read: Source, query: str, threshold: int) -> Iterator[str]:
    return (str(row[0]) for row in _rows(read, query, threshold))


def _rows(read: Source, query: str, threshold: int) -> Iterator[tuple[Any, ...]]:
    cursor = read.connection.execute(query, [threshold])
    while rows := cursor.fetchmany(_FETCH):
        yield from rows
