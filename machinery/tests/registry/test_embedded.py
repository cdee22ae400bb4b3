"""What is read of an embedded store without MLflow is what MLflow reads, and where it may be anything else MLflow is asked."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from mlops import tracking
from mlops.config import Project
from mlops.registry import embedded, versions
from mlops.scoring.raw import score


@pytest.fixture
def varied(registered: Project) -> Project:
    """Beside iris 1.0.0: a second version without a number, a deleted third one, an alias with a capital, a quoted tag."""
    with tracking.open_store(registered) as client:
        first = client.get_model_version("iris", "1")
        for version in ("2", "3"):
            client.create_model_version("iris", first.source, first.run_id, tags={"note": "it's 5 %"})
        client.delete_model_version("iris", version)
        client.set_registered_model_alias("iris", "Old", "1")
    return registered


def test_versions_tags_and_aliases_are_those_that_mlflow_reads(varied: Project) -> None:
    reader = embedded.opened(varied)
    assert reader is not None
    listed, aliases = reader.model_versions("iris")
    with tracking.open_store(varied) as client:
        entities = client.search_model_versions("name = 'iris'")
        assert aliases == {alias: str(version) for alias, version in client.get_registered_model("iris").aliases.items()}
        assert versions.resolve(varied, "iris") == versions.all_of(client, "iris")[0]
    keys = ("name", "version", "run_id", "creation_timestamp")
    seen = [({key: str(getattr(item, key)) for key in keys}, dict(item.tags)) for item in entities]
    read = [({key: str(getattr(item, key)) for key in keys}, item.tags) for item in listed]
    assert sorted(read, key=str) == sorted(seen, key=str) and len(read) == 2
    assert reader.model_versions("nothing") == ([], {})


def test_files_are_those_that_mlflow_downloads(registered: Project, tmp_path: Path) -> None:
    version, reader = versions.resolve(registered, "iris"), embedded.opened(registered)
    places = [{"run_id": version.run_id, "artifact_path": path} for path in ("candidate", "candidate/manifest.json")]
    for place in [*places, {"artifact_uri": f"models:/{version.model_id}"}]:
        ours, theirs = tmp_path / "ours", tmp_path / "theirs"
        assert reader is not None and reader.copy(ours, **place)
        with tracking.open_store(registered):
            tracking.fetch(theirs, **place)
        assert contents(ours) == contents(theirs)


def contents(folder: Path) -> dict[str, bytes]:
    """The files below a folder, without the note that MLflow adds to a model that it downloads."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "registered_model_meta"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_scoring_reads_the_store_without_mlflow(registered: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "open_store", lambda *arguments, **options: pytest.fail("MLflow was asked"))
    file = registered.data / "raw" / "iris" / "iris.csv"
    assert len(score(registered, "iris", None, file).rows) == len(pd.read_csv(file))


def test_the_form_that_this_mlflow_writes_is_known(fresh: Project) -> None:
    assert embedded.opened(fresh) is not None, "compare the queries with MLflow's new tables, then add the form to FORMS"


@pytest.mark.parametrize("elsewhere", ["another form", "MLFLOW_REGISTRY_URI", "MLFLOW_WORKSPACE"])
def test_another_form_or_place_is_left_to_mlflow(fresh: Project, monkeypatch: pytest.MonkeyPatch, elsewhere: str) -> None:
    if elsewhere == "another form":
        with closing(sqlite3.connect(fresh.store / tracking.DATABASE)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    else:
        monkeypatch.setenv(elsewhere, "other")
    assert embedded.opened(fresh) is None
