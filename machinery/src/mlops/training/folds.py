"""Folds: the training rows split as the gate splits all rows, so that a fold is no easier than the holdout.

Tuning judges parameters on them; thresholds and intervals are chosen on what models that have not seen a row predict for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from mlops.config import Split
from mlops.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mlops.metrics.measures import Predictions
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

    from mlops.metrics.measures import Predictions
    from mlops.training.fitting import fit, predict

    config, inputs = use_case.config, use_case.inputs(training)
    places, parts = [], []
    target = config.target.column if config.task == "classification" else None
    for fitted, judged in folds(training, config.split, target, FOLDS, config.seed):
        rows = training.iloc[fitted]
        model = fit(use_case, rows[inputs], rows[config.target.column])
        places.append(judged)
        parts.append(predict(model, training[inputs].iloc[judged], classes))
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    predictions = Predictions(
        np.concatenate([part.values for part in parts]), np.concatenate(probabilities) if probabilities else None
    )
    return OutOfFold(np.concatenate(places), predictions)


def folds(
    rows: pd.DataFrame, rule: Split, target: str | None, number: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions of the rows to fit and of those to judge, for each fold.

    `time`: what is judged comes later, with the split's gap in days between; `group`: a group is on one side; else rows are
    drawn, by class where `target` names the column of one. Raises DataError where there are too few times, groups or rows.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    try:
        if rule.method == "time":
            yield from _by_time(rows[str(rule.column)], rule.gap, number)
        elif rule.method == "group" and target is not None:
            grouped = StratifiedGroupKFold(number, shuffle=True, random_state=seed)
            yield from grouped.split(rows, rows[target], rows[rule.column])
        elif rule.method == "group":
            yield from GroupKFold(number).split(rows, groups=rows[rule.column])
        elif target is not None:
            yield from StratifiedKFold(number, shuffle=True, random_state=seed).split(rows, rows[target])
        else:
            yield from KFold(number, shuffle=True, random_state=seed).split(rows)
    except ValueError as error:
        raise DataError(
            f"{number} folds cannot be made of {len(rows)} training rows ({error}); lower tune.folds, or bring more rows"
        ) from None


def _by_time(times: pd.Series, gap: int, number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Equally many times a fold, whatever the order of the rows; the first part is only fitted on."""
    import numpy as np
    import pandas as pd

    edges = np.array_split(np.sort(times.unique()), number + 1)
    if len(edges[-1]) == 0:
        raise ValueError(f"{times.nunique()} different times in {times.name}")
    for part in edges[1:]:
        judged = (times >= part[0]) & (times <= part[-1])
        fitted = times < part[0] - pd.Timedelta(days=gap)
        if not fitted.any():
            raise ValueError(f"the gap of {gap} days leaves no rows to fit on")
        yield np.flatnonzero(fitted), np.flatnonzero(judged)
