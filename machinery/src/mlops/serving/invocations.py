"""MLflow's scoring protocol, and the typed rows of /predict.

Source: https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/#json-input. What differs on purpose stands in
`mlops docs serving`: a fraction in an integer column and a number in a text column are refused, which MLflow cuts or passes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np

from mlops.serving import plain_rows
from mlops.serving.signature import InvalidRequest, Rows, Signature, from_columns, from_matrix, schema_mismatch

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
LARGE = 16_384  # bytes of JSON from which simdjson pays for itself
RAW_ROWS = "Raw rows are taken where the use case's configuration has serving: {input: raw}."
# What pandas.read_csv reads as a missing value.
EMPTY = frozenset(
    ",#N/A,#N/A N/A,#NA,-1.#IND,-1.#QNAN,-NaN,-nan,1.#IND,1.#QNAN,<NA>,N/A,NA,NULL,NaN,None,n/a,nan,null,".split(",")
)

decode = msgspec.json.Decoder().decode


def parse_json(body: bytes) -> Any:
    """The JSON value of a body; NaN and Infinity are taken as MLflow takes them. Raises InvalidRequest."""
    try:
        return decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        # Whatever the fast and strict reader does not take, the other one reads, or says why it cannot.
        return _parse_freely(body)


def _parse_freely(body: bytes) -> Any:
    try:
        return json.loads(body)
    except RecursionError:
        raise InvalidRequest("Invalid input. The JSON is nested too deeply.") from None
    except UnicodeDecodeError:
        raise InvalidRequest("Invalid input. The body is not valid UTF-8.") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"Invalid input. The body is not valid JSON: {error.msg} at {place}.") from None
    except ValueError:
        raise InvalidRequest("Invalid input. The JSON holds a number with too many digits.") from None


def read_invocations(body: bytes, signature: Signature) -> tuple[Rows, Any]:
    """Rows and params of a JSON body in MLflow's protocol. Raises InvalidRequest."""
    if len(body) > LARGE and signature.numeric:
        rows = _read_large(body, signature)
        if rows is not None:
            return rows, None
    content = parse_json(body)
    if not isinstance(content, dict):
        raise InvalidRequest(f"The input must be a JSON object with exactly one of the fields {', '.join(FORMS)}.")
    forms = [form for form in FORMS if form in content]
    if len(forms) != 1:
        raise InvalidRequest(
            f"The input must be a JSON object with exactly one of the fields {', '.join(FORMS)}; found {len(forms)}."
        )
    return READERS[forms[0]](content[forms[0]], signature), content.get("params")


def _read_large(body: bytes, signature: Signature) -> Rows | None:
    """A large dataframe_split of plain numbers, parsed without a Python object a cell; None where that does not fit."""
    import simdjson

    try:
        document: Any = simdjson.Parser().parse(body)
        if list(document.keys()) != ["dataframe_split"]:
            return None
        split = document["dataframe_split"]
        if not set(split.keys()) <= {"columns", "data"} or split["columns"].as_list() != signature.names:
            return None
        data = split["data"]
        width, count = len(signature.names), len(data)
        flat = np.frombuffer(data.as_buffer(of_type="d"), dtype=np.float64)
        # as_buffer flattens whatever is nested, so each row is counted.
        if flat.size != width * count or any(len(row) != width for row in data):
            return None
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, UnicodeDecodeError):
        return None
    return from_matrix(signature, flat.reshape(count, width).copy())


def read_split(split: Any, signature: Signature) -> Rows:
    """Rows of {"columns": [...], "data": [[...], ...]}; the index is checked for its length and dropped."""
    quick = plain_rows.from_split(split, signature)
    if quick is not None:
        return quick
    if not isinstance(split, dict):
        raise InvalidRequest("Invalid input. dataframe_split must be an object with data and columns.")
    if "data" not in split or not split.keys() <= {"data", "columns", "index"}:
        raise InvalidRequest(
            "Invalid input. dataframe_split must have data, and optionally columns and index, and nothing else."
        )
    data, names, index = split["data"], split.get("columns"), split.get("index")
    if not isinstance(data, list):
        raise InvalidRequest("Invalid input. dataframe_split: data must be a list of rows.")
    if index is not None and (not isinstance(index, list) or len(index) != len(data)):
        raise InvalidRequest("Invalid input. dataframe_split: index must be a list as long as data.")
    if names is None:
        raise schema_mismatch(f"The columns are not named. {_missing(signature.names, signature)}")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest("Invalid input. dataframe_split: columns must be a list of names.", "columns")
    if len(set(names)) != len(names):
        raise InvalidRequest("Invalid input. dataframe_split: a column is named twice.", "columns")
    _check_rows(data, len(names))
    columns: Sequence[Any] = list(zip(*data, strict=True)) if data else [()] * len(names)
    return _by_name(dict(zip(names, columns, strict=True)), len(data), names, signature)


def _check_rows(data: list[Any], width: int) -> None:
    for number, row in enumerate(data):
        if not isinstance(row, list) or len(row) != width:
            raise InvalidRequest(f"Invalid input. Row {number} must be a list of {width} values, one a column.")


def read_records(records: Any, signature: Signature, whole: bool = False) -> Rows:
    """Rows of [{column: value, ...}, ...]; a column missing in some rows is a missing value unless `whole`."""
    if not isinstance(records, list):
        raise InvalidRequest("Invalid input. dataframe_records must be a list of objects.")
    if not all(isinstance(record, dict) for record in records):
        number = next(number for number, record in enumerate(records) if not isinstance(record, dict))
        raise InvalidRequest(f"Invalid input. Row {number} must be an object with one value a column.")
    present: set[str] = set().union(*records)
    names = [name for name in signature.names if name in present]
    if whole and any(not record.keys() >= set(names) for record in records):
        raise InvalidRequest("Invalid input. The rows do not all have the same columns.")
    columns = {name: [record.get(name) for record in records] for name in names}
    return _by_name(columns, len(records), present, signature)


def read_instances(instances: Any, signature: Signature) -> Rows:
    """Rows of TensorFlow Serving's row form: objects, or plain values where the model has one column."""
    if isinstance(instances, list) and instances and isinstance(instances[0], dict):
        return read_records(instances, signature, whole=True)
    return read_inputs(instances, signature)


def read_inputs(inputs: Any, signature: Signature) -> Rows:
    """Rows of TensorFlow Serving's column form: {column: [values]}; single values are repeated for every row."""
    if isinstance(inputs, list) and inputs and all(isinstance(item, dict) for item in inputs):
        return read_records(inputs, signature, whole=True)
    if isinstance(inputs, list) and len(signature.names) == 1:
        inputs = {signature.names[0]: inputs}
    if not isinstance(inputs, dict):
        raise schema_mismatch(f"The columns are not named. {_missing(signature.names, signature)}")
    known = {name: value for name, value in inputs.items() if name in signature.names}
    lengths = {len(value) for value in known.values() if isinstance(value, list)}
    if len(lengths) > 1:
        raise schema_mismatch("The columns do not all have the same number of values.")
    count = lengths.pop() if lengths else 1
    columns = {name: value if isinstance(value, list) else [value] * count for name, value in known.items()}
    return _by_name(columns, count, inputs, signature)


READERS: dict[str, Callable[[Any, Signature], Rows]] = {
    "dataframe_split": read_split,
    "dataframe_records": read_records,
    "instances": read_instances,
    "inputs": read_inputs,
}


def read_csv(body: bytes, signature: Signature) -> Rows:
    """Rows of a CSV with a header, as pandas writes it; an empty field is a missing value. Raises InvalidRequest."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest("Invalid input. The body is not valid UTF-8.") from None
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise InvalidRequest(f"Invalid input. The body is not a valid CSV: {error}.") from None
    if not lines:
        raise InvalidRequest("Invalid input. The CSV is empty: it needs a header with the column names.")
    header, data = lines[0], lines[1:]
    for number, line in enumerate(data):
        if len(line) > len(header):
            raise InvalidRequest(f"Invalid input. CSV row {number} has {len(line)} fields, the header has {len(header)}.")
    # Of columns with the same name the first counts, as for pandas.
    places = {name: place for place, name in reversed(list(enumerate(header)))}
    columns = {
        column.name: [_cell(line, places[column.name], column.type) for line in data]
        for column in signature.columns
        if column.name in places
    }
    return _by_name(columns, len(data), header, signature)


def _cell(line: list[str], place: int, kind: str) -> Any:
    text = line[place] if place < len(line) else ""
    if text in EMPTY:
        return None
    return {"true": True, "false": False}.get(text.lower(), text) if kind == "boolean" else text


def read_typed(body: bytes, signature: Signature) -> tuple[Rows, Any]:
    """Rows of /predict: {"rows": [{column: value, ...}, ...]}, each row with every column and no other; and its include.

    Raises InvalidRequest.
    """
    content = parse_json(body)
    known = isinstance(content, dict) and "rows" in content and content.keys() <= {"rows", "include"}
    if not known or not isinstance(content["rows"], list):
        raise InvalidRequest('Invalid input. The body must be {"rows": [...]}.', "rows")
    records, wanted = content["rows"], set(signature.names) - signature.optional
    if not records:
        raise InvalidRequest("Invalid input. rows is empty: send at least one row.", "rows")
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise InvalidRequest(f"Invalid input. Row {number} must be an object with one value a column.", "rows")
        if not (wanted <= record.keys() <= set(signature.names)):
            raise _wrong_columns(number, record, signature, wanted)
    take = itemgetter(*signature.names) if len(signature.names) > 1 and not signature.optional else None
    rows = [take(record) if take else [record.get(name) for name in signature.names] for record in records]
    columns = list(zip(*rows, strict=True))
    quick = plain_rows.from_columns(columns, signature)
    return quick or from_columns(signature, columns, strict=True), content.get("include")


def _wrong_columns(number: int, record: dict[str, Any], signature: Signature, wanted: set[str]) -> InvalidRequest:
    lacking = [name for name in signature.names if name in wanted and name not in record]
    if lacking:
        return missing_columns(f"Row {number}: column {lacking[0]!r} is missing.", lacking[0], record, signature)
    unknown = next(name for name in record if name not in signature.names)
    near = get_close_matches(unknown, signature.names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return schema_mismatch(f"Row {number}: a column is not one of the model's{hint}", near[0] if near else None)


def _by_name(columns: dict[str, Any], count: int, given: Iterable[str], signature: Signature) -> Rows:
    """Rows from the named columns that the model knows, reordered; `given` are the names of all that the request has."""
    lacking = [name for name in signature.names if name not in columns and name not in signature.optional]
    if lacking:
        raise missing_columns(_missing(lacking, signature), lacking[0], given, signature)
    empty = [None] * count
    values = [columns.get(name, empty) for name in signature.names]
    return plain_rows.from_columns(values, signature) or from_columns(signature, values)


def missing_columns(message: str, lacking: str, given: Iterable[str], signature: Signature) -> InvalidRequest:
    """The refusal of rows without a column that is needed; and where they have others, how raw ones are taken."""
    others = signature.features and not set(given) <= set(signature.names)
    return schema_mismatch(f"{message} {RAW_ROWS}" if others else message, lacking)


def _missing(names: list[str], signature: Signature) -> str:
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"Model is missing inputs: {shown}. It takes {len(signature.names)} named columns; /openapi.json lists them."
