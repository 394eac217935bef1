"""Real faults on real processes; these modules and `federation_processes` are shared by the tests here."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "system")]
