"""A node's backup holds the tables, the history of them and the key that their numbers follow from."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harmonise.clinic import Clinic, vocabulary
from sojourn.node import program
from sojourn.node.harmonise.reading import opened


@pytest.mark.long
@pytest.mark.parametrize("data", [True, False])
def test_tables_key_and_history_come_back(tmp_path: Path, data: bool) -> None:
    clinic = Clinic(tmp_path, vocabulary(tmp_path))
    program.create(clinic.home, "Hill", "none")
    program.ask(clinic.home, "harmonised", word="pilot.signed", facts={"source": "clinic"})  # the store is there
    clinic.write()
    clinic.made()
    back = tmp_path / "back"
    words = ["node", "backup", str(tmp_path / "file"), "--plain", "--home", str(clinic.home)]
    for command in (
        [*words, *([] if data else ["--without-data"])],
        ["node", "restore", str(tmp_path / "file"), "--home", str(back)],
    ):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-m", "sojourn", *command], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
    key = Path("harmonised") / "pseudonym.key"
    assert (back / key).read_bytes() == (clinic.home / key).read_bytes()
    assert bool(list(back.glob("harmonised/*/snapshots/*/*/*.parquet"))) == data
    if data:
        with opened(replace(clinic.places, home=back)) as connection:
            assert connection.execute("SELECT count(*) FROM person").fetchone() == (3,)
