"""Forests, boosting and isolation forests; histogram gradient boosting with its own encoding of categories."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlops.bundle.converters import curves, encoders, trees
from mlops.bundle.converters.graph import Graph, classifier, highest, labels, regressor, two_columns


def register() -> None:
    """Put the converters in skl2onnx's registry."""
    import sklearn.ensemble as ensemble
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

    forests = [ensemble.RandomForestRegressor, ensemble.ExtraTreesRegressor, DecisionTreeRegressor, ExtraTreeRegressor]
    votes = [ensemble.RandomForestClassifier, ensemble.ExtraTreesClassifier, DecisionTreeClassifier, ExtraTreeClassifier]
    regressor(forests, _forest_regressor)
    regressor([ensemble.GradientBoostingRegressor], _boosted_regressor)
    regressor([ensemble.HistGradientBoostingRegressor], _histogram_regressor)
    classifier(votes, _forest_classifier)
    classifier([ensemble.GradientBoostingClassifier], _boosted_classifier)
    classifier([ensemble.HistGradientBoostingClassifier], _histogram_classifier)
    classifier([ensemble.AdaBoostClassifier], _adaboost)
    _isolation_forest()
    _voting()
    _calibration()


def _voting() -> None:
    """Let skl2onnx convert voting whatever `transform` would return: a server asks for predictions."""
    from copy import copy

    from skl2onnx.common._registration import get_converter, register_converter

    kept = get_converter("SklearnVotingClassifier")

    def convert(scope: Any, operator: Any, container: Any) -> None:
        operator.raw_operator = copy(operator.raw_operator)
        operator.raw_operator.flatten_transform = False
        kept._fct(scope, operator, container)

    options = kept.get_allowed_options()
    register_converter("SklearnVotingClassifier", convert, overwrite=True, options=options)


def _calibration() -> None:
    """Isotonic calibration between its points: skl2onnx takes the nearest point instead."""
    from skl2onnx.operator_converters import calibrated_classifier_cv

    def isotonic(scope: Any, container: Any, model: Any, column: str, place: int, dtype: Any, kind: Any) -> str:
        calibrator = model.calibrators[place]
        if calibrator.out_of_bounds != "clip":
            raise NotImplementedError("isotonic calibration that refuses scores")
        return curves.interpolated(Graph(scope, None, container), column, calibrator.X_thresholds_, calibrator.y_thresholds_)

    calibrated_classifier_cv._transform_isotonic = isotonic


def _grown(model: Any) -> list[Any]:
    return [one.tree_ for one in np.ravel(getattr(model, "estimators_", [model]))]


def _forest_regressor(graph: Graph) -> None:
    grown = _grown(graph.model)
    values, count = graph.to_single(graph.matrix()), float(len(grown))
    if graph.model.n_outputs_ == 1:
        summed = trees.total(graph, values, [trees.of_sklearn(tree, tree.value[:, 0, 0] / count) for tree in grown])
    else:
        answers = trees.each(graph, values, grown, [tree.value[:, :, 0] / count for tree in grown])
        summed = graph.node("ReduceSum", answers, graph.constant([1]), keepdims=0)
    graph.finish(summed)


def _forest_classifier(graph: Graph) -> None:
    """With two classes the share of the second one is enough: one value a leaf, the fast form of the operator."""
    model, grown = graph.model, _grown(graph.model)
    if model.n_outputs_ != 1:
        raise NotImplementedError("a classifier of trees with several targets")
    values, count = graph.to_single(graph.matrix()), float(len(grown))
    if len(model.classes_) == 2:
        summed = trees.total(graph, values, [trees.of_sklearn(tree, tree.value[:, 0, 1]) for tree in grown])
        shares = two_columns(graph, graph.operation("Div", summed, [count]))
    else:
        answers = trees.each(graph, values, grown, [tree.value[:, 0, :] for tree in grown])
        summed = graph.node("ReduceSum", answers, graph.constant([1]), keepdims=0)
        shares = graph.operation("Div", summed, [count])
    labels(graph, highest(graph, shares))
    graph.finish(shares, 1)


def _boosted_trees(model: Any) -> list[trees.Tree]:
    if model.init is not None and model.init != "zero":
        raise NotImplementedError("a boosting model that starts from another estimator")
    return [
        trees.of_sklearn(one.tree_, one.tree_.value[:, 0, 0] * model.learning_rate, target)
        for stage in model.estimators_
        for target, one in enumerate(stage)
    ]


def _boosted_start(model: Any) -> np.ndarray:
    return np.ravel(model._raw_predict_init(np.zeros((1, model.n_features_in_)))).astype(np.float64)


def _boosted_regressor(graph: Graph) -> None:
    summed = trees.total(graph, graph.to_single(graph.matrix()), _boosted_trees(graph.model))
    graph.finish(graph.operation("Add", summed, _boosted_start(graph.model)))


def _boosted_classifier(graph: Graph) -> None:
    if graph.model.loss != "log_loss":
        raise NotImplementedError(f"a gradient boosting classifier with loss {graph.model.loss}")
    start = _boosted_start(graph.model)
    summed = trees.total(graph, graph.to_single(graph.matrix()), _boosted_trees(graph.model), len(start))
    _log_loss(graph, graph.operation("Add", summed, start))


def _log_loss(graph: Graph, raw: str) -> None:
    """Probabilities and labels from the raw scores of boosting."""
    if len(graph.model.classes_) == 2:
        shares = two_columns(graph, graph.node("Sigmoid", raw))
    else:
        shares = graph.node("Softmax", raw, axis=1)
    labels(graph, highest(graph, shares))
    graph.finish(shares, 1)


def _histogram_regressor(graph: Graph) -> None:
    raw = _histogram(graph)
    link = type(graph.model._loss.link).__name__
    if link not in ("IdentityLink", "LogLink"):
        raise NotImplementedError(f"histogram gradient boosting with {link}")
    graph.finish(graph.node("Exp", raw) if link == "LogLink" else raw)


def _histogram_classifier(graph: Graph) -> None:
    _log_loss(graph, _histogram(graph))


def _histogram(graph: Graph) -> str:
    """The raw scores, [rows, trees an iteration]."""
    model = graph.model
    values = graph.matrix() if model._preprocessor is None else _preprocessed(graph)
    values, member = _members(graph, values)
    grown = [
        trees.of_histogram(one, target, member.get((step, target), {}))
        for step, stage in enumerate(model._predictors)
        for target, one in enumerate(stage)
    ]
    start = np.ravel(model._baseline_prediction).astype(np.float64)
    return graph.operation("Add", trees.total(graph, values, grown, len(start)), start)


def _preprocessed(graph: Graph) -> str:
    """The columns as the model's own preprocessor leaves them: the categories as numbers first, then the others."""
    model, columns = graph.model, graph.columns()
    places = np.flatnonzero(model.is_categorical_)
    encoder = model._preprocessor.named_transformers_["encoder"]
    coded = encoders.encoded(graph, encoder, [columns[place] for place in places])
    others = [name for place, (name, _) in enumerate(columns) if place not in places]
    return graph.join([coded, *others])


def _members(graph: Graph, values: str) -> tuple[str, dict[tuple[int, int], dict[int, int]]]:
    """The values, extended by one column a split on categories: 0 where a row goes left, 1 where it goes right.

    Returns them with the column of each such node, by (step, target) of its tree.
    """
    mapper = graph.model._bin_mapper
    if not mapper.is_categorical_.any():
        return values, {}
    member: dict[tuple[int, int], dict[int, int]] = {}
    parts, width = [values], len(mapper.is_categorical_)
    for place in np.flatnonzero(mapper.is_categorical_):
        known = np.asarray(mapper.bin_thresholds_[place]).astype(int)
        rows = [np.ones(int(known.max(initial=0)) + 2)]  # one a category, the last for what is missing or unknown
        for step, stage in enumerate(graph.model._predictors):
            for target, one in enumerate(stage):
                nodes = one.nodes
                here = np.flatnonzero(nodes["is_categorical"].astype(bool) & (nodes["feature_idx"] == place))
                for number in here:
                    member.setdefault((step, target), {})[int(number)] = width + len(rows) - 1
                    rows.append(_goes_right(one, nodes[number], known, len(rows[0])))
        if len(rows) > 1:
            parts.append(_looked_up(graph, graph.pick(values, [place]), np.column_stack(rows[1:])))
            width += len(rows) - 1
    return graph.join(parts), member


def _goes_right(grown: Any, node: Any, known: np.ndarray, size: int) -> np.ndarray:
    """For each category, and for a missing one at the end: 1 where it goes right in a node."""
    right = np.full(size, 0.0 if node["missing_go_to_left"] else 1.0)
    bits = grown.raw_left_cat_bitsets[node["bitset_idx"]]
    for category in known:
        right[category] = 0.0 if bits[category // 32] >> np.uint32(category % 32) & 1 else 1.0
    return right


def _looked_up(graph: Graph, column: str, table: np.ndarray) -> str:
    """The table's row for each category in a column [rows, 1]; the last row for NaN and what lies outside of the table."""
    last = len(table) - 1
    # As scikit-learn does it, a fraction is cut off and the number taken as unsigned 8 bits.
    inside = graph.node(
        "And",
        graph.operation("GreaterOrEqual", column, [0.0]),
        graph.operation("Less", column, [float(last)]),
    )
    place = graph.to_int(graph.node("Where", inside, column, graph.constant([float(last)])))
    flat = graph.node("Reshape", place, graph.constant([-1]))
    return graph.node("Gather", graph.constant(table), flat, axis=0)


def _adaboost(graph: Graph) -> None:
    """The weighted votes of trees (SAMME), as in AdaBoostClassifier.decision_function."""
    model, count = graph.model, len(graph.model.classes_)
    if any(not hasattr(one, "tree_") or len(one.classes_) != count for one in model.estimators_):
        raise NotImplementedError("AdaBoost of anything but trees that have seen every class")
    tables = []
    for one, weight in zip(model.estimators_, model.estimator_weights_, strict=False):
        chosen = np.eye(count)[one.tree_.value[:, 0, :].argmax(axis=1)]
        tables.append(np.where(chosen == 1, weight, -1 / (count - 1) * weight))
    answers = trees.each(graph, graph.to_single(graph.matrix()), _grown(model), tables)
    summed = graph.node("ReduceSum", answers, graph.constant([1]), keepdims=0)
    decision = graph.operation("Div", summed, [float(model.estimator_weights_.sum())])
    if count == 2:
        decision = graph.node("Sub", graph.pick(decision, [1]), graph.pick(decision, [0]))
        best = graph.to_int(graph.operation("Greater", decision, [0.0]))
        scores = graph.operation("Div", graph.join([graph.node("Neg", decision), decision]), [2.0])
    else:
        best = highest(graph, decision)
        scores = graph.operation("Div", decision, [count - 1.0])
    labels(graph, best)
    graph.finish(graph.node("Softmax", scores, axis=1), 1)


def _isolation_forest() -> None:
    from skl2onnx import update_registered_converter
    from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType
    from sklearn.ensemble import IsolationForest

    def shape(operator: Any) -> None:
        operator.outputs[0].type = Int64TensorType([None])
        operator.outputs[1].type = DoubleTensorType([None, 1])

    def convert(scope: Any, operator: Any, container: Any) -> None:
        _isolation(Graph(scope, operator, container))

    options = {"score_samples": [True, False]}
    update_registered_converter(IsolationForest, "SklearnIsolationForest", shape, convert, options=options)


def _isolation(graph: Graph) -> None:
    """Labels 1 and -1, and the decision function, from the mean depth at which a row stands alone."""
    from sklearn.ensemble._iforest import _average_path_length

    model = graph.model
    parts = zip(
        model.estimators_,
        model.estimators_features_,
        model._decision_path_lengths,
        model._average_path_length_per_tree,
        strict=True,
    )
    grown = [
        trees.of_sklearn(one.tree_, np.asarray(path + average - 1.0, dtype=np.float64), features=np.asarray(features))
        for one, features, path, average in parts
    ]
    depth = trees.total(graph, graph.to_single(graph.matrix()), grown)
    most = len(grown) * float(_average_path_length([model._max_samples])[0])
    share = graph.node("Neg", graph.operation("Div", depth, [most]))
    scores = graph.node("Neg", graph.node("Pow", graph.constant([2.0]), share))
    decision = graph.operation("Sub", scores, [float(model.offset_)])
    outside = graph.node("Less", decision, graph.constant([0.0]))
    label = graph.node("Where", outside, graph.constant([-1]), graph.constant([1]))
    graph.finish(graph.node("Reshape", label, graph.constant([-1])))
    graph.finish(decision, 1)
