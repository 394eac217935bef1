"""What two parties remember of each other's logs: kept before the answer, never back, suspected until accepted."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from sqlalchemy import Column, MetaData, Table, Text, insert, select
from sqlalchemy.exc import DatabaseError

from sojourn.audit import tree
from sojourn.audit.checkpoint import Checkpoint, read, sign
from sojourn.audit.entry import Entry
from sojourn.audit.proof import consistency, verify_consistency
from sojourn.audit.receipt import decode
from sojourn.audit.witness import Refused, cosigned
from sojourn.errors import AuditError, ConfigurationError
from sojourn.identity.keys import PrivateKey
from sojourn.messages import Shown
from sojourn.storage.engine import open_engine
from sojourn.storage.guard import Mode, used_for
from sojourn.storage.log import create_log, entries, log_tables
from sojourn.storage.store import Store
from sojourn.storage.witness_tables import create_witness, witness_tables
from sojourn.storage.witnessing import EVIDENCE_MAX, NOTHING_SHOWN, Peer, Witnessing

METADATA = MetaData()
LOG = log_tables(METADATA)
TABLES = witness_tables(METADATA)
THING = Table("thing", METADATA, Column("name", Text, primary_key=True))
KEYS = {"hub": PrivateKey.generate(), "Avon.node": PrivateKey.generate()}


class Party:
    """A store with its witnessing."""

    def __init__(self, databases, origin, *, recovers=False):
        self.databases, self.origin, self.recovers = databases, origin, recovers
        self.database = databases.empty()
        engine = open_engine(self.database)
        with engine.begin() as connection, used_for(connection, Mode.OWNER):
            create_log(connection)
            create_witness(connection)
            THING.create(connection)
        engine.dispose()
        self.open()

    def open(self):
        clock = lambda: datetime(2026, 1, 1, tzinfo=UTC)  # noqa: E731
        self.store = Store(open_engine(self.database), METADATA, KEYS[self.origin], self.origin, clock)
        self.witnessing = Witnessing(self.store, METADATA, self.origin, recovers=self.recovers)
        self.since = None

    @property
    def peer(self):
        return Peer(self.origin, KEYS[self.origin].public)

    def grow(self, number=1):
        self.store.write([Entry("thing.added", "hub") for _ in range(number)], lambda connection: None)

    def size(self):
        return read(self.store.checkpoint(), self.origin, KEYS[self.origin].public).size

    def kinds(self):
        return [decode(data)["kind"] for data in self.store.read(lambda c: list(entries(c, LOG)))]

    def memory(self):
        return {row["log"]: row for row in self.witnessing.facts()["witness_of"]}

    def backed_up(self):
        self.store._engine.dispose()  # nobody is connected, and no file but one has anything of it
        return self.databases.copy(self.database)

    def restore(self, backup):
        self.store.close()
        self.database = backup
        self.open()


def exchange(node, hub):
    """One poll: the node shows its log, the hub answers with its own."""
    heard = hub.witnessing.hear(node.peer, node.witnessing.show(hub.origin, node.since))
    answered = node.witnessing.hear(hub.peer, hub.witnessing.show(node.origin, heard.since))
    node.since = answered.since
    return heard, answered


@pytest.fixture
def parties(databases):
    hub, node = Party(databases, "hub"), Party(databases, "Avon.node", recovers=True)
    yield node, hub
    node.store.close()
    hub.store.close()


# ---- jot


def test_a_jot_is_committed_and_makes_no_entry(parties):
    _, hub = parties
    hub.grow()
    note = hub.store.checkpoint()
    values = {"origin": "x", "size": 0, "root": b"", "note": "", "cosignature": "", "time": 0, "refused": ""}
    adding = insert(TABLES.memory).values(values)
    assert hub.store.jot(lambda connection: ((), connection.execute(adding).is_insert))
    assert hub.memory()["x"]["size"] == 0
    assert hub.store.checkpoint() == note and hub.store.verify().ok


@pytest.mark.parametrize("table", [THING, LOG.entry, LOG.checkpoint])
def test_a_jot_writes_nothing_but_memory(parties, table):
    _, hub = parties
    row = {
        column.name: b"" if column.name == "data" else "1" if column.name in ("name", "note") else 1
        for column in table.c
    }
    with pytest.raises((DatabaseError, AuditError)):
        hub.store.jot(lambda connection: ((), connection.execute(insert(table).values(row)))[:1])
    assert hub.store.read(lambda connection: connection.execute(select(table.c).limit(1)).first()) is None or (
        table is LOG.checkpoint or table is LOG.entry
    )
    hub.grow()  # what was denied on the audit tables is reported, and nothing else is lost
    assert ("audit.tamper_attempt" in hub.kinds()) == (table is not THING)
    assert hub.store.verify().ok


def test_a_jot_that_fails_is_undone_and_one_with_an_entry_keeps_both(parties):
    _, hub = parties
    values = {"origin": "x", "size": 0, "root": b"", "note": "", "cosignature": "", "time": 0, "refused": ""}

    def failing(connection):
        connection.execute(insert(TABLES.memory).values(values))
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        hub.store.jot(failing)
    assert hub.memory() == {} and hub.kinds() == []
    hub.store.jot(
        lambda connection: ([Entry("witness.refused", "hub")], connection.execute(insert(TABLES.memory), values))
    )
    assert list(hub.memory()) == ["x"] and hub.kinds() == ["witness.refused"]


# ---- two honest parties


def test_honest_logs_are_cosigned_by_each_other_and_do_not_grow_by_it(parties):
    node, hub = parties
    for number in (1, 7, 64, 100):
        node.grow(number)
        hub.grow(3)
        before = node.size(), hub.size()
        for _ in range(3):
            heard, answered = exchange(node, hub)
            assert not heard.refused and not answered.refused and not heard.behind and not answered.behind
        assert (node.size(), hub.size()) == before
        [row] = hub.witnessing.facts()["witnessed_by"]
        assert (row["witness"], row["size"], row["refused"], row["behind"]) == ("Avon.node", hub.size(), "", False)
        assert cosigned(row["note"], "Avon.node", KEYS["Avon.node"].public) == row["time"]
        assert read(row["note"], "hub", KEYS["hub"].public).size == hub.size()
        assert hub.memory()["Avon.node"]["size"] == node.size()
        [row] = node.witnessing.facts()["witnessed_by"]
        assert row["size"] == node.size()


def test_nothing_is_written_or_proven_when_nothing_changed(parties, as_stranger):
    node, hub = parties
    node.grow(5)
    exchange(node, hub), exchange(node, hub)
    # What another program sees change with each commit that changed something.
    question = {"sqlite": "PRAGMA data_version", "postgresql": "SELECT pg_snapshot_xmax(pg_current_snapshot())"}
    with as_stranger(hub.database) as stranger:
        question = question[stranger.dialect.name]
        before = stranger.exec_driver_sql(question).scalar()
        for _ in range(3):
            exchange(node, hub)
            assert node.witnessing.show("hub", node.since).proof == []
        assert stranger.exec_driver_sql(question).scalar() == before


def test_an_answer_that_was_lost_is_made_good_by_the_next_one(parties):
    node, hub = parties
    node.grow(5)
    exchange(node, hub)
    node.grow(4)
    hub.witnessing.hear(node.peer, node.witnessing.show("hub", node.since))  # its answer is lost
    node.grow(2)
    heard, answered = exchange(node, hub)
    assert heard.refused == "old size" and heard.fresh and answered.since == 9 and not answered.refused
    heard, _ = exchange(node, hub)
    assert not heard.refused and hub.memory()["Avon.node"]["size"] == 11
    assert hub.kinds() == [] and hub.witnessing.suspended() == set()


def test_late_and_repeated_messages_raise_no_alarm(parties):
    node, hub = parties
    late = []
    for _ in range(4):
        node.grow(3)
        late.append(node.witnessing.show("hub", node.since))
        exchange(node, hub)
    for shown in reversed(late * 2):
        assert hub.witnessing.hear(node.peer, shown).refused in ("old size", "")
    assert hub.memory()["Avon.node"]["size"] == 12 and hub.witnessing.suspended() == set() and hub.kinds() == []


def test_a_restarted_party_goes_on_where_it_was(parties):
    node, hub = parties
    node.grow(5), hub.grow(2)
    exchange(node, hub), exchange(node, hub)
    for party in parties:
        party.store.close()
        party.open()
    node.grow(), hub.grow()
    for _ in range(2):
        heard, answered = exchange(node, hub)
        assert not heard.refused and not answered.refused
    assert hub.memory()["Avon.node"]["size"] == 6 and node.memory()["hub"]["size"] == 3


def test_an_older_peer_that_shows_nothing_is_not_judged_until_it_once_showed_something(parties):
    node, hub = parties
    assert hub.witnessing.hear(node.peer, None).refused == ""
    exchange(node, hub)
    assert hub.witnessing.hear(node.peer, None).refused == NOTHING_SHOWN
    assert hub.witnessing.suspended() == set()


# ---- the race of tlog-witness: check and persist are one step


def test_many_threads_cannot_roll_a_memory_back(parties):
    """Requests for different sizes at once: each state that was accepted stays; the last memory is the largest."""
    _, hub = parties
    key, sizes = KEYS["Avon.node"], list(range(1, 160, 3))
    hashes, notes = Hashes(), {0: ""}
    for size in range(1, 161):
        tree.append(hashes, size - 1, tree.leaf_hash(str(size).encode()))
        notes[size] = sign(Checkpoint("Avon.node", size, tree.root(hashes, size)), key)
    accepted, wrong = [], []
    start = threading.Barrier(8)

    def present(number):
        start.wait()
        for size in sizes[number % 3 :: 2] * 2:
            remembered = hub.memory().get("Avon.node", {"size": 0})["size"]
            if remembered > size:  # it would be a rollback
                continue
            proof = [value.hex() for value in consistency(hashes, remembered, size)]
            shown = Shown(checkpoint=notes[size], old=remembered, proof=proof, remembers=None, refused=None)
            heard = hub.witnessing.hear(Peer("Avon.node", key.public), shown)
            if not heard.refused:
                accepted.append(size)
                if hub.memory()["Avon.node"]["size"] < size:
                    wrong.append(size)

    threads = [threading.Thread(target=present, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert hub.memory()["Avon.node"]["size"] == max(accepted)
    assert len(set(accepted)) > 3 and not hub.witnessing.suspended()


class Hashes(dict):
    def get(self, level, index):
        return self[level, index]

    def put(self, level, index, value):
        self[level, index] = value


# ---- alarms


def behind_by_a_backup(node, hub):
    """The node is restored from a backup that is older than what the hub has witnessed."""
    node.grow(5), hub.grow(5)
    exchange(node, hub), exchange(node, hub)
    backup = node.backed_up()
    node.grow(4)
    exchange(node, hub), exchange(node, hub)
    node.restore(backup)


def test_a_restored_node_learns_it_and_the_hub_suspects_it(parties):
    node, hub = parties
    behind_by_a_backup(node, hub)
    heard, answered = exchange(node, hub)
    assert heard.refused == "old size" and answered.behind and answered.since == 9
    heard, answered = exchange(node, hub)
    assert (heard.refused, heard.fresh, answered.behind) == ("rollback", True, True)
    for _ in range(3):
        heard, _ = exchange(node, hub)
        assert (heard.refused, heard.fresh) == ("rollback", False)
    assert hub.kinds().count("witness.refused") == 1 and node.kinds().count("witness.behind") == 1
    assert hub.witnessing.suspended() == {"Avon.node"} and node.witnessing.suspended() == {"hub"}
    [evidence, *more] = hub.witnessing.evidence("Avon.node")
    assert read(evidence["note"], "Avon.node", KEYS["Avon.node"].public).size <= 6
    assert read(evidence["remembered"], "Avon.node", KEYS["Avon.node"].public).size == 9
    assert cosigned(evidence["remembered"], "hub", KEYS["hub"].public) is not None
    assert len(more) <= 1  # its own entry about being behind made its log grow once


def test_two_that_suspect_each_other_do_not_grow_each_others_logs(parties):
    """Each one's refusal is an entry, so that its log grows, is shown, and is refused again."""
    node, hub = parties
    node.grow(9), hub.grow(9)
    exchange(node, hub), exchange(node, hub)
    for liar, other in (parties, parties[::-1]):
        lie = sign(Checkpoint(liar.origin, 9, bytes(32)), KEYS[liar.origin])
        shown = liar.witnessing.show(other.origin).model_copy(update={"checkpoint": lie})
        assert other.witnessing.hear(liar.peer, shown).refused == "fork"
    sizes = node.size(), hub.size()
    for _ in range(6):
        heard, answered = exchange(node, hub)
        assert heard.refused == answered.refused == "fork"
    assert (node.size(), hub.size()) == sizes == (10, 10)


def test_a_suspected_log_is_trusted_again_by_a_person_and_the_evidence_stays(parties):
    node, hub = parties
    with pytest.raises(ConfigurationError, match="not under suspicion"):
        hub.witnessing.accept(node.peer, "why", "administrator")
    behind_by_a_backup(node, hub)
    exchange(node, hub), exchange(node, hub)
    before = hub.witnessing.evidence("Avon.node")
    node.grow(20)  # grown beyond what is remembered, it is still another history
    assert exchange(node, hub)[0].refused == "rollback"
    done = hub.witnessing.accept(node.peer, "restored on Monday", "administrator")
    assert done["was"] == "rollback" and done["remembered"] == 9 and done["now"] == node.size()
    for _ in range(2):
        heard, answered = exchange(node, hub)
    assert not heard.refused and answered.behind, "the hub forgave, the node has not recovered"
    node.store.write(Entry("node.recovered", "custodian"), lambda c: node.witnessing.recovered(c, "hub"))
    for _ in range(2):
        heard, answered = exchange(node, hub)
    assert not heard.refused and not answered.behind and not node.witnessing.suspended()
    assert hub.kinds()[-1] == "witness.accepted"
    assert {row["digest"] for row in before} <= {row["digest"] for row in hub.witnessing.evidence("Avon.node")}


def test_a_hub_that_was_behind_is_forgiven_with_its_peers_acceptance(parties):
    node, hub = parties
    node.grow(3), hub.grow(3)
    exchange(node, hub), exchange(node, hub)
    backup = hub.backed_up()
    hub.grow(5)
    exchange(node, hub), exchange(node, hub)
    hub.restore(backup)
    heard, answered = exchange(node, hub)
    assert heard.behind and answered.refused == "rollback" and answered.fresh
    exchange(node, hub)
    assert node.kinds().count("witness.refused") == 1 and hub.kinds().count("witness.behind") == 1
    node.witnessing.accept(hub.peer, "restored", "custodian")
    for _ in range(3):
        heard, answered = exchange(node, hub)
    assert not heard.refused and not answered.refused and not heard.behind
    assert hub.witnessing.facts()["witnessed_by"][0]["behind"] is False
    assert not hub.witnessing.suspended() and not node.witnessing.suspended()


def test_a_fork_shown_once_is_not_forgotten_when_the_true_log_comes_back(parties):
    """A log that tells different parties different things may tell this one the truth again."""
    node, hub = parties
    node.grow(5)
    exchange(node, hub), exchange(node, hub)
    true = node.witnessing.show("hub", node.since)
    lie = sign(Checkpoint("Avon.node", 5, bytes(32)), KEYS["Avon.node"])
    assert hub.witnessing.hear(node.peer, true.model_copy(update={"checkpoint": lie})).refused == "fork"
    assert hub.witnessing.hear(node.peer, true).refused == "fork"
    assert hub.witnessing.suspended() == {"Avon.node"}


def test_a_strangers_checkpoint_is_refused_and_leaves_nothing(parties):
    node, hub = parties
    node.grow(5)
    exchange(node, hub), exchange(node, hub)
    before = hub.memory(), hub.kinds()
    shown = node.witnessing.show("hub", node.since)
    for note in (
        sign(Checkpoint("Avon.node", 9, bytes(32)), PrivateKey.generate()),
        sign(Checkpoint("hub", 9, bytes(32)), KEYS["hub"]),
        "words",
    ):
        refused = hub.witnessing.hear(node.peer, shown.model_copy(update={"checkpoint": note})).refused
        assert refused in ("signature", "unknown log")
    assert (hub.memory(), hub.kinds()) == before and hub.witnessing.evidence("Avon.node") == []


def test_a_claim_about_our_log_that_we_did_not_sign_proves_nothing(parties):
    node, hub = parties
    node.grow(5)
    exchange(node, hub), exchange(node, hub)
    lie = sign(Checkpoint("Avon.node", 50, bytes(32)), KEYS["hub"])
    shown = hub.witnessing.show("Avon.node", 5).model_copy(update={"remembers": lie})
    heard = node.witnessing.hear(hub.peer, shown)
    assert not heard.behind and heard.since == 5 and "witness.behind" not in node.kinds()


def test_a_receipts_checkpoint_of_the_same_size_must_be_the_same(parties):
    node, hub = parties
    hub.grow(5)
    exchange(node, hub)
    node.witnessing.compare(hub.peer, hub.store.checkpoint())
    for size in (4, 6):
        node.witnessing.compare(hub.peer, sign(Checkpoint("hub", size, bytes(32)), KEYS["hub"]))
    with pytest.raises(Refused):
        node.witnessing.compare(hub.peer, sign(Checkpoint("hub", 5, bytes(32)), KEYS["hub"]))
    assert node.witnessing.distrusts("hub") == "fork" and node.kinds() == ["witness.refused"]
    assert exchange(node, hub)[1].refused == "fork"


def test_evidence_is_bounded(parties):
    node, hub = parties
    node.grow(5)
    exchange(node, hub), exchange(node, hub)
    shown = node.witnessing.show("hub", node.since)
    for number in range(EVIDENCE_MAX + 10):
        lie = sign(Checkpoint("Avon.node", 5, number.to_bytes(32, "big")), KEYS["Avon.node"])
        assert hub.witnessing.hear(node.peer, shown.model_copy(update={"checkpoint": lie})).refused == "fork"
    assert len(hub.witnessing.evidence("Avon.node")) == EVIDENCE_MAX
    assert hub.kinds() == ["witness.refused"]


def test_proofs_between_all_sizes_verify(parties):
    """Also where the hashes were read before: what is kept in memory is what the store holds."""
    node, _ = parties
    sizes = [0, 1, 2, 3, 7, 8, 9, 31, 32, 33, 64, 65]
    roots = {}
    for old, new in pairwise([0, *sizes]):
        if new > old:
            node.grow(new - old)
        roots[new] = read(node.store.checkpoint(), node.origin, node.peer.key).root
        for size in (size for size in sizes if size <= new):
            shown = node.witnessing.show("hub", size)
            assert verify_consistency(size, roots[size], new, roots[new], [bytes.fromhex(one) for one in shown.proof])
