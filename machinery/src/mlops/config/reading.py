"""How the raw files of a use case are written: separator, decimal mark, missing values, dates; `mlops add` finds it out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mlops.config.base import Frozen
from mlops.config.decisions import is_unset


class Read(Frozen):
    """How raw files are written.

    header: the line that holds the names of the columns, 0 where there is none (they are column_1, column_2, …).
    missing: what stands for no value. dates: column → its formats, tried in this order (`ISO8601` takes all of its kind).
    units: column → what stands beside its numbers. sheet: of an Excel file; none is the first.
    """

    separator: str = Field(default=",", min_length=1)
    quote: str = Field(default='"', min_length=1, max_length=1)
    encoding: str = "utf-8"
    header: int = Field(default=1, ge=0)
    decimal: str = Field(default=".", min_length=1, max_length=1)
    thousands: str | None = Field(default=None, min_length=1, max_length=1)
    missing: tuple[str, ...] = ("",)
    dates: dict[str, tuple[str, ...]] = {}
    units: dict[str, str] = {}
    sheet: str | None = None


class MaxAge(Frozen):
    """How old the newest row may be when the gate is asked: `days` since the latest time in an interim column."""

    column: str = Field(min_length=1)
    days: float = Field(gt=0)


class Volume(Frozen):
    """By which share the number of raw rows may differ from the champion's, up or down."""

    within: float = Field(gt=0)


class Data(Frozen):
    """The data of a use case: how its raw files are read, and what the gate asks of them.

    read: none takes plain CSV in UTF-8, or Parquet. engine: whose frames `load` and `features` take and return.
    A rule that is left out leaves no trace in what is recorded.
    """

    read: Read | None = None
    engine: Literal["pandas", "spark"] = Field(default="pandas", exclude_if=lambda engine: engine == "pandas")
    max_age: MaxAge | None = Field(default=None, exclude_if=is_unset)
    rows: Volume | None = Field(default=None, exclude_if=is_unset)
