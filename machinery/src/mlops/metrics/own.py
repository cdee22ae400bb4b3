"""A use case's own `evaluate`: `(y_true, y_pred)` or `(y_true, y_pred, y_proba)`, with the labels that its team knows."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mlops.metrics.measures import Measure, Predictions

if TYPE_CHECKING:
    import numpy as np

    from mlops.config import UseCaseConfig

Evaluate = Callable[..., dict[str, float]]


def own_metrics(
    evaluate: Evaluate, truth: np.ndarray, predictions: Predictions, classes: np.ndarray | None
) -> dict[str, float]:
    """The metrics of the use case's own `evaluate`.

    Of a classifier it gets labels, and as `y_proba`, where it takes a third argument, a DataFrame with a column a class; of a
    regression numbers, and None.
    """
    if classes is None:
        values: tuple[Any, ...] = (truth, predictions.values, None)
    else:
        values = (classes[truth], classes[predictions.values], _probabilities(predictions, classes))
    return evaluate(*values[: 3 if takes_probabilities(evaluate) else 2])


def own_measure(evaluate: Evaluate, name: str, classes: np.ndarray | None) -> Measure:
    """One of the use case's own metrics as a function of truth and predictions."""
    return lambda truth, predictions: float(own_metrics(evaluate, truth, predictions, classes)[name])


def measures_of_version(
    own: Evaluate | None, manifest: dict[str, Any], config: UseCaseConfig, classes: np.ndarray | None
) -> dict[str, Measure]:
    """Metric → its function; those of the use case's own `evaluate` only where it is given: while it is the version's."""
    from mlops.metrics.probabilities import measures_of

    known = measures_of(config, classes)
    if own:
        known |= {name: own_measure(own, name, classes) for name in manifest["metrics"] if name not in known}
    return known


def takes_probabilities(evaluate: Evaluate) -> bool:
    """Whether a function takes a third argument by its place."""
    parameters = inspect.signature(evaluate).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    several = any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters)
    return several or sum(parameter.kind in kinds for parameter in parameters) > 2


def _probabilities(predictions: Predictions, classes: np.ndarray) -> Any:
    import pandas as pd

    return None if predictions.probabilities is None else pd.DataFrame(predictions.probabilities, columns=list(classes))
