"""Exact float64 ONNX converters for what skl2onnx 1.20 converts in float32 or not at all.

Tree ensembles become the `TreeEnsemble` operator of ai.onnx.ml 5, which sums float64 leaves; histogram gradient boosting,
whose numpy integers skl2onnx refuses, is one of them. Polynomial features become one gather per degree.
Source of the operators: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

TARGET_OPSET = {"": 18, "ai.onnx.ml": 3}
LEQ = 0
SUM = 1


class Tree(NamedTuple):
    """One binary tree as arrays over its nodes; a node with `left` < 0 is a leaf, the root is node 0."""

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray
    target: int


def register() -> None:
    """Put these converters in skl2onnx's registry, over its own."""
    import skl2onnx.operator_converters  # noqa: F401  its own converters are registered first
    from skl2onnx.common._registration import register_converter

    for family in ("GradientBoosting", "RandomForest", "ExtraTrees", "DecisionTree", "HistGradientBoosting"):
        register_converter(f"Sklearn{family}Regressor", _regressor, overwrite=True)
    for family in ("GradientBoosting", "HistGradientBoosting"):
        options = {"zipmap": [True, False], "nocl": [True, False]}
        register_converter(f"Sklearn{family}Classifier", _boosted_classifier, overwrite=True, options=options)
    for family in ("RandomForest", "ExtraTrees", "DecisionTree"):
        options = {name: [True, False] for name in ("zipmap", "nocl", "decision_path", "decision_leaf")}
        register_converter(f"Sklearn{family}Classifier", _forest_classifier, overwrite=True, options=options)
    register_converter("SklearnPolynomialFeatures", _polynomial, overwrite=True)


def raise_opset(model: Any) -> None:
    """Declare ai.onnx.ml 5 in a converted model that uses TreeEnsemble: skl2onnx itself writes at most 3."""
    if any(node.op_type == "TreeEnsemble" for node in model.graph.node):
        for domain in model.opset_import:
            if domain.domain == "ai.onnx.ml":
                domain.version = 5


def _regressor(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    trees, base, single = _regression_trees(model)
    raw = _ensemble(scope, container, _double(scope, container, operator.inputs[0], single), trees, base)
    loss = getattr(model, "_loss", None)
    if type(model).__name__.startswith("Hist") and type(loss.link).__name__ == "LogLink":  # type: ignore[union-attr]
        raw = _node(scope, container, "Exp", [raw])
    _cast(container, raw, operator.outputs[0])


def _regression_trees(model: Any) -> tuple[list[Tree], list[float], bool]:
    """Trees with their weights in the leaves, the base value of each target, and whether inputs are cut to float32."""
    if hasattr(model, "_predictors"):
        trees = [_histogram_tree(grown, 0) for stage in model._predictors for grown in stage]
        return trees, [float(np.ravel(model._baseline_prediction)[0])], False
    if hasattr(model, "tree_"):
        _single_target(model)
        return [_sklearn_tree(model.tree_, 1.0)], [0.0], True
    grown = np.ravel(model.estimators_)
    if hasattr(model, "learning_rate"):
        _plain_start(model)
        return [_sklearn_tree(one.tree_, model.learning_rate) for one in grown], [float(np.ravel(_start(model))[0])], True
    _single_target(model)
    return [_sklearn_tree(one.tree_, 1.0 / len(grown)) for one in grown], [0.0], True


def _single_target(model: Any) -> None:
    if model.n_outputs_ != 1:
        raise NotImplementedError("a tree model with several targets")


def _boosted_classifier(scope: Any, operator: Any, container: Any) -> None:
    from onnx import TensorProto

    model = operator.raw_operator
    trees, base, single = _boosted_trees(model)
    raw = _ensemble(scope, container, _double(scope, container, operator.inputs[0], single), trees, base)
    if len(model.classes_) == 2:
        positive = _node(scope, container, "Sigmoid", [raw])
        one = _constant(scope, container, TensorProto.DOUBLE, [1], [1.0])
        probabilities = _node(scope, container, "Concat", [_node(scope, container, "Sub", [one, positive]), positive], axis=1)
    else:
        probabilities = _node(scope, container, "Softmax", [raw], axis=1)
    _labels(scope, container, operator, probabilities)
    _cast(container, probabilities, operator.outputs[1])


def _forest_classifier(scope: Any, operator: Any, container: Any) -> None:
    """The trees' votes: TreeEnsembleRegressor has one weight a class in a leaf; its sum is a float32."""
    from onnx import TensorProto, numpy_helper

    model = operator.raw_operator
    _single_target(model)
    grown = [one.tree_ for one in getattr(model, "estimators_", [model])]
    if len(model.classes_) == 2:
        return _two_classes(scope, operator, container, grown)
    lists, weights = _votes(grown)
    thresholds = np.concatenate([tree.threshold for tree in grown]).astype(np.float64)
    votes = scope.get_unique_variable_name("votes")
    container.add_node(
        "TreeEnsembleRegressor",
        [_double(scope, container, operator.inputs[0], True)],
        votes,
        op_domain="ai.onnx.ml",
        op_version=TARGET_OPSET["ai.onnx.ml"],
        name=scope.get_unique_operator_name("TreeEnsembleRegressor"),
        n_targets=len(model.classes_),
        aggregate_function="SUM",
        post_transform="NONE",
        nodes_values_as_tensor=numpy_helper.from_array(thresholds, "thresholds"),
        target_weights_as_tensor=numpy_helper.from_array(weights, "weights"),
        **lists,
    )
    _labels(scope, container, operator, votes)
    count = _constant(scope, container, TensorProto.FLOAT, [1], [float(len(grown))])
    _cast(container, _node(scope, container, "Div", [votes, count]), operator.outputs[1])


def _two_classes(scope: Any, operator: Any, container: Any, grown: list[Any]) -> None:
    """With two classes the share of the second one says all: one float64 weight a leaf, the fast form of TreeEnsemble."""
    from onnx import TensorProto

    trees = [_sklearn_tree(tree, 1.0, value=tree.value[:, 0, 1]) for tree in grown]
    votes = _ensemble(scope, container, _double(scope, container, operator.inputs[0], True), trees, [0.0])
    count = _constant(scope, container, TensorProto.DOUBLE, [1], [float(len(grown))])
    second = _node(scope, container, "Div", [votes, count])
    one = _constant(scope, container, TensorProto.DOUBLE, [1], [1.0])
    probabilities = _node(scope, container, "Concat", [_node(scope, container, "Sub", [one, second]), second], axis=1)
    _labels(scope, container, operator, probabilities)
    _cast(container, probabilities, operator.outputs[1])


def _votes(grown: list[Any]) -> tuple[dict[str, list[Any]], np.ndarray]:
    """The attribute lists of TreeEnsembleRegressor and the weight of each (leaf, class) that is not zero."""
    parts: dict[str, list[Any]] = {}
    weights = []
    for number, tree in enumerate(grown):
        leaf = tree.children_left < 0
        leaves, classes = np.nonzero(tree.value[:, 0, :] * leaf[:, None])
        weights.append(tree.value[leaves, 0, classes])
        found = {
            "nodes_treeids": np.full(tree.node_count, number),
            "nodes_nodeids": np.arange(tree.node_count),
            "nodes_featureids": np.where(leaf, 0, tree.feature),
            "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ"),
            "nodes_truenodeids": np.where(leaf, 0, tree.children_left),
            "nodes_falsenodeids": np.where(leaf, 0, tree.children_right),
            "nodes_missing_value_tracks_true": np.asarray(tree.missing_go_to_left, dtype=np.int64),
            "target_treeids": np.full(len(leaves), number),
            "target_nodeids": leaves,
            "target_ids": classes,
        }
        for name, values in found.items():
            parts.setdefault(name, []).extend(values.tolist())
    return parts, np.concatenate(weights)


def _labels(scope: Any, container: Any, operator: Any, scores: str) -> None:
    """The class of the highest score, the first of equal ones as in scikit-learn."""
    from onnx import TensorProto

    best = _node(scope, container, "ArgMax", [scores], axis=1, keepdims=0)
    container.add_node(
        "ArrayFeatureExtractor",
        [_classes(scope, container, operator.raw_operator.classes_), best],
        labels := scope.get_unique_variable_name("labels"),
        op_domain="ai.onnx.ml",
        name=scope.get_unique_operator_name("ArrayFeatureExtractor"),
    )
    flat = _constant(scope, container, TensorProto.INT64, [1], [-1])
    container.add_node(
        "Reshape", [labels, flat], operator.outputs[0].full_name, name=scope.get_unique_operator_name("Reshape")
    )


def _boosted_trees(model: Any) -> tuple[list[Tree], list[float], bool]:
    if hasattr(model, "_predictors"):
        trees = [_histogram_tree(grown, target) for stage in model._predictors for target, grown in enumerate(stage)]
        return trees, [float(value) for value in np.ravel(model._baseline_prediction)], False
    _plain_start(model)
    if model.loss != "log_loss":
        raise NotImplementedError(f"a gradient boosting classifier with loss {model.loss}")
    trees = [
        _sklearn_tree(one.tree_, model.learning_rate, target)
        for stage in model.estimators_
        for target, one in enumerate(stage)
    ]
    return trees, [float(value) for value in np.ravel(_start(model))], True


def _plain_start(model: Any) -> None:
    if model.init is not None and model.init != "zero":
        raise NotImplementedError("a boosting model that starts from another estimator")


def _start(model: Any) -> np.ndarray:
    return model._raw_predict_init(np.zeros((1, model.n_features_in_)))


def _classes(scope: Any, container: Any, classes: np.ndarray) -> str:
    from onnx import TensorProto

    if classes.dtype.kind in "UO":
        return _constant(scope, container, TensorProto.STRING, [len(classes)], [str(label).encode() for label in classes])
    return _constant(scope, container, TensorProto.INT64, [len(classes)], [int(label) for label in classes])


def _polynomial(scope: Any, operator: Any, container: Any) -> None:
    """Products of columns: each term is a list of column numbers, padded with a column of ones."""
    from onnx import TensorProto

    model = operator.raw_operator
    ones = model.n_features_in_
    terms = [
        list(term)
        for term in model._combinations(
            ones, model._min_degree, model._max_degree, model.interaction_only, include_bias=model.include_bias
        )
    ]
    degree = max(1, max(len(term) for term in terms))
    values = _double(scope, container, operator.inputs[0], False)
    pads = _constant(scope, container, TensorProto.INT64, [4], [0, 0, 0, 1])
    one = _constant(scope, container, TensorProto.DOUBLE, [], [1.0])
    padded = _node(scope, container, "Pad", [values, pads, one])
    product = ""
    for place in range(degree):
        columns = [term[place] if place < len(term) else ones for term in terms]
        index = _constant(scope, container, TensorProto.INT64, [len(columns)], columns)
        factor = _node(scope, container, "Gather", [padded, index], axis=1)
        product = _node(scope, container, "Mul", [product, factor]) if product else factor
    _cast(container, product, operator.outputs[0])


def _sklearn_tree(tree: Any, weight: float, target: int = 0, value: np.ndarray | None = None) -> Tree:
    return Tree(
        np.asarray(tree.feature),
        np.asarray(tree.threshold, dtype=np.float64),
        np.asarray(tree.children_left),
        np.asarray(tree.children_right),
        np.asarray(tree.missing_go_to_left),
        (np.asarray(tree.value)[:, 0, 0] if value is None else value) * weight,
        target,
    )


def _histogram_tree(grown: Any, target: int) -> Tree:
    nodes = grown.nodes
    if nodes["is_categorical"].any():
        raise NotImplementedError("histogram gradient boosting with categorical columns")
    leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        nodes["feature_idx"].astype(np.int64),
        nodes["num_threshold"].astype(np.float64),
        np.where(leaf, -1, nodes["left"].astype(np.int64)),
        np.where(leaf, -1, nodes["right"].astype(np.int64)),
        nodes["missing_go_to_left"].astype(np.int64),
        nodes["value"].astype(np.float64),
        target,
    )


def _ensemble(scope: Any, container: Any, values: str, trees: Iterable[Tree], base: list[float]) -> str:
    """Add the sum of the trees plus the base value of each target; returns the name of the [rows, targets] result."""
    from onnx import TensorProto, numpy_helper

    parts = _flatten(trees)
    splits, leaves = np.array(parts.pop("splits")), np.array(parts.pop("leaf_values"))
    total = scope.get_unique_variable_name("trees")
    container.add_node(
        "TreeEnsemble",
        [values],
        total,
        op_domain="ai.onnx.ml",
        op_version=TARGET_OPSET["ai.onnx.ml"],
        name=scope.get_unique_operator_name("TreeEnsemble"),
        n_targets=len(base),
        aggregate_function=SUM,
        nodes_splits=numpy_helper.from_array(splits.astype(np.float64), "splits"),
        nodes_modes=numpy_helper.from_array(np.full(len(splits), LEQ, dtype=np.uint8), "modes"),
        leaf_weights=numpy_helper.from_array(leaves.astype(np.float64), "weights"),
        **parts,
    )
    start = _constant(scope, container, TensorProto.DOUBLE, [len(base)], base)
    return _node(scope, container, "Add", [total, start])


def _flatten(trees: Iterable[Tree]) -> dict[str, list[Any]]:
    """The attribute lists of TreeEnsemble, which numbers inner nodes and leaves apart."""
    names = (
        "tree_roots",
        "nodes_featureids",
        "nodes_truenodeids",
        "nodes_falsenodeids",
        "nodes_trueleafs",
        "nodes_falseleafs",
    )
    flat: dict[str, list[Any]] = {name: [] for name in names}
    flat |= {"nodes_missing_value_tracks_true": [], "leaf_targetids": [], "splits": [], "leaf_values": []}
    for tree in trees:
        is_leaf = np.asarray(tree.left) < 0
        first_node, first_leaf = len(flat["splits"]), len(flat["leaf_values"])
        number = np.where(is_leaf, np.cumsum(is_leaf) - 1 + first_leaf, np.cumsum(~is_leaf) - 1 + first_node)
        flat["tree_roots"].append(first_node)
        flat["leaf_values"] += tree.value[is_leaf].tolist()
        flat["leaf_targetids"] += [tree.target] * int(is_leaf.sum())
        # A tree that is one leaf still needs a node: both of its branches lead to that leaf.
        inner = np.flatnonzero(~is_leaf) if not is_leaf[0] else np.array([0])
        left, right = (tree.left[inner], tree.right[inner]) if not is_leaf[0] else (np.array([0]), np.array([0]))
        flat["nodes_featureids"] += np.maximum(tree.feature[inner], 0).tolist()
        flat["splits"] += tree.threshold[inner].tolist()
        flat["nodes_missing_value_tracks_true"] += tree.missing_left[inner].astype(int).tolist()
        flat["nodes_truenodeids"] += number[left].tolist()
        flat["nodes_falsenodeids"] += number[right].tolist()
        flat["nodes_trueleafs"] += is_leaf[left].astype(int).tolist()
        flat["nodes_falseleafs"] += is_leaf[right].astype(int).tolist()
    return flat


def _double(scope: Any, container: Any, variable: Any, single: bool) -> str:
    """The input as float64; through float32 where scikit-learn's trees compare float32 values."""
    from onnx import TensorProto

    name = variable.full_name
    if single:
        name = _node(scope, container, "Cast", [name], to=TensorProto.FLOAT)
    return _node(scope, container, "Cast", [name], to=TensorProto.DOUBLE)


def _cast(container: Any, name: str, output: Any) -> None:
    container.add_node(
        "Cast", [name], output.full_name, to=output.type._get_element_onnx_type(), name=f"Cast_{output.full_name}"
    )


def _constant(scope: Any, container: Any, kind: int, shape: list[int], values: list[Any]) -> str:
    name = scope.get_unique_variable_name("constant")
    container.add_initializer(name, kind, shape, values)
    return name


def _node(scope: Any, container: Any, operator: str, inputs: list[str], **attributes: Any) -> str:
    output = scope.get_unique_variable_name(operator.lower())
    container.add_node(operator, inputs, output, name=scope.get_unique_operator_name(operator), **attributes)
    return output
