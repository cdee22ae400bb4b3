"""The way of most requests: a few rows of plain numbers and ASCII texts, checked all at once.

Whatever else there is, and whatever is to be refused, is None here: the checks of each column, which say where it is, come
after.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from mlops.serving.signature import LARGEST, Rows, Signature, fit, from_matrix, with_known_categories

PLAIN = frozenset({int, float})
SMALL = 64  # rows up to which this is the faster way


def from_split(split: Any, signature: Signature) -> Rows | None:
    """Rows of {"columns": [...], "data": [[...], ...]} with numbers alone, in the model's order."""
    if not signature.numeric or type(split) is not dict or len(split) != 2 or split.get("columns") != signature.names:
        return None
    data, width = split.get("data"), len(signature.names)
    if type(data) is not list or not 0 < len(data) <= SMALL:
        return None
    for row in data:
        if type(row) is not list or len(row) != width or not PLAIN.issuperset(map(type, row)):
            return None
    try:
        matrix = np.array(data, dtype=np.float64)
    except OverflowError:
        return None
    return from_matrix(signature, matrix)


def from_columns(values: Sequence[Sequence[Any]], signature: Signature) -> Rows | None:
    """Rows from one list of values a column, all of the same length, where some columns are texts."""
    if signature.numeric or signature.places is None or not 0 < len(values[0]) <= SMALL:
        return None
    numbers, texts = signature.places
    words = list(chain.from_iterable(values[place] for place in texts))
    if not set(map(type, words)) <= {str} or not "".join(words).isascii():
        return None
    if not PLAIN.issuperset(map(type, chain.from_iterable(values[place] for place in numbers))):
        return None
    try:
        block = np.array([values[place] for place in numbers], dtype=np.float64)
    except OverflowError:
        return None
    if not _holds(signature, block):
        return None
    arrays: list[np.ndarray] = [np.empty(0)] * len(values)
    for place, row in zip(numbers, block, strict=True):
        arrays[place] = fit(signature.columns[place], row) if signature.columns[place].type == "float" else row
    for place in texts:
        arrays[place] = np.array(values[place], dtype=object)
    return with_known_categories(signature, Rows(len(values[0]), None, arrays))


def _holds(signature: Signature, block: np.ndarray) -> bool:
    """Whether the columns take these numbers, none of them NaN; [columns, rows] in the order of `Signature.places`."""
    limit = LARGEST if signature.limit is None else signature.limit
    if block.size and not (block.max() <= limit and block.min() >= -limit):
        return False
    low, high = signature.whole
    whole = block[len(block) - len(low) :]
    return not len(low) or bool(((np.floor(whole) == whole) & (whole >= low) & (whole <= high)).all())
