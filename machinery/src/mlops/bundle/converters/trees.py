"""Trees as the `TreeEnsemble` operator of ai.onnx.ml 5, which holds float64 thresholds and leaves.

Source: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlops.bundle.converters.graph import TARGET_OPSET, Graph

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


def of_sklearn(tree: Any, value: np.ndarray | None = None, target: int = 0, features: np.ndarray | None = None) -> Tree:
    """A tree of scikit-learn with a value a node, by default its first; `features` are the columns that it was given."""
    feature = np.asarray(tree.feature)
    return Tree(
        feature if features is None else np.where(feature < 0, feature, features[np.maximum(feature, 0)]),
        np.asarray(tree.threshold, dtype=np.float64),
        np.asarray(tree.children_left),
        np.asarray(tree.children_right),
        np.asarray(tree.missing_go_to_left),
        np.asarray(tree.value)[:, 0, 0] if value is None else value,
        target,
    )


def of_histogram(grown: Any, target: int, member: dict[int, int]) -> Tree:
    """A tree of histogram gradient boosting; `member` has the column that answers for each node that splits categories.

    Such a column is 0 for a row that goes left and 1 for one that goes right.
    """
    nodes = grown.nodes
    leaf = nodes["is_leaf"].astype(bool)
    feature, threshold = nodes["feature_idx"].astype(np.int64), nodes["num_threshold"].astype(np.float64)
    for number, column in member.items():
        feature[number], threshold[number] = column, 0.5
    return Tree(
        feature,
        threshold,
        np.where(leaf, -1, nodes["left"].astype(np.int64)),
        np.where(leaf, -1, nodes["right"].astype(np.int64)),
        nodes["missing_go_to_left"].astype(np.int64),
        nodes["value"].astype(np.float64),
        target,
    )


def total(graph: Graph, values: str, trees: Iterable[Tree], targets: int = 1) -> str:
    """The sum of the leaves that a row reaches for each target, [rows, targets]."""
    from onnx import numpy_helper

    parts = _flatten(trees)
    splits, leaves = np.array(parts.pop("splits")), np.array(parts.pop("leaf_values"))
    return graph.node(
        "TreeEnsemble",
        values,
        domain="ai.onnx.ml",
        version=TARGET_OPSET["ai.onnx.ml"],
        n_targets=targets,
        aggregate_function=SUM,
        nodes_splits=numpy_helper.from_array(splits.astype(np.float64), "splits"),
        nodes_modes=numpy_helper.from_array(np.full(len(splits), LEQ, dtype=np.uint8), "modes"),
        leaf_weights=numpy_helper.from_array(leaves.astype(np.float64), "weights"),
        **parts,
    )


def each(graph: Graph, values: str, trees: Sequence[Any], tables: Sequence[np.ndarray]) -> str:
    """What each tree answers, [rows, trees, width]: its table's row of the leaf, where a leaf holds several values.

    `tables` has one row a node of the tree. The operator holds one value a leaf, so that it answers the leaf's number.
    """
    starts = np.cumsum([0] + [tree.node_count for tree in trees])
    numbered = [
        of_sklearn(tree, value=np.arange(start, start + tree.node_count, dtype=np.float64), target=place)
        for place, (tree, start) in enumerate(zip(trees, starts[:-1], strict=True))
    ]
    leaves = graph.to_int(total(graph, values, numbered, len(trees)))
    return graph.node("Gather", graph.constant(np.concatenate(tables).astype(np.float64)), leaves, axis=0)


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
