"""Whether the features of a use case take each row by itself, judged by what they make of some rows together and apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mlops.errors import DataError
from mlops.scoring import raw
from mlops.scoring.raw import WrongValues

if TYPE_CHECKING:
    import pandas as pd

    from mlops.scoring.inputs import Block
    from mlops.scoring.isolation import Scorer

ROWS, SLICE, ALONE = 2_000, 100, 5


def is_row_wise(scorer: Scorer, block: Block) -> bool:
    """Whether the first rows of a block have the same features together, in slices, and alone.

    Rows that cannot be read are left out. Features that are empty for all of them, as the first lags are, decide that they
    are not: a row further back may be needed.
    """
    import pandas as pd

    if scorer.stage != "raw":
        return True
    if scorer.use_case.config.data.engine == "spark":
        return False  # a worker of Spark starts no Spark; all rows at once are what it is for
    slices = []
    for first in range(0, min(len(block), ROWS), SLICE):
        readable = list(_readable(scorer, block, first, min(first + SLICE, len(block))))
        slices += [pd.concat(readable, ignore_index=True)] if readable else []
    if not slices:
        return False
    together = pd.concat(slices, ignore_index=True)
    alone = [slices[0].iloc[[place]].reset_index(drop=True) for place in range(min(ALONE, len(slices[0])))]
    rest = slices[0].iloc[ALONE:].reset_index(drop=True)
    apart = [*alone, *([rest] if len(rest) else []), *slices[1:]]
    try:
        whole = _features(scorer, together, block)
        parts = pd.concat([_features(scorer, rows, block) for rows in apart], ignore_index=True)
    except DataError:
        return False
    gone = [name for name in whole if name not in together and whole[name].isna().all()]
    return bool(len(whole)) and not gone and _alike(whole, parts, scorer.use_case.config.key)


def _readable(scorer: Scorer, block: Block, first: int, end: int) -> Iterator[pd.DataFrame]:
    """Some rows of a block without those that cannot be read, or that `load` or `features` do not take."""
    try:
        rows = scorer.typed(block, first, end)
        _features(scorer, rows, block)
        yield rows
    except DataError as error:
        wrong = error.rows if isinstance(error, WrongValues) else {}
        kept = [place for place in range(first, end) if place - first not in wrong]
        if wrong and kept and len(kept) < end - first:
            yield from _readable(scorer, block.only(kept), 0, len(kept))
        elif not wrong and end - first > 1:
            middle = (first + end) // 2
            yield from _readable(scorer, block, first, middle)
            yield from _readable(scorer, block, middle, end)


def _features(scorer: Scorer, rows: pd.DataFrame, block: Block) -> pd.DataFrame:
    return raw.features_of(block.source, rows, scorer.use_case)


def _alike(one: pd.DataFrame, other: pd.DataFrame, key: Sequence[str]) -> bool:
    """Whether two frames hold the same rows; numbers may differ in their last digits."""
    from pandas.testing import assert_frame_equal

    order = [name for name in key if name in one]
    try:
        first, second = [
            frame.sort_values(order, kind="stable", ignore_index=True) if order else frame for frame in (one, other)
        ]
        assert_frame_equal(first, second, check_dtype=False, check_categorical=False, rtol=1e-9, atol=1e-12)
    except (AssertionError, KeyError):
        return False
    return True
