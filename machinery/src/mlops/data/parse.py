"""From the bytes of a CSV or Parquet file to rows; what cannot be read is reported with its row."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.config.reading import Read
from mlops.data.read import EXCEL, JSON, Kind, table, wall_clock
from mlops.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

HINT = "restore the file, or export it again"
# How pandas words what is wrong with the shape of a CSV file; its second count starts at 0.
TOO_MANY = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")
NEVER_CLOSED = re.compile(r"EOF inside string starting at row (\d+)")


def parse(
    file: Path, texts: Sequence[str] = (), read: Read | None = None, kinds: Mapping[str, Kind] | None = None
) -> pd.DataFrame:
    """The rows of a CSV or Parquet file, as they are written there.

    texts: columns, where the file has them, that are text whatever they look like: 00042 is no number.
    read: how the file is written, where that was configured; kinds: how each column is to be read then.
    Raises DataError naming file, row and rule where they cannot be read.
    """
    from pyarrow import ArrowException

    if not file.stat().st_size:
        raise DataError(f"{file}: the file is empty; at least a line of column names is expected")
    texts = [*texts, *(name for name, kind in (kinds or {}).items() if kind == "text")]
    try:
        if read is not None:
            return table(file, read, kinds or {})
        return _parquet(file, texts, kinds or {}) if file.suffix == ".parquet" else _csv(file, texts)
    except UnicodeDecodeError:
        wrong = _not_utf8(file) if read is None else f"rule data.read.encoding {read.encoding}, found another one"
        raise DataError(f"{file}: {wrong}; {HINT}") from None
    except (ValueError, OSError, EOFError, zlib.error, ArrowException) as error:
        if str(error).startswith(("column ", "data.read")):
            raise DataError(f"{file}: {error}") from None
        raise DataError(f"{file}: {_in_words(str(error), file)}; {HINT}") from None


def _parquet(file: Path, texts: Sequence[str], kinds: Mapping[str, Kind]) -> pd.DataFrame:
    import pandas as pd
    from pyarrow import parquet, string
    from pyarrow.types import is_integer

    rows = pd.read_parquet(file)
    rows = rows if isinstance(rows.index, pd.RangeIndex) else rows.reset_index()
    for name in set(texts).intersection(rows):
        # Read again, as pandas makes decimals of whole numbers with gaps.
        rows[name] = parquet.read_table(file, columns=[name])[name].cast(string()).to_pandas().to_numpy()
    for name in _rounded(rows):
        whole = parquet.read_table(file, columns=[name])[name]
        if is_integer(whole.type):
            rows[name] = pd.array(
                whole.to_pylist(), dtype=pd.UInt64Dtype() if str(whole.type) == "uint64" else pd.Int64Dtype()
            )
    for name, kind in kinds.items():
        if kind == "date" and name in rows and isinstance(rows[name].dtype, pd.DatetimeTZDtype):
            rows[name] = wall_clock(rows[name])
    return rows


def _rounded(rows: pd.DataFrame) -> list[str]:
    """The columns that pandas reads as decimals for their gaps, and whose whole numbers are too long for that."""
    floats = rows.select_dtypes("float64")
    return [str(name) for name in floats if floats[name].isna().any() and (floats[name].abs() >= 2**53).any()]


def _csv(file: Path, texts: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    names = pd.read_csv(file, header=None, nrows=1, dtype=str).iloc[0]
    if names.duplicated().any():
        raise DataError(f"{file}: column {names[names.duplicated()].iloc[0]}, row 1: rule unique names; {HINT}")
    rows = pd.read_csv(file, float_precision="round_trip", dtype=dict.fromkeys(texts, str))
    if not isinstance(rows.index, pd.RangeIndex):
        # pandas takes what is too much in every row for an index.
        values = len(names) + rows.index.nlevels
        raise DataError(f"{file}: row 2: rule {len(names)} values, as many as there are columns, found {values}; {HINT}")
    for name in _rounded(rows):
        with suppress(ValueError):  # decimals, and what is too long for 64 bits
            rows[name] = pd.read_csv(file, usecols=[name], dtype={name: "Int64"})[name]
    return rows


def _in_words(reason: str, file: Path) -> str:
    if match := TOO_MANY.search(reason):
        return f"row {match[2]}: rule {match[1]} values, as many as there are columns, found {match[3]}"
    if match := NEVER_CLOSED.search(reason):
        return f"row {int(match[1]) + 1}: rule a quotation mark is closed, found none"
    named = {".parquet": "Parquet", **dict.fromkeys(EXCEL, "Excel"), **dict.fromkeys(JSON, "JSON")}
    kind = named.get(file.suffix, "CSV")
    return f"cannot be read as {kind} ({(reason.strip().splitlines() or ['no reason given'])[0]})"


def _not_utf8(file: Path) -> str:
    """Column and row of the first byte that is not UTF-8."""
    data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    try:
        data.decode()
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        before = data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode()
        names = next(csv.reader([data.split(b"\n", 1)[0].decode(errors="replace")]))
        place = len(next(csv.reader([before + "x"]))) - 1
        column = f"column {names[place]}, " if row > 1 and place < len(names) else ""
        return f"{column}row {row}: rule UTF-8, found byte 0x{data[error.start]:02x}"
    return "cannot be read as UTF-8"
