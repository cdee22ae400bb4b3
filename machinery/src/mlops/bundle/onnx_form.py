"""A scikit-learn model as ONNX in float64, with its columns as one matrix or as one input each."""

from __future__ import annotations

from typing import Any

from mlops.bundle.converters import raise_opset, register
from mlops.bundle.converters.graph import TARGET_OPSET
from mlops.bundle.proof import NotConverted
from mlops.serving.signature import INTEGERS, NUMBERS, Column, Signature

# Tried in this order: a matrix is the fastest, columns are needed where a pipeline picks them by name.
LAYOUTS = ("matrix", "columns", "typed columns")
OUTPUTS = {"predict": 0, "predict_proba": 1}


def convert(estimator: Any, signature: Signature, inputs: str, method: str = "predict") -> tuple[bytes, str]:
    """The model's bytes and the name of the output that is its prediction. Raises NotConverted with the reason."""
    from skl2onnx import convert_sklearn

    if method not in OUTPUTS:
        raise NotConverted(f"the model's prediction is its {method}")
    register()
    try:
        converted = convert_sklearn(
            estimator,
            name="model",
            initial_types=_types(signature, inputs),
            target_opset=TARGET_OPSET,
            options={id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None,
        )
        raise_opset(converted)
        converted.doc_string = ""
        raw = converted.SerializeToString(deterministic=True)
        _check_loads(raw)
    except NotConverted:
        raise
    # A converter may fail in any way; whatever it is, the next form is taken and the reason kept.
    except Exception as error:
        raise NotConverted(_first_line(error)) from error
    return raw, converted.graph.output[OUTPUTS[method]].name


def opsets(raw: bytes) -> dict[str, int]:
    """The operator sets that the model declares."""
    import onnx

    return {item.domain or "ai.onnx": item.version for item in onnx.load_from_string(raw).opset_import}


def has_loop(raw: bytes) -> bool:
    """Whether the model goes through rows of its own for each row that it scores."""
    import onnx

    return any(node.op_type in ("Scan", "Loop") for node in onnx.load_from_string(raw).graph.node)


def _types(signature: Signature, inputs: str) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import DoubleTensorType

    if inputs == "matrix":
        if not signature.numeric:
            raise NotConverted("not all columns are numbers")
        return [("input", DoubleTensorType([None, len(signature.columns)]))]
    return [(column.name, _column_type(column, inputs)) for column in signature.columns]


def _column_type(column: Column, inputs: str) -> Any:
    from skl2onnx.common.data_types import BooleanTensorType, DoubleTensorType, Int64TensorType, StringTensorType

    if column.wide and column.pandas:
        raise NotConverted(f"column {column.name} has gaps and numbers that no float64 holds")
    exact = inputs == "typed columns" and not column.pandas  # neither int64 nor bool has a NaN
    if column.type in INTEGERS and exact:
        return Int64TensorType([None, 1])
    if column.type == "boolean" and exact:
        return BooleanTensorType([None, 1])
    if column.type in NUMBERS or column.type == "boolean":
        return DoubleTensorType([None, 1])
    if column.type == "string":
        return StringTensorType([None, 1])
    raise NotConverted(f"column {column.name} is a {column.type}")


def _check_loads(raw: bytes) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160] if lines else ''}"
