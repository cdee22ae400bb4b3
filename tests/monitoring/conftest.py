"""A project whose iris 1.0.0 is registered, trained once and copied; its prediction log; and a fake of GitHub's API."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import traffic
from mlops import pipeline, tracking
from mlops.config import Project
from mlops.training import candidate as candidates
from mlops.use_case import load_use_case

sys.path.append(str(Path(__file__).parents[1] / "workflows"))
INPUTS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the project is kept for the next test."""
    return tmp_path_factory.mktemp("watched") / "project"


@pytest.fixture
def watched(project: Project, kept: Path) -> Project:
    """A project on branch main whose iris 1.0.0 is the champion."""
    if kept.is_dir():
        shutil.rmtree(project.root)
    else:
        pipeline.run(project, load_use_case(project, "iris"))
        shutil.copytree(project.root, kept.with_name("half"))
        kept.with_name("half").rename(kept)
        return project
    shutil.copytree(kept, project.root)
    return project


@pytest.fixture
def flowers(watched: Project) -> pd.DataFrame:
    """All flowers there are, with number, lengths and species: what the model was trained on, and its holdout."""
    return pd.read_csv(watched.data / "raw/iris/iris.csv")


@pytest.fixture
def answer(watched: Project, tmp_path: Path) -> Callable[..., Path]:
    """Let the model answer rows and log them: `answer(rows, version=…, days=…)` returns the log's folder."""
    model = tracking.load_model(candidates.newest(watched, "iris").path / "model")

    def log(rows: pd.DataFrame, **more: Any) -> Path:
        return traffic.write_log(tmp_path / "log", "iris", rows[INPUTS], model.predict(rows[INPUTS]), **more)

    return log


@pytest.fixture
def github() -> Iterator[Any]:
    """The API of a fresh repository."""
    from fake_github import serve

    with serve() as fake:
        yield fake
