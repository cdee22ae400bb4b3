"""What scores the parts of a batch follows a kept measurement, and answers as the model and the service do."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import mlops
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_batch import flowers, predictions

from mlops.config import Project
from mlops.scoring import runners


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A measurement in which ONNX Runtime is twice as fast for logistic regression."""
    file = tmp_path / "runners.json"
    speeds = {"LogisticRegression": {"scikit-learn": 1.0, "onnx": 2.0}}
    file.write_text(json.dumps({"rows_per_second": speeds}))
    monkeypatch.setattr(runners, "FILE", file)
    return file


def test_the_runner_follows_the_kept_measurement(measured: Path) -> None:
    forest, boosting = RandomForestClassifier(), HistGradientBoostingClassifier()
    for onnx, runner in ((1.4, "scikit-learn"), (1.6, "onnx")):
        speeds = {"HistGradientBoostingClassifier": {"scikit-learn": 1.0, "onnx": onnx}, "RandomForestClassifier": {}}
        speeds["RandomForestClassifier"] = {"scikit-learn": 1.0}
        measured.write_text(json.dumps({"rows_per_second": speeds}))
        assert runners.fastest(make_pipeline(StandardScaler(), boosting)) == runner
        assert runners.fastest(forest) == runners.fastest(StandardScaler()) == "scikit-learn"


def test_the_measurement_of_the_package_names_its_versions_and_both_runners() -> None:
    content = json.loads(runners.FILE.read_text(encoding="utf-8"))
    assert set(content["versions"]) == {"scikit-learn", "onnxruntime"}
    assert all(speed > 0 for speeds in content["rows_per_second"].values() for speed in speeds.values())
    assert {"LogisticRegression", "HistGradientBoostingClassifier"} <= set(content["rows_per_second"])


def test_a_batch_on_onnx_runtime_answers_as_scikit_learn_and_says_so(
    registered: Project, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rows = flowers(1_000)
    rows.to_parquet(tmp_path / "new.parquet")
    score = ("score", "iris", tmp_path / "new.parquet")
    done = mlops(*score, tmp_path / "sklearn", "--part-rows", 300, "--json")
    assert done.code == 0 and done.value["runner"] == "scikit-learn", done.err
    request.getfixturevalue("measured")
    done = mlops(*score, tmp_path / "onnx", "--part-rows", 300, "--json")
    assert done.code == 0, done.err
    assert done.value["runner"] == "onnx" and {part["runner"] for part in done.value["parts"]} == {"onnx"}
    ours, theirs = predictions(tmp_path / "onnx"), predictions(tmp_path / "sklearn")
    assert ours["prediction"].equals(theirs["prediction"])
    pd.testing.assert_frame_equal(ours, theirs, check_exact=False, rtol=1e-9, atol=1e-9)
    assert not ours.equals(theirs), "ONNX Runtime was not asked: its last digits are others"
    again = mlops(*score, tmp_path / "sklearn", "--part-rows", 300)
    assert again.code == 0 and "there already" not in again.err, "parts of two runners do not mix"
    assert predictions(tmp_path / "sklearn").equals(ours)


def test_rows_that_the_model_refuses_are_put_aside_on_onnx_runtime_too(
    registered: Project, measured: Path, tmp_path: Path
) -> None:
    rows = flowers(600)
    rows.loc[[4, 401], "petal_width"] = np.nan
    rows.to_parquet(tmp_path / "new.parquet")
    done = mlops(
        "score", "iris", tmp_path / "new.parquet", tmp_path / "out", "--part-rows", 300, "--on-error", "quarantine", "--json"
    )
    assert done.code == 0, done.err
    assert [done.value[key] for key in ("runner", "predictions", "rejects")] == ["onnx", 598, 2]
    rejects = pd.concat(pd.read_csv(file) for file in sorted((tmp_path / "out" / "rejects").iterdir()))
    assert rejects["row"].tolist() == [5, 402] and rejects["reason"].str.contains("NaN").all()
