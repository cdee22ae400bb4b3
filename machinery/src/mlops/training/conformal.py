"""Prediction intervals and sets of classes that hold the truth with a stated probability, by conformal prediction.

The errors of models that have not seen the row (out of fold, on training rows) say how far off the model is. For classes each
has its own limit, so that a rare class is held as often as a common one. Sources: Vovk, Gammerman and Shafer 2005, Algorithmic
Learning in a Random World; Barber et al. 2021, Predictive inference with the jackknife+ (the cross-conformal form); Vovk 2012,
Conditional validity of inductive conformal predictors (a limit a class).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.errors import DataError

if TYPE_CHECKING:
    from mlops.config.decisions import Coverage
    from mlops.metrics.measures import Predictions
    from mlops.training.folds import OutOfFold


def choose(rule: Coverage, truth: np.ndarray, seen: OutOfFold, classes: np.ndarray | None) -> dict[str, Any]:
    """What the manifest records: level, and `width` for numbers or `limits`, class → limit, for classes.

    A number lies within `width` of its prediction; a class is in the set where 1 - its probability is at most its limit.
    Raises DataError where there are too few rows.
    """
    true = truth[seen.rows]
    if classes is None:
        width = quantile(np.abs(true - seen.predictions.values), rule.level)
        if not np.isfinite(width):
            raise DataError(f"coverage: {len(true)} training rows are too few for level {rule.level:g}; lower it, or add rows")
        return {"level": rule.level, "width": width}
    assert seen.predictions.probabilities is not None
    given = 1 - seen.predictions.probabilities[np.arange(len(true)), true]
    limits = {str(name): quantile(given[true == place], rule.level) for place, name in enumerate(classes.tolist())}
    return {"level": rule.level, "limits": {name: min(limit, 1.0) for name, limit in limits.items()}}


def quantile(errors: np.ndarray, level: float) -> float:
    """The error that the next row's exceeds with probability 1 - level at most; infinite where there are too few rows."""
    place = int(np.ceil((len(errors) + 1) * level))
    return float(np.sort(errors)[place - 1]) if place <= len(errors) else float("inf")


def covered(chosen: dict[str, Any], truth: np.ndarray, predictions: Predictions, classes: np.ndarray | None) -> np.ndarray:
    """Whether each row's interval or set holds the truth, (n,)."""
    if classes is None:
        return np.asarray(np.abs(truth - predictions.values) <= chosen["width"])
    assert predictions.probabilities is not None
    limits = np.array([chosen["limits"][str(name)] for name in classes.tolist()])
    return np.asarray(1 - predictions.probabilities[np.arange(len(truth)), truth] <= limits[truth])


def set_sizes(chosen: dict[str, Any], predictions: Predictions, classes: np.ndarray) -> np.ndarray:
    """How many classes each row's set has, (n,)."""
    assert predictions.probabilities is not None
    limits = np.array([chosen["limits"][str(name)] for name in classes.tolist()])
    return np.asarray((1 - predictions.probabilities <= limits).sum(axis=1))
