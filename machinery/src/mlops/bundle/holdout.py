"""Rows of a holdout as a server takes them, and the row that a bundle shows as its example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mlops.serving import model as models
from mlops.serving.signature import INTEGERS, NUMBERS, SAFE, Column, InvalidRequest, Rows, Signature, from_columns


def typed(columns: Sequence[Column], frame: Any) -> tuple[Column, ...]:
    """The columns, with the type that they have in a holdout.

    Those are marked `wide` that hold whole numbers which float64 does not tell apart.
    """

    def is_wide(column: Column) -> bool:
        if column.type != "long" or column.name not in frame:
            return False
        values = frame[column.name].dropna()
        return not values.empty and max(abs(int(values.max())), abs(int(values.min()))) > SAFE

    return tuple(replace(column, wide=is_wide(column), pandas=_pandas_type(column, frame)) for column in columns)


def _pandas_type(column: Column, frame: Any) -> str:
    """The column's type in pandas, where a model may tell it from the plain one: one with gaps, or of categories."""
    kind = str(frame[column.name].dtype) if column.name in frame else ""
    if kind == "category":
        return kind
    if column.type == "boolean":
        return "" if kind == "bool" else kind  # boolean, or object
    nullable = {"long": "Int64", "integer": "Int32"}.get(column.type, "")
    return nullable if kind[:1].isupper() else ""


def example(holdout: Rows, signature: Signature) -> dict[str, Any]:
    """The first row of the holdout whose values are all there, as JSON values."""
    for row in range(holdout.count):
        values = {column.name: _plain(holdout.column(place)[row], column) for place, column in enumerate(signature.columns)}
        if None not in values.values():
            break
    return values


def expected(trained: models.Predict, signature: Signature, example: dict[str, Any]) -> Any:
    """What the trained model answers to the example, as /predict writes it: what a server is held to wherever it runs."""
    try:
        outputs = trained(from_columns(signature, [[example[name]] for name in signature.names], strict=True), None)
    except InvalidRequest:
        return None  # a holdout whose every row lacks something that the model needs
    return expected_of(outputs)


def expected_of(outputs: models.Outputs) -> Any:
    """The first row of a model's answer in JSON."""
    if isinstance(outputs, dict):
        return {name: _finite(values[0]) for name, values in outputs.items()}
    return _finite(outputs[0])


def as_array(recorded: np.ndarray) -> np.ndarray:
    """The recorded predictions, [rows] or [rows, targets]: Parquet keeps several targets as a list a row."""
    return np.stack(recorded.tolist()) if isinstance(recorded[0], list | np.ndarray) else recorded


def as_recorded(answers: models.Outputs) -> models.Outputs:
    """One value a row, as training records it: of a single named column its values."""
    if isinstance(answers, dict) and len(answers) == 1:
        answers = next(iter(answers.values()))
    return answers.reshape(-1) if not isinstance(answers, dict) and answers.shape[1:] == (1,) else answers


def _finite(value: Any) -> Any:
    """A value or list of a model's answer in JSON, null where a number is not finite."""
    plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    if isinstance(plain, list):
        return [_finite(item) for item in plain]
    return None if isinstance(plain, float) and not np.isfinite(plain) else plain


def _plain(value: Any, column: Column) -> Any:
    if value is None or value != value:
        return None
    if column.type in INTEGERS:
        return int(value)
    if column.type in NUMBERS:
        return float(value) if np.isfinite(value) else None
    if column.type == "boolean":
        return bool(value)
    return str(value)
