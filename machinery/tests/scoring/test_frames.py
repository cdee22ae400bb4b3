"""The short ways of a batch give what the long ones give, digit for digit."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from command import mlops
from pandera.pandas import Column, DataFrameSchema
from pyarrow import parquet
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from test_batch import contents, flowers

from mlops.config import Project
from mlops.data import datasets
from mlops.scoring import frames, raw
from mlops.training.fitting import predict

COLUMNS: dict[str, Any] = {
    "float": pa.array([1.5, None, float("nan")], pa.float64()),
    "single": pa.array([0.1, 2.5, 3.0], pa.float32()),
    "whole": pa.array([1, 2, 2**60 + 1], pa.int64()),
    "gaps": pa.array([1, None, 2**60 + 1], pa.int64()),
    "small": pa.array([1, 2, 3], pa.int8()),
    "truth": pa.array([True, False, True]),
    "text": pa.array(["a", None, "00042"]),
    "number": pa.array([1, 2, 3], pa.int64()),
    "coded": pa.array(["a", "b", "a"]).dictionary_encode(),
    "day": pa.array(["2026-01-02", None, "2026-01-04"]),
}
KINDS: dict[str, Any] = {"day": "datetime64[ns]", "gaps": "Int64", "text": str, "number": str, "coded": str, "truth": bool}
PLAIN = {"float", "whole", "small", "truth", "text"}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_that_is_taken_as_it_is_is_the_one_that_a_file_gives(tmp_path: Path, name: str) -> None:
    table = pa.table({"id": pa.array([1, 2, 3]), name: COLUMNS[name]})
    kind = KINDS.get(name, {"whole": int, "small": int}.get(name, float))
    schema = raw.lenient(DataFrameSchema({"id": Column(int), name: Column(kind)}))
    assert frames.is_plain(table, frames.kinds(schema)) == (name in PLAIN)
    parquet.write_table(table, tmp_path / "rows.parquet")
    rows = datasets.rows_of(tmp_path / "rows.parquet", schema)
    if name in PLAIN:
        pd.testing.assert_frame_equal(table.to_pandas(), rows)
    rest = frames.untyped(rows, schema)
    typed = rows if rest is None else rest.validate(rows, lazy=True)
    pd.testing.assert_frame_equal(typed, schema.validate(rows, lazy=True))
    assert (rest is None) == (name in ("float", "whole", "gaps", "truth", "text", "number", "coded"))


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(20, random_state=0),
        make_pipeline(StandardScaler(), ExtraTreesClassifier(20, random_state=0)),
        make_pipeline(make_pipeline(StandardScaler(), FunctionTransformer(np.tanh)), LogisticRegression()),
        HistGradientBoostingClassifier(max_iter=5, random_state=0),
        FixedThresholdClassifier(RandomForestClassifier(20, random_state=0), threshold=0.2, pos_label="b"),
    ],
)
def test_a_model_that_is_asked_once_answers_as_one_that_is_asked_twice(model: Any) -> None:
    chance = np.random.default_rng(0)
    rows = pd.DataFrame(chance.normal(size=(400, 4)), columns=list("wxyz"))
    labels = np.where(rows["w"] + chance.normal(size=400) > 0, "b", "a")
    model.fit(rows[:200], labels[:200])
    once, twice = (ask(model, rows, np.array(["a", "b"])) for ask in (frames.predict_once, predict))
    assert once.probabilities is not None and twice.probabilities is not None
    assert np.array_equal(once.values, twice.values) and np.array_equal(once.probabilities, twice.probabilities)


@pytest.mark.parametrize(("names", "is_view"), [("wxy", True), ("xy", True), ("yx", False), ("wy", False)])
def test_columns_side_by_side_are_chosen_without_a_copy(names: str, is_view: bool) -> None:
    rows = pd.DataFrame(np.arange(12.0).reshape(3, 4), columns=list("wxyz"))
    some = frames.chosen(rows, list(names))
    pd.testing.assert_frame_equal(some, rows[list(names)])
    assert np.shares_memory(some.to_numpy(), rows.to_numpy()) == is_view


def test_parts_are_the_same_bytes_however_they_are_scored(
    registered: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flowers(5_000).to_parquet(tmp_path / "new.parquet")
    outputs = [tmp_path / name for name in ("one", "three", "slow")]
    for output, jobs in zip(outputs, (1, 3, 2), strict=True):
        if output.name == "slow":
            monkeypatch.setattr(frames, "is_plain", lambda *_: False)
        done = mlops("score", "iris", tmp_path / "new.parquet", output, "--part-rows", 300, "--jobs", jobs)
        assert done.code == 0, done.err
    one, three, slow = map(contents, outputs)
    assert len(one) == 18 and one == three == slow
