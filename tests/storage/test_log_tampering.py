"""The twelve tamperings L01 to L12 with a log on disk: what the local checks find, and what only a witness can.

The attacker has the database and any program, so neither the guard nor the triggers bind them. A witness is someone
who kept the last checkpoint that they saw and asks for a proof that the present log extends it.
"""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from sqlalchemy import Connection, text

from sojourn.audit import checkpoint, proof, tree
from sojourn.audit.entry import Entry
from sojourn.errors import AuditError
from sojourn.identity.keys import PrivateKey
from sojourn.storage.journal import Journal
from sojourn.storage.log import StoredHashes

SIZE = 60
BATCHES = (0, 20, 40, SIZE)


class Attacker:
    """What a tampering has in its hands: the database, the log's key where it is stolen, and its own key."""

    def __init__(self, connection: Connection, origin: str, key: PrivateKey) -> None:
        self.connection = connection
        self.origin = origin
        self.key = key
        self.own_key = PrivateKey.generate()

    def run(self, statement: str, **values):
        return self.connection.execute(text(statement), values)

    def data(self, position: int) -> bytes:
        return self.run("SELECT data FROM log_entry WHERE position = :position", position=position).scalar()

    def set_data(self, position: int, data: bytes) -> None:
        self.run("UPDATE log_entry SET data = :data WHERE position = :position", data=data, position=position)

    def set_hash(self, level: int, position: int, value: bytes) -> None:
        self.run("DELETE FROM log_hash WHERE level = :level AND position = :position", level=level, position=position)
        self.run("INSERT INTO log_hash VALUES (:level, :position, :value)", level=level, position=position, value=value)

    def edit(self, position: int) -> None:
        self.set_data(position, self.data(position).replace(b"custodian", b"nobody999"))

    def cut(self, size: int) -> None:
        """Take the end off, with all hashes that cover it."""
        self.run("DELETE FROM log_entry WHERE position >= :size", size=size)
        self.run("DELETE FROM log_hash WHERE (position + 1) << level > :size", size=size)

    def rewrite(self, key: PrivateKey) -> None:
        """Give every hash and checkpoint anew over the entries that are there."""
        entries = self.run("SELECT data FROM log_entry ORDER BY position").scalars().all()
        sizes = [size for size in self.run("SELECT size FROM log_checkpoint").scalars() if size <= len(entries)]
        self.run("DELETE FROM log_hash")
        self.run("DELETE FROM log_checkpoint")
        hashes, size = self, 0
        for data in entries:
            size = tree.append(hashes, size, tree.leaf_hash(data))
        for at in {*sizes, len(entries)}:
            note = checkpoint.sign(checkpoint.Checkpoint(self.origin, at, tree.root(hashes, at)), key)
            self.run("INSERT INTO log_checkpoint VALUES (:size, :note)", size=at, note=note)

    def get(self, level: int, index: int) -> bytes:
        query = "SELECT hash FROM log_hash WHERE level = :level AND position = :index"
        return self.run(query, level=level, index=index).scalar()

    put = set_hash


def edit_one_entry(attacker):
    attacker.edit(33)


def flip_one_bit(attacker):
    data = bytearray(attacker.data(33))
    data[len(data) // 2] ^= 1
    attacker.set_data(33, bytes(data))


def edit_entry_and_hash(attacker):
    attacker.edit(33)
    attacker.set_hash(0, 33, tree.leaf_hash(attacker.data(33)))


def delete_in_the_middle(attacker):
    attacker.run("DELETE FROM log_entry WHERE position = 33")


def swap_two_entries(attacker):
    first, second = attacker.data(33), attacker.data(44)
    attacker.set_data(33, second)
    attacker.set_data(44, first)


def cut_the_tail(attacker):
    attacker.cut(45)


def restore_an_older_state(attacker):
    attacker.cut(40)
    attacker.run("DELETE FROM log_checkpoint WHERE size > 40")


def append_a_forged_entry(attacker):
    data = Entry("thing.added", actor="custodian").encode(SIZE, "2026-01-01T00:00:00.000+00:00")
    attacker.run("INSERT INTO log_entry VALUES (:position, :data, '')", position=SIZE, data=data)


def delete_all_checkpoints(attacker):
    attacker.run("DELETE FROM log_checkpoint")


def rewrite_without_the_key(attacker):
    attacker.edit(33)
    attacker.rewrite(attacker.own_key)


def rewrite_with_the_key(attacker):
    attacker.edit(33)
    attacker.rewrite(attacker.key)


def cut_and_sign_again(attacker):
    attacker.cut(45)
    attacker.rewrite(attacker.key)


FOUND_LOCALLY = {
    "L01": (edit_one_entry, "the entry's stored hash"),
    "L02": (flip_one_bit, "the entry's stored hash"),
    "L03": (edit_entry_and_hash, "the entries do not give the root"),
    "L04": (delete_in_the_middle, "missing or out of order"),
    "L05": (swap_two_entries, "missing or out of order"),
    "L06": (cut_the_tail, "its latest checkpoint signs 60"),
    "L08": (append_a_forged_entry, "1 entries at the end are in no checkpoint"),
    "L09": (delete_all_checkpoints, "there is no valid checkpoint"),
    "L10": (rewrite_without_the_key, "is not signed by the expected key"),
}
WITNESS_ONLY = {"L07": restore_an_older_state, "L11": rewrite_with_the_key, "L12": cut_and_sign_again}
FOUND_AT_OPENING = {"L06", "L08", "L09", "L10"}


@pytest.fixture
def log(database, toy, key):
    """A log of 60 entries in three batches of checkpoints, closed; and the last checkpoint that a witness saw."""
    with toy.open_store(database, key) as store:
        for start, end in pairwise(BATCHES):
            store.write([toy.entry(str(number)) for number in range(start, end)], toy.adding(str(start)))
        assert store.verify().ok
        return database, checkpoint.read(store.checkpoint(), toy.ORIGIN, key.public)


def tamper(as_stranger, database, toy, key, tampering):
    with as_stranger(database, without_triggers=True) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM log_entry").scalar() == SIZE
        tampering(Attacker(connection, toy.ORIGIN, key))


def verified(database, toy, key):
    """A verification that does not depend on opening a store, which some tamperings prevent."""
    engine = toy.open_engine(database)
    with engine.connect() as connection:
        report = Journal(toy.METADATA, key, toy.ORIGIN).verify(connection)
    engine.dispose()
    return report


@pytest.mark.parametrize("case", FOUND_LOCALLY)
def test_local_checks_find(log, as_stranger, toy, key, case):
    database, _ = log
    tampering, what = FOUND_LOCALLY[case]
    tamper(as_stranger, database, toy, key, tampering)
    report = verified(database, toy, key)
    assert not report.ok
    assert any(what in problem.what for problem in report.problems), report.problems


@pytest.mark.parametrize("case", FOUND_LOCALLY)
def test_opening_finds_what_concerns_the_end(log, as_stranger, toy, key, case):
    database, _ = log
    tamper(as_stranger, database, toy, key, FOUND_LOCALLY[case][0])
    if case in FOUND_AT_OPENING:
        with pytest.raises(AuditError, match=r"audit log|checkpoint"):
            toy.open_store(database, key)
    else:
        toy.open_store(database, key).close()


def test_opening_finds_a_stored_hash_that_the_next_entry_would_build_on(log, as_stranger, toy, key):
    database, _ = log
    level, position = tree.peaks(SIZE)[-1]
    tamper(as_stranger, database, toy, key, lambda attacker: attacker.set_hash(level, position, bytes(32)))
    with pytest.raises(AuditError, match="root"):
        toy.open_store(database, key)


@pytest.mark.parametrize("case", WITNESS_ONLY)
def test_local_checks_cannot_find_what_is_the_witnesss_job(log, as_stranger, toy, key, case):
    database, seen = log
    tamper(as_stranger, database, toy, key, WITNESS_ONLY[case])
    assert verified(database, toy, key).ok
    with toy.open_store(database, key) as store:
        present = checkpoint.read(store.checkpoint(), toy.ORIGIN, key.public)
        assert not extends(store, toy, seen, present)
        # The same after it grew beyond what the witness saw.
        store.write([toy.entry(f"new {number}") for number in range(SIZE)], toy.adding("new"))
        assert not extends(store, toy, seen, checkpoint.read(store.checkpoint(), toy.ORIGIN, key.public))


def extends(store, toy, seen, present):
    """The witness's question."""
    if present.size < seen.size:
        return False
    path = store.read(lambda connection: proof.consistency(StoredHashes(connection, toy.LOG), seen.size, present.size))
    return proof.verify_consistency(seen.size, seen.root, present.size, present.root, path)


def test_the_witness_agrees_with_an_honest_log(log, toy, key):
    database, seen = log
    with toy.open_store(database, key) as store:
        store.write(toy.entry("new"), toy.adding("new"))
        assert extends(store, toy, seen, checkpoint.read(store.checkpoint(), toy.ORIGIN, key.public))


def test_all_twelve_are_here():
    assert sorted([*FOUND_LOCALLY, *WITNESS_ONLY]) == [f"L{number:02}" for number in range(1, 13)]


@pytest.mark.parametrize(
    "tampering",
    [cut_the_tail, restore_an_older_state, rewrite_with_the_key, cut_and_sign_again, rewrite_without_the_key],
)
def test_a_running_store_refuses_to_write_on_a_log_that_changed_under_it(
    store, database, toy, key, as_stranger, tampering
):
    store.write([toy.entry(str(number)) for number in range(40)], toy.adding("a"))
    store.write([toy.entry(str(number)) for number in range(20)], toy.adding("b"))
    tamper(as_stranger, database, toy, key, tampering)
    with pytest.raises(AuditError, match="nothing has happened"):
        store.write(toy.entry("c"), toy.adding("c"))
    assert "c" not in store.read(toy.names)


def test_an_altered_entry_gets_no_receipt(log, as_stranger, toy, key):
    database, _ = log
    tamper(as_stranger, database, toy, key, edit_one_entry)
    with toy.open_store(database, key) as store:
        with pytest.raises(AuditError, match="does not prove"):
            store.receipt(33)
        assert json.loads(store.receipt(32).entry)["sequence"] == 32
