"""TransformedTargetRegressor: what its regressor predicts, brought back to the target's own scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlops.bundle.converters import curves
from mlops.bundle.converters.graph import Graph

TAIL = 9.0  # the normal distribution is 0 or 1 to 1e-18 beyond
DEGREE = 9  # of the polynomials, each on an eighth of a standard deviation
BOUNDS_THRESHOLD = 1e-7  # of sklearn.preprocessing.QuantileTransformer


def register() -> None:
    """Put the converter in skl2onnx's registry."""
    from skl2onnx import update_registered_converter
    from skl2onnx._parse import _parse_sklearn
    from skl2onnx.common.data_types import DoubleTensorType
    from sklearn.compose import TransformedTargetRegressor

    def parse(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
        predicted = _parse_sklearn(scope, model.regressor_, inputs, custom_parsers)
        operator = scope.declare_local_operator("SklearnTransformedTargetRegressor", model)
        operator.inputs = [predicted[0]]
        operator.outputs.append(scope.declare_local_variable("variable", DoubleTensorType([None, None])))
        return operator.outputs

    def shape(operator: Any) -> None:
        operator.outputs[0].type = DoubleTensorType([None, operator.inputs[0].type.shape[1]])

    def convert(scope: Any, operator: Any, container: Any) -> None:
        _inverse(Graph(scope, operator, container))

    update_registered_converter(TransformedTargetRegressor, "SklearnTransformedTargetRegressor", shape, convert, parser=parse)


def _inverse(graph: Graph) -> None:
    transformer = graph.model.transformer_
    kind = type(transformer).__name__
    if kind not in INVERSES:
        raise NotImplementedError(f"a target transformed by {kind}")
    graph.finish(INVERSES[kind](graph, transformer, graph.to_double(graph.operator.inputs[0].full_name)))


def _function(graph: Graph, transformer: Any, name: str) -> str:
    if transformer.inv_kw_args:
        raise NotImplementedError("a function with arguments")
    return str(curves.FUNCTIONS[curves.function_name(transformer.inverse_func)](graph, name))


def _standard(graph: Graph, transformer: Any, name: str) -> str:
    scaled = graph.operation("Mul", name, transformer.scale_) if transformer.with_std else name
    return graph.operation("Add", scaled, transformer.mean_) if transformer.with_mean else scaled


def _min_max(graph: Graph, transformer: Any, name: str) -> str:
    return graph.operation("Div", graph.operation("Sub", name, transformer.min_), transformer.scale_)


def _quantiles(graph: Graph, transformer: Any, name: str) -> str:
    """The quantile at a share, or at the share that a normal distribution has below the value."""
    if transformer.quantiles_.shape[1] != 1:
        raise NotImplementedError("several targets by quantiles")
    quantiles, shares = transformer.quantiles_[:, 0], transformer.references_
    normal = transformer.output_distribution == "normal"
    share = _normal_share(graph, name) if normal else name
    value = curves.interpolated(graph, share, shares, quantiles)
    margin = BOUNDS_THRESHOLD if normal else 0.0
    low = graph.operation("Less", graph.operation("Sub", share, [margin]), [0.0])
    high = graph.operation("Greater", graph.operation("Add", share, [margin]), [1.0])
    value = graph.node("Where", high, graph.constant(quantiles[-1:]), value)
    return graph.node("Where", low, graph.constant(quantiles[:1]), value)


def _normal_share(graph: Graph, name: str) -> str:
    """The normal distribution function, whose error function ONNX Runtime has in float32 alone: by Chebyshev polynomials."""
    from numpy.polynomial import Chebyshev, Polynomial
    from scipy.special import ndtr

    edges = np.linspace(-TAIL, TAIL, 145)
    width = edges[1] - edges[0]
    pieces = []
    for start in edges[:-1]:
        fitted = Chebyshev.interpolate(_shifted(ndtr, start), DEGREE, domain=[0.0, width])
        coefficients = fitted.convert(kind=Polynomial, domain=[-1, 1], window=[-1, 1]).coef
        pieces.append(np.pad(coefficients, (0, DEGREE + 1 - len(coefficients))))
    inside = graph.node("Clip", name, graph.constant(np.array(-TAIL)), graph.constant(np.array(TAIL)))
    return curves.piecewise(graph, inside, edges[1:-1], edges[:-1], np.array(pieces)[:, None, :])


def _shifted(function: Any, start: float) -> Any:
    return lambda x: function(start + x)


INVERSES = {
    "FunctionTransformer": _function,
    "StandardScaler": _standard,
    "MinMaxScaler": _min_max,
    "QuantileTransformer": _quantiles,
}
