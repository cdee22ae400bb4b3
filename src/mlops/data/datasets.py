"""A data set on disk: a file, and `<file>.schema.json` with its schema, digest and number of rows.

Every read compares the digest and validates the rows; a set is never written over by other content.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import digests, files
from mlops.data import schemas
from mlops.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from pandera.pandas import DataFrameSchema


@dataclass(frozen=True)
class Dataset:
    """One data set: where it lies, the SHA-256 of its bytes, its rows, and whether this call made it."""

    path: Path
    sha256: str
    rows: int
    columns: int
    made: bool


def sidecar(file: Path) -> Path:
    """The path of the schema that lies beside a data set."""
    return file.with_name(f"{file.name}.schema.json")


def describe(file: Path, made: bool = False) -> Dataset:
    """The data set as its sidecar records it; raises DataError where the sidecar is missing or damaged."""
    record = _record(file)
    return Dataset(file, record["sha256"], record["rows"], len(record["schema"]["columns"]), made)


def read(file: Path) -> pd.DataFrame:
    """The rows of a data set, validated by the schema beside it.

    Raises DataError naming file, column, row and rule.
    """
    record = _record(file)
    _check_digest(file, record["sha256"])
    return schemas.validate(parse(file), schemas.from_json(record["schema"]), file)


def write(file: Path, rows: pd.DataFrame, schema: DataFrameSchema) -> Dataset:
    """Validate rows and write them as Parquet, the sidecar last.

    Raises DataError when the rows break the schema or another content is there already; nothing is written then.
    """
    rows = schemas.validate(rows, schema, file)
    with files.replacing(file) as temporary:
        rows.to_parquet(temporary, index=False)
        sha256 = digests.of_file(temporary)
        if sidecar(file).is_file() and file.is_file() and _record(file)["sha256"] != sha256:
            raise DataError(f"{file}: holds other content, and data are immutable; write to another name")
    files.write_json(sidecar(file), {"sha256": sha256, "rows": len(rows), "schema": schemas.to_json(schema)})
    return describe(file, made=True)


def adopt(file: Path, schema: DataFrameSchema) -> Dataset:
    """Take a raw file as it lies there: validate it once and record its digest and schema beside it.

    Raises DataError when the file breaks the schema, or differs from what was recorded before.
    """
    recorded = _record(file) if sidecar(file).is_file() else None
    sha256 = digests.of_file(file)
    if recorded and recorded["sha256"] != sha256:
        raise DataError(
            f"{file}: differs from the content recorded in {sidecar(file).name}, and raw data are immutable; "
            "restore it (git checkout) and add new data with: mlops data add"
        )
    if recorded and recorded["schema"] == schemas.to_json(schema):
        return describe(file)
    rows = schemas.validate(parse(file), schema, file)
    files.write_json(sidecar(file), {"sha256": sha256, "rows": len(rows), "schema": schemas.to_json(schema)})
    return describe(file, made=True)


def _record(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise DataError(f"{file}: no such data set; make it with: mlops data")
    beside = sidecar(file)
    try:
        return json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{file}: {beside.name} is missing, so nothing says what must hold; delete the file and run: mlops data"
        ) from None
    except json.JSONDecodeError as error:
        raise DataError(f"{beside}:{error.lineno}: not JSON ({error.msg}); delete both files and run: mlops data") from None


def _check_digest(file: Path, recorded: str) -> None:
    if digests.of_file(file) != recorded:
        raise DataError(
            f"{file}: damaged or changed, its digest is not the one in {sidecar(file).name}; delete both and run: mlops data"
        )


def parse(file: Path) -> pd.DataFrame:
    """The rows of a CSV or Parquet file, as they are written there."""
    import pandas as pd

    if not file.stat().st_size:
        raise DataError(f"{file}: the file is empty; at least a line of column names is expected")
    try:
        return pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file, float_precision="round_trip")
    except (ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"{file}: cannot be read as {file.suffix.lstrip('.')} ({reason})") from None
