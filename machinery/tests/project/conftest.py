"""The machinery of this tree as a wheel; the fake of GitHub's API is the one that the workflows are tried against."""

import sys
from pathlib import Path

import pytest

from mlops.project import new
from mlops.project.wheel import Wheel

sys.path.append(str(Path(__file__).parents[1] / "workflows"))


@pytest.fixture(scope="session")
def first() -> Wheel:
    """The machinery as this tree has it."""
    return new.own_wheel()
