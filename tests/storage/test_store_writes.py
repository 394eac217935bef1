"""Every write goes with its entries or not at all; from many threads, in groups; and it ends in order."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError, OperationalError

from sojourn.audit import checkpoint, proof, tree
from sojourn.audit.entry import Entry
from sojourn.errors import AuditError, ConfigurationError
from sojourn.identity.keys import PrivateKey
from sojourn.storage.engine import open_engine
from sojourn.storage.log import StoredHashes, entries
from sojourn.storage.store import ENTRY_BYTES_MAX, Store


def logged(store, toy):
    return store.read(lambda connection: [json.loads(data) for data in entries(connection, toy.LOG)])


class Planted(Exception):
    pass


def test_a_write_gives_its_result_and_its_place(store, toy):
    assert store.write(toy.entry("a"), toy.adding("a")) == "a"
    assert store.write_indexed([toy.entry("b"), toy.entry("b again")], toy.adding("b")) == ("b", 1)
    assert store.write_indexed(toy.entry("c"), toy.adding("c")) == ("c", 3)
    assert [(entry["sequence"], entry["facts"]["name"]) for entry in logged(store, toy)] == [
        (0, "a"),
        (1, "b"),
        (2, "b again"),
        (3, "c"),
    ]
    assert logged(store, toy)[0]["time"] == "2026-01-01T00:00:00.000+00:00"
    assert store.verify().ok


def test_entries_may_depend_on_the_action(store, toy):
    def make(connection):
        name = f"thing {toy.counts(connection)[0]}"
        toy.adding(name)(connection)
        return [toy.entry(name)], name

    assert [store.write_with(make), store.write_with(make)] == ["thing 0", "thing 1"]
    assert [entry["facts"]["name"] for entry in logged(store, toy)] == ["thing 0", "thing 1"]


def test_a_failing_action_leaves_nothing_and_hurts_nobody(store, toy):
    def failing(connection):
        toy.adding("lost")(connection)
        raise Planted

    store.write(toy.entry("a"), toy.adding("a"))
    with pytest.raises(Planted):
        store.write(toy.entry("lost"), failing)
    with pytest.raises(IntegrityError):
        store.write(toy.entry("a"), toy.adding("a"))
    store.write(toy.entry("b"), toy.adding("b"))
    assert store.read(toy.names) == {"a", "b"}
    assert [entry["facts"]["name"] for entry in logged(store, toy)] == ["a", "b"]
    assert store.verify().ok


@pytest.mark.parametrize(
    "bad",
    [
        [],
        Entry("thing.added", "hub", facts={"set": {1}}),
        Entry("thing.added", "hub", facts={"number": float("nan")}),
        Entry("thing.added", "hub", facts={"long": "x" * ENTRY_BYTES_MAX}),
    ],
)
def test_an_entry_that_cannot_be_logged_undoes_its_action(store, toy, bad):
    with pytest.raises(Exception, match=r".") as caught:
        store.write(bad, toy.adding("lost"))
    assert not isinstance(caught.value, KeyError | AttributeError)
    assert store.read(toy.counts) == (0, 0)


def test_a_clock_without_a_zone_logs_nothing(database, toy, key):
    with Store(open_engine(database), toy.METADATA, key, toy.ORIGIN, lambda: datetime(2026, 1, 1)) as store:
        with pytest.raises(AuditError, match="time zone"):
            store.write(toy.entry("a"), toy.adding("a"))
        assert store.read(toy.counts) == (0, 0)


def held_batch(store, toy, names, then):
    """Queue a write for each name behind one that holds the writer, then do `then`; what each caller gets."""
    busy, go = threading.Event(), threading.Event()

    def hold(connection):
        busy.set()
        assert go.wait(30)
        return toy.adding("first")(connection)

    def outcome(name):
        try:
            return store.write(toy.entry(name), toy.adding(name))
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(names) + 1) as pool:
        first = pool.submit(store.write, toy.entry("first"), hold)
        assert busy.wait(30)
        others = [pool.submit(outcome, name) for name in names]
        with store._wake:
            assert store._wake.wait_for(lambda: len(store._queue) >= len(names), 30)
        then()
        go.set()
        first.result()
        return [other.result() for other in others]


def plant_hash(as_stranger, database, position):
    with as_stranger(database, without_triggers=True) as connection:
        connection.execute(
            text("INSERT INTO log_hash VALUES (0, :position, :hash)"), {"position": position, "hash": b"0"}
        )


def test_when_the_append_fails_nobodys_action_happened(store, database, toy, as_stranger):
    """A stranger's hash stands where the next one belongs."""
    store.write(toy.entry("a"), toy.adding("a"))
    plant_hash(as_stranger, database, 1)
    with pytest.raises(AuditError, match="nothing has happened") as caught:
        store.write(toy.entry("b"), toy.adding("b"))
    assert isinstance(caught.value.__cause__, IntegrityError)
    assert store.read(toy.names) == {"a"}


def test_when_the_append_of_a_group_fails_all_hear_of_it(store, database, toy, as_stranger):
    names = [f"thing {number}" for number in range(10)]
    plant_hash(as_stranger, database, 5)
    outcomes = held_batch(store, toy, [*names, "first"], lambda: None)
    # "first" is added twice: the second adder hears of its own failure, all others of the log's.
    assert isinstance(outcomes.pop(), IntegrityError)
    assert all(isinstance(outcome, AuditError) for outcome in outcomes)
    assert len({id(outcome) for outcome in outcomes}) == len(outcomes)
    assert store.read(toy.names) == {"first"}


def test_a_full_disk_undoes_both_and_the_store_recovers(on_sqlite, toy, key):
    """SQLite's own: its limit of pages stands in for the disk's end."""
    with toy.open_store(on_sqlite.toy(), key) as store:
        fill_and_recover(store, toy)


def fill_and_recover(store, toy):
    store.write(toy.entry("a"), toy.adding("a"))

    def limited(connection):
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        raw = connection.connection.dbapi_connection
        raw.set_authorizer(None)
        raw.execute(f"PRAGMA max_page_count = {pages}")
        connection.execute(insert(toy.THING), [{"name": f"{number} {'x' * 3000}"} for number in range(50)])

    with pytest.raises((AuditError, OperationalError)):
        store.write(toy.entry("big"), limited)
    assert store.read(toy.counts) == (1, 1)
    store.write(toy.entry("b"), toy.adding("b"))
    assert store.read(toy.counts) == (2, 2)
    assert store.verify().ok


def test_many_threads_write_in_groups(store, toy):
    threads, each = 4, 100

    def work(thread):
        return [store.write_indexed(toy.entry(f"{thread}.{n}"), toy.adding(f"{thread}.{n}")) for n in range(each)]

    with ThreadPoolExecutor(threads) as pool:
        results = [result for batch in pool.map(work, range(threads)) for result in batch]
    by_index = {entry["sequence"]: entry["facts"]["name"] for entry in logged(store, toy)}
    assert len(by_index) == threads * each
    assert all(by_index[index] == name for name, index in results)
    assert store.read(toy.counts) == (threads * each, threads * each)
    assert store.verify().ok


def test_two_threads_with_two_hundred_writes_each(store, toy):
    def work(thread):
        for number in range(200):
            store.write(toy.entry(f"{thread}.{number}"), toy.adding(f"{thread}.{number}"))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    assert store.read(toy.counts) == (400, 400)
    assert store.verify().ok


def test_what_waits_together_shares_one_checkpoint(store, toy):
    names = [f"thing {number}" for number in range(30)]
    assert held_batch(store, toy, names, lambda: None) == names
    report = store.verify()
    assert report.ok
    # The empty log's, the holder's, and one for the thirty that waited.
    assert (report.entries, report.checkpoints) == (31, 3)


def test_a_failing_action_inside_a_group_fails_alone(store, toy):
    outcomes = held_batch(store, toy, ["a", "first", "b"], lambda: None)
    assert [outcome if isinstance(outcome, str) else type(outcome) for outcome in outcomes] == [
        "a",
        IntegrityError,
        "b",
    ]
    assert store.read(toy.names) == {"first", "a", "b"}
    assert store.verify().ok


def test_who_waits_too_long_is_told_and_nothing_happens(database, toy, key):
    busy, go = threading.Event(), threading.Event()

    def hold(connection):
        busy.set()
        assert go.wait(30)

    with toy.open_store(database, key) as store, ThreadPoolExecutor(1) as pool:
        holder = pool.submit(store.write, toy.entry("holder"), hold)
        assert busy.wait(30)
        store._patience = 0.05
        with pytest.raises(AuditError, match="too busy"):
            store.write(toy.entry("late"), toy.adding("late"))
        go.set()
        holder.result()
    with toy.open_store(database, key) as store:
        assert store.read(toy.names) == set()
        assert [entry["facts"]["name"] for entry in logged(store, toy)] == ["holder"]


def test_an_exception_of_time_in_an_action_is_its_own(store, toy):
    def slow(connection):
        raise TimeoutError("of the action")

    with pytest.raises(TimeoutError, match="of the action"):
        store.write(toy.entry("a"), slow)


def test_an_action_cannot_wait_for_itself(store, toy):
    with pytest.raises(AuditError, match="again"):
        store.write(toy.entry("a"), lambda connection: store.write(toy.entry("b"), toy.adding("b")))
    assert store.read(toy.counts) == (0, 0)


def test_closing_drains_and_refuses(database, toy, key):
    store = toy.open_store(database, key)
    names = [f"thing {number}" for number in range(20)]
    closer = threading.Thread(target=store.close)
    assert held_batch(store, toy, names, closer.start) == names
    closer.join(30)
    assert not closer.is_alive()
    store.close()
    with pytest.raises(AuditError, match="closed"):
        store.write(toy.entry("late"), toy.adding("late"))
    with toy.open_store(database, key) as again:
        assert again.read(toy.counts) == (21, 21)


def test_an_action_may_close_the_store(database, toy, key):
    store = toy.open_store(database, key)
    store.write(toy.entry("last"), lambda connection: store.close())
    store.close()
    with toy.open_store(database, key) as again:
        assert [entry["facts"]["name"] for entry in logged(again, toy)] == ["last"]


def test_readers_see_committed_states_while_one_writes(store, toy):
    done = threading.Event()

    def watch():
        seen = []
        while not done.is_set():
            seen.append(store.read(toy.counts))
        return seen

    with ThreadPoolExecutor(1) as pool:
        watcher = pool.submit(watch)
        for number in range(50):
            store.write(toy.entry(str(number)), toy.adding(str(number)))
        done.set()
        seen = watcher.result()
    assert seen == sorted(seen)
    assert all(things == log for things, log in seen)


def test_receipts_of_every_entry_verify_offline(store, toy, key):
    for number in range(9):
        store.write(toy.entry(str(number)), toy.adding(str(number)))
    for index in range(9):
        assert store.receipt(index).verify(toy.ORIGIN, key.public)["facts"] == {"name": str(index)}
    with pytest.raises(AuditError, match="No such entry"):
        store.receipt(9)


def test_checkpoints_extend_each_other(store, toy, key):
    signed = [checkpoint.read(store.checkpoint(), toy.ORIGIN, key.public)]
    assert (signed[0].size, signed[0].root) == (0, tree.EMPTY_ROOT)
    for number in range(12):
        store.write(toy.entry(str(number)), toy.adding(str(number)))
        signed.append(checkpoint.read(store.checkpoint(), toy.ORIGIN, key.public))
    new = signed[-1]
    for old in signed:
        path = store.read(lambda c, old=old: proof.consistency(StoredHashes(c, toy.LOG), old.size, new.size))
        assert proof.verify_consistency(old.size, old.root, new.size, new.root, path)


def test_a_store_goes_on_where_it_stood(database, toy, key):
    for number in range(5):
        with toy.open_store(database, key) as store:
            assert store.write_indexed(toy.entry(str(number)), toy.adding(str(number))) == (str(number), number)
            assert store.verify().ok


def test_two_programs_of_one_party_share_a_log(database, toy, key):
    with toy.open_store(database, key) as service, toy.open_store(database, key) as command:
        for number in range(6):
            turn = (service, command)[number % 2]
            assert turn.write_indexed(toy.entry(str(number)), toy.adding(str(number)))[1] == number
        assert service.verify().ok


def test_another_key_or_name_does_not_open_a_store(database, toy, key):
    toy.open_store(database, key).close()
    with pytest.raises(AuditError):
        toy.open_store(database, PrivateKey.generate())
    with pytest.raises(AuditError):
        Store(open_engine(database), toy.METADATA, key, "sojourn.example/other", toy.clock)


def test_a_database_without_tables_does_not_open(databases, toy, key):
    with pytest.raises(ConfigurationError, match="migrations"):
        toy.open_store(databases.empty(), key)


def test_a_store_may_commit_in_its_callers_thread(database, toy, key):
    """For a program with one thread: the same commits, one after the other, and no other thread."""
    before = threading.active_count()
    with toy.open_store(database, key, inline=True) as store:
        assert threading.active_count() == before
        assert [store.write_indexed(toy.entry(name), toy.adding(name)) for name in "ab"] == [("a", 0), ("b", 1)]
        with pytest.raises(Planted):
            store.write(toy.entry("c"), failing)
        with pytest.raises(AuditError, match="again"):
            store.write(toy.entry("d"), lambda connection: store.write(toy.entry("e"), toy.adding("e")))
        store.prove()
        assert store.write_indexed(toy.entry("f"), toy.adding("f")) == ("f", 2)
        assert store.verify().ok
    with pytest.raises(AuditError, match="closed"):
        store.write(toy.entry("g"), toy.adding("g"))


def failing(connection):
    raise Planted
