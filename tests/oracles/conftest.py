import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "statistics")]  # `oracle`, and `federated` of the statistics' tests
