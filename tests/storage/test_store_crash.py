"""A writing program is killed; what it acknowledged is there, with its entries, and the log verifies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "toy_program.py"
KILLS = 4


def killed_after(database: Path, keyfile: Path, acknowledgements: int) -> list[int]:
    """The numbers that the program acknowledged before it was killed."""
    command = [sys.executable, str(PROGRAM), str(database), str(keyfile)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        seen = [int(program.stdout.readline()) for _ in range(acknowledgements)]
        program.kill()
        seen += [int(line) for line in program.stdout if line.endswith("\n")]
    return seen


def test_no_acknowledged_write_is_lost(database, toy, key, tmp_path):
    keyfile = tmp_path / "log.key"
    key.save(keyfile)
    acknowledged: list[int] = []
    for kill in range(KILLS):
        acknowledged += killed_after(database, keyfile, 15 + 10 * kill)
        with toy.open_store(database, key) as store:
            assert {f"thing {number}" for number in acknowledged} <= store.read(toy.names)
            things, entries = store.read(toy.counts)
            assert things == entries
            assert store.verify().ok
    assert len(acknowledged) >= 15 * KILLS
