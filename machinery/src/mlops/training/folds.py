"""Folds: the training rows split for tuning as the gate splits all rows, so that a fold is no easier than the holdout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlops.config import Split
from mlops.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def folds(
    rows: pd.DataFrame, rule: Split, target: str | None, number: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions of the rows to fit and of those to judge, for each fold.

    `time`: what is judged comes later, with the split's gap in days between; `group`: a group is on one side; else rows are
    drawn, by class where `target` names the column of one. Raises DataError where there are too few times, groups or rows.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

    try:
        if rule.method == "time":
            yield from _by_time(rows[str(rule.column)], rule.gap, number)
        elif rule.method == "group":
            yield from GroupKFold(number).split(rows, groups=rows[rule.column])
        elif target is not None:
            yield from StratifiedKFold(number, shuffle=True, random_state=seed).split(rows, rows[target])
        else:
            yield from KFold(number, shuffle=True, random_state=seed).split(rows)
    except ValueError as error:
        raise DataError(
            f"tune: {number} folds cannot be made of {len(rows)} training rows ({error}); lower tune.folds"
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
