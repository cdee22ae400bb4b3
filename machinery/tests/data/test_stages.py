"""Raw → interim → processed: each step is done once for the same input, never half, and never over what is there."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from command import mlops
from pandera.pandas import Check, Column, DataFrameSchema

from mlops import files
from mlops.config import Project
from mlops.data import datasets, schemas, stages
from mlops.errors import DataError
from mlops.use_case import UseCase, load_use_case


@pytest.fixture
def iris(project: Project) -> UseCase:
    return load_use_case(project, "iris")


def sets(project: Project, stage: str) -> list[Path]:
    """The complete sets of a stage of iris."""
    return sorted((project.data / stage / "iris").glob("*.parquet"))


def times(project: Project) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in project.data.rglob("*") if file.is_file()}


def test_second_run_does_no_work_and_says_so(project: Project) -> None:
    first = mlops("data", "processed", "iris")
    assert (first.code, "(created)" in first.err) == (0, True)
    before = times(project)
    second = mlops("data", "processed", "iris")
    assert (second.code, "(up to date, nothing to do)" in second.err) == (0, True)
    assert times(project) == before


def test_every_step_has_its_schema_digest_and_rows_beside_it(project: Project, iris: UseCase) -> None:
    created = stages.processed(project, iris)
    for stage in ("interim", "processed"):
        (file,) = sets(project, stage)
        record = json.loads(datasets.sidecar(file).read_text())
        assert record["rows"] == len(pd.read_parquet(file)) == 150
        assert list(record["schema"]["columns"]) == list(pd.read_parquet(file).columns)
    assert (created.created, created.rows, created.columns) == (True, 150, 6)


def test_steps_as_commands_and_the_catalog_as_json(project: Project) -> None:
    for stage in ("raw", "interim", "processed"):
        (item,) = mlops("data", stage, "iris", "--json").value
        assert Path(item["path"]).is_file()
        assert (item["rows"], len(item["sha256"])) == (150, 64)
    catalog = mlops("data", "list", "--json").value
    assert [item["stage"] for item in catalog if item["use case"] == "iris"] == ["raw", "interim", "processed"]
    assert {item["rows"] for item in catalog if item["use case"] == "ridership"} == {5698}
    assert "ridership.csv" in mlops("data", "list").out


def test_added_rows_are_recorded_with_their_provenance_and_taken(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "may.csv"
    file.write_text("flower,sepal_length,sepal_width,petal_length,petal_width,species\n151,5,3,1.5,0.2,setosa\n")
    arguments = ("data", "add", "iris", file, "--source", "garden | May\nbed 2", "--licence", "CC0", "--json")
    (added,) = mlops(*arguments).value
    assert (added["created"], added["rows"]) == (True, 1)
    (again,) = mlops(*arguments).value
    assert again["created"] is False
    note = (project.data / "raw/iris/README.md").read_text()
    assert note.endswith(f"| may.csv | 1 | `{added['sha256']}` | garden \\| May bed 2 | CC0 |\n")
    assert note.count("may.csv") == 1
    assert mlops("data", "processed", "iris", "--json").value[0]["rows"] == 151


def test_a_table_with_another_ending_is_kept_as_csv(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "may.txt"
    file.write_text("flower,sepal_length,sepal_width,petal_length,petal_width,species\n151,5,3,1.5,0.2,setosa\n")
    assert mlops("data", "add", "iris", file, "--source", "here", "--licence", "CC0").code == 0
    assert (project.root / "data/raw/iris/may.csv").read_bytes() == file.read_bytes()


def test_columns_that_the_schema_does_not_have_are_named(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "may.csv"
    file.write_text("flower,bed,sepal_length,sepal_width,petal_length,petal_width,species,note\n151,2,5,3,1.5,0.2,setosa,hm\n")
    done = mlops("data", "add", "iris", file, "--source", "here", "--licence", "CC0")
    assert done.code == 0 and "may.csv: not in the schema, so neither counted nor checked: bed, note" in done.err
    assert " 6 columns" in done.err
    assert mlops("data", "processed", "iris", "--json").value[0]["columns"] == 6


@pytest.mark.parametrize("name", ["may.xlsx", "iris.csv"])
def test_file_that_would_not_be_read_or_would_replace_another_is_not_added(
    project: Project, tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    file.write_text("flower,sepal_length,sepal_width,petal_length,petal_width,species\n151,5,3,1.5,0.2,setosa\n")
    before = times(project)
    done = mlops("data", "add", "iris", file, "--source", "here", "--licence", "CC0")
    assert done.code == 2
    assert ("data are immutable" if name == "iris.csv" else "raw data are *.csv, *.csv.gz, *.parquet") in done.error
    assert times(project) == before


def test_other_content_is_never_written_over_a_set(project: Project, iris: UseCase) -> None:
    file = stages.interim(project, iris).path
    rows, content = pd.read_parquet(file), file.read_bytes()
    schema = schemas.complete(iris.schema("interim"), "interim", iris.config.key)
    assert datasets.write(file, rows, schema).sha256 == datasets.describe(file).sha256
    with pytest.raises(DataError, match="holds other content, and data are immutable"):
        datasets.write(file, rows.head(10), schema)
    assert file.read_bytes() == content
    assert len(datasets.read(file)) == 150


@pytest.mark.parametrize("stage", ["interim", "processed"])
def test_read_finds_a_changed_byte(project: Project, iris: UseCase, stage: str) -> None:
    stages.processed(project, iris)
    (file,) = sets(project, stage)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DataError, match="damaged or changed.*delete both and run: mlops data"):
        datasets.read(file)
    assert mlops("data", stage, "iris").code == 2


def tampered(project: Project, iris: UseCase, key: str, value: object) -> Path:
    """A processed set whose sidecar says something else under a key."""
    file = stages.processed(project, iris).path
    beside = datasets.sidecar(file)
    beside.write_text(json.dumps({**json.loads(beside.read_text()), key: value}))
    return file


def test_read_finds_a_changed_digest_count_or_rule_in_the_sidecar(project: Project, iris: UseCase) -> None:
    file = tampered(project, iris, "rows", 149)
    with pytest.raises(DataError, match="150 rows, but .* says 149"):
        datasets.read(file)
    tampered(project, iris, "rows", 150)
    tampered(project, iris, "schema", schemas.to_json(iris.schema("processed").remove_columns(["species"])))
    with pytest.raises(DataError, match="its schema is not the use case's"):
        stages.read_processed(project, iris)
    tampered(project, iris, "sha256", "0" * 64)
    with pytest.raises(DataError, match="damaged or changed"):
        datasets.read(file)


def test_rule_that_json_cannot_hold_is_checked_at_every_read(project: Project) -> None:
    """A check that is a function of the use case's own stands in no sidecar, so the use case's schema has the word."""

    def schema(holds: Callable[[pd.Series], pd.Series]) -> DataFrameSchema:
        return DataFrameSchema({"a": Column(float, Check(holds, name="own rule"))})

    file = project.data / "interim/iris/own.parquet"
    datasets.write(file, pd.DataFrame({"a": [1.0, 2.0]}), schema(lambda a: a > 0))
    assert len(datasets.read(file, schema(lambda a: a > 0))) == 2
    with pytest.raises(DataError, match="column a, row 2: rule own rule, found 2.0"):
        datasets.read(file, schema(lambda a: a % 2 == 1))


def test_rows_and_digest_changed_together_are_still_validated(project: Project, iris: UseCase) -> None:
    file = stages.processed(project, iris).path
    pd.read_parquet(file).assign(sepal_length=-1.0).to_parquet(file, index=False)
    beside = datasets.sidecar(file)
    beside.write_text(json.dumps({**json.loads(beside.read_text()), "sha256": datasets.digests.of_file(file)}))
    with pytest.raises(DataError, match=r"column sepal_length, row 1: rule in_range\(0.05, 20\), found -1.0 \(and 149 more\)"):
        stages.read_processed(project, iris)


def test_set_without_its_sidecar_is_half_made_and_made_again(project: Project, iris: UseCase) -> None:
    file = stages.processed(project, iris).path
    datasets.sidecar(file).unlink()
    with pytest.raises(DataError, match="schema.json is missing"):
        datasets.read(file)
    assert stages.processed(project, iris).created
    assert len(datasets.read(file)) == 150


def test_new_set_when_the_raw_data_change(project: Project, iris: UseCase) -> None:
    stages.processed(project, iris)
    rows = pd.read_csv(project.data / "raw/iris/iris.csv").head(1).assign(flower=151)
    rows.to_csv(project.data / "raw/iris/more.csv", index=False)
    assert (stages.processed(project, iris).created, len(sets(project, "interim")), len(sets(project, "processed"))) == (
        True,
        2,
        2,
    )


def test_new_set_when_the_code_the_schema_or_the_key_changes(project: Project, iris: UseCase, tmp_path: Path) -> None:
    def copied(name: str, text: str) -> UseCase:
        package = tmp_path / name / "iris"
        package.mkdir(parents=True)
        shutil.copyfile(iris.package.with_name("__init__.py"), package.with_name("__init__.py"))
        for file in iris.package.glob("*.py"):
            (package / file.name).write_text(file.read_text() + (text if file.name == "features.py" else ""))
        return UseCase(**{**vars(iris), "package": package})

    assert stages.processed(project, iris).created
    assert not stages.processed(project, copied("same", "")).created
    assert stages.processed(project, copied("other", "\nWIDTH = 2\n")).created
    key = iris.config.model_copy(update={"key": ("flower", "species")})
    assert stages.processed(project, UseCase(**{**vars(iris), "config": key})).created
    assert not stages.processed(project, iris).created
    assert len(sets(project, "processed")) == 3


def test_no_new_set_when_parameters_metrics_or_description_change(project: Project) -> None:
    assert stages.processed(project, load_use_case(project, "iris")).created
    changes = ("parameters.degree=2", "metrics.accuracy.limit=0.5", "description=other", "seed=1")
    assert not stages.processed(project, load_use_case(project, "iris", changes)).created


def test_raw_files_are_not_touched_by_any_step(project: Project) -> None:
    folder = project.data / "raw"
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.rglob("*") if file.is_file()}
    assert mlops("data", "processed", "iris").code == 0
    assert {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("breaks", ["to_parquet", "write_json"])
def test_error_in_the_middle_leaves_no_half_made_set(
    project: Project, iris: UseCase, breaks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(pd.DataFrame if breaks == "to_parquet" else files, breaks, full)
        with pytest.raises(OSError):
            stages.interim(project, iris)
    assert not any(datasets.sidecar(file).is_file() for file in sets(project, "interim"))
    assert not [file for file in project.data.rglob(".*")]
    assert len(datasets.read(stages.processed(project, iris).path)) == 150


def python(project: Project, code: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


STEP = """
from mlops.config import load_project
from mlops.data import stages
from mlops.use_case import load_use_case
project = load_project()
print(stages.processed(project, load_use_case(project, "iris")).sha256)
"""


@pytest.mark.servers
def test_killed_process_leaves_nothing_that_the_next_one_trips_over(project: Project) -> None:
    """Killed between a file and its schema, and while a raw file is being added."""
    kill = "import os, signal, shutil\nfrom mlops import files\ndef stop(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
    process = python(project, kill + "files.write_json = stop\n" + STEP)
    assert process.wait() == -signal.SIGKILL
    assert len(sets(project, "interim")) == 1 and not list((project.data / "interim").rglob("*.json"))
    (project.data / "raw/iris/.more.csv.x1.csv").write_text("flower,sepal_le")
    assert mlops("data", "processed", "iris", "--json").value[0]["rows"] == 150


@pytest.mark.servers
def test_two_processes_at_once_make_the_same_set(project: Project) -> None:
    two = [python(project, STEP) for _ in range(2)]
    outputs = [process.communicate()[0].strip() for process in two]
    assert [process.returncode for process in two] == [0, 0]
    assert outputs[0] == outputs[1] == datasets.describe(sets(project, "processed")[0]).sha256
    assert not [file for file in project.data.rglob(".*") if file.is_file()]
