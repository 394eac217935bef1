"""Faults made to happen: the modules beside this file, and the real processes of the system tests."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "system")]
