"""SimpleImputer and MissingIndicator: Where and IsNaN in float64, and nulls among texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlops.bundle.converters.graph import Graph, transformer
from mlops.serving.signature import NULL


def register() -> None:
    """Put the converters in skl2onnx's registry."""
    from sklearn.impute import MissingIndicator, SimpleImputer

    transformer([SimpleImputer], _imputer, _width, text=True)
    transformer([MissingIndicator], _indicator, lambda model: len(model.features_))


def _kept(model: Any) -> np.ndarray:
    """The places of the columns that an imputer keeps: those that had a value in training."""
    statistics = np.asarray(model.statistics_)
    if model.keep_empty_features or model.strategy == "constant":
        return np.arange(len(statistics))
    return np.array([place for place, value in enumerate(statistics) if value == value and value is not None], dtype=int)


def _width(model: Any) -> int:
    return len(_kept(model)) + (len(model.indicator_.features_) if model.add_indicator else 0)


def _imputer(graph: Graph) -> None:
    model, columns = graph.model, graph.columns()
    if any(text for _, text in columns) and (model.add_indicator or not all(text for _, text in columns)):
        raise NotImplementedError("an imputer of texts with an indicator, or of texts and numbers")
    parts = []
    for place in _kept(model):
        name, text = columns[place]
        value = model.statistics_[place]
        filling = graph.constant([str(value)] if text else [float(value)])
        parts.append(graph.node("Where", _missing(graph, name, text, model.missing_values), filling, name))
    if model.add_indicator:
        parts += _flags(graph, columns, model.indicator_)
    graph.finish(graph.join(parts))


def _indicator(graph: Graph) -> None:
    graph.finish(graph.join(_flags(graph, graph.columns(), graph.model)))


def _flags(graph: Graph, columns: list[tuple[str, bool]], indicator: Any) -> list[str]:
    chosen = [columns[place] for place in indicator.features_]
    return [graph.to_double(_missing(graph, name, text, indicator.missing_values)) for name, text in chosen]


def _missing(graph: Graph, name: str, text: bool, value: Any) -> str:
    """Whether each value is the one that stands for a missing one."""
    if text:
        if value is not None and not isinstance(value, str):
            raise NotImplementedError(f"an imputer of texts where {value!r} is missing: a request has null")
        key = NULL if value is None else value
        mask = graph.node(
            "LabelEncoder",
            name,
            domain="ai.onnx.ml",
            version=2,
            keys_strings=[key],
            values_int64s=[1],
            default_int64=0,
        )
        return graph.node("Cast", mask, to=9)
    if not isinstance(value, int | float | np.number):
        raise NotImplementedError(f"an imputer of numbers where {value!r} is missing")
    return graph.node("IsNaN", name) if value != value else graph.operation("Equal", name, [float(value)])
