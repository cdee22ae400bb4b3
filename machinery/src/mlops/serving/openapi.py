"""The OpenAPI 3.1 document of a server, written from the signature of the model that it serves."""

from __future__ import annotations

from typing import Any

from mlops.serving import extras
from mlops.serving.arrow import CONTENT_TYPE as ARROW
from mlops.serving.manifest import Bundle
from mlops.serving.open_inference import ACCEPTED
from mlops.serving.settings import Settings
from mlops.serving.signature import DATATYPES, INTEGERS, NUMBERS, Column, Signature

DOUBLE_MAX = 1.7976931348623157e308
FLOAT_MAX = 3.4028234663852886e38
REFUSALS = {
    400: "The input is not what the model takes; `field` names the column.",
    408: "The body did not arrive in time.",
    413: "The body is too large, or has too many rows.",
    415: "The content type is not taken.",
    429: "Too many requests are in work; Retry-After says when to try again.",
    500: "The server met an error of its own.",
    503: "The model is not loaded yet, or the server is stopping.",
    504: "The prediction took too long.",
}


def document(bundle: Bundle, settings: Settings, secured: bool) -> dict[str, Any]:
    """The document as a JSON object; its example is a row of the holdout that the model was judged on."""
    row = _row(bundle.signature)
    example = bundle.example
    content: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": bundle.name,
            "version": bundle.number,
            "description": f"Predictions of {bundle.name} {bundle.number}, as MLflow's protocol, typed rows, "
            "Open Inference Protocol v2 and Arrow.",
        },
        "paths": {
            "/predict": _post(
                "Score typed rows",
                _predict_body(row, example, settings.max_rows, extras.available(bundle.content)),
                _predict_answer(bundle),
                secured,
            ),
            "/invocations": _post("Score in MLflow's protocol", _invocations_body(bundle), _invocations_answer(), secured),
            f"/v2/models/{bundle.name}/infer": _post(
                "Score in the Open Inference Protocol v2",
                _infer_body(bundle),
                {"application/json": {"schema": OBJECT}},
                secured,
            ),
        }
        | _gets(bundle, secured),
        "components": {"schemas": {"Row": row, "Refusal": REFUSAL}},
    }
    if secured:
        content["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return content


OBJECT: dict[str, Any] = {"type": "object"}
REFUSAL = {
    "type": "object",
    "required": ["error_code", "message"],
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}, "field": {"type": "string"}},
}


def _row(signature: Signature) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {column.name: column_schema(column, signature.limit) for column in signature.columns},
        "required": [column.name for column in signature.columns if column.required],
        "additionalProperties": False,
    }


def column_schema(column: Column, limit: float | None) -> dict[str, Any]:
    """The JSON schema of one value of a column."""
    schema: dict[str, Any]
    if column.type in INTEGERS:
        low, high = column.bounds
        # JSON tools compare bounds as float64: the largest long that is one lies below 2^63 - 1.
        schema = {"type": "integer", "minimum": low, "maximum": min(high, 2**63 - 1024)}
    elif column.type in NUMBERS:
        bound_ = min(limit or DOUBLE_MAX, FLOAT_MAX if column.type == "float" else DOUBLE_MAX)
        schema = {"type": "number", "minimum": -bound_, "maximum": bound_}
    elif column.type == "boolean":
        schema = {"type": "boolean"}
    elif column.type == "datetime":
        schema = {"type": "string", "format": "date-time"}
    else:
        schema = {"type": "string"}
    return schema | ({"type": [schema["type"], "null"]} if column.gaps else {})


def _predict_body(row: dict[str, Any], example: dict[str, Any], most: int, include: tuple[str, ...]) -> dict[str, Any]:
    rows = {"type": "array", "items": {"$ref": "#/components/schemas/Row"}, "minItems": 1, "maxItems": most}
    properties: dict[str, Any] = {"rows": rows}
    if include:
        properties["include"] = {"type": "array", "items": {"enum": list(include)}}
    schema = {"type": "object", "properties": properties, "required": ["rows"], "additionalProperties": False}
    return {"application/json": {"schema": schema, "example": {"rows": [example]}}}


def _predict_answer(bundle: Bundle) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "predictions": {"type": "array"},
        "model": {"const": bundle.name},
        "version": {"const": bundle.number},
    }
    required = list(properties)
    properties |= {name: {"type": "array"} for name in extras.available(bundle.content)}
    return {"application/json": {"schema": {"type": "object", "properties": properties, "required": required}}}


def _invocations_body(bundle: Bundle) -> dict[str, Any]:
    signature, example = bundle.signature, bundle.example
    cells = [column_schema(column, signature.limit) for column in signature.columns]
    width = len(cells)
    line = {"type": "array", "prefixItems": cells, "minItems": width, "maxItems": width, "items": False}
    split = {
        "type": "object",
        "properties": {"columns": {"const": signature.names}, "data": {"type": "array", "items": line, "minItems": 1}},
        "required": ["columns", "data"],
        "additionalProperties": False,
    }
    records = {"type": "array", "items": {"$ref": "#/components/schemas/Row"}, "minItems": 1}
    forms = {"dataframe_split": split, "dataframe_records": records, "instances": records, "inputs": records}
    schema = {
        "oneOf": [
            {"type": "object", "properties": {name: form}, "required": [name], "additionalProperties": False}
            for name, form in forms.items()
        ]
    }
    shown = {"dataframe_split": {"columns": list(example), "data": [list(example.values())]}}
    lines = ",".join(example) + "\n" + ",".join("" if value is None else str(value) for value in example.values()) + "\n"
    return {
        "application/json": {"schema": schema, "example": shown},
        "text/csv": {"schema": {"type": "string"}, "example": lines},
        ARROW: {"schema": {"type": "string", "format": "binary"}},
    }


def _invocations_answer() -> dict[str, Any]:
    schema = {"type": "object", "properties": {"predictions": {"type": "array"}}, "required": ["predictions"]}
    return {"application/json": {"schema": schema}, ARROW: {"schema": {"type": "string", "format": "binary"}}}


def _infer_body(bundle: Bundle) -> dict[str, Any]:
    example = bundle.example
    tensors = [
        {"name": column.name, "shape": [1], "datatype": _datatype(column), "data": [example[column.name]]}
        for column in bundle.signature.columns
    ]
    schema = {"type": "object", "properties": {"id": {"type": "string"}, "inputs": {"type": "array"}}, "required": ["inputs"]}
    return {"application/json": {"schema": schema, "example": {"inputs": tensors}}}


def _datatype(column: Column) -> str:
    return DATATYPES.get(column.type) or next(iter(ACCEPTED[column.type]))


def _post(summary: str, body: dict[str, Any], answer: dict[str, Any], secured: bool) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "The predictions, one a row.", "content": answer}}
    responses |= {str(status): _refusal(text) for status, text in REFUSALS.items()}
    return {
        "post": _secure(
            {"summary": summary, "requestBody": {"required": True, "content": body}, "responses": responses}, secured
        )
    }


def _refusal(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}}


def _secure(operation: dict[str, Any], secured: bool) -> dict[str, Any]:
    if secured:
        operation["security"] = [{"token": []}]
        operation["responses"]["401"] = _refusal("The bearer token is missing or wrong.")
    return operation


def _gets(bundle: Bundle, secured: bool) -> dict[str, Any]:
    summaries = {
        "/version": "Number, run, commit and digests of what is served",
        "/visitors": "How many rows were scored since the start",
        f"/v2/models/{bundle.name}": "The model's inputs and outputs",
    }
    paths: dict[str, Any] = {}
    for path, summary in summaries.items():
        responses = {"200": {"description": "OK", "content": {"application/json": {"schema": OBJECT}}}}
        responses |= {"503": _refusal(REFUSALS[503])}
        paths[path] = {"get": _secure({"summary": summary, "responses": responses}, secured)}
    for path in ("/ping", "/health", "/v2/health/live", "/v2/health/ready"):
        content: dict[str, Any] = {"application/json": {}}
        responses = {"200": {"description": "Yes", "content": content}, "503": {"description": "Not yet", "content": content}}
        paths[path] = {"get": {"summary": "Is the server up and its model loaded?", "responses": responses}}
    metrics = {"200": {"description": "Prometheus text", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    paths["/metrics"] = {"get": _secure({"summary": "Metrics for Prometheus", "responses": metrics}, secured)}
    return paths
