"""Quality in service: the use case's own metrics over the logged rows whose outcome has come, against limit and holdout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.config import Metric, nearest
from mlops.errors import ConfigError
from mlops.monitoring.labels import TRUTH
from mlops.monitoring.log import SAID
from mlops.training.metrics import Measure, Predictions, bootstrap, encode
from mlops.training.own_metrics import own_measure, takes_probabilities
from mlops.training.probabilities import NEED_PROBABILITIES, measures_of

if TYPE_CHECKING:
    import pandas as pd

    from mlops.use_case import UseCase


@dataclass(frozen=True)
class Quality:
    """One metric in service: value and 95 % interval, its limit, the holdout's value, and ok, warn or drift."""

    metric: str
    value: float
    low: float
    high: float
    limit: float | None
    holdout: float | None
    verdict: str
    reason: str = ""


def check(use_case: UseCase, manifest: Mapping[str, Any], joined: pd.DataFrame) -> list[Quality]:
    """A row a metric: drift where the limit is broken, warn where the holdout's value is better than the whole interval.

    Raises ConfigError for the limit of a metric that the use case does not have.
    """
    config = use_case.config
    unknown = next((name for name in config.monitor.quality if name not in config.metrics), None)
    if unknown is not None:
        raise ConfigError(f"monitor.quality.{unknown}: no metric of the use case{nearest(unknown, config.metrics)}")
    truth, said, classes = _encoded(manifest, joined)
    found = []
    for name, measure in _measures(use_case, classes).items():
        rule = config.metrics[name]
        limit = config.monitor.quality.get(name, rule.limit)
        drawn = config.bootstrap
        low, high = bootstrap(measure, said, truth, drawn.resamples, drawn.block, config.seed)
        value, holdout = measure(truth, said), manifest["metrics"].get(name)
        verdict, reason = _verdict(rule, value, (low, high), limit, holdout)
        found.append(Quality(name, value, low, high, limit, holdout, verdict, reason))
    return found


def _measures(use_case: UseCase, classes: np.ndarray | None) -> dict[str, Measure]:
    """The configured metrics that values alone allow, those of the use case's own `evaluate` included."""
    standard = measures_of(use_case.config, classes)
    own = use_case.evaluate if use_case.evaluate and not takes_probabilities(use_case.evaluate) else None
    found: dict[str, Measure] = {}
    for name in use_case.config.metrics:
        if name in standard and name not in NEED_PROBABILITIES:
            found[name] = standard[name]
        elif name not in standard and own is not None:
            found[name] = own_measure(own, name, classes)
    return found


def _encoded(manifest: Mapping[str, Any], joined: pd.DataFrame) -> tuple[np.ndarray, Predictions, np.ndarray | None]:
    """Truth and predictions as metrics take them: numbers, or the index of the class; and the classes."""
    if manifest["classes"] is None:
        return joined[TRUTH].to_numpy(dtype=float), Predictions(joined[SAID].to_numpy(dtype=float)), None
    classes = np.asarray(manifest["classes"])
    truth, said = joined[TRUTH].to_numpy(), joined[SAID].to_numpy()
    if classes.dtype.kind not in "US":
        truth, said = truth.astype(classes.dtype), said.astype(classes.dtype)
    # A label that training did not have is one more class, whichever side it is on.
    every = np.union1d(classes, np.union1d(truth, said))
    return encode(truth, every), Predictions(encode(said, every)), every


def _verdict(
    rule: Metric, value: float, interval: tuple[float, float], limit: float | None, holdout: float | None
) -> tuple[str, str]:
    if limit is not None and _worse(rule, value, limit):
        return "drift", f"breaks its limit {limit:g}"
    ends = interval if rule.direction != "zero" else (min(map(abs, interval)) if interval[0] * interval[1] > 0 else 0.0,) * 2
    nearest_end = min(ends) if rule.direction != "higher" else max(ends)
    if holdout is not None and _worse(rule, nearest_end, abs(holdout) if rule.direction == "zero" else holdout):
        return "warn", f"worse than the {holdout:.4f} of the holdout"
    return "ok", ""


def _worse(rule: Metric, one: float, other: float) -> bool:
    if rule.direction == "lower":
        return one > other
    return one < other if rule.direction == "higher" else abs(one) > other
