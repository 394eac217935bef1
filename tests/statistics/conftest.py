import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # `federated` is a module of these tests
