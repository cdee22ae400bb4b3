"""The parts that a batch writes: each is a file with its predictions, and records in it what it was made from.

A part comes to its place in one step, its rejects before it. OUTPUT is a folder of this machine, or an address in storage.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import files, folders
from mlops.errors import UserError
from mlops.scoring import remote
from mlops.scoring.isolation import Outcome
from mlops.scoring.remote import Place, RemotePath

if TYPE_CHECKING:
    import pyarrow

    from mlops.scoring.batch import Batch

PREDICTIONS, REJECTS, MANIFEST = "predictions", "rejects", "manifest.json"
COUNTS = ("rows", "predictions", "rejects", "unanswered")
RECORD = b"mlops.score"  # the key of a part's record in the metadata of its file


def written(output: Place, folder: str) -> list[Place]:
    """The parts in a folder of the output, or their rejects, sorted."""
    place, ending = output / folder, ".parquet" if folder == PREDICTIONS else ".csv"
    found = (
        [file for file in place.iterdir() if file.name.startswith("part-") and file.suffix == ending] if place.is_dir() else []
    )
    return sorted(found)


def check_version(output: Place, origin: dict[str, str]) -> None:
    """Refuse a folder with the predictions of another version: nothing says whether they are still needed."""
    for file in written(output, PREDICTIONS):
        record = _record(file)
        if record and any(record.get(key) != value for key, value in origin.items()):
            there = f"{record.get('use_case')} {record.get('version')}"
            raise UserError(
                f"{output}: holds predictions of {there}, not of {origin['use_case']} {origin['version']}; "
                "choose another folder, or delete it"
            )


def complete(batch: Batch, place: int, task: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of all parts of a file, where all are there; none where one is missing."""
    records: list[dict[str, Any]] = []
    while record := kept(batch, f"part-{place:05d}-{len(records):05d}", task):
        records.append(record)
        if record["last"]:
            return records
    return []


def kept(batch: Batch, name: str, task: dict[str, Any]) -> dict[str, Any] | None:
    """The record of a part that is there for the same task; rejects that were put aside are put aside again."""
    record = _record(batch.output / PREDICTIONS / f"{name}.parquet")
    if record is None or any(record.get(key) != value for key, value in task.items()) or record["part"] != name:
        return None
    if record["rejects"] and not (batch.quarantine and (batch.output / REJECTS / f"{name}.csv").is_file()):
        return None
    return {**record, "kept": True}


def _record(file: Place) -> dict[str, Any] | None:
    """What a part was made from; None where there is none, or it is no part."""
    from pyarrow import ArrowException, parquet

    try:
        schema = file.read(parquet.read_schema) if isinstance(file, RemotePath) else parquet.read_schema(file)
        return dict(json.loads((schema.metadata or {})[RECORD]))
    except (ArrowException, OSError, KeyError, ValueError):
        return None


def write(batch: Batch, task: dict[str, Any], outcome: Outcome, scratch: Path) -> dict[str, Any]:
    """Write a part in one step, its rejects before it; returns its record."""
    import pandas as pd
    import pyarrow
    from pyarrow import parquet

    rows = pd.concat(outcome.answers, ignore_index=True) if outcome.answers else batch.scorer.no_answers()
    counts = {"predictions": len(rows), "rejects": len(outcome.rejects), "unanswered": outcome.unanswered}
    record = {**task, **counts}
    _write_rejects(batch.output / REJECTS / f"{task['part']}.csv", task["file"], outcome.rejects, scratch)
    table = pyarrow.Table.from_pandas(rows, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), RECORD: json.dumps(record)})
    _put(
        batch.output / PREDICTIONS / f"{task['part']}.parquet",
        scratch,
        lambda temporary: parquet.write_table(table, temporary, use_dictionary=_repeating(table.schema)),
    )
    return {**record, "kept": False}


def _repeating(schema: pyarrow.Schema) -> list[str]:
    """The columns in which values repeat: of probabilities hardly one does, and a dictionary of them would be in vain."""
    from pyarrow import types

    return [field.name for field in schema if not types.is_floating(field.type)]


def _write_rejects(file: Place, source: str, rejects: list[tuple[int, str]], scratch: Path) -> None:
    import pandas as pd

    if not rejects:
        file.unlink(missing_ok=True)
        return
    table = pd.DataFrame([(source, *reject) for reject in rejects], columns=["file", "row", "reason"])
    _put(file, scratch, lambda temporary: table.to_csv(temporary, index=False))


def write_manifest(file: Place, content: dict[str, Any]) -> None:
    """Write what a batch was, after all of its parts."""
    if isinstance(file, Path):
        with files.writing(file):
            files.write_json(file, content)
        return
    with folders.work_folder() as scratch:
        _put(file, scratch, lambda temporary: temporary.write_text(files.as_json(content) + "\n", encoding="utf-8"))


def _put(file: Place, scratch: Path, write: Callable[[Path], Any]) -> None:
    """Let a file be written beside its place, and come to it when it is whole."""
    temporary = scratch / file.name
    target = file if isinstance(file, Path) else temporary
    files.make_folder(target.parent)
    with files.writing(target):
        write(temporary)
        remote.move(temporary, file)
    temporary.unlink(missing_ok=True)
