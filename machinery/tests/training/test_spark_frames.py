"""Stages on Spark by declaration: the same rows as the stages of pandas, the same checks, faults in one line."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from mlops.config import Project
from mlops.config.reading import Data
from mlops.data import datasets, stages
from mlops.errors import DataError, UserError
from mlops.spark import frames
from mlops.training.train import train
from mlops.use_case import UseCase, bound, load_use_case
from use_cases.ridership.data import GAMES, STATIONS

ON_SPARK = ("data.engine=spark",)
LENGTHS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


@pytest.fixture(scope="module", autouse=True)
def own_session() -> Iterator[None]:
    """The session that stages keep until their process ends is not that of the tests after these."""
    yield
    frames._kept.close()


def on_spark(use_case: UseCase, **functions: Callable[..., object]) -> UseCase:
    """A use case whose configuration declares Spark, with functions in place of its own."""
    plain = {name: getattr(use_case, name) for name in ("load", "schema", "features", "build", "baseline")}
    config = use_case.config.model_copy(update={"data": Data(engine="spark")})
    return bound(use_case.name, config, use_case.package, {**plain, **functions})


def load(raw):
    return raw.select("flower", *LENGTHS, "species").orderBy("sepal_length")


def features(rows):
    return rows.repartition(4)


def rows_of(stage: Callable[..., datasets.Dataset], project: Project, use_case: UseCase) -> pd.DataFrame:
    """The rows that a stage makes, in place of what lies there."""
    for name in ("interim", "processed"):
        for file in (project.data / name / use_case.name).glob("*"):
            file.unlink()
    return pd.read_parquet(stage(project, use_case).path)


def test_without_pyspark_a_declared_stage_is_refused_in_one_line(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyspark", "pyspark.errors", "pyspark.sql"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match="Spark is not installed: run make spark"):
        stages.interim(project, load_use_case(project, "iris", ON_SPARK))


def test_a_frame_of_spark_without_the_declaration_is_refused_with_the_key(project: Project) -> None:
    class DataFrame:
        """As Spark's, by the method that tells it from others."""

        def toPandas(self) -> None:
            """Not called."""

    use_case = replace(load_use_case(project, "iris"), load=lambda raw: DataFrame())
    with pytest.raises(UserError, match=r"returns a frame of Spark; declare it in config/iris.yaml: data: \{engine: spark\}"):
        stages.interim(project, use_case)


@pytest.mark.spark
def test_stages_on_spark_give_the_rows_and_the_model_of_the_stages_of_pandas(project: Project) -> None:
    plain = load_use_case(project, "iris")
    with_spark = on_spark(plain, load=load, features=features)
    for stage in (stages.interim, stages.processed):
        pd.testing.assert_frame_equal(rows_of(stage, project, with_spark), rows_of(stage, project, plain))
    one, other = (train(project, use_case, again=True)[0] for use_case in (plain, with_spark))
    assert one.manifest["metrics"] == other.manifest["metrics"] and one.key != other.key
    pd.testing.assert_frame_equal(one.holdout(), other.holdout())


@pytest.mark.spark
def test_times_and_numbers_come_back_in_the_types_of_the_schema(project: Project) -> None:
    plain = load_use_case(project, "ridership")
    wanted = list(plain.schema("interim").columns)
    names = {
        **{f"{name.lower()}_lag_14": name for name in STATIONS},
        **{name.lower(): name for name in GAMES},
        "rides": "ridership",
    }

    def in_spark(raw):
        from pyspark.sql.functions import col

        return raw.select([col(names.get(name, name)).alias(name) for name in wanted])

    pd.testing.assert_frame_equal(
        rows_of(stages.interim, project, on_spark(plain, load=in_spark)), rows_of(stages.interim, project, plain)
    )


@pytest.mark.spark
def test_what_is_wrong_on_spark_is_one_line(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    plain = load_use_case(project, "iris")
    for function, error, message in (
        (lambda raw: raw.toPandas(), UserError, "load returns DataFrame, not a frame of Spark"),
        (lambda raw: raw.select("petals"), UserError, "Spark failed: .*petals"),
        (lambda raw: raw.drop("species"), DataError, "column species is missing"),
        (lambda raw: raw.selectExpr("*", "1 as extra"), DataError, "column extra is not in the schema"),
    ):
        function.__name__ = "load"
        capfd.readouterr()
        with pytest.raises(error, match=message) as refused:
            rows_of(stages.interim, project, on_spark(plain, load=function))
        assert "\n" not in str(refused.value) and capfd.readouterr().err == ""


TRAINING = """
import sys
import numpy as np, pandas as pd
from mlops.spark import frames
from mlops.spark.ml import SparkFeatures
rows = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [3.0, 1.0, 2.0]})
SparkFeatures(["StandardScaler"]).fit(rows).transform(rows)
print(len(frames.on_spark("x", ["a"], lambda rows: rows)(rows)))
"""


@pytest.mark.spark
def test_neither_pandas_nor_spark_warns_of_the_other(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-W", "default", "-c", TRAINING], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr
    assert [line for line in done.stderr.splitlines() if "pandas" in line.lower() or "spark" in line.lower()] == []


def test_nothing_of_spark_is_loaded_for_stages_of_pandas(project: Project) -> None:
    assert load_use_case(project, "iris").load.__module__ == "use_cases.iris.data"
    assert frames.on_spark("iris", ["flower"], load).__name__ == "load"
