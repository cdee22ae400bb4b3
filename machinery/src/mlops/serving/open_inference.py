"""The Open Inference Protocol, version 2: one tensor a column in, one tensor of predictions out.

Source: https://github.com/open-inference-protocol/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mlops.serving import extras
from mlops.serving.invocations import missing_columns, parse_json
from mlops.serving.manifest import Bundle
from mlops.serving.model import Outputs
from mlops.serving.signature import DATATYPES, Column, InvalidRequest, Rows, from_columns, schema_mismatch

NUMERIC = {"FP16", "FP32", "FP64", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"}
BINARY = "Binary tensors are not taken: send the data as JSON (tritonclient: set_data_from_numpy(…, binary_data=False))."
ACCEPTED = {"boolean": {"BOOL"}, "string": {"BYTES"}, "datetime": {"BYTES"}}


def read_infer(body: bytes, bundle: Bundle) -> tuple[Rows, str | None, list[str] | None]:
    """Rows of an inference request, its id, and the outputs that it wants, None for all. Raises InvalidRequest."""
    if b'"binary_data_size"' in body:
        raise InvalidRequest(BINARY, "inputs", status=415, code="UNSUPPORTED_MEDIA_TYPE")
    signature = bundle.signature
    content = parse_json(body)
    if not isinstance(content, dict) or not isinstance(content.get("inputs"), list):
        raise InvalidRequest("The request must be an object with the list inputs.", "inputs")
    identity = content.get("id")
    if identity is not None and not isinstance(identity, str):
        raise InvalidRequest("id must be text.", "id")
    tensors = {}
    for tensor in content["inputs"]:
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
            raise InvalidRequest("Each input must be an object with a name.", "inputs")
        tensors[tensor["name"]] = tensor
    lacking = [name for name in signature.names if name not in tensors and name not in signature.optional]
    if lacking:
        raise missing_columns(f"The input tensor {lacking[0]!r} is missing.", lacking[0], tensors, signature)
    given = {column.name: _data(tensors[column.name], column) for column in signature.columns if column.name in tensors}
    lengths = {len(data) for data in given.values()}
    if len(lengths) != 1:
        raise schema_mismatch("The input tensors do not all have the same number of rows.")
    empty = [None] * lengths.pop()
    rows = from_columns(signature, [given.get(name, empty) for name in signature.names], strict=True)
    return rows, identity, _wanted(content.get("outputs"), bundle)


def _wanted(outputs: Any, bundle: Bundle) -> list[str] | None:
    """The names of the outputs that a request lists. Raises InvalidRequest for one that the model does not have."""
    if not outputs:
        return None
    known = [*_outputs(bundle), *extras.available(bundle.content)]
    if not isinstance(outputs, list) or not all(
        isinstance(output, dict) and output.get("name") in known for output in outputs
    ):
        raise InvalidRequest(f"outputs must be a list of objects with a name: the model has {', '.join(known)}.", "outputs")
    return [output["name"] for output in outputs]


def _data(tensor: dict[str, Any], column: Column) -> list[Any]:
    name, datatype = column.name, tensor.get("datatype")
    if datatype not in ACCEPTED.get(column.type, NUMERIC):
        raise InvalidRequest(f"Tensor {name!r}: the datatype does not fit the column's type {column.type}.", name)
    shape, data = tensor.get("shape"), tensor.get("data")
    if not isinstance(data, list):
        raise InvalidRequest(f"Tensor {name!r}: data must be a list.", name)
    if data and all(isinstance(item, list) and len(item) == 1 for item in data):
        data = [item[0] for item in data]
    if not isinstance(shape, list) or shape not in ([len(data)], [len(data), 1]):
        raise InvalidRequest(
            f"Tensor {name!r}: shape must be [{len(data)}] or [{len(data)}, 1], as many as there are data.", name
        )
    if "INT" in str(datatype):
        low, high = integer_bounds(str(datatype))
        for row, value in enumerate(data):
            if value is not None and not (type(value) is int and low <= value <= high):
                raise InvalidRequest(f"Tensor {name!r}, row {row}: not a value of datatype {datatype}.", name)
    return data


def integer_bounds(datatype: str) -> tuple[int, int]:
    """The smallest and the largest value of a datatype such as INT8 or UINT64."""
    size = int(datatype.lstrip("UINT"))
    return (0, 2**size - 1) if datatype.startswith("U") else (-(2 ** (size - 1)), 2 ** (size - 1) - 1)


def write_infer(
    outputs: Outputs, bundle: Bundle, identity: str, wanted: list[str] | None, included: extras.Extras
) -> dict[str, Any]:
    """The answer's object; `wanted` names the outputs that it holds, None for all predictions.

    What is included is a tensor [rows, columns]; what its columns are stands in the metadata.
    """
    predictions = outputs if isinstance(outputs, dict) else {"predictions": outputs}
    columns = predictions | {name: np.asarray(values) for name, values in included.items()}
    return {
        "model_name": bundle.name,
        "model_version": bundle.number,
        "id": identity,
        "outputs": [_tensor(name, columns[name]) for name in wanted or predictions],
    }


def _tensor(name: str, values: np.ndarray) -> dict[str, Any]:
    return {"name": name, "shape": list(values.shape), "datatype": output_datatype(values.dtype.str), "data": plain(values)}


def plain(values: np.ndarray) -> list[Any]:
    """Flat JSON values, null where a number is not finite."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return [value if np.isfinite(value) else None for value in values.ravel().tolist()]
    return values.ravel().tolist()


def output_datatype(dtype: str) -> str:
    """The protocol's name of a numpy type."""
    kind, size = dtype.lstrip("<>|=")[:1], dtype.lstrip("<>|=")[1:]
    if kind == "f":
        return f"FP{8 * int(size)}"
    if kind in "iu":
        return f"{'U' if kind == 'u' else ''}INT{8 * int(size)}"
    return "BOOL" if kind == "b" else "BYTES"


def metadata(bundle: Bundle) -> dict[str, Any]:
    """What GET /v2/models/{name} answers."""
    inputs = [
        {"name": column.name, "datatype": DATATYPES.get(column.type, "BYTES"), "shape": [-1]}
        for column in bundle.signature.columns
    ]
    outputs = [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in _outputs(bundle).items()]
    included = {
        "name": bundle.name,
        "versions": [bundle.number],
        "platform": bundle.format,
        "inputs": inputs,
        "outputs": outputs,
    }
    return included | ({"optional_outputs": more} if (more := _optional(bundle.content)) else {})


def _optional(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The tensors [rows, columns] that a request gets only where its `outputs` name them, with what their columns are."""
    optional = []
    for name in extras.available(content):
        columns = extras.keys_of(name, content)
        kind = "BOOL" if name == "sets" else "FP64"
        optional.append({"name": name, "datatype": kind, "shape": [-1, len(columns)], "columns": columns})
    return optional


def _outputs(bundle: Bundle) -> dict[str, str]:
    """Name to the protocol's type of each output."""
    if bundle.format == "onnx":
        return {"predictions": output_datatype(bundle.content["onnx"]["dtype"])}
    answer = bundle.content["example_prediction"]
    declared = bundle.content["signature"]["outputs"] or [{"type": "string"}]
    names = list(answer) if isinstance(answer, dict) else ["predictions"]
    return {name: _declared(output) for name, output in zip(names, declared, strict=False)}


def _declared(output: dict[str, Any]) -> str:
    if output["type"] == "tensor":
        return output_datatype(np.dtype(output["tensor-spec"]["dtype"]).str)
    return DATATYPES.get(output["type"], "BYTES")
