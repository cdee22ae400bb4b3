"""Files of any size are scored in parts: the answers of the whole file, none twice and none lost, whatever happens."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from command import mlops
from pyarrow import ipc

from mlops.config import Project

COUNT = 10_000


def flowers(count: int = COUNT, seed: int = 3) -> pd.DataFrame:
    """Flowers that nobody has measured."""
    chance = np.random.default_rng(seed)
    names = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    lengths = chance.uniform(0.1, 8, size=(count, 4)).round(2)
    return pd.DataFrame(lengths, columns=names).assign(flower=np.arange(1, count + 1))


def predictions(folder: Path) -> pd.DataFrame:
    """What a batch wrote, read as one set and in order of the key."""
    return pd.read_parquet(folder / "predictions").sort_values("flower", ignore_index=True)


@pytest.fixture
def whole(registered: Project, tmp_path: Path) -> pd.DataFrame:
    """What one file, read at once, is answered with."""
    flowers().to_parquet(tmp_path / "whole.parquet")
    done = mlops("score", "iris", tmp_path / "whole.parquet", tmp_path / "whole-scored.parquet")
    assert done.code == 0, done.err
    return pd.read_parquet(tmp_path / "whole-scored.parquet").sort_values("flower", ignore_index=True)


def split(folder: Path, rows: pd.DataFrame) -> Path:
    """The rows in files of each kind."""
    folder.mkdir()
    size = len(rows) // 4
    rows[:size].to_csv(folder / "a.csv", index=False)
    rows[size : 2 * size].to_parquet(folder / "b.parquet", row_group_size=333)
    table = pa.Table.from_pandas(rows[2 * size : 3 * size])
    with ipc.new_file(folder / "c.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=777)
    rows[3 * size :].to_csv(folder / "d.csv.gz", index=False)
    return folder


@pytest.mark.parametrize("pattern", ["", "/*"])
def test_parts_give_the_answers_of_the_whole_file(whole: pd.DataFrame, tmp_path: Path, pattern: str) -> None:
    source = split(tmp_path / "many", flowers())
    done = mlops("score", "iris", f"{source}{pattern}", tmp_path / "scored", "--part-rows", 700, "--json")
    assert done.code == 0, done.err
    pd.testing.assert_frame_equal(predictions(tmp_path / "scored"), whole)
    manifest = json.loads((tmp_path / "scored" / "manifest.json").read_text())
    assert manifest == done.value
    assert [manifest[key] for key in ("rows", "predictions", "rejects", "unanswered")] == [COUNT, COUNT, 0, 0]
    assert len(manifest["parts"]) == 16 and manifest["version"] == "1.0.0"
    assert {part["sha256"] for part in manifest["parts"]} == {sha256(file) for file in source.iterdir()}


def sha256(file: Path) -> str:
    return subprocess.run(["sha256sum", file], check=True, capture_output=True, text=True).stdout.split()[0]
