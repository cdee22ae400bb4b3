"""Arrow IPC streams in and out, read with nanoarrow: the fast way for large batches, without pyarrow."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np

from mlops.serving.invocations import missing_columns
from mlops.serving.model import Outputs
from mlops.serving.signature import (
    NUMBERS,
    Column,
    InvalidRequest,
    Rows,
    Signature,
    from_columns,
    from_matrix,
)

CONTENT_TYPE = "application/vnd.apache.arrow.stream"
CONTINUATION = 0xFFFFFFFF  # what stands before the size of a message
PLAIN = {"DOUBLE": "f8", "FLOAT": "f4", "HALF_FLOAT": "f2"} | {
    f"{sign}INT{8 * size}": f"{sign.lower()[:1] or 'i'}{size}" for sign in ("", "U") for size in (1, 2, 4, 8)
}


def read_arrow(body: bytes, signature: Signature, max_rows: int) -> Rows:
    """Rows of an Arrow IPC stream: columns by name, further ones are dropped. Raises InvalidRequest."""
    import nanoarrow

    try:
        _check_lengths(body)
        stream = nanoarrow.ArrayStream.from_readable(io.BytesIO(body))
        fields = [field.name for field in stream.schema.fields]
        kinds = [field.type.name for field in stream.schema.fields]
        batches = list(stream)
    # nanoarrow raises its own and built-in exceptions for a broken stream; each means the same to a client.
    except Exception:
        raise InvalidRequest(
            "Invalid input. The body is not a readable Arrow IPC stream (compressed ones are not read)."
        ) from None
    lacking = [name for name in signature.names if name not in fields and name not in signature.optional]
    if lacking:
        raise missing_columns(f"Model is missing inputs: {', '.join(lacking[:20])}.", lacking[0], fields, signature)
    count = sum(len(batch) for batch in batches)
    if count > max_rows:
        raise too_many(count, max_rows)
    places = [fields.index(name) if name in fields else None for name in signature.names]
    if signature.numeric and all(place is not None and kinds[place] in PLAIN for place in places):
        dtypes = [np.dtype(PLAIN[kinds[place]]) for place in places if place is not None]
        return from_matrix(signature, _matrix(batches, signature, places, dtypes, count))
    columns: list[Any] = []
    for column, place in zip(signature.columns, places, strict=True):
        if place is None:
            columns.append([None] * count)
            continue
        parts = [_values(batch.child(place), column) for batch in batches]
        plain = column.type in NUMBERS and all(isinstance(part, np.ndarray) for part in parts) and parts
        columns.append(np.concatenate(parts) if plain else [value for part in parts for value in part])
    return from_columns(signature, columns)


def _check_lengths(body: bytes) -> None:
    """Raise ValueError for a message whose body does not lie in the stream; nanoarrow would read elsewhere and crash.

    The length is the fourth field of the table that each message begins with. Source: the Arrow columnar format, "Encapsulated
    message format"; FlatBuffers, "Internals".
    """
    place = 0
    while place + 4 <= len(body):
        (size,) = struct.unpack_from("<I", body, place)
        place += 4
        if size == CONTINUATION:
            (size,) = struct.unpack_from("<I", body, place)
            place += 4
        if not size:
            return
        root = place + struct.unpack_from("<I", body, place)[0]
        fields = root - struct.unpack_from("<i", body, root)[0]
        if fields < 0:
            raise ValueError("a message's table of fields lies before the stream")
        (width,) = struct.unpack_from("<H", body, fields)
        offset = struct.unpack_from("<H", body, fields + 10)[0] if width > 10 else 0
        length = struct.unpack_from("<q", body, root + offset)[0] if offset else 0
        if not 0 <= length <= len(body) - place - size:
            raise ValueError("a message's body does not lie in the stream")
        place += size + length


def _matrix(batches: list[Any], signature: Signature, places: list[Any], dtypes: list[np.dtype], count: int) -> np.ndarray:
    """The plain numbers of all columns, [rows, columns], each copied once."""
    import nanoarrow

    matrix = np.empty((count, len(places)))
    start = 0
    for batch in batches:
        view, part = nanoarrow.c_array(batch).view(), matrix[start : start + len(batch)]
        for target, (column, place, dtype) in enumerate(zip(signature.columns, places, dtypes, strict=True)):
            try:
                part[:, target] = _numbers(view.child(place), dtype)
            except Exception:
                raise _unreadable(column) from None
        start += len(batch)
    return matrix


def too_many(count: int, limit: int) -> InvalidRequest:
    """The refusal of more rows than one request may hold."""
    return InvalidRequest(
        f"The request has {count} rows, at most {limit} are taken at once.", status=413, code="REQUEST_TOO_LARGE"
    )


def _values(array: Any, column: Column) -> Any:
    """A column's values: without a Python object a value where they are plain numbers."""
    import nanoarrow

    kind = array.schema.type.name
    try:
        if column.type in NUMBERS and kind in PLAIN and not column.wide:
            return _numbers(nanoarrow.c_array(array).view(), np.dtype(PLAIN[kind])).astype(np.float64)
        if kind == "TIMESTAMP":
            _check_fineness(array, column)
        values = array.to_pylist()
    except InvalidRequest:
        raise
    except Exception:
        raise _unreadable(column) from None
    if column.type == "datetime":
        return [value.isoformat() if hasattr(value, "isoformat") else value for value in values]
    return values


def _check_fineness(array: Any, column: Column) -> None:
    """Refuse moments in nanoseconds that Python's datetime would cut to microseconds."""
    import nanoarrow

    if array.schema.unit.name != "NANO":
        return
    view = nanoarrow.c_array(array).view()
    values = np.frombuffer(view.buffer(1), dtype=np.int64)[view.offset : view.offset + view.length]
    present = _present(view)
    if ((values % 1000 != 0) & (True if present is None else present)).any():
        raise InvalidRequest(f"Invalid input. Column {column.name!r}: finer than a microsecond.", column.name)


def _present(view: Any) -> np.ndarray | None:
    """Whether each value of an array is there; None where all are."""
    validity = view.buffer(0)
    if validity is None or not validity.size_bytes:
        return None
    bits = np.unpackbits(np.frombuffer(validity, dtype=np.uint8), bitorder="little")
    return np.asarray(bits[view.offset : view.offset + view.length] == 1)


def _unreadable(column: Column) -> InvalidRequest:
    return InvalidRequest(f"Invalid input. Column {column.name!r} cannot be read from the Arrow stream.", column.name)


def _numbers(view: Any, dtype: np.dtype) -> np.ndarray:
    """The values of an array of plain numbers; missing ones are NaN."""
    start, count = view.offset, view.length
    values = np.frombuffer(view.buffer(1), dtype=dtype)[start : start + count]
    if len(values) != count:
        raise ValueError("short buffer")
    present = _present(view)
    if present is None:
        return values
    return np.where(present, values, np.nan)


def write_arrow(outputs: Outputs, more: dict[str, np.ndarray] | None = None) -> bytes:
    """An Arrow IPC stream with the column `predictions`, or the model's own columns, and further ones after them."""
    import nanoarrow
    from nanoarrow.ipc import StreamWriter

    if isinstance(outputs, dict):
        columns = outputs
    elif outputs.ndim == 1:
        columns = {"predictions": outputs}
    else:
        columns = {f"predictions_{place}": outputs[:, place] for place in range(outputs.shape[1])}
    columns = {**columns, **(more or {})}
    children = [_array(values) for values in columns.values()]
    schema = nanoarrow.struct({name: child.schema for name, child in zip(columns, children, strict=True)})
    count = len(next(iter(columns.values())))
    batch = nanoarrow.c_array_from_buffers(schema, count, [None], children=children)
    target = io.BytesIO()
    with StreamWriter.from_writable(target) as writer:
        writer.write_stream(nanoarrow.c_array_stream(batch))
    return target.getvalue()


def _array(values: np.ndarray) -> Any:
    import nanoarrow

    if values.dtype.kind in "OUb":
        kind = nanoarrow.bool_() if isinstance(values[0], bool | np.bool_) else nanoarrow.string()
        return nanoarrow.c_array(values.tolist(), kind)
    kinds = {"f8": nanoarrow.float64, "f4": nanoarrow.float32, "i8": nanoarrow.int64, "i4": nanoarrow.int32}
    if values.dtype.str[1:] not in kinds:
        values = values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
    kind = kinds[values.dtype.str[1:]]()
    return nanoarrow.c_array_from_buffers(kind, len(values), [None, np.ascontiguousarray(values)])
