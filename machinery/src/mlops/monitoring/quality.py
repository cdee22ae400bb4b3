"""Quality in service: the use case's own metrics over the logged rows whose outcome has come, against limit and holdout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.config import Metric, nearest
from mlops.errors import ConfigError
from mlops.metrics.measures import Measure, Predictions, encode
from mlops.metrics.own import own_measure, takes_probabilities
from mlops.metrics.probabilities import NEED_PROBABILITIES, measures_of
from mlops.monitoring import log
from mlops.monitoring.labels import TRUTH
from mlops.monitoring.log import PREDICTION, PROBABILITIES
from mlops.monitoring.statistics import block_interval
from mlops.training.reference import as_category

if TYPE_CHECKING:
    import pandas as pd

    from mlops.use_case import UseCase


# The chance that a model which is just as good as its limit breaks it in a window, at most: for one metric, and for all of a
# use case. Both are one-sided, so an interval of 99 % stands for the first.
CHANCE, CHANCE_OF_ALL = 0.005, 0.02
UNCLEAR = "too few labels"
# Means over the classes: without labels of one of them they are another metric than that of the holdout.
MEANS_OVER_CLASSES = ("macro_f1", "balanced_accuracy")


@dataclass(frozen=True)
class Quality:
    """One metric in service: its value with an interval at `level`, its limit, the holdout's value, and a verdict.

    verdict: ok, warn, drift, or UNCLEAR where the value is beyond its limit and the interval is not, and for a mean over the
    classes where one of them has no label.
    """

    metric: str
    value: float
    low: float
    high: float
    limit: float | None
    holdout: float | None
    verdict: str
    reason: str = ""
    level: float = 1 - 2 * CHANCE


def check(use_case: UseCase, manifest: Mapping[str, Any], joined: pd.DataFrame) -> list[Quality]:
    """A row a metric: drift where the whole interval is beyond the limit, warn where it is worse than the holdout's value.

    Raises ConfigError for the limit of a metric that the use case does not have.
    """
    config = use_case.config
    unknown = next((name for name in config.monitor.quality if name not in config.metrics), None)
    if unknown is not None:
        raise ConfigError(f"monitor.quality.{unknown}: no metric of the use case{nearest(unknown, config.metrics)}")
    truth, predictions, classes = encoded(manifest, joined)
    measured = measures(use_case, classes, predictions.probabilities is not None)
    level = 1 - 2 * min(CHANCE, CHANCE_OF_ALL / max(1, len(measured)))
    results = []
    for name, measure in measured.items():
        rule = config.metrics[name]
        limit = config.monitor.quality.get(name, rule.limit)
        drawn = config.bootstrap
        low, high = block_interval(
            lambda rows, measure=measure: measure(truth[rows], predictions.take(rows)),  # type: ignore[misc]
            len(truth),
            drawn.resamples,
            drawn.block,
            config.seed,
            level,
        )
        value, holdout = measure(truth, predictions), manifest["metrics"].get(name)
        verdict, reason = judge(rule, value, (low, high), limit, holdout, len(truth))
        if verdict in ("warn", "drift") and name in MEANS_OVER_CLASSES and (lacking := _without_labels(manifest, joined)):
            verdict, reason = UNCLEAR, f"is a mean over the classes, and no label is {lacking}"
        results.append(Quality(name, value, low, high, limit, holdout, verdict, reason, level))
    return results


def unknown_classes(manifest: Mapping[str, Any], joined: pd.DataFrame) -> dict[str, int]:
    """The outcomes that are no class of the model, by name, with their number; none for a model of numbers."""
    if manifest["classes"] is None:
        return {}
    known = {_class_name(name) for name in manifest["classes"]}
    names = joined[TRUTH].map(_class_name)
    return {str(name): int(count) for name, count in names[~names.isin(known)].value_counts().items()}


def _without_labels(manifest: Mapping[str, Any], joined: pd.DataFrame) -> str:
    """The classes of the model that no label names, in words; "" where each has one."""
    known = set(joined[TRUTH].map(_class_name))
    return " or ".join(log.quoted(name) for name in map(_class_name, manifest["classes"]) if name not in known)


def fitting(predictions: pd.Series, classes: list[Any] | None) -> pd.Series:
    """Which answers are of the version's own kind: names of classes, or numbers."""
    named = classes is not None and isinstance(classes[0], str)
    return predictions.notna() & predictions.map(lambda value: isinstance(value, str) == named).astype(bool)


def _class_name(value: Any) -> str:
    return value if isinstance(value, str) else as_category(value)


def measures(use_case: UseCase, classes: np.ndarray | None, probabilities: bool) -> dict[str, Measure]:
    """The configured metrics, those of the use case's own `evaluate` included; of probabilities only where there are any."""
    standard = measures_of(use_case.config, classes)
    own = use_case.evaluate
    if own is not None and classes is not None and takes_probabilities(own) and not probabilities:
        own = None
    chosen: dict[str, Measure] = {}
    for name in use_case.config.metrics:
        if name in standard and (probabilities or name not in NEED_PROBABILITIES):
            chosen[name] = standard[name]
        elif name not in standard and own is not None:
            chosen[name] = own_measure(own, name, classes)
    return chosen


def encoded(manifest: Mapping[str, Any], joined: pd.DataFrame) -> tuple[np.ndarray, Predictions, np.ndarray | None]:
    """Truth and predictions as metrics take them: numbers, or the index of the class; and the classes."""
    if manifest["classes"] is None:
        return joined[TRUTH].to_numpy(dtype=float), Predictions(joined[PREDICTION].to_numpy(dtype=float)), None
    labels = {_class_name(label): label for label in manifest["classes"]}
    truth, predictions = (joined[column].map(_class_name).to_numpy(dtype=object) for column in (TRUTH, PREDICTION))
    # A class that training did not have is one more, which the model can never say.
    names = np.array(sorted({*labels, *truth, *predictions}), dtype=object)
    classes = np.array([labels.get(name, name) for name in names], dtype=object)
    probabilities = _probabilities(manifest["classes"], names, joined)
    return encode(truth, names), Predictions(encode(predictions, names), probabilities), classes


def _probabilities(known: list[Any], names: np.ndarray, joined: pd.DataFrame) -> np.ndarray | None:
    """The logged probabilities, [rows, names], 0 for what is no class of the model; None where not every row has them.

    Some rows alone are those of the clients that asked for probabilities, which need not be like the others.
    """
    if PROBABILITIES not in joined:
        return None
    rows, keys = joined[PROBABILITIES].tolist(), [str(name) for name in known]  # as the log writes a class
    if not all(isinstance(row, dict) and all(isinstance(row.get(key), int | float) for key in keys) for row in rows):
        return None
    found = np.zeros((len(rows), len(names)))
    places = np.searchsorted(names, [_class_name(name) for name in known])
    found[:, places] = [[row[key] for key in keys] for row in rows]
    return found


def judge(
    rule: Metric, value: float, interval: tuple[float, float], limit: float | None, holdout: float | None, rows: int
) -> tuple[str, str]:
    """The verdict on a metric and its reason: by the end of the interval that speaks for the model."""
    if not np.isfinite(value):
        return "warn", "is no number on these rows"
    low, high = interval
    if rule.direction == "zero":
        best = 0.0 if low * high <= 0 else min(abs(low), abs(high))
    else:
        best = high if rule.direction == "higher" else low
    if limit is not None and _worse(rule, best, limit):
        return "drift", f"breaks its limit {limit:g}"
    if holdout is not None and _worse(rule, best, abs(holdout) if rule.direction == "zero" else holdout):
        return "warn", f"worse than the {holdout:.4f} of the holdout"
    if limit is not None and _worse(rule, value, limit):
        return UNCLEAR, f"is beyond its limit {limit:g}, which {rows} labels cannot tell from chance"
    return "ok", ""


def _worse(rule: Metric, one: float, other: float) -> bool:
    if rule.direction == "lower":
        return one > other
    return one < other if rule.direction == "higher" else abs(one) > other
