"""Spark scores as the Arrow engine does: the same files, byte by byte, on this machine and on a cluster, whatever is killed."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from command import mlops

from mlops.config import Project
from test_batch import contents, flowers, split

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(shutil.which("java") is None, reason="needs Java"),
]
pytest.importorskip("pyspark")


def score(source: Path, output: Path, *options: object) -> dict:
    """Score in parts of 200 rows; the manifest."""
    done = mlops("score", "iris", source, output, "--part-rows", 200, "--json", *options)
    assert done.code == 0, done.err
    assert "WARN" not in done.err and done.err.count("\n") == 1
    return done.value


def test_spark_writes_the_files_of_the_arrow_engine(registered: Project, tmp_path: Path) -> None:
    source = split(tmp_path / "many", flowers(4_000))
    manifest = score(source, tmp_path / "arrow")
    assert score(source, tmp_path / "spark", "--engine", "spark", "--master", "local[2]") == manifest
    assert contents(tmp_path / "spark") == contents(tmp_path / "arrow")
