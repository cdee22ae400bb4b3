"""Support vectors in float64: the kernel's matrix, and libsvm's votes between each two classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlops.bundle.converters.graph import Graph, classifier, highest, labels, regressor


def register() -> None:
    """Put the converters in skl2onnx's registry."""
    from sklearn.svm import SVC, SVR, NuSVC, NuSVR

    regressor([SVR, NuSVR], _regressor)
    classifier([SVC, NuSVC], _classifier)


def _regressor(graph: Graph) -> None:
    weights, start = _dense(graph.model._dual_coef_).T, _dense(graph.model._intercept_)
    graph.finish(graph.operation("Add", graph.operation("MatMul", _kernel(graph), weights), start))


def _classifier(graph: Graph) -> None:
    """The class with the most votes, the first of equal ones; the scores are the votes."""
    model = graph.model
    if getattr(model, "probability", False):
        raise NotImplementedError("probabilities of support vectors, which libsvm approximates in steps")
    if model.break_ties:
        raise NotImplementedError("support vectors with break_ties")
    pairs = [(first, second) for first in range(len(model.classes_)) for second in range(first + 1, len(model.classes_))]
    decision = graph.operation("MatMul", _kernel(graph), _pair_weights(model, pairs))
    wins = graph.to_double(graph.operation("Greater", graph.operation("Add", decision, _dense(model._intercept_)), [0.0]))
    votes, base = np.zeros((len(pairs), len(model.classes_))), np.zeros(len(model.classes_))
    for place, (first, second) in enumerate(pairs):
        votes[place, first], votes[place, second] = 1.0, -1.0
        base[second] += 1.0
    scores = graph.operation("Add", graph.operation("MatMul", wins, votes), base)
    labels(graph, highest(graph, scores))
    graph.finish(scores, 1)


def _pair_weights(model: Any, pairs: list[tuple[int, int]]) -> np.ndarray:
    """The weight of each support vector in the decision between each two classes, [vectors, pairs]."""
    coefficients, ends = _dense(model._dual_coef_), np.cumsum(model._n_support)
    weights = np.zeros((coefficients.shape[1], len(pairs)))
    for place, (first, second) in enumerate(pairs):
        for own, other in ((first, second - 1), (second, first)):
            part = slice(ends[own] - model._n_support[own], ends[own])
            weights[part, place] = coefficients[other, part]
    return weights


def _kernel(graph: Graph) -> str:
    """The kernel of each row and each support vector, [rows, vectors]."""
    model, values = graph.model, graph.matrix()
    if model.kernel not in ("linear", "rbf", "poly", "sigmoid"):
        raise NotImplementedError("a kernel of one's own")
    vectors, gamma = _dense(model.support_vectors_), float(model._gamma)
    product = graph.operation("MatMul", values, vectors.T)
    if model.kernel == "linear":
        return product
    if model.kernel == "rbf":
        own = graph.node("ReduceSum", graph.node("Mul", values, values), graph.constant([1]), keepdims=1)
        distance = graph.operation("Add", own, (vectors**2).sum(axis=1)[None, :])
        distance = graph.node("Sub", distance, graph.operation("Mul", product, [2.0]))
        return graph.node("Exp", graph.operation("Mul", distance, [-gamma]))
    scaled = graph.operation("Add", graph.operation("Mul", product, [gamma]), [float(model.coef0)])
    return graph.node("Tanh", scaled) if model.kernel == "sigmoid" else graph.operation("Pow", scaled, [float(model.degree)])


def _dense(values: Any) -> np.ndarray:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values, dtype=np.float64)
