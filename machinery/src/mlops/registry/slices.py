"""The holdout in parts: how good a model is for each class, month, weekday, and value of a declared column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mlops.metrics.measures import Measure, Predictions

# Fewer rows than this say little of a model; a card marks such a slice, and names none of them the worst.
FEW = 30
# A column of more different numbers than this is cut into four bands of equally many rows.
MOST = 12
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Slice:
    """Some rows of the holdout, and one metric of the model and the baseline on them."""

    by: str
    value: str
    rows: int
    metric: str
    candidate: float
    baseline: float

    @property
    def name(self) -> str:
        """The slice in words, as in `month 2016-02`."""
        return f"{self.by} {self.value}"


def of_classes(
    by: str, classes: np.ndarray, truth: np.ndarray, predictions: Predictions, simple: Predictions
) -> list[dict[str, Any]]:
    """Each class: its rows, its recall, its precision, and the mean of both (F1)."""
    parts = []
    for index, name in enumerate(classes):
        positive = truth == index
        parts.append(
            {
                "by": by,
                "value": str(name),
                "rows": int(positive.sum()),
                "recall": _share((predictions.values == index)[positive]),
                "precision": _share(positive[predictions.values == index]),
                "f1": _f1(positive, predictions.values == index),
                "baseline_f1": _f1(positive, simple.values == index),
            }
        )
    return parts


def of_rows(
    holdout: pd.DataFrame,
    columns: Sequence[str],
    time: str | None,
    metric: tuple[str, Measure],
    truth: np.ndarray,
    models: tuple[Predictions, Predictions],
) -> list[Slice]:
    """The slices by declared columns and, where rows have a time, by month (year, where there are many) and weekday.

    models: predictions of the model and of the baseline. A column that has one value only makes no slices.
    Raises ConfigError for a column that the holdout does not have.
    """
    import numpy as np

    name, measure = metric
    predictions, simple = models
    parts = []
    for by, labels in _labels(holdout, columns, time).items():
        names = labels.dropna().unique()
        for value in _ordered(names) if len(names) > 1 else []:
            rows = np.flatnonzero((labels == value).to_numpy())
            values = (measure(truth[rows], each.take(rows)) for each in (predictions, simple))
            parts.append(Slice(by, str(value), len(rows), name, *values))
    return parts


def _labels(holdout: pd.DataFrame, columns: Sequence[str], time: str | None) -> dict[str, pd.Series]:
    """What is sliced by → the label of each row."""
    labels: dict[str, pd.Series] = {}
    if time is not None:
        times = holdout[time]
        months = times.dt.strftime("%Y-%m")
        labels |= {"month": months} if months.nunique() <= 24 else {"year": times.dt.strftime("%Y")}
        labels["weekday"] = times.dt.dayofweek.map(dict(enumerate(WEEKDAYS)))
    for column in columns:
        if column not in holdout:
            known = ", ".join(name for name in map(str, holdout) if not name.startswith("__"))
            raise ConfigError(f"slices: column {column} is not in the holdout; there are: {known}")
        labels[column] = _label(holdout[column])
    return labels


def _label(values: pd.Series) -> pd.Series:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MOST:
        return pd.qcut(values, 4, duplicates="drop", precision=2).map(lambda band: f"{band.left:g} to {band.right:g}")
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return values.map(lambda value: f"{value:g}", na_action="ignore")
    return values.astype(str).where(values.notna())


def _ordered(values: Any) -> list[str]:
    """Weekdays from Monday, numbers and bands by their size, the rest by the alphabet."""

    def place(value: str) -> tuple[int, float, str]:
        if value in WEEKDAYS:
            return 0, WEEKDAYS.index(value), value
        try:
            return 1, float(value.split(" to ")[0]), value
        except ValueError:
            return 2, 0.0, value

    return sorted(map(str, values), key=place)


def _share(hits: np.ndarray) -> float:
    """The share that is true; not a number where there is nothing to share."""
    return float(hits.mean()) if len(hits) else float("nan")


def _f1(true: np.ndarray, predictions: np.ndarray) -> float:
    total = int(true.sum() + predictions.sum())
    return 2 * int((true & predictions).sum()) / total if total else float("nan")
