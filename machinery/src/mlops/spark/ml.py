"""Estimators that are fitted in Spark ML and answer without it, as the last or a first step of a use case's model.

    Pipeline([("features", SparkFeatures(["StandardScaler", {"PolynomialExpansion": {"degree": 3}}])), ("classify", …)])

Fitting needs the extra `spark` and Java; predicting, the bundle and the server need neither.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin

from mlops.errors import UserError
from mlops.spark import stages
from mlops.spark.text import refuse_several

if TYPE_CHECKING:
    from pyspark.ml import PipelineModel

__all__ = ["SparkClassifier", "SparkFeatures", "restored"]

# A stage by its name, or its name with its parameters as Spark names them.
Stages = Sequence[str | dict[str, dict[str, Any]]]
CLASS = "__class__"


class _FittedInSpark(BaseEstimator):  # type: ignore[misc]
    """Stages of Spark ML one after the other; columns of numbers are assembled first, a column of texts is split into words.

    `computed_` is the pipeline of scikit-learn that computes the same; `pipeline_` holds Spark's own, for `restored`.
    """

    def __init__(self, stages: Stages = ()) -> None:
        self.stages = stages

    def _fit(self, X: Any, y: Any = None) -> None:
        from sklearn.pipeline import Pipeline

        from mlops.spark import session  # not where a model is served

        rows = np.asarray(X)
        self.n_features_in_ = rows.shape[1] if rows.ndim > 1 else 1
        if hasattr(X, "columns"):
            self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        with session.session("features", session.own_log()) as spark:
            frame = _frame(spark, rows, y)
            fitted = _pipeline(self.stages, rows).fit(frame)
            self.pipeline_ = np.frombuffer(_packed(fitted), dtype=np.uint8)
            self.computed_ = Pipeline(_computed(fitted, self.n_features_in_))


class SparkFeatures(TransformerMixin, _FittedInSpark):  # type: ignore[misc]
    """Features that are fitted in Spark ML: numbers in, numbers out."""

    def fit(self, X: Any, y: Any = None) -> SparkFeatures:
        """Fit the stages in Spark. Raises UserError for a stage that has no form without Spark."""
        self._fit(X)
        return self

    def transform(self, X: Any) -> Any:
        """The features, without Spark."""
        return self.computed_.transform(np.asarray(X))


class SparkClassifier(ClassifierMixin, _FittedInSpark):  # type: ignore[misc]
    """A classifier that is fitted in Spark ML: its last stage is LogisticRegression."""

    def fit(self, X: Any, y: Any) -> SparkClassifier:
        """Fit the stages in Spark. Raises UserError for a stage that has no form without Spark."""
        self.classes_, numbers = np.unique(y, return_inverse=True)
        self._fit(X, numbers)
        return self

    def predict(self, X: Any) -> Any:
        """The class of each row, without Spark."""
        return self.classes_[self.computed_.predict(np.asarray(X))]

    def predict_proba(self, X: Any) -> Any:
        """The probability of each class, [rows, classes], without Spark."""
        return self.computed_.predict_proba(np.asarray(X))


def restored(estimator: SparkFeatures | SparkClassifier) -> PipelineModel:
    """The pipeline that was fitted in Spark, in the session that is there; `mlflow.spark.log_model` takes it."""
    from pyspark.ml import PipelineModel

    folder = tempfile.mkdtemp(prefix="spark-pipeline-")
    with tarfile.open(fileobj=io.BytesIO(estimator.pipeline_.tobytes())) as archive:
        archive.extractall(folder, filter="data")
    return PipelineModel.load(f"file://{folder}/pipeline")


def _frame(spark: Any, rows: np.ndarray, y: Any) -> Any:
    """The rows as a frame of Spark in one partition, so that sums are the same each time."""
    import pandas as pd

    frame = pd.DataFrame(rows.reshape(len(rows), -1), columns=_names(rows))
    if y is not None:
        frame[CLASS] = np.asarray(y, dtype=np.float64)
    return spark.createDataFrame(frame).coalesce(1)


def _names(rows: np.ndarray) -> list[str]:
    return [f"x{place}" for place in range(rows.shape[1] if rows.ndim > 1 else 1)]


def _pipeline(wanted: Stages, rows: np.ndarray) -> Any:
    """The pipeline of Spark, not fitted yet."""
    from pyspark.ml import Pipeline
    from pyspark.ml.feature import Tokenizer, VectorAssembler

    names = _names(rows)
    is_text = rows.dtype.kind not in "fiub"
    if is_text:
        refuse_several(rows)
    first = Tokenizer(inputCol=names[0]) if is_text else VectorAssembler(inputCols=names)
    chain = [first.setOutputCol("stage0")]
    for place, entry in enumerate(wanted):
        name, options = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
        if name == "LogisticRegression":
            options = {"featuresCol": f"stage{place}", "labelCol": CLASS, **_weighed(options, len(rows))}
        else:
            options = {"inputCol": f"stage{place}", "outputCol": f"stage{place + 1}", **options}
        chain.append(_stage(name, options))
    return Pipeline(stages=chain)


def _weighed(options: dict[str, Any], rows: int) -> dict[str, Any]:
    """Options of LogisticRegression, with scikit-learn's `C` as Spark counts it, beside the mean loss, unscaled."""
    if "C" not in options:
        return options
    others = {name: value for name, value in options.items() if name != "C"}
    return {"standardization": False, "regParam": 1 / (options["C"] * rows), **others}


def _stage(name: str, options: dict[str, Any]) -> Any:
    from pyspark.ml import classification, feature

    if name not in stages.TABLE:
        raise UserError(
            f"{name}: this stage of Spark ML has no form without Spark; there are forms of {', '.join(stages.TABLE)}"
        )
    kind = getattr(feature, name, None) or getattr(classification, name)
    try:
        return kind(**options)
    except TypeError as error:
        raise UserError(f"{name}: {error}; name its parameters as Spark does") from None


def _computed(fitted: PipelineModel, width: int) -> list[tuple[str, Any]]:
    """The steps of scikit-learn that compute what a fitted pipeline computes."""
    steps = []
    for place, stage in enumerate(fitted.stages[1:]):
        estimator = stages.converted(stage, width)
        steps.append((f"stage{place + 1}", estimator))
        width = _width(estimator, width)
    return steps


def _width(estimator: Any, width: int) -> int:
    if hasattr(estimator, "columns"):
        return int(estimator.columns)
    return int(estimator.transform(np.ones((1, width))).shape[1]) if hasattr(estimator, "transform") else 1


def _packed(fitted: PipelineModel) -> bytes:
    """The files that Spark writes of a fitted pipeline, as an archive."""
    with tempfile.TemporaryDirectory() as folder:
        fitted.write().overwrite().save(f"file://{folder}/pipeline")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            archive.add(f"{folder}/pipeline", "pipeline")
        return buffer.getvalue()
