"""Metrics of probabilities, of the class that is looked for, and of what mistakes cost.

With `target.positive` they are those of that class against the rest; without it, means over the classes. The tests compare
each with scikit-learn's, which takes too long for the bootstrap's thousands of calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlops.config import nearest
from mlops.config.decisions import Costs, Label
from mlops.errors import ConfigError
from mlops.metrics.measures import DIRECTIONS, MEASURES, Measure, Predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops.config import UseCaseConfig

BINS = 10
# Takes which rows are of a class, (n,), and its probabilities, (n,).
Score = Callable[["NDArray[Any]", "NDArray[Any]"], float]


class Curve(NamedTuple):
    """True and false positives of each threshold, from the strictest; `scores` are the thresholds."""

    scores: NDArray[Any]
    hits: NDArray[Any]
    false: NDArray[Any]

    @property
    def recall(self) -> NDArray[Any]:
        """The share of the positives that is at or above each threshold."""
        return self.hits / self.hits[-1] if self.hits[-1] else np.full(len(self.hits), np.nan)

    @property
    def precision(self) -> NDArray[Any]:
        """The share of what is at or above each threshold that is positive."""
        return np.asarray(self.hits / (self.hits + self.false))


def curve(positive: NDArray[Any], scores: NDArray[Any]) -> Curve:
    """The curve of n scores, `positive` (n,) saying which rows are; equal scores are one threshold."""
    order = np.argsort(-scores, kind="stable")
    ordered, truth = scores[order], positive[order].astype(float)
    last = np.append(np.nonzero(np.diff(ordered))[0], len(ordered) - 1)
    hits = np.cumsum(truth)[last]
    return Curve(ordered[last], hits, last + 1 - hits)


def roc_auc(positive: NDArray[Any], scores: NDArray[Any]) -> float:
    """The chance that a positive row has a higher score than another one; not a number where a side is empty."""
    points = curve(positive, scores)
    hits, false = np.append(0, points.hits), np.append(0, points.false)
    area = float(np.sum(np.diff(false) * (hits[1:] + hits[:-1]) / 2))
    total = float(hits[-1] * false[-1])
    return area / total if total else float("nan")


def average_precision(positive: NDArray[Any], scores: NDArray[Any]) -> float:
    """The mean precision over the thresholds, weighted by the recall that each adds."""
    points = curve(positive, scores)
    return float(np.sum(np.diff(np.append(0, points.recall)) * points.precision))


def recall_at_precision(positive: NDArray[Any], scores: NDArray[Any], at: float) -> float:
    """The highest recall of a threshold whose precision is `at` or more; 0 where there is none."""
    points = curve(positive, scores)
    return float(np.max(np.where(points.precision >= at, points.recall, 0.0)))


def precision_at_recall(positive: NDArray[Any], scores: NDArray[Any], at: float) -> float:
    """The highest precision of a threshold whose recall is `at` or more."""
    points = curve(positive, scores)
    return float(np.max(points.precision[points.recall >= at], initial=0.0)) if points.hits[-1] else float("nan")


def calibration_error(right: NDArray[Any], confidence: NDArray[Any], bins: int = BINS) -> float:
    """The mean distance of stated probability and observed share over equal bins, weighted by their rows.

    Source: Naeini, Cooper and Hauskrecht 2015, Obtaining well calibrated probabilities using Bayesian binning.
    """
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(places, weights=confidence - right, minlength=bins)
    return float(np.sum(np.abs(gaps)) / len(right))


def _of_class(score: Score, index: int, truth: np.ndarray, predictions: Predictions) -> float:
    return score(truth == index, _probabilities(predictions)[:, index])


def _mean(score: Score, truth: np.ndarray, predictions: Predictions) -> float:
    """The mean over the classes for which there is a value."""
    columns = _probabilities(predictions)
    classes = np.unique(truth)
    values = [score(truth == index, columns[:, index]) for index in classes] if len(classes) > 1 else []
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def brier(truth: np.ndarray, predictions: Predictions) -> float:
    """Mean squared distance of the probabilities from the truth; for two classes that of one of them."""
    columns = _probabilities(predictions)
    distance = float(np.mean(np.sum((columns - np.eye(columns.shape[1])[truth]) ** 2, axis=1)))
    return distance / 2 if columns.shape[1] == 2 else distance


def _brier_of_class(positive: NDArray[Any], scores: NDArray[Any]) -> float:
    return float(np.mean((scores - positive) ** 2))


def _calibration_of_predicted(truth: np.ndarray, predictions: Predictions) -> float:
    """The calibration of the most probable class."""
    columns = _probabilities(predictions)
    return calibration_error(columns.argmax(axis=1) == truth, columns.max(axis=1))


def _precision(index: int, truth: np.ndarray, predictions: Predictions) -> float:
    flagged = predictions.values == index
    return float(np.mean(truth[flagged] == index)) if flagged.any() else 0.0


def _recall(index: int, truth: np.ndarray, predictions: Predictions) -> float:
    positive = truth == index
    return float(np.mean(predictions.values[positive] == index)) if positive.any() else float("nan")


def _f1(index: int, truth: np.ndarray, predictions: Predictions) -> float:
    positive, flagged = truth == index, predictions.values == index
    total = int(positive.sum() + flagged.sum())
    return 2 * int((positive & flagged).sum()) / total if total else float("nan")


def expected_cost(matrix: NDArray[Any], truth: np.ndarray, predictions: Predictions) -> float:
    """The mean cost of a row, by a matrix of the cost of each prediction (column) for each truth (row)."""
    return float(np.mean(matrix[truth, predictions.values]))


def _probabilities(predictions: Predictions) -> NDArray[Any]:
    assert predictions.probabilities is not None, "a classifier's predictions carry probabilities"
    return predictions.probabilities


SCORES: dict[str, Score] = {"roc_auc": roc_auc, "average_precision": average_precision}
AT: dict[str, Callable[..., float]] = {
    "recall_at_precision": recall_at_precision,
    "precision_at_recall": precision_at_recall,
}
OF_POSITIVE: dict[str, Callable[..., float]] = {"precision": _precision, "recall": _recall, "f1": _f1}
# Where each is best.
BEST = {
    **dict.fromkeys((*SCORES, *AT, *OF_POSITIVE), "higher"),
    **dict.fromkeys(("brier", "calibration_error", "expected_cost"), "lower"),
}
# They cannot be taken of labels alone.
NEED_PROBABILITIES = frozenset({"log_loss", "brier", "calibration_error", *SCORES, *AT})


def directions(task: str) -> dict[str, str]:
    """Every metric that a configuration can name for a task, with where it is best."""
    return {name: DIRECTIONS[name] for name in MEASURES[task]} | (BEST if task == "classification" else {})


def measures_of(config: UseCaseConfig, classes: Iterable[Any] | None) -> dict[str, Measure]:
    """Every metric that the configuration allows, bound to the class that is looked for and to the costs.

    Raises ConfigError for a positive class, or one of the costs, that the target does not have.
    """
    known = dict(MEASURES[config.task])
    if classes is None:
        return known
    names = list(classes)
    if config.costs:
        known["expected_cost"] = partial(expected_cost, cost_matrix(config.costs, names))
    if config.target.positive is None:
        means = {name: partial(_mean, score) for name, score in SCORES.items()}
        return {**known, **means, "brier": brier, "calibration_error": _calibration_of_predicted}
    index = index_of(config.target.positive, names, "target.positive")
    scores: dict[str, Score] = {**SCORES, "brier": _brier_of_class, "calibration_error": calibration_error}
    for name, score in AT.items():
        rule = config.metrics.get(name)
        if rule is not None and rule.at is not None:
            scores[name] = partial(score, at=rule.at)
    known |= {name: partial(_of_class, score, index) for name, score in scores.items()}
    return {**known, **{name: partial(measure, index) for name, measure in OF_POSITIVE.items()}}


def values_of(
    known: Mapping[str, Measure], names: Iterable[str], truth: np.ndarray, predictions: Predictions
) -> dict[str, float]:
    """The value of each metric; raises ConfigError naming the nearest one for a name that is not known."""
    names = list(names)
    for name in names:
        if name not in known:
            raise ConfigError(f"metrics.{name}: no such metric{nearest(name, known)}; there are: {', '.join(known)}")
    return {name: known[name](truth, predictions) for name in names}


def faults(config: UseCaseConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each key of a metric that lacks what the metric needs: its path, and a sentence."""
    for name, rule in config.metrics.items():
        if name in (*AT, *OF_POSITIVE) and config.target.positive is None:
            yield ("metrics", name), f"metrics.{name} needs target.positive, the class that is looked for"
        if name in AT and rule.at is None:
            yield ("metrics", name), f"metrics.{name} needs at, the {name.split('_at_')[1]} at which it is taken"
        if name not in AT and rule.at is not None:
            yield ("metrics", name, "at"), f"metrics.{name}.at: only {' and '.join(AT)} have it"
        if name == "expected_cost" and not config.costs:
            yield ("metrics", name), "metrics.expected_cost needs costs, what each mistake costs"


def cost_matrix(costs: Costs | Mapping[str, Mapping[str, float]], classes: list[Any]) -> NDArray[Any]:
    """The cost of each prediction (column) for each truth (row); what is not named costs 0."""
    matrix = np.zeros((len(classes), len(classes)))
    for truth, row in costs.items():
        for predicted, cost in row.items():
            place = index_of(truth, classes, "costs"), index_of(predicted, classes, f"costs.{truth}")
            matrix[place] = cost
    return matrix


def index_of(label: Label, classes: Iterable[Any], key: str) -> int:
    """The place of a label among the classes, compared by how they are written.

    Raises ConfigError for one that is none of them: YAML reads a bare yes as true.
    """
    names = [_written(name) for name in classes]
    if _written(label) not in names:
        raise ConfigError(f"{key}: {label!r} is no class; there are: {', '.join(names)}; put a text in quotation marks")
    return names.index(_written(label))


def _written(label: Any) -> str:
    """A label as JSON has it for a key."""
    return str(label).lower() if isinstance(label, bool | np.bool_) else str(label)
