"""Which values a column may have, where the trained model refuses all others: a graph would answer something for each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from mlops.serving.model import Predict
from mlops.serving.signature import FLOATS, INTEGERS, Rows, Signature

UNSEEN = "\ue001unseen\ue001"


def limited(trained: Predict, signature: Signature, holdout: Rows, estimator: Any) -> Signature:
    """The signature with the categories of each column for which the trained model refuses an unseen one.

    The lists come from the model's encoders; which of them is a column's is tried on the model itself.
    """
    lists = list(_strict_categories(estimator, set()))
    columns = []
    for place, column in enumerate(signature.columns):
        values = None
        if column.type == "string" or column.type in FLOATS | INTEGERS:
            values = _values(trained, holdout, place, column.type == "string", lists)
        columns.append(replace(column, values=values))
    return replace(signature, columns=tuple(columns))


def _values(trained: Predict, holdout: Rows, place: int, text: bool, lists: list[list[Any]]) -> tuple[Any, ...] | None:
    fitting = [known for known in lists if known and isinstance(known[0], str) == text]
    unseen = UNSEEN if text else max((max(known) for known in fitting), default=0) + 1
    if not fitting or _takes(trained, holdout, place, [unseen]):
        return None
    known: set[Any] = set()
    for values in fitting:
        if not set(values) <= known and _takes(trained, holdout, place, values):
            known |= set(values)
    return tuple(sorted(known)) or None


def _strict_categories(part: Any, seen: set[int]) -> Iterator[list[Any]]:
    """The categories of each column of each encoder in a model that refuses others."""
    if id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, list | tuple):
        for item in part:
            yield from _strict_categories(item, seen)
    elif isinstance(part, dict):
        yield from _strict_categories(list(part.values()), seen)
    elif hasattr(part, "get_params") and hasattr(part, "__dict__"):
        if getattr(part, "handle_unknown", "") == "error" and hasattr(part, "categories_"):
            for categories in part.categories_:
                yield [value for value in categories.tolist() if value is not None and value == value]
        yield from _strict_categories(vars(part), seen)


def _takes(trained: Predict, holdout: Rows, place: int, values: list[Any]) -> bool:
    """Whether the trained model takes the holdout's first row with each of the values in one column."""
    count = len(values)
    if holdout.matrix is not None:
        matrix = np.repeat(holdout.matrix[:1], count, axis=0)
        matrix[:, place] = values
        rows = Rows(count, matrix, [])
    else:
        arrays = [np.repeat(array[:1], count) for array in holdout.arrays]
        arrays[place] = np.array(values, dtype=arrays[place].dtype)
        rows = Rows(count, None, arrays)
    try:
        with warnings.catch_warnings(action="ignore"):
            trained(rows, None)
    except Exception:  # whichever way a model fails on such a value, it does not take it
        return False
    return True
