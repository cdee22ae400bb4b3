"""Encoders of categories: each is a table, filled with what the fitted encoder itself answers for each category."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlops.bundle.converters.graph import Graph, transformer
from mlops.serving.signature import NULL

UNSEEN = "\ue000unseen\ue000"


def register() -> None:
    """Put the converters in skl2onnx's registry."""
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

    transformer([OneHotEncoder, OrdinalEncoder, TargetEncoder], _encoder, lambda model: sum(widths(model)))


def _encoder(graph: Graph) -> None:
    graph.finish(encoded(graph, graph.model, graph.columns()))


def encoded(graph: Graph, encoder: Any, columns: list[tuple[str, bool]]) -> str:
    """What a fitted encoder answers for columns [rows, 1] with their kind (text or not), [rows, sum of widths]."""
    tables = _tables(encoder)
    parts = []
    for (name, text), known, table in zip(columns, encoder.categories_, tables, strict=True):
        places = text_places(graph, name, known) if text else _number_places(graph, name, known)
        flat = graph.node("Reshape", places, graph.constant([-1]))
        parts.append(graph.node("Gather", graph.constant(table), flat, axis=0))
    return graph.join(parts)


def widths(encoder: Any) -> list[int]:
    """The number of columns that an encoder makes of each of its inputs."""
    if hasattr(encoder, "_n_features_outs"):
        return [int(width) for width in encoder._n_features_outs]
    classes = len(encoder.classes_) if getattr(encoder, "target_type_", "") == "multiclass" else 1
    return [classes] * len(encoder.categories_)


def _tables(encoder: Any) -> list[np.ndarray]:
    """For each input a row a category, and a last row for what the encoder has not seen (zeros where that is an error)."""
    known = encoder.categories_
    size = max(len(categories) for categories in known) + 1
    strict = getattr(encoder, "handle_unknown", "ignore") == "error"
    rows = _transform(encoder, [_column(categories, size, strict) for categories in known])
    tables = []
    for categories, end, width in zip(known, np.cumsum(widths(encoder)), widths(encoder), strict=True):
        table = rows[: len(categories) + 1, end - width : end].copy()
        if strict:
            table[-1] = 0.0
        tables.append(table)
    return tables


def _column(categories: np.ndarray, size: int, strict: bool) -> np.ndarray:
    """Each category once, then one that is unseen, then the first one again."""
    column = np.empty(size, dtype=categories.dtype if categories.dtype.kind in "fiub" else object)
    column[:] = categories[0]
    column[: len(categories)] = categories
    if not strict:
        column[len(categories)] = UNSEEN if column.dtype == object else _unseen(categories)
    return column


def _unseen(categories: np.ndarray) -> float:
    if categories.dtype.kind == "b":
        raise NotImplementedError("categories that are true or false")
    finite = categories[np.isfinite(categories)]
    return float(finite.max(initial=0) + 1)


def _transform(encoder: Any, columns: list[np.ndarray]) -> np.ndarray:
    import warnings

    import pandas as pd

    names = getattr(encoder, "feature_names_in_", np.arange(len(columns)))
    frame: Any = pd.DataFrame(dict(zip(names, columns, strict=True)))
    if not hasattr(encoder, "feature_names_in_"):
        frame = frame.to_numpy()
    with warnings.catch_warnings(action="ignore"):
        rows = encoder.transform(frame)
    rows = rows.toarray() if hasattr(rows, "toarray") else rows
    return np.asarray(rows, dtype=np.float64)


def text_places(graph: Graph, name: str, categories: np.ndarray) -> str:
    """The number of each text among the categories, and len(categories) for any other."""
    # A category that is NaN never comes from a request, which has null for what is missing: its number is not looked up.
    keys = {NULL if value is None else str(value): place for place, value in enumerate(categories) if value == value}
    return graph.node(
        "LabelEncoder",
        name,
        domain="ai.onnx.ml",
        version=2,
        keys_strings=list(keys),
        values_int64s=list(keys.values()),
        default_int64=len(categories),
    )


def _number_places(graph: Graph, name: str, categories: np.ndarray) -> str:
    numbers = np.asarray(categories, dtype=np.float64)
    equal = graph.operation("Equal", name, numbers[None, :])
    if np.isnan(numbers).any():
        gap = graph.node("And", graph.node("IsNaN", name), graph.constant(np.isnan(numbers)[None, :]))
        equal = graph.node("Or", equal, gap)
    # The first of equal values is taken: one half stands after the categories, and wins where none of them is 1.
    half = graph.operation("Add", graph.operation("Mul", graph.to_double(graph.node("IsNaN", name)), [0.0]), [0.5])
    return graph.node("ArgMax", graph.join([graph.to_double(equal), half]), axis=1, keepdims=0)
