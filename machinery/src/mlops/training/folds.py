"""Predictions of training rows by models that have not seen them: what thresholds and intervals are chosen on.

The folds keep apart what the split keeps apart: groups stay whole, and later rows are never used to predict earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops.config import Split, UseCaseConfig
from mlops.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mlops.training.metrics import Predictions
    from mlops.use_case import UseCase

FOLDS = 5


class OutOfFold(NamedTuple):
    """Places of the training rows that were predicted, and what models without them predict."""

    rows: np.ndarray
    predictions: Predictions


def out_of_fold(use_case: UseCase, training: pd.DataFrame, classes: np.ndarray | None) -> OutOfFold:
    """Predictions of the training rows by cross validation; with a split by time the first fold is only learnt from.

    Raises DataError where there are too few rows to make folds of.
    """
    import numpy as np
    from mlops.training.metrics import Predictions
    from mlops.training.train import fit, predict

    config, inputs = use_case.config, use_case.inputs(training)
    places, parts = [], []
    for fitted, judged in folds(config, training):
        rows = training.iloc[fitted]
        model = fit(use_case, rows[inputs], rows[config.target.column])
        places.append(judged)
        parts.append(predict(model, training[inputs].iloc[judged], classes))
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    predictions = Predictions(
        np.concatenate([part.values for part in parts]), np.concatenate(probabilities) if probabilities else None
    )
    return OutOfFold(np.concatenate(places), predictions)


def folds(config: UseCaseConfig, training: pd.DataFrame, count: int = FOLDS) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of the rows to fit on and of those to predict, `count` times."""
    try:
        if config.split.method == "time":
            yield from _by_time(config.split, training, count)
        else:
            yield from _by_chance(config, training, count)
    except ValueError as error:
        raise DataError(f"{len(training)} training rows cannot be cut into {count} folds ({error})") from error


def _by_chance(config: UseCaseConfig, training: pd.DataFrame, count: int) -> Iterator[Any]:
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    target = training[config.target.column]
    groups = training[config.split.column] if config.split.method == "group" else None
    kinds = {
        ("classification", False): StratifiedKFold,
        ("classification", True): StratifiedGroupKFold,
        ("regression", False): KFold,
        ("regression", True): GroupKFold,
    }
    kind: Any = kinds[config.task, groups is not None]
    yield from kind(count, shuffle=True, random_state=config.seed).split(training, target, groups)


def _by_time(rule: Split, training: pd.DataFrame, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    import numpy as np
    import pandas as pd
    from sklearn.model_selection import TimeSeriesSplit

    time = training[rule.column].to_numpy()
    order = np.argsort(time, kind="stable")
    for fitted, judged in TimeSeriesSplit(count).split(order):
        last = time[order[judged]].min() - np.timedelta64(pd.Timedelta(days=rule.gap))
        known = order[fitted]
        known = known[time[known] < last]
        if len(known):
            yield known, order[judged]
