"""An estimator fitted and asked: predictions, their metrics, and the errors that name a use case's own code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlops.errors import ConfigError, DataError, UserError
from mlops.metrics.measures import Measure, Predictions, encode
from mlops.metrics.own import own_metrics
from mlops.metrics.probabilities import measures_of, values_of
from mlops.use_case import call

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mlops.use_case import UseCase


def predict(model: Any, rows: pd.DataFrame, classes: np.ndarray | None) -> Predictions:
    """What a fitted scikit-learn model says of rows; `classes` are sorted, and None for regression.

    Raises DataError for a label that is none of the classes.
    """
    import numpy as np

    answers = np.asarray(model.predict(rows))
    if classes is None:
        return Predictions(answers.astype(float))
    values = encode(answers, classes)
    if not hasattr(model, "predict_proba"):
        return Predictions(values, one_hot(values, len(classes)))
    probabilities = np.zeros((len(rows), len(classes)))
    probabilities[:, encode(np.asarray(model.classes_), classes)] = model.predict_proba(rows)
    return Predictions(values, probabilities)


def one_hot(values: np.ndarray, size: int) -> np.ndarray:
    """Probabilities (n, size) of a rule that is certain of what it says."""
    import numpy as np

    return np.asarray(np.eye(size)[values])


def with_threshold(estimator: Any, threshold: dict[str, Any]) -> Any:
    """The unfitted estimator with its threshold; itself where there is none. Raises ConfigError without probabilities."""
    if not threshold:
        return estimator
    from sklearn.model_selection import FixedThresholdClassifier

    if not hasattr(estimator, "predict_proba"):
        raise ConfigError(f"threshold: {type(estimator).__name__} gives no probabilities; build one that has predict_proba")
    return FixedThresholdClassifier(
        estimator, threshold=threshold["value"], pos_label=threshold["positive"], response_method="predict_proba"
    )


def without_threshold(model: Any) -> Any:
    """The fitted model below a threshold; itself where there is none."""
    from sklearn.model_selection import FixedThresholdClassifier

    return model.estimator_ if isinstance(model, FixedThresholdClassifier) else model


def fit(use_case: UseCase, inputs: pd.DataFrame, target: pd.Series, threshold: dict[str, Any] | None = None) -> Any:
    """The fitted estimator of a use case, with its threshold; raises UserError where it cannot be fitted."""
    estimator = with_threshold(call(use_case.name, use_case.estimator), threshold or {})
    try:
        return estimator.fit(inputs, target)
    except (ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"src/use_cases/{use_case.name}: the estimator cannot be fitted ({reason}); correct build or parameters"
        ) from error


@contextmanager
def labels_of(use_case: UseCase, who: str) -> Iterator[None]:
    """Within it, the error about a label that the target does not have names who predicts it, and where."""
    try:
        yield
    except DataError as error:
        column = use_case.config.target.column
        raise DataError(
            f"src/use_cases/{use_case.name}: {who} predicts {error}; correct it, or the values of column {column}"
        ) from None


def as_predictions(predictions: np.ndarray, classes: np.ndarray | None) -> Predictions:
    """What a rule predicts, as metrics take it; its labels are certain. Raises DataError for an unknown one."""
    import numpy as np

    if classes is None:
        return Predictions(np.asarray(predictions, dtype=float))
    values = encode(np.asarray(predictions), classes)
    return Predictions(values, one_hot(values, len(classes)))


def metrics_of(use_case: UseCase, truth: np.ndarray, predictions: Predictions, classes: np.ndarray | None) -> dict[str, float]:
    """The configured metrics, those of the use case's own `evaluate` included."""
    own = own_metrics(use_case.evaluate, truth, predictions, classes) if use_case.evaluate else {}
    known = measures_of(use_case.config, classes)
    if shadowed := next((name for name in own if name in known), None):
        raise UserError(
            f"src/use_cases/{use_case.name}: evaluate returns {shadowed}, which is measured for every use case: "
            "give your own metric another name"
        )
    standard = [name for name in use_case.config.metrics if name not in own]
    return {**values_of(known, standard, truth, predictions), **own}


def primary_measure(use_case: UseCase, classes: np.ndarray | None) -> Measure:
    """The function of the primary metric alone."""
    name, known = use_case.config.primary, measures_of(use_case.config, classes)
    return known[name] if name in known else lambda truth, predictions: metrics_of(use_case, truth, predictions, classes)[name]


def error_of(truth: np.ndarray, predictions: Predictions, classes: np.ndarray | None) -> float:
    """The share of wrong rows for classes, else the mean squared error."""
    import numpy as np

    return float(np.mean(predictions.values != truth) if classes is not None else np.mean((predictions.values - truth) ** 2))


def as_truth(target: pd.Series, classes: np.ndarray | None) -> np.ndarray:
    """The target as metrics take it: numbers, or the index of the class."""
    return target.to_numpy(dtype=float) if classes is None else encode(target.to_numpy(), classes)
