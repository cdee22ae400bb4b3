"""Tables as frames without a file between them, where every way of reading gives the same; and a model asked once.

What is not plain here (dates, categories, whole numbers with gaps) goes through `mlops.data`, as in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops.data.read import kinds_of
from mlops.training.fitting import predict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow
    from pandera.pandas import DataFrameSchema

    from mlops.metrics.measures import Predictions


def kinds(schema: DataFrameSchema) -> dict[str, str]:
    """How the columns of a schema are read: as numbers, dates or text."""
    return dict(kinds_of(schema))


def is_plain(table: pyarrow.Table, kinds: Mapping[str, str]) -> bool:
    """Whether pandas takes every column as it is: decimals, whole numbers and truth values without gaps, text for text."""
    from pyarrow import types

    for field, column in zip(table.schema, table.columns, strict=True):
        whole = types.is_integer(field.type) or types.is_boolean(field.type)
        if kinds.get(field.name) == "text":
            if not types.is_string(field.type):
                return False
        elif kinds.get(field.name) == "date" or not (types.is_float64(field.type) or (whole and not column.null_count)):
            return False
    return True


def has_plain_index(rows: pd.DataFrame) -> bool:
    """Whether the rows have no index of their own."""
    import pandas as pd

    return isinstance(rows.index, pd.RangeIndex)


def untyped(rows: pd.DataFrame, schema: DataFrameSchema) -> DataFrameSchema | None:
    """What of a lenient schema the rows have yet to be brought to; None where they are in its types."""
    if schema.checks or schema.parsers or schema.index is not None or any(_is_special(it) for it in schema.columns.values()):
        return schema
    done = [name for name, column in schema.columns.items() if getattr(column.dtype, "type", None) == rows[name].dtype]
    done = [name for name in done if rows[name].dtype.kind in "fiub"]
    return schema.remove_columns(done) if len(done) < len(schema.columns) else None


def _is_special(column: Any) -> bool:
    return bool(column.regex or column.parsers or column.checks or column.default is not None or column.unique)


def predict_once(model: Any, rows: pd.DataFrame, classes: np.ndarray | None) -> Predictions:
    """What `mlops.training.fitting.predict` gives, digit for digit; steps and trees are gone through once, not twice."""
    once = classes is not None and hasattr(model, "predict_proba")
    return predict(_Once(model) if once else model, rows, classes)


class _Once:
    """A classifier whose prediction and probabilities are those of the same rows."""

    def __init__(self, model: Any) -> None:
        self.model, self.classes_ = model, model.classes_
        self.rows: Any = None
        self.probabilities: Any = None

    def predict(self, rows: pd.DataFrame) -> Any:
        """The predictions; as the source of scikit-learn's forests has it, those of the largest probability."""
        from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
        from sklearn.pipeline import Pipeline

        model, rows = self.model, rows
        while type(model) is Pipeline:
            rows = model[:-1].transform(rows) if len(model) > 1 else rows
            model = model[-1]
        if type(model) in (RandomForestClassifier, ExtraTreesClassifier) and model.n_outputs_ == 1:
            self.probabilities = model.predict_proba(rows)
            return model.classes_.take(self.probabilities.argmax(axis=1), axis=0)
        answers = model.predict(rows)
        self.probabilities = model.predict_proba(rows)
        return answers

    def predict_proba(self, rows: pd.DataFrame) -> Any:
        """The probabilities of the rows that were predicted last."""
        return self.probabilities
