"""The twelve tamperings L01 to L12 on the real stores of a hub and of a node, each with 1,000 entries.

The attacker has the file, any program, and in some cases the log's key. `local` is what opening the store and verifying
it from its raw entries say. `witness` is what the other party answers, in its real store, when it is shown the log as
its raw entries give it, under the log's own key: what an auditor holds against the witness's memory.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from sojourn.audit import checkpoint, proof, tree
from sojourn.audit.entry import Entry
from sojourn.errors import AuditError
from sojourn.forms import log_of
from sojourn.hub import program as hub_program
from sojourn.hub.config import HubHome
from sojourn.hub.store import HubStore
from sojourn.hub.tables import metadata as hub_tables
from sojourn.identity.keys import PrivateKey
from sojourn.messages import Shown
from sojourn.node import program as node_program
from sojourn.node.config import NodeHome
from sojourn.node.store import NodeStore
from sojourn.node.tables import metadata as node_tables
from sojourn.storage.engine import open_engine
from sojourn.storage.journal import Journal
from sojourn.storage.migrate import upgrade
from sojourn.storage.store import Store
from sojourn.storage.witnessing import Peer, Witnessing

SIZE = 1000
BATCHES = (0, 300, 600, 800, SIZE)
FEDERATION, SITE = "heart.test", "Avon"


# ---- what an attacker does to the file


class Attacker:
    """The file without its triggers, the log's key, and a key of the attacker's own."""

    def __init__(self, connection: sqlite3.Connection, origin: str, key: PrivateKey) -> None:
        self.connection, self.origin, self.key = connection, origin, key

    def data(self, position):
        return self.connection.execute("SELECT data FROM log_entry WHERE position = ?", (position,)).fetchone()[0]

    def set_data(self, position, data):
        self.connection.execute("UPDATE log_entry SET data = ? WHERE position = ?", (data, position))

    def edit(self, position=333):
        self.set_data(position, self.data(position).replace(b"custodian", b"nobody999"))

    def cut(self, size):
        self.connection.execute("DELETE FROM log_entry WHERE position >= ?", (size,))
        self.connection.execute("DELETE FROM log_hash WHERE (position + 1) << level > ?", (size,))

    def rewrite(self, key):
        """Every hash and checkpoint anew over the entries that are there."""
        sizes = [size for (size,) in self.connection.execute("SELECT size FROM log_checkpoint")]
        rebuilt = Rebuilt(self.connection)
        self.connection.execute("DELETE FROM log_hash")
        self.connection.execute("DELETE FROM log_checkpoint")
        rows = [(level, position, value) for (level, position), value in rebuilt.items()]
        self.connection.executemany("INSERT INTO log_hash VALUES (?, ?, ?)", rows)
        for at in {*(size for size in sizes if size <= rebuilt.size), rebuilt.size}:
            note = checkpoint.sign(checkpoint.Checkpoint(self.origin, at, tree.root(rebuilt, at)), key)
            self.connection.execute("INSERT INTO log_checkpoint VALUES (?, ?)", (at, note))


class Rebuilt(dict):
    """The tree over the raw entries of a database, in stored order."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__()
        self.size = 0
        for (data,) in connection.execute("SELECT data FROM log_entry ORDER BY position").fetchall():
            self.size = tree.append(self, self.size, tree.leaf_hash(data))

    def get(self, level, index):
        return self[level, index]

    def put(self, level, index, value):
        self[level, index] = value


def edit_one_entry(attacker):
    attacker.edit()


def flip_one_bit(attacker):
    data = bytearray(attacker.data(333))
    data[len(data) // 2] ^= 1
    attacker.set_data(333, bytes(data))


def edit_entry_and_hash(attacker):
    attacker.edit()
    value = tree.leaf_hash(attacker.data(333))
    attacker.connection.execute("UPDATE log_hash SET hash = ? WHERE level = 0 AND position = 333", (value,))


def delete_in_the_middle(attacker):
    attacker.connection.execute("DELETE FROM log_entry WHERE position = 333")


def swap_two_entries(attacker):
    first, second = attacker.data(333), attacker.data(444)
    attacker.set_data(333, second)
    attacker.set_data(444, first)


def cut_the_tail(attacker):
    attacker.cut(900)


def restore_an_older_state(attacker):
    attacker.cut(800)
    attacker.connection.execute("DELETE FROM log_checkpoint WHERE size > 800")


def append_a_forged_entry(attacker):
    data = Entry("thing.added", actor="custodian").encode(SIZE, "2026-01-01T00:00:00.000+00:00")
    attacker.connection.execute("INSERT INTO log_entry VALUES (?, ?, '')", (SIZE, data))


def delete_all_checkpoints(attacker):
    attacker.connection.execute("DELETE FROM log_checkpoint")


def rewrite_without_the_key(attacker):
    attacker.edit()
    attacker.rewrite(PrivateKey.generate())


def rewrite_with_the_key(attacker):
    attacker.edit()
    attacker.rewrite(attacker.key)


def cut_and_sign_again(attacker):
    attacker.cut(900)
    attacker.rewrite(attacker.key)


LEAF, ROOT, GAP = "the entry's stored hash", "do not give the root", "missing or out of order"
SIGNED, FORGED, NONE = (
    "its latest checkpoint signs 1000",
    "1 entries at the end are in no checkpoint",
    "no valid checkpoint",
)
TABLE = {
    # tampering: what local checks name; whether the store still opens; what the witness answers
    "L01": (edit_one_entry, (LEAF, ROOT), True, "fork"),
    "L02": (flip_one_bit, (LEAF,), True, "fork"),
    "L03": (edit_entry_and_hash, (ROOT,), True, "fork"),
    "L04": (delete_in_the_middle, (GAP, SIGNED), True, "rollback"),
    "L05": (swap_two_entries, (GAP,), True, "fork"),
    "L06": (cut_the_tail, (SIGNED,), False, "rollback"),
    "L07": (restore_an_older_state, (), True, "rollback"),
    "L08": (append_a_forged_entry, (LEAF, FORGED), False, ""),
    "L09": (delete_all_checkpoints, (NONE,), False, ""),
    "L10": (rewrite_without_the_key, ("is not signed by the expected key",), False, "fork"),
    "L11": (rewrite_with_the_key, (), True, "fork"),
    "L12": (cut_and_sign_again, (), True, "rollback"),
}
WITNESS_ONLY = [case for case, (_, local, _, _) in TABLE.items() if not local]


# ---- the two parties


@dataclass(frozen=True)
class Party:
    """One side: its database, its log's name and key."""

    database: Path
    origin: str
    key: PrivateKey

    @property
    def peer(self) -> Peer:
        return Peer(self.origin, self.key.public)


@dataclass(frozen=True)
class Opened:
    store: Store
    witnessing: Witnessing


class Pair:
    """A hub's and a node's home in one folder."""

    def __init__(self, folder: Path) -> None:
        self.homes = {
            "hub": HubHome(folder / "hub", FEDERATION, "localhost", 0),
            "node": NodeHome(folder / "node", SITE),
        }
        origins = {"hub": FEDERATION, "node": log_of(SITE)}
        self.parties = {
            name: Party(home.database_file, origins[name], PrivateKey.load(home.log_key))
            for name, home in self.homes.items()
        }

    @contextmanager
    def opened(self, name):
        """The party's store and its witnessing, as its program opens them."""
        party = self.parties[name]
        kind, tables = (HubStore, hub_tables) if name == "hub" else (NodeStore, node_tables)
        store = kind(open_engine(party.database), tables, party.key, party.origin, lambda: datetime.now(UTC))
        with store:
            yield Opened(store, Witnessing(store, tables, name, recovers=name == "node"))


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Both logs with 1,000 entries in four batches; each was witnessed by the other at its end."""
    folder = tmp_path_factory.mktemp("pair")
    hub_home = HubHome(folder / "hub", FEDERATION, "localhost", 0)
    hub_home.folder.mkdir(mode=0o700)
    PrivateKey.generate().save(hub_home.log_key)
    node_program.create(folder / "node", SITE, sandbox="none")
    pair = Pair(folder)
    for party, migrations in (
        (pair.parties["hub"], hub_program.MIGRATIONS),
        (pair.parties["node"], node_program.MIGRATIONS),
    ):
        engine = open_engine(party.database)
        upgrade(engine, migrations)
        engine.dispose()
    with pair.opened("hub") as hub, pair.opened("node") as node:
        for one in (hub, node):
            for start, end in pairwise(BATCHES):
                one.store.write([Entry("thing.added", "custodian") for _ in range(start, end)], lambda connection: None)
        for _ in range(2):
            heard = hub.witnessing.hear(pair.parties["node"].peer, node.witnessing.show(FEDERATION))
            assert not heard.refused
            answered = node.witnessing.hear(pair.parties["hub"].peer, hub.witnessing.show(log_of(SITE), heard.since))
            assert not answered.refused
    return folder


@pytest.fixture
def pair(tmp_path, template):
    shutil.copytree(template, tmp_path / "pair")
    return Pair(tmp_path / "pair")


def tamper(party, tampering):
    with closing(sqlite3.connect(party.database, isolation_level=None)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        assert connection.execute("SELECT count(*) FROM log_entry").fetchone() == (SIZE,)
        connection.execute("BEGIN")
        tampering(Attacker(connection, party.origin, party.key))
        connection.execute("COMMIT")


def verified(party, tables):
    """A verification that does not depend on opening a store, which some tamperings prevent."""
    engine = open_engine(party.database)
    with engine.connect() as connection:
        report = Journal(tables, party.key, party.origin).verify(connection)
    engine.dispose()
    return report


def as_the_entries_give_it(party, old):
    """The log rebuilt from its raw entries, proven as well as they allow, under the log's own key."""
    with closing(sqlite3.connect(party.database)) as connection:
        rebuilt = Rebuilt(connection)
    state = checkpoint.Checkpoint(party.origin, rebuilt.size, tree.root(rebuilt, rebuilt.size))
    path = proof.consistency(rebuilt, old, rebuilt.size) if old <= rebuilt.size else ()
    hashes = [value.hex() for value in path]
    return Shown(checkpoint=checkpoint.sign(state, party.key), old=old, proof=hashes, remembers=None, refused=None)


SIDES = [("hub", "node", hub_tables), ("node", "hub", node_tables)]


@pytest.mark.parametrize(("victim", "witness", "tables"), SIDES, ids=["hub's log", "node's log"])
@pytest.mark.parametrize("case", TABLE)
def test_what_local_checks_find_and_what_the_witness_finds(pair, case, victim, witness, tables):
    tampering, local, opens, answer = TABLE[case]
    party = pair.parties[victim]
    assert verified(party, tables).ok
    tamper(party, tampering)
    report = verified(party, tables)
    assert report.ok == (not local)
    for words in local:
        assert any(words in problem.what for problem in report.problems), report.problems[:3]
    if opens:
        with pair.opened(victim) as one:
            assert one.store.verify().ok == (not local)
    else:
        with pytest.raises(AuditError, match=r"audit log|checkpoint"), pair.opened(victim):
            pass
    with pair.opened(witness) as one:
        heard = one.witnessing.hear(party.peer, as_the_entries_give_it(party, SIZE))
        assert heard.refused == answer
        assert one.witnessing.distrusts(party.origin) == answer
        assert len(one.witnessing.evidence(party.origin)) == (1 if answer else 0)
        assert one.store.verify().ok


@pytest.mark.parametrize(("victim", "witness", "tables"), SIDES, ids=["hub's log", "node's log"])
@pytest.mark.parametrize("case", WITNESS_ONLY)
def test_what_only_the_witness_finds_is_found_by_the_next_polls(pair, case, victim, witness, tables):
    """The tampered program itself opens, finds its log in order, and shows it as it always does."""
    tampering, _, _, answer = TABLE[case]
    party = pair.parties[victim]
    tamper(party, tampering)
    with pair.opened(victim) as one, pair.opened(witness) as other:
        assert one.store.verify().ok
        one.store.write([Entry("thing.added", "custodian") for _ in range(5)], lambda connection: None)
        since, answers = None, []
        for _ in range(3):
            heard = other.witnessing.hear(party.peer, one.witnessing.show(pair.parties[witness].origin, since))
            since = one.witnessing.hear(
                pair.parties[witness].peer, other.witnessing.show(party.origin, heard.since)
            ).since
            answers.append(heard.refused)
        # L11 grew beyond what is remembered, so it is its proof that fails.
        assert answers[-1] == ("proof" if answer == "fork" else answer)
        assert other.witnessing.suspended() >= {party.origin}


def test_all_twelve_are_here():
    assert list(TABLE) == [f"L{number:02}" for number in range(1, 13)]
    assert WITNESS_ONLY == ["L07", "L11", "L12"]
