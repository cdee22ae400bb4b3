"""What a model takes: its columns with their types, and rows that were checked against them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np

# What nanoseconds since 1970 hold in 64 bits.
EARLIEST, LATEST = datetime(1677, 9, 22), datetime(2262, 4, 11)
FINER = re.compile(r"[.,]\d{6}\d*[1-9]")  # a fraction of a second of which Python's datetime would drop the end
FLOATS = frozenset({"double", "float"})
LARGEST = float(np.finfo(np.float64).max)
INTEGERS = frozenset({"long", "integer"})
# What /openapi.json says: the decimals, not the binary numbers that they stand for.
BOUNDS = {
    "long": (-(2**63), 2**63 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "double": (-17976931348623157 * 10**292, 17976931348623157 * 10**292),
    "float": (-34028234663852886 * 10**22, 34028234663852886 * 10**22),
}
SAFE = 2**53 - 1  # up to here each whole number is a float64 of its own; the next one is the float64 of two
NUMBERS = FLOATS | INTEGERS
TYPES = NUMBERS | {"boolean", "string", "datetime"}
# How a missing text comes into an ONNX graph, whose texts are never null; no request may hold it.
NULL = "\ue000null\ue000"
# The names of types in the Open Inference Protocol; text and moments are BYTES.
DATATYPES = {"double": "FP64", "float": "FP32", "long": "INT64", "integer": "INT32", "boolean": "BOOL"}


class InvalidRequest(Exception):
    """Raised for a request that cannot be answered; becomes one JSON object with the HTTP status.

    The message names the column and the row, never the value: what a client sends is not repeated in answers or logs.
    """

    def __init__(self, message: str, field: str | None = None, status: int = 400, code: str = "BAD_REQUEST") -> None:
        super().__init__(message)
        self.message, self.field, self.status, self.code = message, field, status, code

    def as_dict(self) -> dict[str, Any]:
        """The JSON object of the answer, in the words of MLflow's scoring server plus the field."""
        content: dict[str, Any] = {"error_code": self.code, "message": self.message}
        return content | ({"field": self.field} if self.field is not None else {})


def schema_mismatch(message: str, field: str | None = None) -> InvalidRequest:
    """The refusal of rows that parse but do not have the columns of the signature."""
    return InvalidRequest(message, field, code="INVALID_PARAMETER_VALUE")


@dataclass(frozen=True)
class Column:
    """An input of the model; `nan` and `infinity` say whether the trained model took such a value when it was tried.

    `wide` marks 64-bit whole numbers beyond what float64 tells apart: they stay int64 from the request to the model.
    A column of whole numbers that is not wide refuses such values. `values` are the categories of a model that refuses others.
    `pandas` is the type that the column had in training where it is not the plain one: Int64, Int32, boolean, category.
    """

    name: str
    type: str
    required: bool = True
    nan: bool = True
    infinity: bool = True
    wide: bool = False
    values: Sequence[Any] | None = None
    pandas: str = ""

    @property
    def gaps(self) -> bool:
        """Whether a value may be missing: numpy's whole numbers and booleans cannot be."""
        return self.nan and (bool(self.pandas) or self.type not in INTEGERS | {"boolean"})

    @cached_property
    def known(self) -> frozenset[Any]:
        """The categories, and what stands for a missing one."""
        return frozenset(self.values or ()) | {None}

    @property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest whole number that the column takes."""
        return (-SAFE, SAFE) if self.type == "long" and not self.wide else BOUNDS[self.type]


@dataclass(frozen=True)
class Signature:
    """The input columns in the model's order; `limit` is the largest absolute number that the trained model takes.

    `features` says that requests hold what the use case makes of raw rows, which may have other columns.
    """

    columns: tuple[Column, ...]
    limit: float | None = None
    params: tuple[dict[str, Any], ...] = ()
    features: bool = False

    @cached_property
    def names(self) -> list[str]:
        """Column names in the model's order."""
        return [column.name for column in self.columns]

    @cached_property
    def numeric(self) -> bool:
        """Whether all columns are numbers that float64 holds, so that rows are one float64 matrix."""
        return all(column.type in NUMBERS and not column.wide for column in self.columns)

    @cached_property
    def places(self) -> tuple[list[int], list[int]] | None:
        """Places of the columns that are numbers, whole ones last, and of texts; None where there are other columns."""
        if any(column.wide or column.type not in NUMBERS | {"string"} for column in self.columns):
            return None
        of = {kind: [place for place, column in enumerate(self.columns) if column.type == kind] for kind in TYPES}
        return of["double"] + of["float"] + of["long"] + of["integer"], of["string"]

    @cached_property
    def whole(self) -> tuple[np.ndarray, np.ndarray]:
        """Bounds of the columns of whole numbers in the order of `places`, each [columns, 1]."""
        columns = [self.columns[place] for place in (self.places or ([], []))[0]]
        bounds = np.array([column.bounds for column in columns if column.type in INTEGERS], dtype=np.float64).reshape(-1, 2)
        return bounds[:, :1], bounds[:, 1:]

    @cached_property
    def exact(self) -> list[int]:
        """Places of the number columns that are not plain float64."""
        return [place for place, column in enumerate(self.columns) if column.type in NUMBERS and column.type != "double"]

    @cached_property
    def limited(self) -> list[int]:
        """Places of the columns that take their categories alone."""
        return [place for place, column in enumerate(self.columns) if column.values is not None]

    @cached_property
    def optional(self) -> frozenset[str]:
        """Names of the columns that a request may leave out."""
        return frozenset(column.name for column in self.columns if not column.required)


@dataclass(frozen=True)
class Rows:
    """Checked rows: a float64 matrix [rows, columns] where all columns are numbers, else one array a column."""

    count: int
    matrix: np.ndarray | None
    arrays: list[np.ndarray]

    def column(self, place: int) -> np.ndarray:
        """The values of one column, [rows]."""
        return self.matrix[:, place] if self.matrix is not None else self.arrays[place]

    def part(self, start: int, stop: int) -> Rows:
        """The rows from `start` to before `stop`."""
        count = len(range(*slice(start, stop).indices(self.count)))
        if self.matrix is not None:
            return Rows(count, self.matrix[start:stop], [])
        return Rows(count, None, [values[start:stop] for values in self.arrays])


def from_matrix(signature: Signature, matrix: np.ndarray) -> Rows:
    """Rows of a signature whose columns are all numbers; raises InvalidRequest for a value that a column cannot hold."""
    # One look at the largest and the smallest number tells that nothing is wrong: they are NaN or infinite if any value is.
    limit = LARGEST if signature.limit is None else signature.limit
    if matrix.size and not (matrix.max() <= limit and matrix.min() >= -limit):
        for place, column in enumerate(signature.columns):
            _check_special(column, matrix[:, place])
        _check_limit(signature, matrix)
    for place in signature.exact:
        matrix[:, place] = fit(signature.columns[place], matrix[:, place])
    return with_known_categories(signature, Rows(len(matrix), matrix, []))


def from_columns(signature: Signature, values: Sequence[Sequence[Any] | np.ndarray], strict: bool = False) -> Rows:
    """Rows from one list of values a column, all of the same length.

    `strict` takes JSON numbers only for numbers; without it text that reads as a number is taken too, as MLflow does.
    """
    arrays = [to_array(column, given, strict) for column, given in zip(signature.columns, values, strict=True)]
    count = len(arrays[0]) if arrays else 0
    if signature.numeric:
        return from_matrix(signature, np.column_stack(arrays) if arrays else np.empty((0, 0)))
    for column, array in zip(signature.columns, arrays, strict=True):
        if column.type in NUMBERS and not column.wide:
            _check_special(column, array)
    places = [place for place, column in enumerate(signature.columns) if column.type in NUMBERS and not column.wide]
    for place in places:
        if signature.limit is not None and np.nanmax(np.abs(arrays[place]), initial=0.0) > signature.limit:
            raise _too_large(signature.columns[place])
        arrays[place] = fit(signature.columns[place], arrays[place])
    return with_known_categories(signature, Rows(count, None, arrays))


def with_known_categories(signature: Signature, rows: Rows) -> Rows:
    """The rows; raises InvalidRequest for a category that the model does not know and does not ignore."""
    for place in signature.limited:
        column = signature.columns[place]
        for row, value in enumerate(rows.column(place).tolist()):
            if value not in column.known and value == value:
                shown = json.dumps(value, ensure_ascii=False)[:80]
                raise InvalidRequest(
                    f"Invalid input. Column {column.name!r}, row {row}: {shown} is none of the {len(column.known) - 1}"
                    " values that the model knows.",
                    column.name,
                )
    return rows


def to_array(column: Column, values: Sequence[Any] | np.ndarray, strict: bool = False) -> np.ndarray:
    """One column as an array: float64, int64 where wide, bool, object for text, datetime64[ns]; raises InvalidRequest.

    Where a wide or boolean column had a nullable type in training, it is an array of objects, None where a value is missing.
    """
    if column.wide:
        return _wide(column, values, strict)
    if column.type in NUMBERS:
        return _numbers(column, values, strict)
    if column.type == "boolean":
        return _booleans(column, values, strict)
    if column.type == "datetime":
        return np.array([_moment(column, row, value) for row, value in enumerate(values)], dtype="datetime64[ns]")
    return _texts(column, values)


def _numbers(column: Column, values: Sequence[Any] | np.ndarray, strict: bool) -> np.ndarray:
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return values.astype(np.float64)
    allowed = {int, float, type(None)} if strict else {int, float, type(None), bool, str}
    kinds = set(map(type, values))
    if strict and int in kinds:
        _check_bounds(column, values)
    if not kinds <= allowed:
        raise _wrong_type(column, next(row for row, value in enumerate(values) if type(value) not in allowed))
    try:
        if str in kinds and not all(map(_is_plain, values)):
            raise ValueError
        return np.array(values, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise _wrong_type(column, next(row for row, value in enumerate(values) if not _is_number(value))) from None


def _wide(column: Column, values: Sequence[Any] | np.ndarray, strict: bool) -> np.ndarray:
    """64-bit whole numbers, none of them rounded on the way; what came as a fraction or a large float is refused."""
    whole: list[int | None] = []
    for row, value in enumerate(values.tolist() if isinstance(values, np.ndarray) else values):
        if value is None or value != value:
            if not column.gaps:
                raise _missing(column, row)
            whole.append(None)
            continue
        number = _to_int(value, strict)
        if number is None or not BOUNDS["long"][0] <= number <= BOUNDS["long"][1]:
            raise _wrong_type(column, row)
        whole.append(number)
    return np.array(whole, dtype=object if column.pandas else np.int64)


def _to_int(value: Any, strict: bool) -> int | None:
    """A whole number as it was written; None for anything else, and for a float that may stand for several."""
    if type(value) is int:
        return value
    if type(value) is float:
        return int(value) if value.is_integer() and abs(value) <= SAFE else None
    if strict or type(value) not in (str, bool):
        return None
    try:
        return int(value) if _is_plain(value) else None
    except ValueError:
        return None


def _check_bounds(column: Column, values: Sequence[Any] | np.ndarray) -> None:
    """Refuse a whole number that would be rounded to another one on its way into a column of float64."""
    low, high = column.bounds
    for row, value in enumerate(values):
        if type(value) is int and not low <= value <= high:
            raise _wrong_type(column, row)


def _is_plain(value: Any) -> bool:
    """Whether a value is not a text that Python alone reads as a number, such as 1_000."""
    return not isinstance(value, str) or (value.isascii() and "_" not in value)


def _is_number(value: Any) -> bool:
    try:
        np.array([value], dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        return False
    return _is_plain(value)


def _booleans(column: Column, values: Sequence[Any] | np.ndarray, strict: bool) -> np.ndarray:
    allowed = (True, False)
    for row, value in enumerate(values):
        if isinstance(value, bool | np.bool_) or (not strict and type(value) in (int, float) and value in allowed):
            continue
        if value is None or value != value:
            if not column.gaps:
                raise _missing(column, row)
            continue
        raise _wrong_type(column, row)
    if not column.pandas:
        return np.array(values, dtype=bool)
    return np.array([None if value is None or value != value else bool(value) for value in values], dtype=object)


def _texts(column: Column, values: Sequence[Any] | np.ndarray) -> np.ndarray:
    for row, value in enumerate(values):
        if not (_is_text(value) or (value is None and column.nan)):
            raise _wrong_type(column, row)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _is_text(value: Any) -> bool:
    """Whether a value is text that can be written: JSON may hold half of a character."""
    if not isinstance(value, str) or value == NULL:
        return False
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


def _moment(column: Column, row: int, value: Any) -> np.datetime64:
    if value is None and column.nan:
        return np.datetime64("NaT", "ns")
    if isinstance(value, str) and FINER.search(value):
        raise InvalidRequest(f"Invalid input. Column {column.name!r}, row {row}: finer than a microsecond.", column.name)
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (TypeError, ValueError, OverflowError):
        raise _wrong_type(column, row) from None
    if not EARLIEST <= moment <= LATEST:
        span = f"{EARLIEST:%Y-%m-%d} to {LATEST:%Y-%m-%d}"
        raise InvalidRequest(f"Invalid input. Column {column.name!r}, row {row}: not a moment from {span}.", column.name)
    return np.datetime64(moment, "ns")


def _wrong_type(column: Column, row: int) -> InvalidRequest:
    span = ", a whole number from {} to {}".format(*column.bounds) if column.type in INTEGERS else ""
    span = span or (", in ISO 8601 such as 2026-11-25T09:30:00" if column.type == "datetime" else "")
    return InvalidRequest(
        f"Invalid input. Column {column.name!r}, row {row}: not a value of type {column.type}{span}.", column.name
    )


def _missing(column: Column, row: int) -> InvalidRequest:
    return InvalidRequest(f"Invalid input. Column {column.name!r}, row {row}: a value is missing (null or NaN).", column.name)


def _too_large(column: Column) -> InvalidRequest:
    return InvalidRequest(f"Invalid input. Column {column.name!r}: a number is larger than the model takes.", column.name)


def _check_special(column: Column, values: np.ndarray) -> None:
    """Refuse NaN and infinity where the trained model refuses them, or where the type cannot hold them."""
    missing = np.isnan(values)
    if missing.any() and not column.gaps:
        raise _missing(column, int(np.argmax(missing)))
    infinite = np.isinf(values)
    if infinite.any() and (column.type in INTEGERS or not column.infinity):
        row = int(np.argmax(infinite))
        raise InvalidRequest(f"Invalid input. Column {column.name!r}, row {row}: the number is infinite.", column.name)


def _check_limit(signature: Signature, matrix: np.ndarray) -> None:
    if signature.limit is None:
        return
    large = (np.abs(matrix) > signature.limit) & np.isfinite(matrix)
    if large.any():
        raise _too_large(signature.columns[int(np.argmax(large.any(axis=0)))])


def fit(column: Column, values: np.ndarray) -> np.ndarray:
    """Values as the column's type holds them, still float64; raises InvalidRequest for a fraction in an integer column."""
    if column.type == "float":
        with np.errstate(over="ignore"):
            single = values.astype(np.float32).astype(np.float64)
        if (lost := np.isinf(single) & ~np.isinf(values)).any():
            raise _wrong_type(column, int(np.argmax(lost)))
        return single
    if column.type in INTEGERS:
        low, high = column.bounds
        wrong = ((np.floor(values) != values) | (values < low) | (values > high)) & ~np.isnan(values)
        if wrong.any():
            raise _wrong_type(column, int(np.argmax(wrong)))
    return values
