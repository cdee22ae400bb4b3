"""Schemas: what must hold of a data set, as pandera objects and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.data.read import JSON
from mlops.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from pandera.pandas import DataFrameSchema

HINT = "correct the data, or the use case's schema"


def complete(schema: DataFrameSchema, stage: str, key: Sequence[str]) -> DataFrameSchema:
    """A use case's schema with what holds for every set of a stage.

    Rows are unique by their key. A raw file is text, so its columns are read as the schema says, and it may hold
    columns that nobody asks for; later stages hold exactly the columns of their schema.
    """
    import copy

    schema = copy.deepcopy(schema)
    schema.unique = list(key) if key and set(key) <= set(schema.columns) else None
    schema.coerce = stage == "raw"
    schema.strict = stage != "raw"
    return schema


def to_json(schema: DataFrameSchema) -> dict[str, Any]:
    """A schema as the value that stands in a sidecar; a check that is a function of the use case's own is not in it."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Only registered checks may be serialized")
        return dict(json.loads(schema.to_json()))


def from_json(value: dict[str, Any]) -> DataFrameSchema:
    """The schema that a sidecar holds."""
    from pandera.pandas import DataFrameSchema

    return DataFrameSchema.from_json(json.dumps(value))


def validate(rows: pd.DataFrame, schema: DataFrameSchema, file: Path) -> pd.DataFrame:
    """The rows, in the types of the schema.

    Raises DataError naming file, column, row and rule of the first row that breaks the schema, and how many do.
    """
    import pandera.errors

    if rows.empty:
        raise DataError(f"{file}: there are no rows; at least one is expected")
    if lossy := _lossy(rows, schema, file):
        raise DataError(f"{file}: {lossy}; {HINT}")
    try:
        return schema.validate(rows, lazy=True)
    except pandera.errors.SchemaErrors as error:
        raise DataError(f"{file}: {_first(error.failure_cases, rows, schema, file)}; {HINT}") from None


def refuse_shared_keys(sets: Sequence[tuple[Path, pd.DataFrame]], schema: DataFrameSchema) -> None:
    """Raise DataError naming the second file and row whose key another file holds already."""
    import pandas as pd

    if len(sets) < 2 or not schema.unique:
        return
    keys = pd.concat([rows[schema.unique].reset_index(drop=True) for _, rows in sets], keys=range(len(sets)))
    if (pair := _same_key(keys)) is None:
        return
    (one, before), (other, after) = (keys.index[position] for position in pair)
    first, second = sets[one][0], sets[other][0]
    raise DataError(
        f"{second}: column {', '.join(schema.unique)}, row {row_number(after, second)}: "
        f"duplicate key {_key(keys, pair[1])}, as in {first.name} row {row_number(before, first)}; "
        "leave the row out of the file that came last"
    )


def row_number(position: int, file: Path) -> int:
    """Where a row stands in its file, from 1; the first line of a CSV file holds the names of the columns."""
    return int(position) + (1 if file.suffix in (".parquet", *JSON) else 2)


def _first(cases: pd.DataFrame, rows: pd.DataFrame, schema: DataFrameSchema, file: Path) -> str:
    """The first failure in words: missing columns before values, values before duplicates."""
    missing = cases[cases["check"] == "column_in_dataframe"]
    if len(missing):
        return f"column {missing.iloc[0]['failure_case']} is missing, there are: {_names(rows)}"
    unknown = cases[cases["check"] == "column_in_schema"]
    if len(unknown):
        return f"column {unknown.iloc[0]['failure_case']} is not in the schema"
    values = cases[cases["index"].notna()]
    keys = values["check"].astype(str).str.contains("uniqueness")
    if len(values) and keys.all():
        return _duplicate(rows, schema, file)
    case = (values[~keys] if len(values) else cases).iloc[0]
    if not len(values):
        return f"column {case['column']}: rule {_rule(case)}, found values that are not written alike"
    alike = values[(values["check"] == case["check"]) & (values["column"] == case["column"])]
    place = f"column {case['column']}, row {row_number(case['index'], file)}"
    return f"{place}: rule {_rule(case)}, found {_shown(case['failure_case'])}{_more(len(alike) - 1)}"


def _duplicate(rows: pd.DataFrame, schema: DataFrameSchema, file: Path) -> str:
    """The first key that stands there again, in words; two spellings of a date are the same key."""
    import copy

    relaxed = copy.deepcopy(schema)
    relaxed.unique = None
    unique = schema.unique or []
    keys = relaxed.validate(rows)[unique]
    pair = _same_key(keys)
    assert pair, "pandera has found a duplicate"
    before, after = (row_number(position, file) for position in pair)
    more = _more(int(keys.duplicated().sum()) - 1)
    return f"column {', '.join(unique)}, row {after}: duplicate key {_key(keys, pair[1])}, as in row {before}{more}"


def _lossy(rows: pd.DataFrame, schema: DataFrameSchema, file: Path) -> str:
    """The first value that would be read as another one, in words: 1.5 as the integer 1, `no` as the truth value True."""
    from pandera.dtypes import is_bool, is_int

    if not schema.coerce:
        return ""
    for name, column in schema.columns.items():
        if name not in rows or column.dtype is None:
            continue
        kind, wrong = rows[name].dtype.kind, None
        if is_int(column.dtype) and kind == "f":
            wrong = (rows[name] % 1 != 0).to_numpy()
        elif is_bool(column.dtype) and kind != "b":
            wrong = (~rows[name].isin([0, 1])).to_numpy()
        if wrong is not None and column.nullable:
            wrong = wrong & rows[name].notna().to_numpy()
        if wrong is not None and wrong.any():
            return _wrong(rows[name], wrong, f"type('{column.dtype}')", file)
    return ""


def _wrong(values: pd.Series, wrong: np.ndarray, rule: str, file: Path) -> str:
    place = _first_of(wrong)
    value = values.iloc[place]
    rule = "a value is required" if value != value else rule
    more = _more(int(wrong.sum()) - 1)
    return f"column {values.name}, row {row_number(place, file)}: rule {rule}, found {_shown(value)}{more}"


def _same_key(keys: pd.DataFrame) -> tuple[int, int] | None:
    """The positions of the first two rows that are alike."""
    repeated = keys.duplicated().to_numpy()
    if not repeated.any():
        return None
    after = _first_of(repeated)
    return _first_of((keys == keys.iloc[after]).all(axis=1).to_numpy()), after


def _first_of(wanted: np.ndarray) -> int:
    return int(wanted.tolist().index(True))


def _key(keys: pd.DataFrame, position: int) -> str:
    return ", ".join(_shown(value) for value in keys.iloc[position])


def _names(rows: pd.DataFrame, longest: int = 200) -> str:
    """The names of the columns, as many whole ones as fit."""
    shown = ""
    for name in map(str, rows):
        more = f"{shown}, {name}" if shown else name
        if len(more) > longest:
            return f"{shown}, …" if shown else f"{name[:longest]}…"
        shown = more
    return shown


def _shown(value: Any) -> str:
    """A value as a reader writes it, nothing for what is not there."""
    if value is None or value != value:
        return "nothing"
    return repr(value)[:80] if isinstance(value, str) else str(value)[:80]


def _more(count: int) -> str:
    return f" (and {count} more)" if count > 0 else ""


def _rule(case: pd.Series) -> str:
    check = str(case["check"])
    for prefix, words in (("coerce_dtype", "type"), ("dtype", "type"), ("not_nullable", "a value is required")):
        if check.startswith(prefix):
            return check.replace(prefix, words)
    return check
