"""Tables as frames without a file between them, where every way of reading gives the same; and a model asked once.

What is not plain here (dates, categories, whole numbers with gaps) goes through `mlops.data`, as in training.
"""

from __future__ import annotations

import copy
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
        return copy.deepcopy(schema)  # threads share it
    done = [name for name, column in schema.columns.items() if _is_typed(rows[name], column.dtype)]
    return schema.remove_columns(done) if len(done) < len(schema.columns) else None


def _is_typed(values: pd.Series, dtype: Any) -> bool:
    """Whether to bring values to a type of a schema would change nothing; pandera asks each text by itself."""
    from pandas.api.types import infer_dtype
    from pandera.engines.pandas_engine import NpString

    if type(dtype) is NpString:
        return values.dtype == object and infer_dtype(values, skipna=True) == "string"
    return getattr(dtype, "type", None) == values.dtype and values.dtype.kind in "fiub"


def _is_special(column: Any) -> bool:
    return bool(column.regex or column.parsers or column.checks or column.default is not None or column.unique)


def chosen(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Some columns of a frame; where they stand side by side as they are wanted, no value is copied."""
    import pandas as pd

    places = [int(place) for place in rows.columns.get_indexer(pd.Index(names))] if rows.columns.is_unique else []
    if places and -1 not in places and places == list(range(places[0], places[0] + len(places))):
        return rows.iloc[:, places[0] : places[-1] + 1]
    return rows[names]


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

        model = self.model
        if hasattr(model, "both"):
            answers, self.probabilities = model.both(rows)
            return answers
        while type(model) is Pipeline:
            rows = model[:-1].transform(rows) if len(model) > 1 else rows
            model = model[-1]
        if type(model) in (RandomForestClassifier, ExtraTreesClassifier) and model.n_outputs_ == 1:
            self.probabilities = model.predict_proba(rows)
            return model.classes_.take(self.probabilities.argmax(axis=1), axis=0)
        model = _deciding_once(model, rows)
        answers = model.predict(rows)
        self.probabilities = model.predict_proba(rows)
        return answers

    def predict_proba(self, rows: pd.DataFrame) -> Any:
        """The probabilities of the rows that were predicted last."""
        return self.probabilities


def _deciding_once(model: Any, rows: Any) -> Any:
    """A model that decides on these rows once, where its label and its probabilities both come of its decision function."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    if type(model) not in (LogisticRegression, HistGradientBoostingClassifier):
        return model
    decided = model.decision_function(rows)
    model = copy.copy(model)
    model.decision_function = lambda _: decided.copy()  # what makes probabilities of it works in its place
    return model
