"""The threshold: from which probability on a row counts as positive. As a part of the model it holds wherever that goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.config import UseCaseConfig
from mlops.errors import ConfigError
from mlops.metrics.probabilities import Curve, cost_matrix, curve, index_of

if TYPE_CHECKING:
    import numpy as np

    from mlops.config.decisions import Threshold
    from mlops.training.folds import OutOfFold


def choose(config: UseCaseConfig, truth: np.ndarray, seen: OutOfFold | None, classes: np.ndarray | None) -> dict[str, Any]:
    """The threshold as the manifest records it: value, positive class, and the rule that chose it; empty without one.

    truth: class indices of the training rows. seen: what models without these rows predict of them, for a rule.
    Raises ConfigError where the target does not have two classes, or the rule cannot be kept on the training rows.
    """
    rule = config.threshold
    if rule is None or classes is None:
        return {}
    if len(classes) != 2:
        raise ConfigError(f"threshold: {config.target.column} has {len(classes)} classes; a threshold parts two")
    assert config.target.positive is not None, "the configuration was checked"
    index = index_of(config.target.positive, classes, "target.positive")
    facts: dict[str, Any] = {"positive": classes[index : index + 1].tolist()[0]}
    if rule.value is not None:
        return {**facts, "value": rule.value}
    assert seen is not None and seen.predictions.probabilities is not None
    points = curve(truth[seen.rows] == index, seen.predictions.probabilities[:, index])
    costs = cost_matrix(config.costs, list(classes)) if rule.rule == "cost" else None
    value = _between(points.scores, _place(rule, points, costs, index))
    return {**facts, "value": value, "rule": rule.rule, "at_least": rule.at_least, "rows": len(seen.rows)}


def _place(rule: Threshold, points: Curve, costs: np.ndarray | None, index: int) -> int:
    """The place on the curve that the rule takes."""
    import numpy as np

    if costs is not None:
        return int(np.argmin(_costs(points, costs, index)))
    if rule.rule == "f1":
        return int(np.argmax(2 * points.hits / (points.hits + points.false + points.hits[-1])))
    assert rule.at_least is not None
    kept, other = (points.recall, points.precision) if rule.rule == "recall" else (points.precision, points.recall)
    if not (kept >= rule.at_least).any():
        raise ConfigError(
            f"threshold: no threshold has a {rule.rule} of {rule.at_least:g} on the training rows, at most {kept.max():.4f}; "
            "lower at_least"
        )
    return int(np.argmax(np.where(kept >= rule.at_least, other, -1.0)))


def _costs(points: Curve, costs: np.ndarray, index: int) -> np.ndarray:
    """What all rows cost together at each threshold."""
    rest = 1 - index
    missed, passed = points.hits[-1] - points.hits, points.false[-1] - points.false
    flagged = points.hits * costs[index, index] + points.false * costs[rest, index]
    total: np.ndarray = flagged + missed * costs[index, rest] + passed * costs[rest, rest]
    return total


def _between(scores: np.ndarray, place: int) -> float:
    """Half way to the next lower score, so that a model that differs a little decides alike."""
    lower = scores[place + 1] if place + 1 < len(scores) else 0.0
    return float((scores[place] + lower) / 2)
