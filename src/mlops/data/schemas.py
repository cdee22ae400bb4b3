"""Schemas: what must hold of a data set, as pandera objects and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from pandera.pandas import DataFrameSchema

# The first line of a CSV file holds the names, so the row with index 0 stands in line 2.
FIRST_LINE = 2


def complete(schema: DataFrameSchema, stage: str, key: Sequence[str]) -> DataFrameSchema:
    """A use case's schema with what holds for every set of a stage.

    Rows are unique by their key. A raw file is text, so its columns are read as the schema says, and it may hold
    columns that nobody asks for; later stages hold exactly the columns of their schema.
    """
    import copy

    schema = copy.deepcopy(schema)
    schema.unique = [column for column in key if column in schema.columns] or None
    schema.coerce = stage == "raw"
    schema.strict = stage != "raw"
    return schema


def to_json(schema: DataFrameSchema) -> dict[str, Any]:
    """A schema as the value that stands in a sidecar."""
    return json.loads(schema.to_json())


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
    try:
        return schema.validate(rows, lazy=True)
    except pandera.errors.SchemaErrors as error:
        raise DataError(f"{file}: {_first(error.failure_cases, schema)}") from None


def _first(cases: pd.DataFrame, schema: DataFrameSchema) -> str:
    """The first failure in words: missing columns before values, values before duplicates."""
    missing = cases[cases["check"] == "column_in_dataframe"]
    if len(missing):
        return f"column {missing.iloc[0]['failure_case']} is missing"
    unknown = cases[cases["check"] == "column_in_schema"]
    if len(unknown):
        return f"column {unknown.iloc[0]['failure_case']} is not in the schema"
    rows = cases[cases["index"].notna()]
    case = (rows if len(rows) else cases).iloc[0]
    more = f" (and {count - 1} more)" if (count := rows["index"].nunique()) > 1 else ""
    if "multiple_fields_uniqueness" in str(case["check"]) or case["check"] == "field_uniqueness":
        key = ", ".join(schema.unique or [])
        return f"column {key}, row {int(case['index']) + FIRST_LINE}: duplicate key {case['failure_case']!r}{more}"
    place = f", row {int(case['index']) + FIRST_LINE}" if len(rows) else ""
    value = f", found {case['failure_case']!r}" if len(rows) else ""
    return f"column {case['column']}{place}: rule {_rule(case)}{value}{more}"


def _rule(case: pd.Series) -> str:
    check = str(case["check"])
    for prefix, words in (("coerce_dtype", "type"), ("dtype", "type"), ("not_nullable", "a value is required")):
        if check.startswith(prefix):
            return check.replace(prefix, words)
    return check
