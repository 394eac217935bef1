import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # `evaluated` is a module of these tests
