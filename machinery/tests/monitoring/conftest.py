"""The prediction log of a project whose iris 1.0.0 is registered, and a fake of GitHub's API."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import traffic

from mlops import tracking
from mlops.config import Project
from mlops.training import candidate as candidates

sys.path.append(str(Path(__file__).parents[1] / "workflows"))
INPUTS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


@pytest.fixture
def flowers(registered: Project) -> pd.DataFrame:
    """All flowers there are, with number, lengths and species: what the model was trained on, and its holdout."""
    return pd.read_csv(registered.data / "raw/iris/iris.csv")


@pytest.fixture
def answer(registered: Project, tmp_path: Path) -> Callable[..., Path]:
    """Let the model answer rows and log them: `answer(rows, version=…, days=…)` returns the log's folder."""
    model = tracking.load_model(candidates.newest(registered, "iris").path / "model")

    def log(rows: pd.DataFrame, **more: Any) -> Path:
        return traffic.write_log(tmp_path / "log", "iris", rows[INPUTS], model.predict(rows[INPUTS]), **more)

    return log


@pytest.fixture
def github() -> Iterator[Any]:
    """The API of a fresh repository."""
    from fake_github import serve

    with serve() as fake:
        yield fake
