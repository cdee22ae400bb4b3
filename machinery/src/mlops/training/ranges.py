"""What the training rows hold, column by column: where a model has seen nothing, it can only guess."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# A text column with more values than this is described by their number alone.
MOST = 20


def ranges_of(rows: pd.DataFrame, hidden: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Column → `low` and `high` of numbers and times, `values` of the rest, and how many rows have none (`missing`).

    hidden: columns with personal data, of which nothing is reported. Times are in ISO 8601.
    """
    return {str(name): _range(rows[name]) for name in rows if name not in hidden}


def outside(rows: pd.DataFrame, known: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Column → how many of the rows hold a value that the ranges do not, for the columns where there are any."""
    counts = {name: int(_outside(rows[name], known[name]).sum()) for name in rows if name in known}
    return {name: count for name, count in counts.items() if count}


def _range(values: pd.Series) -> dict[str, Any]:
    import pandas as pd

    present = values.dropna()
    facts: dict[str, Any] = {"missing": int(values.isna().sum())}
    if present.empty:
        return facts
    if pd.api.types.is_datetime64_any_dtype(present):
        return {**facts, "low": present.min().isoformat(), "high": present.max().isoformat()}
    if pd.api.types.is_numeric_dtype(present) and not pd.api.types.is_bool_dtype(present):
        return {**facts, "low": float(present.min()), "high": float(present.max())}
    values_ = sorted(map(str, present.unique()))
    return {**facts, "values": values_} if len(values_) <= MOST else {**facts, "distinct": len(values_)}


def _outside(values: pd.Series, known: dict[str, Any]) -> pd.Series:
    import pandas as pd

    if "low" in known:
        times = pd.api.types.is_datetime64_any_dtype(values)
        low, high = (pd.Timestamp(known[end]) if times else known[end] for end in ("low", "high"))
        return (values < low) | (values > high)
    if "values" in known:
        return values.notna() & ~values.astype(str).isin(known["values"])
    return pd.Series(False, index=values.index)
