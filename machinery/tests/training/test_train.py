"""Training: the same input makes the same candidate, byte for byte, and a damaged one is made again."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import mlops
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from mlops import digests, git, model_file, tracking
from mlops.config import Project
from mlops.errors import DataError, UserError
from mlops.metrics.measures import MEASURES, Predictions
from mlops.training import candidate as candidates
from mlops.training.candidate import Candidate
from mlops.training.fitting import as_truth
from mlops.training.train import train
from mlops.use_case import UseCase, load_use_case

TIMES = ("created", "fit_seconds")


@pytest.fixture
def iris(project: Project) -> UseCase:
    return load_use_case(project, "iris")


@pytest.fixture
def trained(project: Project, iris: UseCase) -> Candidate:
    return train(project, iris)[0]


@pytest.mark.servers
def test_two_processes_in_two_places_make_the_same_bytes(template: Path, environment: None, tmp_path: Path) -> None:
    code = """
from mlops.config import load_project
from mlops.training.train import train
from mlops.use_case import load_use_case
for name, overrides in (("iris", ()), ("ridership", ("parameters.n_estimators=15",))):
    print(train(load_project(), load_use_case(load_project(), name, overrides))[0].path)
"""
    started = []
    for place, seed in (("one", "1"), ("another", "2")):
        shutil.copytree(template, tmp_path / place)
        variables = {**os.environ, "MLOPS_PROJECT": str(tmp_path / place), "PYTHONHASHSEED": seed}
        started.append(subprocess.Popen([sys.executable, "-c", code], env=variables, stdout=subprocess.PIPE, text=True))
    one, another = (process.communicate()[0].split() for process in started)
    assert len(one) == len(another) == 2
    for path, other in zip(one, another, strict=True):
        ours, theirs = candidates.read(Path(path)), candidates.read(Path(other))
        assert ours.key == theirs.key
        assert ours.manifest["files"] == theirs.manifest["files"]
        assert "model/model.skops" in ours.manifest["files"]
        assert {**ours.manifest, **dict.fromkeys(TIMES)} == {**theirs.manifest, **dict.fromkeys(TIMES)}


def test_second_training_takes_the_candidate_and_says_so(project: Project) -> None:
    assert "(trained)" in mlops("train", "iris").err
    (manifest,) = project.output.rglob("manifest.json")
    before = manifest.stat().st_mtime_ns
    assert "(trained before, taken as it is)" in mlops("train", "iris").err
    assert manifest.stat().st_mtime_ns == before


def test_again_trains_again_to_the_same_files(project: Project, iris: UseCase, trained: Candidate) -> None:
    candidate, created = train(project, iris, again=True)
    assert created
    assert candidate.manifest["files"] == trained.manifest["files"]
    assert [folder.name for folder in trained.path.parent.iterdir()] == [trained.path.name]


def test_model_file_gives_the_same_predictions_when_read(trained: Candidate) -> None:
    rows = trained.holdout()
    inputs = rows[list(trained.manifest["problem"]["schema"])]
    by_mlflow = tracking.load_model(trained.path / "model")
    by_skops = model_file.read(trained.path / "model/model.skops", [])
    recorded = rows[[f"__probability_{name}__" for name in trained.manifest["classes"]]].to_numpy()
    for model in (by_mlflow, by_skops):
        np.testing.assert_array_equal(model.predict(inputs), rows["__prediction__"])
        np.testing.assert_array_equal(model.predict_proba(inputs), recorded)


def test_feature_steps_read_alone_give_the_models_own_34_features(trained: Candidate) -> None:
    inputs = trained.holdout()[list(trained.manifest["problem"]["schema"])]
    steps = model_file.read(trained.path / "features.skops", [])
    model = model_file.read(trained.path / "model/model.skops", [])
    assert steps.transform(inputs).shape == (len(inputs), 34)
    np.testing.assert_array_equal(steps.transform(inputs), model[:-1].transform(inputs))


def test_bytes_of_a_model_do_not_depend_on_where_its_parts_lie_in_memory(tmp_path: Path) -> None:
    x, y = np.arange(20.0).reshape(10, 2), np.arange(10.0)
    hold = [object() for _ in range(1000)]
    model_file.write(tmp_path / "one.skops", LinearRegression().fit(x, y))
    del hold[::2]
    model_file.write(tmp_path / "two.skops", LinearRegression().fit(x, y))
    model_file.write(tmp_path / "other.skops", LinearRegression().fit(x, y + 1))
    digest = {name: digests.of_file(tmp_path / f"{name}.skops") for name in ("one", "two", "other")}
    assert digest["one"] == digest["two"] != digest["other"]


def test_reader_has_to_trust_types_that_are_not_known(tmp_path: Path) -> None:
    from skops.io.exceptions import UntrustedTypesFoundException

    model = GradientBoostingRegressor(n_estimators=2).fit(np.eye(4), range(4))
    trusted = model_file.write(tmp_path / "model.skops", model)
    assert trusted == ["sklearn.tree._tree.Tree"]
    assert (model_file.read(tmp_path / "model.skops", trusted).predict(np.eye(4)) == model.predict(np.eye(4))).all()
    with pytest.raises(UntrustedTypesFoundException):
        model_file.read(tmp_path / "model.skops", [])


def test_metrics_of_the_manifest_are_those_of_the_recorded_holdout(trained: Candidate) -> None:
    rows, classes = trained.holdout(), np.array(trained.manifest["classes"])
    truth = as_truth(rows["__target__"], classes)
    probabilities = rows[[f"__probability_{name}__" for name in classes]].to_numpy()
    predictions = Predictions(as_truth(rows["__prediction__"], classes), probabilities)
    for name, value in trained.manifest["metrics"].items():
        assert MEASURES["classification"][name](truth, predictions) == value


def test_holdout_and_training_rows_are_all_rows(trained: Candidate) -> None:
    rows = trained.manifest["rows"]
    assert rows["training"] + rows["holdout"] == 150
    assert len(trained.holdout()) == rows["holdout"]


def test_manifest_says_what_the_candidate_was_made_from(project: Project, iris: UseCase, trained: Candidate) -> None:
    manifest = trained.manifest
    assert manifest["git"]["sha"] == git.git("rev-parse", "HEAD", root=project.root)
    assert (manifest["git"]["branch"], manifest["git"]["dirty"]) == ("main", False)
    assert [item["file"] for item in manifest["data"]] == ["iris.csv"]
    assert manifest["config"]["parameters"] == iris.config.parameters
    assert manifest["files"].keys() == {
        str(file.relative_to(trained.path)) for file in trained.path.rglob("*") if file.is_file()
    } - {"manifest.json"}


def test_no_path_of_this_machine_is_in_a_candidate(project: Project, trained: Candidate) -> None:
    named = [file for file in trained.path.rglob("*") if file.is_file() and str(project.root).encode() in file.read_bytes()]
    assert named == []


@pytest.mark.parametrize("name", ["model/model.skops", "model/MLmodel", "holdout.parquet", "features.skops", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damaged_candidate_is_refused_and_made_again(
    project: Project, iris: UseCase, trained: Candidate, name: str, damage: str
) -> None:
    file, whole = trained.path / name, trained.manifest["files"]
    content = file.read_bytes()
    file.unlink()
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    with pytest.raises((DataError, UserError), match="run: mlops train|with: mlops train"):
        candidates.read(trained.path)
    again, created = train(project, iris)
    assert created
    assert again.manifest["files"] == whole
    assert not [folder for folder in trained.path.parent.iterdir() if folder.name.startswith(".")]


def test_newest_candidate_is_the_one_made_last_and_never_a_half_made_one(project: Project, trained: Candidate) -> None:
    other, _ = train(project, load_use_case(project, "iris", ("parameters.degree=2",)))
    half = trained.path.parent / ".abc.x1"
    shutil.copytree(other.path, half)
    os.utime(half / "manifest.json", (2e9, 2e9))
    os.utime(trained.path / "manifest.json", (1e9, 1e9))
    assert candidates.newest(project, "iris").path == other.path


def test_error_while_fitting_leaves_no_candidate(project: Project, iris: UseCase) -> None:
    def broken(**parameters: object) -> LinearRegression:
        class Broken(LinearRegression):
            def fit(self, *arguments: object, **options: object) -> None:
                raise ValueError("inputs are singular")

        return Broken()

    with pytest.raises(
        UserError, match=r"the estimator cannot be fitted \(inputs are singular\); correct build or parameters"
    ):
        train(project, replace(iris, build=broken))
    assert not [file for file in project.output.rglob("*") if file.is_file()]


def test_parameter_that_the_estimator_refuses_is_one_line(project: Project) -> None:
    done = mlops("train", "ridership", "--set", "parameters.n_estimators=-3")
    assert (done.code, "n_estimators" in done.error) == (2, True)


def test_train_as_json(project: Project) -> None:
    value = mlops("train", "iris", "--json").value
    assert value["created"] and Path(value["path"], "manifest.json").is_file()
    assert set(value["metrics"]) == {"macro_f1", "accuracy", "log_loss"}
    assert json.loads(Path(value["path"], "manifest.json").read_text())["key"] == value["key"]


def test_baseline_of_ridership_is_scored_on_the_same_days(project: Project) -> None:
    candidate, _ = train(project, load_use_case(project, "ridership", ("parameters.n_estimators=5",)))
    rows = candidate.holdout()
    assert len(rows) == 365
    assert (rows["__baseline__"] == rows["rides_lag_14"]).all()
    assert candidate.manifest["baseline"]["mae"] == pytest.approx(abs(rows["__baseline__"] - rows["__target__"]).mean())
    raw = pd.read_csv(project.data / "raw/ridership/ridership.csv", parse_dates=["date"])
    assert rows["date"].max() == raw["date"].max()


def test_whole_numbers_among_the_inputs_warn_of_nothing(tmp_path: Path) -> None:
    rows = pd.DataFrame({"doors": [2, 4, 5], "size": [1.0, 2.0, 3.0]})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tracking.save_model(tmp_path / "model", LinearRegression().fit(rows, [1, 2, 3]), rows, rows, rows[["size"]], [])
    assert not [warning for warning in caught if "integer" in str(warning.message)]
