"""Federations of small frames; `small_frames` is a module of these tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from small_frames import federation, still_works


@pytest.fixture(scope="module")
def one_federation():
    with federation() as one:
        yield one
        still_works(one)


@pytest.fixture
def sound(one_federation):
    """Three sound sites; afterwards the next study must run, and nothing of a patient have been said."""
    yield one_federation
    still_works(one_federation)
