"""The embedded store is not bound to the place where it was made."""

import os
import shutil
from pathlib import Path

import pytest

from mlops import pipeline, tracking
from mlops.config import Project, load_project
from mlops.errors import DataError, UserError
from mlops.registry import versions
from mlops.use_case import load_use_case

OTHER = ("parameters.regularisation=1.5",)
NAMES = ["moved", "with spaces", 'Ann\'s "own" project', "é"]


def opened_at(place: Path) -> Project:
    """The project that lies there."""
    os.environ["MLOPS_PROJECT"] = str(place)
    return load_project()


@pytest.mark.parametrize("name", NAMES)
def test_after_a_move_every_version_loads_and_the_work_goes_on(registered, run, stored, load, tmp_path: Path, name: str):
    place = tmp_path / "elsewhere" / name
    place.parent.mkdir()
    registered.root.rename(place)
    moved = opened_at(place)
    assert [load(moved, version) for version in stored(moved)] == [51]
    assert run(moved, *OTHER).version.number == "1.0.1"
    assert [load(moved, version) for version in stored(moved)] == [51, 51]


@pytest.mark.parametrize("name", ["with spaces", 'Ann\'s "own" project'])
def test_a_store_can_be_made_in_a_place_of_any_name(project: Project, tmp_path: Path, load, stored, name: str):
    place = tmp_path / name
    project.root.rename(place)
    store = opened_at(place)
    outcome = pipeline.run(store, load_use_case(store, "iris"))
    assert load(store, outcome.version) == 51
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a%20b", "why?", "#1"])
def test_a_place_whose_name_mlflow_misreads_is_refused(project: Project, tmp_path: Path, name: str):
    project.root.rename(tmp_path / name)
    with pytest.raises(UserError, match="MLflow cannot keep a store below a folder with . in its name; rename it"):
        tracking.prepare(opened_at(tmp_path / name))


def test_a_clone_reads_its_own_artifacts_and_leaves_the_original_alone(registered, run, stored, load, tmp_path: Path):
    shutil.copytree(registered.root, tmp_path / "clone")
    clone = opened_at(tmp_path / "clone")
    assert run(clone, *OTHER).version.number == "1.0.1"
    before = sorted(path for path in registered.store.rglob("*") if path.is_file())
    for file in registered.store.glob("artifacts/**/*.skops"):
        file.rename(file.with_suffix(".away"))
    assert [load(clone, version) for version in stored(clone)] == [51, 51]
    for file in registered.store.glob("artifacts/**/*.away"):
        file.rename(file.with_suffix(".skops"))
    original = opened_at(registered.root)
    assert [load(original, version) for version in stored(original)] == [51]
    assert sorted(path for path in registered.store.rglob("*") if path.is_file()) == before


def test_a_move_is_reported_once(registered: Project, stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    registered.root.rename(tmp_path / "moved")
    moved = opened_at(tmp_path / "moved")
    stored(moved)
    stored(moved)
    assert capsys.readouterr().err.count("the store moved from") == 1


@pytest.mark.parametrize("pattern", ["**/candidate/holdout.parquet", "models/**/model.skops", "**/candidate/features.skops"])
def test_a_flipped_byte_in_a_stored_artifact_is_named(registered: Project, stored, tmp_path: Path, pattern: str):
    (file,) = (registered.store / "artifacts" / "iris").glob(pattern)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=rf"{file.name} is changed"):
        versions.fetch(registered, stored(registered)[0], tmp_path / "fetched")


def test_a_missing_artifact_is_named(registered: Project, stored, tmp_path: Path):
    (file,) = (registered.store / "artifacts" / "iris").glob("**/candidate/features.skops")
    file.unlink()
    with pytest.raises(DataError, match="features.skops is missing"):
        versions.fetch(registered, stored(registered)[0], tmp_path / "fetched")
