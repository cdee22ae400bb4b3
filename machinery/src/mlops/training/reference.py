"""The reference profile: how the inputs that a model knows, and its outputs on the holdout, were spread.

The inputs are those of the training rows; with a split by time those of the holdout, which is the last period. The profile
lies in every candidate, so that a served version is watched against what that very version knows, without a second copy of
the data. Numbers keep up to POINTS order statistics, evenly spaced in rank: all of the values where there
are no more, else no empirical share is off by more than 1 / POINTS. The same rows give the same profile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

POINTS = 256
# Categories that are counted one by one; the rarer ones are counted together.
CATEGORIES = 200
# A number of at most LEVELS values, each on average in this many rows, is a category: a weekday, a yes or no.
LEVELS, ROWS_A_LEVEL = 50, 20


def profile(inputs: pd.DataFrame, outputs: np.ndarray, classes: bool) -> dict[str, Any]:
    """The profile of known inputs (n, k) and of the outputs (m,) on the holdout, as a value that JSON can hold.

    classes: the outputs are names of classes, whatever their type.
    """
    import pandas as pd

    predictions = pd.Series(outputs)
    return {
        "features": {str(name): of_column(inputs[name]) for name in inputs},
        "outputs": of_column(predictions.map(as_category) if classes else predictions),
    }


def of_column(values: pd.Series) -> dict[str, Any]:
    """The profile of one column: kind (number or category), rows, missing, and its values or counts."""
    import pandas as pd

    present = values.dropna()
    facts: dict[str, Any] = {"rows": len(values), "missing": len(values) - len(present)}
    if pd.api.types.is_bool_dtype(present) or not (
        pd.api.types.is_numeric_dtype(present) or pd.api.types.is_datetime64_any_dtype(present)
    ):
        return {"kind": "category", **facts, **_counts(present.map(as_category))}
    numbers = as_numbers(present)
    if 0 < numbers.nunique() <= min(LEVELS, len(numbers) / ROWS_A_LEVEL):
        return {"kind": "category", **facts, **_counts(numbers.map(as_category))}
    return {"kind": "number", **facts, **_spread(numbers.to_numpy(dtype=float))}


def as_numbers(values: pd.Series) -> pd.Series:
    """Numbers as float64; times as seconds since 1970."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values):
        return values.astype("datetime64[us]").astype("int64") / 1e6
    return values.astype(float)


def as_category(value: Any) -> str:
    """The name of a category, the same for 1, 1.0 and True as JSON and pandas write them."""
    if isinstance(value, str):
        return value
    number = float(value)
    return str(int(number)) if number.is_integer() else repr(number)


def _counts(names: pd.Series) -> dict[str, Any]:
    counts = names.value_counts()
    ordered = sorted(counts.items(), key=lambda pair: (-int(pair[1]), str(pair[0])))
    return {
        "counts": {str(name): int(count) for name, count in ordered[:CATEGORIES]},
        "rarer": sum(int(count) for _, count in ordered[CATEGORIES:]),
    }


def _spread(numbers: np.ndarray) -> dict[str, Any]:
    import numpy as np

    ordered = np.sort(numbers[np.isfinite(numbers)])
    if len(ordered) > POINTS:
        kept = ordered[((np.arange(POINTS) + 0.5) * len(ordered) / POINTS).astype(int)]
    else:
        kept = ordered
    if not len(ordered):
        return {"values": []}
    return {
        "values": kept.tolist(),
        "lowest": float(ordered[0]),
        "highest": float(ordered[-1]),
        "mean": float(ordered.mean()),
        "deviation": float(ordered.std()),
    }
