"""Spark scores as the Arrow engine does: the same files, byte by byte, here and on a cluster, whatever is killed."""

import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

pytest.importorskip("pyspark")

import mlflow  # noqa: E402
from checkouts import ROOT, git  # noqa: E402
from command import Done, mlops  # noqa: E402
from spark_cluster import CLASS, cluster, executors  # noqa: E402
from test_batch import contents, flowers, split  # noqa: E402

from mlops import pythons, tracking  # noqa: E402
from mlops.config import Project  # noqa: E402
from mlops.scoring import runners  # noqa: E402
from mlops.spark.session import session  # noqa: E402

pytestmark = pytest.mark.spark
SPARK = ("--engine", "spark")
LOCAL = (*SPARK, "--master", "local[2]")


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a cluster with two workers of one processor."""
    with cluster(tmp_path_factory.mktemp("cluster")) as url:
        yield url


@pytest.fixture
def source(registered: Project, tmp_path: Path) -> Path:
    """A folder with files of each kind."""
    return split(tmp_path / "many", flowers(4_000))


def run(source: Path, output: Path, *options: object) -> Done:
    """Score in parts of 200 rows."""
    return mlops("score", "iris", source, output, "--part-rows", 200, "--json", *options)


def score(source: Path, output: Path, *options: object) -> Any:
    """Score in parts of 200 rows, of which one line is left on the screen; the manifest."""
    done = run(source, output, *options)
    assert done.code == 0, done.err
    assert [words(line) for line in notes(done.err)] == ["rows"]
    return done.value


def notes(stderr: str) -> list[str]:
    """The lines of a command; a test may have moved the store, which the first command there notes."""
    return [line for line in stderr.splitlines() if not line.startswith("the store moved")]


def words(line: str) -> str:
    """The second word of a line, which tells one note from another."""
    return line.split()[1]


def test_spark_writes_the_files_of_the_arrow_engine(source: Path, tmp_path: Path) -> None:
    manifest = score(source, tmp_path / "arrow")
    assert score(source, tmp_path / "spark", *LOCAL) == manifest
    assert contents(tmp_path / "spark") == contents(tmp_path / "arrow")


def test_spark_writes_the_files_of_the_arrow_engine_on_onnx_runtime_too(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runners.json").write_text('{"rows_per_second": {"LogisticRegression": {"scikit-learn": 1, "onnx": 2}}}')
    monkeypatch.setattr(runners, "FILE", tmp_path / "runners.json")
    manifest = run(source, tmp_path / "arrow").value
    assert manifest["runner"] == "onnx" and run(source, tmp_path / "spark", *LOCAL).value == manifest
    assert contents(tmp_path / "spark") == contents(tmp_path / "arrow")


def test_each_engine_goes_on_where_the_other_was(source: Path, tmp_path: Path) -> None:
    score(source, tmp_path / "arrow")
    before = contents(tmp_path / "arrow")
    (tmp_path / "arrow" / "predictions" / "part-00001-00003.parquet").unlink()
    again = run(source, tmp_path / "arrow", *LOCAL)
    assert again.code == 0 and "19 of 20 parts were there already" in again.err
    assert contents(tmp_path / "arrow") == before


def test_the_first_wrong_row_stops_spark_or_is_put_aside(source: Path, tmp_path: Path) -> None:
    lines = (source / "a.csv").read_text().splitlines()
    lines[321] = f"wide{lines[321][lines[321].index(',') :]}"
    (source / "a.csv").write_text("\n".join(lines))
    (source / "e.parquet").write_bytes((source / "b.parquet").read_bytes()[:-50])
    stopped = run(source, tmp_path / "stopped", *LOCAL)
    assert stopped.code == 2 and stopped.error.startswith(f"{source}/e.parquet: cannot be read")
    (source / "e.parquet").unlink()
    stopped = run(source, tmp_path / "stopped", *LOCAL)
    assert stopped.code == 2
    assert stopped.error.startswith(f"{source}/a.csv: row 322: column sepal_length: 'wide' is no float64; ")
    manifest = score(source, tmp_path / "arrow", "--on-error", "quarantine")
    assert score(source, tmp_path / "spark", "--on-error", "quarantine", *LOCAL) == manifest
    assert manifest["rejects"] == 1
    assert contents(tmp_path / "spark") == contents(tmp_path / "arrow")


def test_no_warning_of_spark_or_pandas_reaches_a_user(source: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mlops", "score", "iris", str(source), str(tmp_path / "spark"), *SPARK]
    done = subprocess.run(command, env=os.environ | {"MLOPS_SPARK_MASTER": "local[1]"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [words(line) for line in notes(done.stderr)] == ["rows", "1.0.0:"] and not done.stdout


def test_a_cluster_of_two_workers_scores_as_this_machine(source: Path, tmp_path: Path, master: str) -> None:
    manifest = score(source, tmp_path / "arrow")
    assert score(source, tmp_path / "spark", *SPARK, "--master", master) == manifest
    assert contents(tmp_path / "spark") == contents(tmp_path / "arrow")


def test_a_killed_executor_loses_nothing_and_gives_nothing_twice(registered: Project, tmp_path: Path, master: str) -> None:
    flowers(20_000).to_parquet(tmp_path / "new.parquet", row_group_size=1_000)
    score(tmp_path / "new.parquet", tmp_path / "arrow")
    output = tmp_path / "spark"
    command = ["score", "iris", tmp_path / "new.parquet", output, "--part-rows", 200, *SPARK, "--master", master]
    running = subprocess.Popen([sys.executable, "-m", "mlops", *map(str, command)])
    try:
        while running.poll() is None and len(list(output.glob("predictions/*.parquet"))) < 5:
            time.sleep(0.001)
        executors(psutil.Process())[0].kill()
        assert len(list(output.glob("predictions/*.parquet"))) < 80
        assert running.wait() == 0
    finally:
        running.kill()
    assert contents(output) == contents(tmp_path / "arrow")
    assert sorted(pd.read_parquet(output / "predictions")["flower"]) == list(range(1, 20_001))


def test_a_killed_java_process_is_one_line_and_a_killed_driver_is_gone_on_with(
    registered: Project, tmp_path: Path, master: str
) -> None:
    flowers(20_000).to_parquet(tmp_path / "new.parquet", row_group_size=1_000)
    score(tmp_path / "new.parquet", tmp_path / "arrow")
    output = tmp_path / "spark"
    command = ["score", "iris", tmp_path / "new.parquet", output, "--part-rows", 200, *SPARK, "--master", master]
    for victim, parts in (("java", 5), ("driver", 30)):
        arguments = [sys.executable, "-m", "mlops", *map(str, command)]
        running = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
        try:
            while running.poll() is None and len(list(output.glob("predictions/*.parquet"))) < parts:
                time.sleep(0.001)
            driver = psutil.Process(running.pid)
            java = next(child for child in driver.children(recursive=True) if "SparkSubmit" in " ".join(child.cmdline()))
            (java if victim == "java" else driver).kill()
            errors = running.communicate()[1]
        finally:
            running.kill()
        assert parts <= len(list(output.glob("predictions/*.parquet"))) < 100 and not (output / "manifest.json").exists()
        if victim == "java":
            assert running.returncode == 2, errors
            assert notes(errors)[-1].startswith("error: Spark failed: ")
            assert "Traceback" not in errors, errors
    done = mlops(*command)
    assert done.code == 0 and "parts were there already" in done.err
    assert contents(output) == contents(tmp_path / "arrow")


def test_a_worker_without_packages_is_one_line(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "empty", symlinks=True)
    monkeypatch.setenv("PYSPARK_PYTHON", str(tmp_path / "empty" / "bin" / "python"))
    done = run(source, tmp_path / "spark", *LOCAL)
    assert done.code == 2 and done.error.startswith("Spark failed: the Python of a worker has no module named '")
    assert "requirements/base.txt" in done.error


def test_spark_udf_of_mlflow_predicts_as_the_arrow_engine(registered: Project, tmp_path: Path) -> None:
    rows = flowers(500)
    rows.to_parquet(tmp_path / "new.parquet")
    score(tmp_path / "new.parquet", tmp_path / "arrow")
    expected = pd.read_parquet(tmp_path / "arrow" / "predictions").set_index("flower")["prediction"]
    mlflow.set_tracking_uri(tracking.uri(registered))
    mlflow.set_registry_uri(tracking.uri(registered))  # else it stays that of a test before
    with session("udf", tmp_path / "spark.log", "local[2]") as spark:
        predict = mlflow.pyfunc.spark_udf(spark, "models:/iris@champion", result_type="string", env_manager="local")
        frame = spark.createDataFrame(rows)
        answers = frame.withColumn("prediction", predict(*rows.columns.drop("flower"))).toPandas()
    assert answers.set_index("flower")["prediction"].to_dict() == expected.to_dict()


@pytest.mark.parametrize("found_by", ["MLOPS_PROJECT", "MLFLOW_TRACKING_URI"])
def test_spark_submit_takes_the_packed_project(
    registered: Project, source: Path, tmp_path: Path, master: str, found_by: str
) -> None:
    shutil.copytree(ROOT / "src", registered.root / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    git(registered.root, "add", "src")
    score(source, tmp_path / "arrow")
    packed = mlops("spark-package", "--to", tmp_path / "packed", "--json")
    assert packed.code == 0, packed.err
    archive, script = packed.value["files"]
    python = with_base_requirements(tmp_path / "base")
    options = ["--master", master, "--conf", "spark.driver.host=127.0.0.1", "--py-files", archive, script]
    arguments = ["iris", str(source), str(tmp_path / "spark"), "--part-rows", "200"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLOPS_")}
    environment |= {"PYSPARK_PYTHON": str(python), "PYSPARK_DRIVER_PYTHON": str(python)}
    environment["SPARK_HOME"] = str(CLASS.parents[1])
    store = {"MLOPS_PROJECT": str(registered.root), "MLFLOW_TRACKING_URI": tracking.uri(registered)}
    environment[found_by] = store[found_by]
    command = [str(Path(sys.executable).with_name("spark-submit")), *options, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert contents(tmp_path / "spark") == contents(tmp_path / "arrow")


def with_base_requirements(folder: Path) -> Path:
    """A Python that has the packages of requirements/base.txt and no other: no machinery, no project, no Spark."""
    for arguments in (
        ["venv", "--python", sys.executable, folder],
        ["pip", "install", "--python", folder / "bin" / "python", "--no-deps", "-r", ROOT / "requirements" / "base.txt"],
    ):
        subprocess.run([pythons.uv(), *map(str, arguments), "--quiet"], check=True)
    python = folder / "bin" / "python"
    for package in ("mlops", "use_cases", "pyspark"):
        done = subprocess.run([python, "-c", f"import sklearn, {package}"], capture_output=True, text=True)
        assert f"No module named '{package}'" in done.stderr
    return python
