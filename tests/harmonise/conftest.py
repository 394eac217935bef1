"""`namespaces` is a module of the tests of real faults."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "faults"))
