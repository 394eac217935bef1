"""Synthetic stand-ins of a node's datasets, for rehearsals: another folder with its own keys, in which no record is.

home/rehearsal/datasets/TABLE/…    stand-ins, laid out as datasets are

A stand-in that the node makes comes from the approved dictionary alone: kinds, levels, bounds and the number of persons
that the custodian declares there. Its seed is a hash of the published dictionary. So it carries no information about
any record, and none about how values go together: of levels the first is the most frequent (in proportion to 1, 1/2,
1/3, …), numbers are uniform between their bounds, one value in 50 is missing, and columns are independent.
"""

from __future__ import annotations

import csv
import hashlib
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from random import Random

import rfc8785
from sqlalchemy.engine import RowMapping

from sojourn.analysis.variable import Kind, Variable
from sojourn.errors import SiteRefused, SojournError
from sojourn.node.config import NodeHome
from sojourn.node.dataset import Snapshot, import_dataset, load_snapshot
from sojourn.node.dictionary import Dictionary
from sojourn.node.store import NodeStore

PERSONS = 1_000  # where the dictionary declares none
MISSING = 0.02
WIDTH = 100.0  # of a number without two bounds


@dataclass(frozen=True)
class StandIn:
    """What a rehearsal of one table runs on. supplied: by the custodian, else made from the dictionary."""

    snapshot: str
    persons: int
    supplied: bool


class StandIns:
    """The stand-ins of a node's datasets; those that it makes itself are made when the first rehearsal needs them."""

    def __init__(self, home: NodeHome, store: NodeStore, journal: Callable[[str, str], None]) -> None:
        self._home = home
        self._store = store
        self._journal = journal
        self._making = threading.Lock()
        self._made: dict[str, StandIn] = {}  # by the dictionary's digest

    def snapshot(self, table: str) -> str:
        """The snapshot of a table's stand-in; SiteRefused("no stand-in") where none can be had."""
        try:
            return self.current(table).snapshot
        except (SojournError, OSError) as error:
            self._journal("", f"stand-in of {table}: {error}")
            raise SiteRefused("no stand-in") from error

    def current(self, table: str) -> StandIn:
        """The stand-in of a table: the custodian's while it is of the present dictionary, else the node's own."""
        dictionary = self._dictionary(table)
        supplied = self._supplied(table, dictionary)
        if supplied is not None:
            return supplied
        with self._making:
            digest = dictionary.digest()
            if digest not in self._made:
                made = self._make(dictionary)
                self._made[digest] = StandIn(made.id, made.persons, False)
            return self._made[digest]

    def supply(self, source: Path, table: str) -> Snapshot:
        """Import a custodian's synthetic file under the table's present dictionary; DatasetError as for a dataset."""
        dictionary = self._dictionary(table)
        self._home.stand_ins.mkdir(mode=0o700, exist_ok=True)
        return import_dataset(self._home.stand_ins, table, source, dictionary, another=True)

    def told(self, table: str) -> dict[str, object]:
        """What the federation may know of it: how many persons, and whence; nothing where it cannot be had now."""
        try:
            dictionary = self._dictionary(table)
        except SojournError:
            return {}
        supplied = self._supplied(table, dictionary)
        if supplied is not None:
            return {"persons": supplied.persons, "from": "custodian"}
        return {"persons": size_of(dictionary), "from": "dictionary"}

    def _dictionary(self, table: str) -> Dictionary:
        """The approved dictionary, from the record beside the data; the data themselves are never opened here."""
        row = self._store.dataset(table)
        if row is None:
            raise SiteRefused("no table")
        return load_snapshot(self._home.folder, row["name"], row["snapshot"]).dictionary

    def _supplied(self, table: str, dictionary: Dictionary) -> StandIn | None:
        row: RowMapping | None = self._store.stand_in(table)
        if row is None or row["dictionary"] != dictionary.digest():
            return None
        return StandIn(row["snapshot"], row["persons"], True)

    def _make(self, dictionary: Dictionary) -> Snapshot:
        self._home.stand_ins.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="stand-in-", dir=self._home.stand_ins) as work:
            source = Path(work) / "stand-in.csv"
            write(source, dictionary, self._home.site)
            public = Dictionary(dictionary.table, None, True, dictionary.columns)
            return import_dataset(self._home.stand_ins, dictionary.table, source, public, another=True)


def size_of(dictionary: Dictionary) -> int:
    """Persons of a stand-in: as many as the custodian declares in the dictionary, else 1,000."""
    return dictionary.persons or PERSONS


def write(path: Path, dictionary: Dictionary, site: str) -> None:
    """Write a stand-in as CSV, a row a person: the same dictionary and site give the same bytes."""
    named = b"sojourn stand-in\n" + rfc8785.dumps({"site": site, "dictionary": dictionary.public()})
    random = Random(hashlib.sha256(named).digest())
    draws = {name: _draw(variable) for name, variable in dictionary.columns.items()}
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(draws)
        for _ in range(size_of(dictionary)):
            rows.writerow(_row(draws, random))


def _row(draws: Mapping[str, Callable[[Random], object]], random: Random) -> list[object]:
    return ["" if random.random() < MISSING else draw(random) for draw in draws.values()]


def _draw(variable: Variable) -> Callable[[Random], object]:
    """How one value is drawn."""
    if variable.kind is Kind.BOOLEAN:
        return lambda random: random.random() < 0.5
    if variable.kind is Kind.CATEGORY:
        shares = list(accumulate(1 / place for place in range(1, len(variable.levels) + 1)))
        return lambda random: random.choices(variable.levels, cum_weights=shares)[0] if shares else ""
    low, high = _bounds(variable)
    if low.is_integer() and high.is_integer() and 2 <= high - low < 2**53:
        return lambda random: random.randint(int(low), int(high))
    return lambda random: repr(random.uniform(low, high))


def _bounds(variable: Variable) -> tuple[float, float]:
    low, high = variable.low, variable.high
    if low is None:
        low = 0.0 if high is None else high - WIDTH
    return low, low + WIDTH if high is None else high
