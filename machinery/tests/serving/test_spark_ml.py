"""What Spark ML has fitted answers without Spark: features and classifier in one graph, texts, and the pipeline itself."""

import importlib

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest

pytest.importorskip("pyspark")

import onnxruntime  # noqa: E402
import yaml  # noqa: E402
from checkouts import ROOT  # noqa: E402
from pyspark.ml.functions import vector_to_array  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402

import use_cases  # noqa: E402
from mlops import trust  # noqa: E402
from mlops.bundle.build import build  # noqa: E402
from mlops.errors import UserError  # noqa: E402
from mlops.spark.ml import SparkClassifier, SparkFeatures, restored  # noqa: E402
from mlops.spark.session import session  # noqa: E402

from .conftest import VERSION, labelled, make_candidate, serving  # noqa: E402

pytestmark = pytest.mark.spark
LENGTHS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
EXAMPLE = ROOT / "machinery" / "examples" / "messages"
POLYNOMIALS = ["StandardScaler", {"PolynomialExpansion": {"degree": 3}}]
CLOSE = {"rtol": 0, "atol": 1e-6}


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    """One session for the tests; fitting takes the one that is there."""
    with session("tests", tmp_path_factory.mktemp("log") / "spark.log", "local[2]") as running:
        yield running


@pytest.fixture(scope="module")
def flowers(spark, tmp_path_factory):
    """A candidate whose features were fitted in Spark ML: 34 of four lengths, and a classifier of scikit-learn."""
    model = make_pipeline(SparkFeatures(POLYNOMIALS), LogisticRegression(max_iter=2000))
    return make_candidate(tmp_path_factory.mktemp("flowers"), model, *labelled())


@pytest.fixture
def messages(monkeypatch):
    """The use case of texts, from its example."""
    monkeypatch.setattr(use_cases, "__path__", [*use_cases.__path__, str(EXAMPLE / "src" / "use_cases")])
    return importlib.import_module("use_cases.messages")


def trained(candidate):
    return trust.load_model(candidate / "model")


def in_spark(spark, pipeline, rows):
    """What a pipeline of Spark makes of rows, as a matrix; its columns are named by their place."""
    names = [f"x{place}" for place in range(rows.shape[1])]
    frame = spark.createDataFrame(pd.DataFrame(rows, columns=names)).coalesce(1)
    result = pipeline.transform(frame)
    values = result.select(vector_to_array(result.columns[-1]).alias("values")).toPandas()["values"]
    return np.array(values.tolist())


def lengths(count):
    return np.random.default_rng(1).uniform(0.1, 8, size=(count, 4))


def test_one_call_of_the_bundle_answers_as_spark_and_the_classifier_on_100000_rows(spark, flowers, tmp_path):
    bundle = build(flowers, tmp_path / "bundle", "iris", VERSION)
    assert bundle.format == "onnx" and bundle.content["evidence"]["different"] == 0
    features, classifier = (step for _, step in trained(flowers).steps)
    rows = lengths(100_000)
    expected = in_spark(spark, restored(features), rows)
    assert expected.shape == (100_000, 34)
    np.testing.assert_allclose(features.transform(rows), expected, rtol=1e-9, atol=1e-9)
    graph = onnxruntime.InferenceSession((bundle.folder / "model.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    labels, probabilities = graph.run(None, {graph.get_inputs()[0].name: rows})
    np.testing.assert_allclose(probabilities, classifier.predict_proba(expected), **CLOSE)
    assert (labels == classifier.predict(expected)).all()


def test_the_server_answers_without_java(spark, flowers, tmp_path):
    bundle = build(flowers, tmp_path / "bundle", "iris", VERSION)
    rows = lengths(1_000)
    features, classifier = (step for _, step in trained(flowers).steps)
    with serving(bundle.folder) as (address, process):
        body = {"dataframe_split": {"columns": LENGTHS, "data": rows.tolist()}}
        answers = httpx.post(f"{address}/invocations", json=body).json()["predictions"]
        running = psutil.Process(process.pid)
        assert running.children(recursive=True) == []
        assert not any("jvm" in mapped.path or "pyspark" in mapped.path for mapped in running.memory_maps())
    assert answers == classifier.predict(in_spark(spark, restored(features), rows)).tolist()


def test_the_pipeline_is_logged_as_a_model_and_reloaded_with_identical_output(spark, flowers, tmp_path):
    import mlflow

    features = trained(flowers).steps[0][1]
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.create_experiment("features", (tmp_path / "artifacts").as_uri())
    with mlflow.start_run(experiment_id=mlflow.get_experiment_by_name("features").experiment_id):
        logged = mlflow.spark.log_model(restored(features), "features", pip_requirements=["pyspark"])
    reloaded = mlflow.spark.load_model(logged.model_uri, dfs_tmpdir=str(tmp_path / "dfs"))
    assert [type(stage).__name__ for stage in reloaded.stages] == [
        "VectorAssembler",
        "StandardScalerModel",
        "PolynomialExpansion",
    ]
    rows = lengths(1_000)
    assert (in_spark(spark, reloaded, rows) == in_spark(spark, restored(features), rows)).all()


@pytest.mark.parametrize(
    "stages",
    [
        [{"StandardScaler": {"withMean": True}}],
        [{"StandardScaler": {"withStd": False}}],
        [{"MinMaxScaler": {"min": -1.0, "max": 3.0}}],
        ["MaxAbsScaler"],
        [{"PolynomialExpansion": {"degree": 2}}],
        [{"PCA": {"k": 3}}, "StandardScaler"],
    ],
    ids=str,
)
def test_each_stage_of_the_table_gives_what_spark_gives(spark, stages):
    rows = np.random.default_rng(2).normal(size=(200, 5)) * [1, 10, 0.1, 5, 0]
    rows[:, 4] = 7.5  # one value only
    features = SparkFeatures(stages).fit(rows)
    others = np.random.default_rng(3).normal(size=(300, 5))
    np.testing.assert_allclose(features.transform(others), in_spark(spark, restored(features), others), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("stage", "message"), [("Bucketizer", "Bucketizer: this stage"), ({"PCA": {"n": 3}}, "PCA: ")])
def test_a_stage_without_a_form_is_refused_in_one_line(spark, stage, message):
    with pytest.raises(UserError) as refused:
        SparkFeatures([stage]).fit(lengths(20))
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


def test_texts_are_classified_as_in_spark(spark):
    texts = [" ".join(np.random.default_rng(seed).choice(WORDS, 6)) for seed in range(300)]
    texts += ["", " ", "  two  spaces ", "Ümläut straße ÉCOLE", "日本 語", "tab\tand\nline"]
    y = np.array(["red" if "oak" in text.lower() else "blue" for text in texts])
    stages = [{"HashingTF": {"numFeatures": 5000}}, {"LogisticRegression": {"regParam": 0.01}}]
    model = SparkClassifier(stages).fit(np.array(texts, dtype=object), y)
    frame = spark.createDataFrame([(text,) for text in texts], ["x0"]).coalesce(1)
    rows = restored(model).transform(frame).select(vector_to_array("probability").alias("p"), "prediction").collect()
    np.testing.assert_allclose(model.predict_proba(texts), [row["p"] for row in rows], rtol=1e-9, atol=1e-12)
    assert model.predict(texts).tolist() == [model.classes_[int(row["prediction"])] for row in rows]
    assert (model.predict(texts) == y).mean() > 0.95


def test_a_use_case_of_texts_is_the_same_model_fitted_in_spark_or_without(spark, messages):
    rows = messages.features(messages.load(pd.read_csv(EXAMPLE / "data/raw/messages/messages.csv")))
    parameters = yaml.safe_load((EXAMPLE / "config/messages.yaml").read_text())["parameters"]
    options = parameters | {"columns": 1024, "regularisation": 1.0, "seed": 7}
    fitted, plain = (
        messages.build(**options | {"spark": where}).fit(rows[["text"]][:1000], rows["kind"][:1000]) for where in (True, False)
    )
    np.testing.assert_allclose(fitted.predict_proba(rows[["text"]]), plain.predict_proba(rows[["text"]]), rtol=0, atol=1e-3)
    frame = spark.createDataFrame(rows[["text"]].rename(columns={"text": "x0"})).coalesce(1)
    result = restored(fitted).transform(frame).select(vector_to_array("probability").alias("p")).collect()
    np.testing.assert_allclose(fitted.predict_proba(rows[["text"]]), [row["p"] for row in result], rtol=1e-9, atol=1e-12)
    assert (fitted.predict(rows[["text"]]) == plain.predict(rows[["text"]])).mean() > 0.999


WORDS = ["oak", "Oak", "river", "stone", "Über", "naïve", "x", "light", "42", "l'eau", "snow", "green"]
