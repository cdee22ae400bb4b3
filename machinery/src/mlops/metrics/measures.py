"""The metrics that a configuration can name, and the paired bootstrap of their difference.

They are written on numpy arrays because the bootstrap calls them thousands of times; scikit-learn's, which check their
input at each call, take 40 times as long. The tests compare each with scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.config import nearest
from mlops.errors import ConfigError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A probability of 0 has no logarithm; scikit-learn clips at the same place for 64-bit numbers.
SMALLEST = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Predictions:
    """What a model says of n rows.

    values: (n,) numbers, or for classification the index of the class.
    probabilities: (n, k) for classification, None for regression.
    """

    values: NDArray[Any]
    probabilities: NDArray[Any] | None = None

    def take(self, rows: NDArray[Any]) -> Predictions:
        """The predictions of some rows, in the order asked for."""
        return Predictions(self.values[rows], None if self.probabilities is None else self.probabilities[rows])


Measure = Callable[[np.ndarray, Predictions], float]


def mae(truth: np.ndarray, predictions: Predictions) -> float:
    """Mean absolute error, in the target's unit."""
    return float(np.mean(np.abs(predictions.values - truth)))


def rmse(truth: np.ndarray, predictions: Predictions) -> float:
    """Root of the mean squared error, in the target's unit."""
    return float(np.sqrt(np.mean((predictions.values - truth) ** 2)))


def mape(truth: np.ndarray, predictions: Predictions) -> float:
    """Mean absolute error as a share of the truth; not a number where a truth is 0."""
    return float(np.mean(np.abs(predictions.values - truth) / np.abs(truth))) if np.all(truth) else float("nan")


def bias(truth: np.ndarray, predictions: Predictions) -> float:
    """Mean error: above 0 where the model says too much, in the target's unit."""
    return float(np.mean(predictions.values - truth))


def r2(truth: np.ndarray, predictions: Predictions) -> float:
    """Share of the truth's variance that is explained; not a number where the truth does not vary."""
    spread = np.sum((truth - np.mean(truth)) ** 2)
    return float(1 - np.sum((truth - predictions.values) ** 2) / spread) if spread else float("nan")


def accuracy(truth: np.ndarray, predictions: Predictions) -> float:
    """Share of the rows whose class is right."""
    return float(np.mean(predictions.values == truth))


def macro_f1(truth: np.ndarray, predictions: Predictions) -> float:
    """Mean over the classes that occur of the harmonic mean of precision and recall."""
    hits, predicted, actual = _counts(truth, predictions.values)
    occurs = predicted + actual > 0
    return float(np.mean(2 * hits[occurs] / (predicted + actual)[occurs]))


def balanced_accuracy(truth: np.ndarray, predictions: Predictions) -> float:
    """Mean over the classes of the truth of the share that is found."""
    hits, _, actual = _counts(truth, predictions.values)
    return float(np.mean(hits[actual > 0] / actual[actual > 0]))


def log_loss(truth: np.ndarray, predictions: Predictions) -> float:
    """Mean negative logarithm of the probability that was given to the true class."""
    assert predictions.probabilities is not None, "a classifier's predictions carry probabilities"
    given = predictions.probabilities[np.arange(len(truth)), truth]
    return float(np.mean(-np.log(np.clip(given, SMALLEST, 1))))


MEASURES: dict[str, dict[str, Measure]] = {
    "regression": {"mae": mae, "rmse": rmse, "mape": mape, "bias": bias, "r2": r2},
    "classification": {
        "accuracy": accuracy,
        "macro_f1": macro_f1,
        "balanced_accuracy": balanced_accuracy,
        "log_loss": log_loss,
    },
}

# Where each is best; a configuration that says otherwise would turn the gate round.
DIRECTIONS = {
    **dict.fromkeys(("mae", "rmse", "mape", "log_loss"), "lower"),
    **dict.fromkeys(("r2", "accuracy", "macro_f1", "balanced_accuracy"), "higher"),
    "bias": "zero",
}


def measure(task: str, name: str) -> Measure:
    """The function of a metric; raises ConfigError naming the nearest one for a name that the task does not have."""
    try:
        return MEASURES[task][name]
    except KeyError:
        known = MEASURES[task]
        raise ConfigError(
            f"metrics.{name}: no metric for {task}{nearest(name, known)}; there are: {', '.join(known)}"
        ) from None


def score(task: str, names: Iterable[str], truth: np.ndarray, predictions: Predictions) -> dict[str, float]:
    """The value of each metric."""
    return {name: measure(task, name)(truth, predictions) for name in names}


def encode(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The index of each label in the sorted classes.

    Raises DataError naming the first label that is none of them: no number stands for it, as any number is an index.
    """
    try:
        places = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
        known = np.asarray(classes[places] == labels, dtype=bool)
    except TypeError:  # labels of several kinds have no order
        known = np.array([label in classes.tolist() for label in labels], dtype=bool)
    if not known.all():
        label = np.asarray(labels)[~known].tolist()[0]
        raise DataError(f"{label!r} is not one of the classes {', '.join(map(str, classes))}")
    return places


def paired_bootstrap(
    goodness: Callable[[Predictions, np.ndarray], float],
    one: Predictions,
    other: Predictions,
    truth: np.ndarray,
    resamples: int,
    block: int,
    seed: int,
) -> tuple[float, float]:
    """The 95 % interval of goodness(one) - goodness(other) over resamples of the same rows for both.

    Blocks of neighbouring rows are drawn, as errors of neighbours in time resemble each other
    (Künsch 1989, The jackknife and the bootstrap for general stationary observations).
    """
    differences = [
        goodness(one.take(rows), truth[rows]) - goodness(other.take(rows), truth[rows])
        for rows in resampled(len(truth), resamples, block, seed)
    ]
    low, high = np.nanpercentile(differences, [2.5, 97.5])
    return float(low), float(high)


def bootstrap(
    measure: Measure, predictions: Predictions, truth: np.ndarray, resamples: int, block: int, seed: int
) -> tuple[float, float]:
    """The 95 % interval of a metric over resamples of the rows, drawn in blocks as `paired_bootstrap` draws them."""
    values = [measure(truth[rows], predictions.take(rows)) for rows in resampled(len(truth), resamples, block, seed)]
    if not np.isfinite(values).any():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def resampled(size: int, count: int, block: int, seed: int) -> Iterator[NDArray[Any]]:
    """The rows of each resample: blocks of neighbours, cut to the number of rows that there are."""
    random = np.random.default_rng(seed)
    block = min(block, size)
    for _ in range(count):
        starts = random.integers(0, size - block + 1, -(-size // block))
        yield (starts[:, None] + np.arange(block)).ravel()[:size]


def _counts(truth: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each class: how often it was rightly predicted, predicted, and true."""
    size = int(max(truth.max(), predictions.max())) + 1
    hits = np.bincount(truth[truth == predictions], minlength=size)
    return hits, np.bincount(predictions, minlength=size), np.bincount(truth, minlength=size)
