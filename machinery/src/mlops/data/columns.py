"""Columns as a use case declares them, each once: `number(0, 120)`, `category()`, `date()`; the schemas derive from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from pandera.pandas import Column

# What a category is called that is not known.
MISSING = "missing"


def identifier() -> Column:
    """Declare a column that names a row, or a group of rows: text, always there, no input of the model."""
    return _column(str, "identifier", nullable=False)


def number(low: float | None = None, high: float | None = None) -> Column:
    """Declare a number, from `low` to `high`; it may be missing."""
    from pandera.pandas import Check

    bounds = ((low, Check.ge), (high, Check.le))
    return _column(float, "number", [check(bound) for bound, check in bounds if bound is not None])


def category() -> Column:
    """Declare one of some names; it may be missing."""
    return _column(str, "category")


def text() -> Column:
    """Declare a text of words; it may be missing."""
    return _column(str, "text")


def date(missing: bool = True) -> Column:
    """Declare a day or a moment, without a time zone."""
    return _column("datetime64[ns]", "date", nullable=missing)


def label(*classes: str | int | type) -> Column:
    """Declare the target of a classification: one of the classes, or `str` or `int` for any; without it no row is trained on."""
    from pandera.pandas import Check

    if classes in ((str,), (int,)):
        return _column(str if classes[0] is str else float, "label")
    return _column(str if isinstance(classes[0], str) else float, "label", [Check.isin(list(classes))])


def of_kind(columns: Mapping[str, Column], *kinds: str) -> list[str]:
    """The names of the columns that were declared as one of the kinds."""
    return [name for name, column in columns.items() if (column.metadata or {}).get("kind") in kinds]


def required(column: Column) -> Column:
    """The same column, where a value has to be there; a class that is a number is a whole one then."""
    import copy

    column = copy.deepcopy(column)
    column.nullable = False
    if (column.metadata or {}).get("kind") == "label" and str(column.dtype) == "float64":
        column.dtype = int
    return column


def fill_missing(rows: pd.DataFrame, columns: Mapping[str, Column]) -> pd.DataFrame:
    """The rows with a name for what is missing in categories, and an empty text; numbers and dates keep their gaps."""
    filled = {name: MISSING for name in of_kind(columns, "category")} | {name: "" for name in of_kind(columns, "text")}
    return rows.fillna({name: value for name, value in filled.items() if name in rows})


def _column(dtype: Any, kind: str, checks: Any = None, nullable: bool = True) -> Column:
    from pandera.pandas import Column

    return Column(dtype, checks or None, nullable=nullable, metadata={"kind": kind})


def row_ids(rows: pd.DataFrame) -> pd.Series:
    """Return a name for each row from what it holds, so that it stays the same when rows are added; a repeated row counts on."""
    import pandas as pd

    digests = pd.util.hash_pandas_object(rows.astype(object).astype(str), index=False).map("{:016x}".format)
    again = digests.groupby(digests).cumcount().astype(str)
    return digests + "-" + again
