"""A witness's rule after C2SP tlog-witness, and its word by C2SP tlog-cosignature."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.audit import tree
from sojourn.audit.checkpoint import Checkpoint, read, sign
from sojourn.audit.proof import consistency
from sojourn.audit.witness import Memory, Reason, Refused, cosign, cosigned, judge, verified, verifier_key
from sojourn.errors import AuditError
from sojourn.identity.keys import PrivateKey, PublicKey

LOG = "Cleveland.node"
WITNESS = "heart.example.org"
LOG_KEY, WITNESS_KEY, OTHER = PrivateKey.generate(), PrivateKey.generate(), PrivateKey.generate()
MOST = 40


class Grown(dict):
    """A tree of `MOST` leaves, of which those from `fork` on are another history's."""

    def __init__(self, fork: int = MOST) -> None:
        super().__init__()
        size = 0
        for number in range(MOST):
            leaf = tree.leaf_hash(f"{'other' if number >= fork else 'entry'} {number}".encode())
            size = tree.append(self, size, leaf)

    def get(self, level, index):
        return self[level, index]

    def put(self, level, index, value):
        self[level, index] = value

    def at(self, size: int) -> Checkpoint:
        return Checkpoint(LOG, size, tree.root(self, size))


HONEST = Grown()
NOTE = sign(HONEST.at(30), LOG_KEY)
HISTORIES = [HONEST, *(Grown(fork) for fork in (0, 7, 16, 25))]


def shown(memory: Memory, history: Grown, size: int, old: int) -> Memory:
    """What the owner of this history would show: its best proof."""
    proof = consistency(history, old, size) if old <= size else ()
    return judge(memory, history.at(size), old, proof)


def remembers(size: int) -> Memory:
    return Memory(LOG, size, HONEST.at(size).root)


# ---- the rule


@given(
    st.lists(
        st.tuples(st.sampled_from(range(len(HISTORIES))), st.integers(0, MOST), st.integers(0, MOST) | st.none()),
        max_size=30,
    )
)
def test_a_memory_only_ever_moves_along_one_history(steps):
    """Whatever histories, sizes and old sizes are shown, in any order: accepted states are prefixes of each other."""
    memory, accepted = Memory(LOG), [Memory(LOG)]
    for which, size, old in steps:
        history, believed = HISTORIES[which], memory.size if old is None else old
        holds = memory.root == history.at(memory.size).root  # this history begins with all that is remembered
        if holds and believed == memory.size <= size:
            memory = shown(memory, history, size, believed)
            assert memory == Memory(LOG, size, history.at(size).root)
            accepted.append(memory)
            continue
        with pytest.raises(Refused) as caught:
            shown(memory, history, size, believed)
        assert caught.value.size == memory.size
    for earlier in accepted:
        assert any(
            earlier.root == history.at(earlier.size).root and memory.root == history.at(memory.size).root
            for history in HISTORIES
        )


@pytest.mark.parametrize(
    ("history", "size", "old", "reason"),
    [
        (HONEST, 30, 10, Reason.OLD_SIZE),
        (HONEST, 30, 25, Reason.OLD_SIZE),
        (HONEST, 10, 10, Reason.OLD_SIZE),  # a late message: no alarm until its owner knows what is remembered
        (HONEST, 10, 20, Reason.ROLLBACK),
        (HONEST, 0, 20, Reason.ROLLBACK),
        (HISTORIES[2], 20, 20, Reason.FORK),
        (HISTORIES[2], 20, 3, Reason.FORK),  # two states of one size accuse by themselves
        (HISTORIES[2], 30, 20, Reason.PROOF),
        (HISTORIES[1], 21, 20, Reason.PROOF),
    ],
)
def test_a_refusal_says_why_and_what_is_remembered(history, size, old, reason):
    with pytest.raises(Refused) as caught:
        shown(remembers(20), history, size, old)
    assert (caught.value.reason, caught.value.size) == (reason, 20)
    assert caught.value.checkpoint == history.at(size)
    assert reason.alarm == (reason in (Reason.ROLLBACK, Reason.FORK, Reason.PROOF))


def test_a_damaged_proof_and_a_proof_too_many_are_refused():
    proof = consistency(HONEST, 20, 30)
    for wrong in (proof[:-1], (*proof, bytes(32)), (bytes(32), *proof[1:]), ()):
        with pytest.raises(Refused) as caught:
            judge(remembers(20), HONEST.at(30), 20, wrong)
        assert caught.value.reason is Reason.PROOF
    assert judge(remembers(20), HONEST.at(30), 20, proof) == remembers(30)


def test_the_first_state_needs_no_proof_and_the_same_state_none_either():
    assert judge(Memory(LOG), HONEST.at(30), 0, ()) == remembers(30)
    assert judge(remembers(30), HONEST.at(30), 30, ()) == remembers(30)
    with pytest.raises(Refused):
        judge(Memory(LOG), HONEST.at(30), 0, (bytes(32),))


def test_an_unknown_log_and_a_strangers_signature():
    with pytest.raises(Refused) as caught:
        verified({"Hungary.node": LOG_KEY.public}, NOTE)
    assert caught.value.reason is Reason.LOG and caught.value.checkpoint is None
    for note in (sign(HONEST.at(30), OTHER), NOTE.replace("\n30\n", "\n31\n"), NOTE[:-9], LOG):
        with pytest.raises(Refused) as caught:
            verified({LOG: LOG_KEY.public}, note)
        assert caught.value.reason is Reason.SIGNATURE and not caught.value.reason.alarm
    assert verified({LOG: LOG_KEY.public}, NOTE) == HONEST.at(30)
    with pytest.raises(Refused):
        judge(Memory("Hungary.node"), HONEST.at(30), 0, ())


# ---- cosignatures


def by_hand(note: str, time: int, key: PrivateKey = WITNESS_KEY, name: str = WITNESS) -> str:
    """A cosignature line, made here from the specification alone."""
    body = note.split("\n\n")[0] + "\n"
    key_id = hashlib.sha256(name.encode() + b"\n\x04" + key.public.raw).digest()[:4]
    signature = key.sign(f"cosignature/v1\ntime {time}\n{body}".encode())
    return f"— {name} {base64.b64encode(key_id + time.to_bytes(8, 'big') + signature).decode()}\n"


@given(st.integers(0, 2**63 - 1))
def test_a_cosignature_is_what_the_specification_says(time):
    line = cosign(NOTE, WITNESS, WITNESS_KEY, time)
    assert line == by_hand(NOTE, time)
    assert cosigned(NOTE + line, WITNESS, WITNESS_KEY.public) == time
    assert read(NOTE + line, LOG, LOG_KEY.public) == HONEST.at(30)


def test_extension_lines_are_signed_too():
    body = f"{HONEST.at(30).text()}more\n"
    blob = hashlib.sha256(LOG.encode() + b"\n\x01" + LOG_KEY.public.raw).digest()[:4] + LOG_KEY.sign(body.encode())
    note = f"{body}\n— {LOG} {base64.b64encode(blob).decode()}\n"
    assert cosign(note, WITNESS, WITNESS_KEY, 7) == by_hand(note, 7)


def test_key_ids_and_times_of_the_go_implementation():
    """A cosigner's key, and a cosignature's time, from the tests of transparency-dev/formats."""
    encoded = base64.b64decode("BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2")
    vkey = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
    assert verifier_key("remora.n621.de", PublicKey(encoded[1:])) == vkey
    signature = (
        "ZGhGuQAAAABm/qTPeyKXD+R2rzyQsxPiP8mXum7qq/iF0u4vanlqJyocWODBt97w9uL+8qT7S5gxEHWWOworDcFiEBYJXORmnFBOBA=="
    )
    assert int.from_bytes(base64.b64decode(signature)[4:12], "big") == 1727964367


def test_the_published_example_of_a_cosigned_checkpoint():
    """Its keys are not published: its lines can be read, and are by keys that we do not know."""
    example = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa "
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
        "— witness.example.com/w1 "
        "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
    )
    assert cosigned(example, "witness.example.com/w1", WITNESS_KEY.public) is None


def test_a_cosignature_of_another_time_note_or_form_condemns_the_note():
    line = cosign(NOTE, WITNESS, WITNESS_KEY, 1000)
    raw = base64.b64decode(line.split(" ")[-1])
    for blob in (raw[:4] + (1001).to_bytes(8, "big") + raw[12:], raw[:-1], raw + b"\0", raw[:4] + b"\xff" + raw[5:]):
        with pytest.raises(AuditError, match="does not verify"):
            cosigned(f"{NOTE}— {WITNESS} {base64.b64encode(blob).decode()}\n", WITNESS, WITNESS_KEY.public)
    with pytest.raises(AuditError, match="does not verify"):
        cosigned(sign(HONEST.at(31), LOG_KEY) + line, WITNESS, WITNESS_KEY.public)
    with pytest.raises(AuditError, match="time"):
        cosign(NOTE, WITNESS, WITNESS_KEY, -1)


def test_lines_of_other_witnesses_are_ignored_and_the_latest_time_counts():
    note = NOTE + cosign(NOTE, "other", OTHER, 9) + cosign(NOTE, WITNESS, WITNESS_KEY, 5)
    assert cosigned(note, WITNESS, WITNESS_KEY.public) == 5
    assert cosigned(note + cosign(NOTE, WITNESS, WITNESS_KEY, 8), WITNESS, WITNESS_KEY.public) == 8
    assert cosigned(NOTE, WITNESS, WITNESS_KEY.public) is None
    assert cosigned(note, "other", WITNESS_KEY.public) is None


def test_a_checkpoints_signature_is_no_cosignature_and_the_other_way_round():
    """One key serves both; the algorithm byte and the signed bytes keep them apart."""
    with pytest.raises(AuditError):
        read(HONEST.at(30).text() + "\n" + cosign(NOTE, LOG, LOG_KEY, 5), LOG, LOG_KEY.public)
    assert cosigned(NOTE, LOG, LOG_KEY.public) is None
