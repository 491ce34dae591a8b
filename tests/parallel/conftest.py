"""Finds the helpers of the engine's tests: drawn days, and who watches over them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
