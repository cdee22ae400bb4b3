"""Features that were fitted in Spark ML: what computes them without Spark is converted."""

from __future__ import annotations

from typing import Any


def register() -> None:
    """Put the converters in skl2onnx's registry."""
    from skl2onnx import update_registered_converter

    from mlops.bundle.converters.curves import products
    from mlops.bundle.converters.graph import transformer
    from mlops.spark.ml import SparkFeatures
    from mlops.spark.products import Products

    transformer([Products], lambda graph: graph.finish(products(graph, graph.model.terms_)), lambda model: len(model.terms_))
    update_registered_converter(SparkFeatures, "MlopsSparkFeatures", _no_shape, _no_nodes, parser=_parse)


def _parse(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
    from skl2onnx._parse import _parse_sklearn

    return _parse_sklearn(scope, model.computed_, inputs, custom_parsers)


def _no_shape(operator: Any) -> None:
    """There is no operator of its own: its steps have theirs."""


def _no_nodes(scope: Any, operator: Any, container: Any) -> None:
    """There is no operator of its own: its steps have theirs."""
