"""The split: which rows are held out. The holdout is what challenger, champion and baseline are compared on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops.config import Split
from mlops.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def split(rows: pd.DataFrame, rule: Split, key: Sequence[str], target: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training rows and holdout rows, each in the order of the data; with `time` some rows between them are in neither.

    Raises DataError where the rule's column is missing or one of the sides is empty.
    """
    if rule.column and rule.column not in rows:
        raise DataError(
            f"the split's column {rule.column} is not in the processed data; there are: {', '.join(map(str, rows))}"
        )
    if rule.method == "time":
        train, holdout = _by_time(rows, rule)
    elif rule.method == "stratified":
        held = _stratified(rows[list(key)], rows[target], rule.holdout)
        train, holdout = rows[~held], rows[held]
    else:
        held = _by_hash(rows[[rule.column] if rule.method == "group" else list(key)], rule.holdout)
        train, holdout = rows[~held], rows[held]
    if train.empty or holdout.empty:
        raise DataError(
            f"split {rule.method}: {len(train)} training and {len(holdout)} holdout rows of {len(rows)}; change split.holdout"
        )
    return train.reset_index(drop=True), holdout.reset_index(drop=True)


def _by_time(rows: pd.DataFrame, rule: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    import pandas as pd

    time = rows[rule.column]
    if not pd.api.types.is_datetime64_any_dtype(time):
        raise DataError(f"split time: column {rule.column} holds {time.dtype}, not times; correct features, or split.column")
    first = time.max() - pd.Timedelta(days=rule.holdout)
    return rows[time <= first - pd.Timedelta(days=rule.gap)], rows[time > first]


def _by_hash(keys: pd.DataFrame, share: float) -> np.ndarray:
    """Whether each row is held out: its key alone decides, so a row stays on its side when data grow."""
    return _places(keys) < share


def _places(keys: pd.DataFrame) -> np.ndarray:
    """The place of each key in [0, 1), by its hash."""
    import numpy as np

    texts = ["\x1f".join(row) for row in keys.astype(str).itertuples(index=False, name=None)]
    return np.asarray([int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64 for text in texts])


def _stratified(keys: pd.DataFrame, target: pd.Series, share: float) -> np.ndarray:
    """Whether each row is held out: by hash as well, so that of each class the share is right in expectation.

    A row stays on its side when data grow, but for one of a class so small that all of it would be on one side.
    """
    import numpy as np

    places, held = _places(keys), np.zeros(len(target), dtype=bool)
    for name, rows in target.groupby(target, sort=True).indices.items():
        if len(rows) < 2:
            raise DataError(f"split stratified: class {name} has one row only; change split, or leave the rare classes out")
        inside = places[rows] < share
        # A class that is all on one side: the row that is nearest to the border crosses it.
        if not inside.any():
            inside[np.argmin(places[rows])] = True
        elif inside.all():
            inside[np.argmax(places[rows])] = False
        held[rows] = inside
    return held
