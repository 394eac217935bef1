"""The full verification names what is wrong and where; a sound log has no problems."""

from __future__ import annotations

import pytest

from sojourn.audit.checkpoint import Checkpoint, sign
from sojourn.audit.entry import Entry
from sojourn.audit.tree import leaf_hash, root
from sojourn.audit.verification import PROBLEMS_MAX, Problem, verify_log
from sojourn.identity.keys import PrivateKey

ORIGIN = "sojourn.example/hub"
KEY = PrivateKey.generate()
SIZE = 50


class Log:
    """Everything that a verification reads, open to tampering."""

    def __init__(self, grown, size=SIZE):
        self.entries = [Entry("study.submitted", "hub").encode(n, "2026-01-01T00:00:00Z") for n in range(size)]
        self.hashes = grown(self.entries)
        self.notes = [self.signed(at) for at in range(0, size + 1, 10)]

    def signed(self, size):
        return sign(Checkpoint(ORIGIN, size, root(self.hashes, size)), KEY)

    def verify(self):
        parts = (self.entries, self.hashes, self.notes, ORIGIN, KEY.public)
        report = verify_log(*parts)
        assert all(verify_log(*parts, block=block) == report for block in (1, 2, 8)), "whatever is gone through at once"
        return report

    def problems(self):
        report = self.verify()
        assert not report.ok
        assert report.found >= len(report.problems)
        return report.problems


@pytest.fixture
def log(grown):
    return Log(grown)


def test_a_sound_log(log):
    report = log.verify()
    assert report.ok
    assert (report.entries, report.checkpoints, report.problems, report.found) == (50, 6, (), 0)


def test_a_new_log_has_one_checkpoint_and_nothing_else(grown):
    assert Log(grown, size=0).verify().ok


def test_an_edited_entry_is_named(log):
    log.entries[7] = log.entries[7].replace(b"hub", b"me!")
    assert Problem(7, "the entry's stored hash is not what the entries give") in log.problems()
    assert Problem(None, "the entries do not give the root that was signed at size 10") in log.problems()


def test_an_entry_edited_with_its_hash_is_found_one_level_up(log):
    log.entries[7] = log.entries[7].replace(b"hub", b"me!")
    log.hashes.held[0, 7] = leaf_hash(log.entries[7])
    assert log.problems()[0] == Problem(6, "the stored hash of level 1 is not what the entries give")


def test_a_missing_stored_hash_is_found(log):
    del log.hashes.held[2, 3]
    assert log.problems() == (Problem(12, "the stored hash of level 2 is not what the entries give"),)


def test_a_gap_is_named_once(log):
    del log.entries[20]
    problems = log.problems()
    assert problems[0] == Problem(20, "entries are missing or out of order: number 21 stands where 20 is due")
    assert [problem.what for problem in problems[1:]] == [
        "the log holds 49 entries, its latest checkpoint signs 50",
        "3 checkpoints cannot be confirmed, as the order breaks at entry 20",
    ]


def test_swapped_entries_are_out_of_order(log):
    log.entries[20], log.entries[30] = log.entries[30], log.entries[20]
    assert [problem.position for problem in log.problems() if "out of order" in problem.what] == [20, 21, 30, 31]


def test_a_cut_tail_and_an_uncovered_tail(log, grown):
    log.entries.pop()
    assert log.problems() == (Problem(49, "the log holds 49 entries, its latest checkpoint signs 50"),)
    longer = Log(grown, size=SIZE)
    longer.notes.pop()
    assert longer.problems() == (Problem(40, "10 entries at the end are in no checkpoint"),)


def test_an_unreadable_entry_does_not_stop_the_rest(log):
    log.entries[7] = b"\x00"
    whats = [problem.what for problem in log.problems()]
    assert "the entry cannot be read" in whats
    assert not any("out of order" in what for what in whats)


def test_checkpoints_of_another_key_and_none_at_all(log):
    log.notes[2] = sign(Checkpoint(ORIGIN, 20, root(log.hashes, 20)), PrivateKey.generate())
    assert log.problems() == (Problem(None, "checkpoint 3: The checkpoint is not signed by the expected key."),)
    log.notes = []
    assert log.problems() == (Problem(None, "there is no valid checkpoint"),)


def test_a_signed_root_that_is_not_the_logs(log):
    log.notes[0] = sign(Checkpoint(ORIGIN, 0, bytes(32)), KEY)
    assert log.problems() == (Problem(None, "the entries do not give the root that was signed at size 0"),)


def test_the_report_stays_short(grown):
    log = Log(grown, size=300)
    log.entries = [data.replace(b"hub", b"me!") for data in log.entries]
    report = log.verify()
    assert len(report.problems) == PROBLEMS_MAX
    assert report.found > 500
