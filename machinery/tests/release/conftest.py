"""The fake of GitHub's API is the one that the workflows are tried against."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "workflows"))
