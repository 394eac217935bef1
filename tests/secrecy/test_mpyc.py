"""MPyC as the judge: the same numbers give the same bits, by comparisons among three real processes of its own."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluated_shares import protocol
from sojourn.secrecy.joint import Form, JointTest

pytestmark = pytest.mark.oracle
PARTIES, T = ("a", "b", "c"), 10
PROGRAM = Path(__file__).with_name("mpyc_thresholds.py")


def free_port() -> int:
    """The first of three ports in a row that nobody uses."""
    while True:
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
        try:
            for number in range(port, port + len(PARTIES)):
                with socket.socket() as other:
                    other.bind(("127.0.0.1", number))
        except OSError:
            continue
        return int(port)


def compared(numbers: np.ndarray, folder: Path) -> list[bool]:
    """MPyC's bits."""
    case = folder / "numbers.json"
    case.write_text(json.dumps({"threshold": T, "numbers": numbers.tolist()}))
    command = [sys.executable, str(PROGRAM), str(case), f"-M{len(PARTIES)}", "-B", str(free_port()), "--no-log"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)["bits"]


def test_the_bits_are_those_of_mpyc(tmp_path):
    edges = [[T - 1, 0, 0], [T, 0, 0], [T, T, 0], [T, T - 1, 0], [T, T - 1, 1], [0, 0, 0], [1000, 4, 5], [1000, 4, 6]]
    drawn = np.random.default_rng(4).integers(0, T, (24, 3))
    numbers = np.concatenate([np.array(edges), drawn]).T
    cells = numbers.shape[1]
    forms = [tuple(Form(((c, 1),), ((k, c, -1),), 0, T - 1) for k in range(3)) for c in range(cells)]
    test = JointTest(PARTIES, PARTIES, cells, tuple(((form,),) for form in forms))
    bits = protocol(test, numbers).tolist()
    assert bits == compared(numbers, tmp_path)
    assert 5 < sum(bits) < cells - 5
