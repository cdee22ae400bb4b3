"""A data set on disk: a file, and `<file>.schema.json` with its schema, digest and number of rows.

Every read compares the digest and validates the rows; a set is never written over by other content.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import digests, files
from mlops.config.reading import Read
from mlops.data import schemas
from mlops.data.parse import parse
from mlops.data.read import kinds_of
from mlops.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from pandera.pandas import DataFrameSchema


@dataclass(frozen=True)
class Dataset:
    """One data set: where it lies, the SHA-256 of its bytes, its rows, the columns of its schema, and whether this call made it.

    unknown: columns of a new raw file that its schema does not have, so that nothing checks them.
    """

    path: Path
    sha256: str
    rows: int
    columns: int
    created: bool
    unknown: tuple[str, ...] = ()


def sidecar(file: Path) -> Path:
    """The path of the schema that lies beside a data set."""
    return file.with_name(f"{file.name}.schema.json")


def describe(file: Path, created: bool = False) -> Dataset:
    """The data set as its sidecar records it.

    Raises DataError where the sidecar is missing or damaged, or the file is not the one that it was made for.
    """
    record = _record(file)
    _check_digest(file, record["sha256"])
    return Dataset(file, record["sha256"], record["rows"], len(record["schema"]["columns"]), created)


def read(file: Path, schema: DataFrameSchema | None = None, how: Read | None = None) -> pd.DataFrame:
    """The rows of a data set, validated by `schema`, which must be the one beside it; None takes that one.

    how: how a raw file is written.

    Raises DataError naming file, column, row and rule.
    """
    record = _record(file)
    _check_digest(file, record["sha256"])
    if schema is not None and record["schema"] != schemas.to_json(schema):
        raise DataError(f"{sidecar(file)}: its schema is not the use case's; {_hint(file)}")
    schema = schema or schemas.from_json(record["schema"])
    rows = rows_of(file, schema, how)
    if len(rows) != record["rows"]:
        raise DataError(f"{file}: {len(rows)} rows, but {sidecar(file).name} says {record['rows']}; {_hint(file)}")
    return schemas.validate(rows, schema, file)


def rows_of(file: Path, schema: DataFrameSchema, how: Read | None = None) -> pd.DataFrame:
    """The rows of a file, its columns read as the schema types them; nothing is validated."""
    return parse(file, read=how, kinds=kinds_of(schema))


def write(file: Path, rows: pd.DataFrame, schema: DataFrameSchema) -> Dataset:
    """Validate rows and write them as Parquet, the sidecar last.

    Raises DataError when the rows break the schema or another content is there already; nothing is written then.
    """
    rows = schemas.validate(rows.reset_index(drop=True), schema, file)
    with files.replacing(file) as temporary:
        rows.to_parquet(temporary, index=False)
        sha256 = digests.of_file(temporary)
        if sidecar(file).is_file() and file.is_file() and _record(file)["sha256"] != sha256:
            raise DataError(f"{file}: holds other content, and data are immutable; write to another name")
    _write_record(file, sha256, len(rows), schema)
    return describe(file, created=True)


def inspect(file: Path, schema: DataFrameSchema, how: Read | None = None) -> Dataset:
    """A raw file as it lies there; `created` says that it is new, valid, and still to be recorded.

    Raises DataError when the file breaks the schema, or differs from what was recorded before. Nothing is written.
    """
    if not file.is_file():
        raise DataError(f"{file}: is not a file that can be read; {_hint(file)}")
    recorded = _record(file) if sidecar(file).is_file() else None
    sha256 = digests.of_file(file)
    if recorded and recorded["sha256"] != sha256:
        raise DataError(
            f"{file}: differs from the content recorded in {sidecar(file).name}, and raw data are immutable; "
            "restore it (git checkout) and add new data with: mlops data add"
        )
    if recorded and recorded["schema"] == schemas.to_json(schema):
        return describe(file)
    rows = schemas.validate(rows_of(file, schema, how), schema, file)
    unknown = tuple(str(name) for name in rows if name not in schema.columns)
    return Dataset(file, sha256, len(rows), len(schema.columns), True, unknown)


def record(item: Dataset, schema: DataFrameSchema) -> Dataset:
    """Write what `inspect` found beside a raw file."""
    _write_record(item.path, item.sha256, item.rows, schema)
    return item


def _write_record(file: Path, sha256: str, rows: int, schema: DataFrameSchema) -> None:
    files.write_json(sidecar(file), {"sha256": sha256, "rows": rows, "schema": schemas.to_json(schema)})


def recorded_sha256(file: Path) -> str:
    """The digest that was recorded of a file, which need not be here; raises DataError where none was."""
    return str(_beside(file)["sha256"])


def _record(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise DataError(f"{file}: no such data set; make it with: mlops data processed")
    return _beside(file)


def _beside(file: Path) -> dict[str, Any]:
    beside = sidecar(file)
    try:
        record = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{file}: {beside.name} is missing, so nothing says what must hold; {_hint(file)}") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{beside}:{error.lineno}: not JSON ({error.msg}); {_hint(file)}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{beside}: not UTF-8 (byte {error.start}); {_hint(file)}") from None
    for key, kind in {"sha256": str, "rows": int, "schema": dict}.items():
        if not isinstance(record, dict) or not isinstance(record.get(key), kind):
            raise DataError(f"{beside}: key {key} is missing or of another type; {_hint(file)}")
    if not isinstance(record["schema"].get("columns"), dict):
        raise DataError(f"{beside}: key schema.columns is missing or of another type; {_hint(file)}")
    return dict(record)


def _check_digest(file: Path, recorded: str) -> None:
    if digests.of_file(file) != recorded:
        raise DataError(f"{file}: damaged or changed, its digest is not the one in {sidecar(file).name}; {_hint(file)}")


def _hint(file: Path) -> str:
    """Raw data come from outside and are restored; all else can be made again."""
    if file.parent.parent.name == "raw":
        return "restore the file and its schema: git checkout"
    return "delete both and run: mlops data processed"
