"""`simulation` is a package of these tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
