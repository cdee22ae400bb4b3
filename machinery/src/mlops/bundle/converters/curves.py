"""Functions of one column: bins, splines, polynomials, powers, and the numpy functions that have a float64 form."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlops.bundle.converters.graph import Graph, transformer


def register() -> None:
    """Put the converters in skl2onnx's registry."""
    from sklearn import preprocessing as prep

    transformer([prep.KBinsDiscretizer], _bins, _bins_width)
    transformer([prep.SplineTransformer], _splines, lambda model: model.n_features_out_)
    transformer([prep.PolynomialFeatures], _polynomial, lambda model: model.n_output_features_)
    transformer([prep.PowerTransformer], _powers, lambda model: len(model.lambdas_))
    transformer([prep.FunctionTransformer], _function, lambda model: model.n_features_in_)


def _bins_width(model: Any) -> int:
    return len(model.n_bins_) if model.encode == "ordinal" else int(model.n_bins_.sum())


def _bins(graph: Graph) -> None:
    model, parts = graph.model, []
    for (name, _), edges, count in zip(graph.columns(), model.bin_edges_, model.n_bins_, strict=True):
        table = np.arange(count, dtype=np.float64)[:, None] if model.encode == "ordinal" else np.eye(count)
        parts.append(graph.node("Gather", graph.constant(table), interval(graph, name, edges[1:-1]), axis=0))
    graph.finish(graph.join(parts))


def interval(graph: Graph, name: str, edges: np.ndarray) -> str:
    """How many of the edges each value of a column [rows, 1] reaches, [rows]: as np.searchsorted with side="right"."""
    if not len(edges):
        edges = np.array([np.inf])
    reached = graph.to_int(graph.operation("GreaterOrEqual", name, np.asarray(edges, dtype=np.float64)[None, :]))
    return graph.node("ReduceSum", reached, graph.constant([1]), keepdims=0)


def piecewise(graph: Graph, name: str, edges: np.ndarray, origins: np.ndarray, pieces: np.ndarray) -> str:
    """Polynomials of a column [rows, 1] by pieces, [rows, outputs].

    `edges` are the inner borders; piece i is sum(pieces[i, :, k] * (x - origins[i]) ** k), [pieces, outputs, degree + 1].
    """
    place = interval(graph, name, edges)
    count, outputs, terms = pieces.shape
    origin = graph.node("Gather", graph.constant(np.asarray(origins, dtype=np.float64)[:, None]), place, axis=0)
    offset = graph.node("Sub", name, origin)
    value = ""
    for term in reversed(range(terms)):
        factor = graph.node("Gather", graph.constant(np.ascontiguousarray(pieces[:, :, term])), place, axis=0)
        value = graph.node("Add", graph.node("Mul", value, offset), factor) if value else factor
    return value


def interpolated(graph: Graph, name: str, points: np.ndarray, values: np.ndarray) -> str:
    """np.interp of a column [rows, 1]: straight lines between points, the first and the last value beyond them."""
    if len(points) == 1:
        return graph.operation("Add", graph.operation("Mul", name, [0.0]), [float(values[0])])
    slopes = np.append(np.diff(values) / np.diff(points), 0.0)
    pieces = np.stack([values, slopes], axis=1)[:, None, :]
    inside = graph.node("Max", name, graph.constant([float(points[0])]))
    return piecewise(graph, inside, points[1:], points, pieces)


def _splines(graph: Graph) -> None:
    model = graph.model
    if model.extrapolation not in ("constant", "linear", "continue") or getattr(model, "handle_missing", "error") != "error":
        raise NotImplementedError(f"splines with extrapolation {model.extrapolation}, or of missing values")
    parts = []
    for (name, _), spline in zip(graph.columns(), model.bsplines_, strict=True):
        edges, origins, pieces = _pieces(spline, model.extrapolation)
        kept = pieces if model.include_bias else pieces[:, :-1]
        parts.append(piecewise(graph, name, edges, origins, kept))
    graph.finish(graph.join(parts))


def _pieces(spline: Any, extrapolation: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A B-spline's bases as polynomials between its knots, with what scikit-learn does beyond the first and last one."""
    from scipy.interpolate import PPoly

    first, last = spline.k, len(spline.t) - spline.k - 1
    columns = [PPoly.from_spline(type(spline)(spline.t, basis, spline.k)) for basis in spline.c.T]
    # [degree + 1, intervals] with the highest power first, one polynomial a basis
    pieces = np.stack([column.c[::-1, first:last].T for column in columns], axis=1)
    knots = spline.t[first : last + 1]
    if extrapolation == "continue":
        return knots[1:-1], knots[:-1], pieces
    ends = np.zeros((2, *pieces.shape[1:]))
    ends[:, :, 0] = spline(knots[[0, -1]])
    if extrapolation == "linear" and spline.k:
        ends[:, :, 1] = spline(knots[[0, -1]], nu=1)
    return knots, np.r_[knots[0], knots[:-1], knots[-1]], np.concatenate([ends[:1], pieces, ends[1:]])


def _polynomial(graph: Graph) -> None:
    """Products of columns: each term is a list of column numbers, padded with a column of ones."""
    model = graph.model
    ones = model.n_features_in_
    terms = [
        list(term)
        for term in model._combinations(
            ones, model._min_degree, model._max_degree, model.interaction_only, include_bias=model.include_bias
        )
    ]
    graph.finish(products(graph, terms))


def products(graph: Graph, terms: list[list[int]]) -> str:
    """Products of the inputs' columns, a column a term: the numbers of the columns that it multiplies."""
    ones = graph.model.n_features_in_
    padded = graph.node("Pad", graph.matrix(), graph.constant([0, 0, 0, 1]), graph.constant(np.array(1.0)))
    product = ""
    for place in range(max(1, max(len(term) for term in terms))):
        factor = graph.pick(padded, [term[place] if place < len(term) else ones for term in terms])
        product = graph.node("Mul", product, factor) if product else factor
    return product


def _powers(graph: Graph) -> None:
    model, parts = graph.model, []
    for (name, _), power in zip(graph.columns(), model.lambdas_, strict=True):
        parts.append(_box_cox(graph, name, power) if model.method == "box-cox" else _yeo_johnson(graph, name, power))
    joined = graph.join(parts)
    if model.standardize:
        scaler = model._scaler
        joined = graph.operation("Div", graph.operation("Sub", joined, scaler.mean_), scaler.scale_)
    graph.finish(joined)


def _box_cox(graph: Graph, name: str, power: float) -> str:
    """(x ** power - 1) / power, as scipy.special.boxcox computes it; the logarithm where the power is 0."""
    logarithm = graph.node("Log", name)
    return _raised(graph, logarithm, power)


def _yeo_johnson(graph: Graph, name: str, power: float) -> str:
    """Box and Cox's transform of x + 1, and its mirror image with 2 - power below 0."""
    zero = graph.constant([0.0])
    positive = _raised(graph, log1p(graph, graph.node("Max", name, zero)), power)
    below = graph.node("Neg", graph.node("Min", name, zero))
    negative = graph.node("Neg", _raised(graph, log1p(graph, below), 2.0 - power))
    return graph.node("Where", graph.operation("GreaterOrEqual", name, [0.0]), positive, negative)


def _raised(graph: Graph, logarithm: str, power: float) -> str:
    if abs(power) < np.finfo(np.float64).eps:
        return logarithm
    return graph.operation("Div", expm1(graph, graph.operation("Mul", logarithm, [float(power)])), [float(power)])


def log1p(graph: Graph, name: str) -> str:
    """log(1 + x) with all digits for a small x: W. Kahan's correction by what 1 + x loses."""
    total = graph.operation("Add", name, [1.0])
    plain = graph.node("Log", total)
    lost = graph.node("Div", name, graph.operation("Sub", total, [1.0]))
    exact = graph.node("Where", graph.operation("Equal", total, [1.0]), name, graph.node("Mul", plain, lost))
    return graph.node("Where", graph.operation("Less", graph.node("Abs", name), [0.5]), exact, plain)


def expm1(graph: Graph, name: str) -> str:
    """exp(x) - 1 with all digits for a small x, by the same correction."""
    power = graph.node("Exp", name)
    plain = graph.operation("Sub", power, [1.0])
    gained = graph.node("Div", name, graph.node("Log", power))
    exact = graph.node("Where", graph.operation("Equal", power, [1.0]), name, graph.node("Mul", plain, gained))
    return graph.node("Where", graph.operation("Less", graph.node("Abs", name), [0.5]), exact, plain)


def _node(kind: str) -> Any:
    return lambda graph, name: graph.node(kind, name)


def function_name(function: Any) -> str:
    """The name under which FUNCTIONS has a numpy function. Raises NotImplementedError for any other function."""
    name = getattr(function, "__name__", "")
    if function is None:
        return "identity"
    if name not in FUNCTIONS or function is not getattr(np, name, None):
        raise NotImplementedError(f"the function {name or function!r}: only {', '.join(sorted(FUNCTIONS))} of numpy are known")
    return name


FUNCTIONS: dict[str, Any] = {
    "identity": lambda graph, name: name,
    "log1p": log1p,
    "expm1": expm1,
    "log": _node("Log"),
    "exp": _node("Exp"),
    "sqrt": _node("Sqrt"),
    "abs": _node("Abs"),
    "absolute": _node("Abs"),
    "square": lambda graph, name: graph.node("Mul", name, name),
    "log10": lambda graph, name: graph.operation("Div", graph.node("Log", name), [np.log(10.0)]),
    "log2": lambda graph, name: graph.operation("Div", graph.node("Log", name), [np.log(2.0)]),
}


def _function(graph: Graph) -> None:
    if graph.model.kw_args:
        raise NotImplementedError("a function with arguments")
    name = function_name(graph.model.func)
    graph.finish(FUNCTIONS[name](graph, graph.matrix()))
