"""What the converters write with: nodes and constants of one operator's part of the graph, and their registration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

TARGET_OPSET = {"": 18, "ai.onnx.ml": 3}


class Graph:
    """One operator of scikit-learn while it is converted: its fitted model, its inputs, and the nodes that are added."""

    def __init__(self, scope: Any, operator: Any, container: Any) -> None:
        self.scope, self.operator, self.container = scope, operator, container
        self.model: Any = getattr(operator, "raw_operator", None)

    def node(self, kind: str, *inputs: str, domain: str = "", version: int | None = None, **attributes: Any) -> str:
        """Add a node with one output; returns its name."""
        output = str(self.scope.get_unique_variable_name(kind.lower()))
        name = self.scope.get_unique_operator_name(kind)
        self.container.add_node(kind, list(inputs), output, op_domain=domain, op_version=version, name=name, **attributes)
        return output

    def constant(self, values: Any) -> str:
        """Add an array of float64, int64, bool or text; returns its name."""
        from onnx import TensorProto

        array = np.asarray(values)
        name = str(self.scope.get_unique_variable_name("constant"))
        kinds = {"f": TensorProto.DOUBLE, "i": TensorProto.INT64, "b": TensorProto.BOOL}
        if array.dtype.kind in "UO":
            texts = [str(value).encode() for value in array.ravel()]
            self.container.add_initializer(name, TensorProto.STRING, list(array.shape), texts)
        else:
            self.container.add_initializer(name, kinds[array.dtype.kind], list(array.shape), array.ravel().tolist())
        return name

    def to_double(self, name: str) -> str:
        """Values as float64."""
        from onnx import TensorProto

        return self.node("Cast", name, to=TensorProto.DOUBLE)

    def to_single(self, name: str) -> str:
        """Values as float64 that went through float32, which is what scikit-learn's trees compare."""
        from onnx import TensorProto

        return self.to_double(self.node("Cast", name, to=TensorProto.FLOAT))

    def to_int(self, name: str) -> str:
        """Values as int64."""
        from onnx import TensorProto

        return self.node("Cast", name, to=TensorProto.INT64)

    def matrix(self) -> str:
        """All inputs side by side in float64, [rows, columns]."""
        parts = [self.to_double(variable.full_name) for variable in self.operator.inputs]
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=1)

    def columns(self) -> list[tuple[str, bool]]:
        """Each input column [rows, 1], and whether it is text; numbers are float64."""
        columns = []
        for variable in self.operator.inputs:
            text = is_text(variable)
            name = variable.full_name if text else self.to_double(variable.full_name)
            width = variable.type.shape[1] or self.model.n_features_in_
            columns += [(name if width == 1 else self.pick(name, [place]), text) for place in range(width)]
        return columns

    def pick(self, name: str, places: Any) -> str:
        """Some columns of a matrix, [rows, len(places)]."""
        return self.node("Gather", name, self.constant(np.asarray(places, dtype=np.int64)), axis=1)

    def join(self, parts: list[str]) -> str:
        """Parts side by side."""
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=1)

    def operation(self, kind: str, name: str, value: Any) -> str:
        """A binary operation with a constant on its right side."""
        return self.node(kind, name, self.constant(value))

    def finish(self, name: str, place: int = 0) -> None:
        """Make a value the operator's output, cast to the type that was declared for it."""
        output = self.operator.outputs[place]
        unique = self.scope.get_unique_operator_name("Cast")
        kind = "Identity" if is_text(output) else "Cast"
        to = {} if kind == "Identity" else {"to": output.type._get_element_onnx_type()}
        self.container.add_node(kind, [name], output.full_name, name=unique, **to)


Convert = Callable[[Graph], None]


def is_text(variable: Any) -> bool:
    """Whether a variable of the graph holds text."""
    from skl2onnx.common.data_types import StringTensorType

    return isinstance(variable.type, StringTensorType)


def classifier(models: list[type], convert: Convert) -> None:
    """Register a converter of classifiers, with labels and float64 probabilities as outputs."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    def shape(operator: Any) -> None:
        calculate_linear_classifier_output_shapes(operator)
        operator.outputs[1].type = _double([None, len(operator.raw_operator.classes_)])

    options = {name: [True, False] for name in ("zipmap", "nocl", "raw_scores", "decision_path", "decision_leaf")}
    for model in models:
        update_registered_converter(model, f"Sklearn{model.__name__}", shape, _on_graph(convert), options=options)


def transformer(models: list[type], convert: Convert, width: Callable[[Any], int], text: bool = False) -> None:
    """Register a converter with one float64 output of `width(model)` columns; texts stay text with `text`."""
    from skl2onnx import update_registered_converter

    def kind(inputs: Any, columns: int | None) -> Any:
        return _text([None, columns]) if text and is_text(inputs[0]) else _double([None, columns])

    def shape(operator: Any) -> None:
        operator.outputs[0].type = kind(operator.inputs, width(operator.raw_operator))

    def parse(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
        operator = scope.declare_local_operator(f"Sklearn{type(model).__name__}", model)
        operator.inputs = inputs
        operator.outputs.append(scope.declare_local_variable("variable", kind(inputs, None)))
        return operator.outputs

    for model in models:
        update_registered_converter(model, f"Sklearn{model.__name__}", shape, _on_graph(convert), parser=parse)


def regressor(models: list[type], convert: Convert) -> None:
    """Register a converter of regressors, with one float64 output, a column a target."""
    transformer(models, convert, lambda model: getattr(model, "n_outputs_", 1))


def _on_graph(convert: Convert) -> Callable[[Any, Any, Any], None]:
    def run(scope: Any, operator: Any, container: Any) -> None:
        convert(Graph(scope, operator, container))

    return run


def _double(shape: list[int | None]) -> Any:
    from skl2onnx.common.data_types import DoubleTensorType

    return DoubleTensorType(shape)


def _text(shape: list[int | None]) -> Any:
    from skl2onnx.common.data_types import StringTensorType

    return StringTensorType(shape)


def labels(graph: Graph, best: str) -> None:
    """The classes with the numbers `best`, [rows], as the operator's first output."""
    classes = graph.model.classes_
    texts = classes.dtype.kind in "UO"
    known = graph.constant(classes if texts else [int(label) for label in classes])
    flat = graph.node("Reshape", best, graph.constant([-1]))
    graph.finish(graph.node("Gather", known, flat, axis=0))


def highest(graph: Graph, scores: str) -> str:
    """The number of the class of the highest score, the first of equal ones as in scikit-learn."""
    return graph.node("ArgMax", scores, axis=1, keepdims=0)


def two_columns(graph: Graph, positive: str) -> str:
    """The probabilities of both classes from that of the second, [rows, 2]."""
    return graph.join([graph.node("Sub", graph.constant([1.0]), positive), positive])
