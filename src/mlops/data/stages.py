"""The way of the data: raw → interim → processed. A step whose result is there already does no work.

Interim and processed sets are named after what they were made from, so that a change of the raw files or of the code
makes a new set and never touches an old one.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops import digests, files, keys
from mlops.config import Project
from mlops.data import datasets, schemas
from mlops.data.datasets import Dataset
from mlops.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from mlops.use_case import UseCase

STAGES = ("raw", "interim", "processed")


@dataclass(frozen=True)
class Raw:
    """The raw files of a use case and the digest of all of them."""

    files: tuple[Dataset, ...]
    sha256: str


def raw(project: Project, use_case: UseCase) -> Raw:
    """Check the raw files against their recorded digests and the use case's schema.

    Raises DataError where there is none, or naming the file, column, row and rule that is broken.
    """
    folder = project.data / "raw" / use_case.name
    found = sorted(file for pattern in ("*.csv", "*.csv.gz", "*.parquet") for file in folder.glob(pattern))
    if not found:
        raise DataError(
            f"{folder}: no raw data (*.csv, *.csv.gz, *.parquet); add some with: mlops data add {use_case.name} FILE"
        )
    sets = tuple(datasets.adopt(file, _schema(use_case, "raw")) for file in found)
    return Raw(sets, digests.of_value([(item.path.name, item.sha256) for item in sets]))


def interim(project: Project, use_case: UseCase) -> Dataset:
    """Load the raw files into tidy rows: data/interim/<use case>/<digest>.parquet."""
    sources = raw(project, use_case)
    file = _file(project, use_case, "interim", sources)
    if _is_there(file):
        return datasets.describe(file)
    import pandas as pd

    rows = pd.concat([datasets.read(item.path) for item in sources.files], ignore_index=True)
    return datasets.write(file, use_case.load(rows), _schema(use_case, "interim"))


def processed(project: Project, use_case: UseCase) -> Dataset:
    """Make the features of the interim rows: data/processed/<use case>/<digest>.parquet."""
    file = _file(project, use_case, "processed", raw(project, use_case))
    if _is_there(file):
        return datasets.describe(file)
    source = interim(project, use_case)
    return datasets.write(file, use_case.features(datasets.read(source.path)), _schema(use_case, "processed"))


def add(project: Project, use_case: UseCase, file: Path, source: str, licence: str) -> Dataset:
    """Copy a file to the raw data, with its schema beside it and a line in the provenance note.

    Raises DataError when the file breaks the schema or another content has its name; nothing is written then.
    """
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    folder = project.data / "raw" / use_case.name
    target = folder / file.name
    if target.is_file() and digests.of_file(target) != digests.of_file(file):
        raise DataError(f"{target}: holds other content, and data are immutable; give {file.name} another name")
    schemas.validate(datasets.parse(file), _schema(use_case, "raw"), file)
    with files.replacing(target) as temporary:
        shutil.copyfile(file, temporary)
    added = datasets.adopt(target, _schema(use_case, "raw"))
    _note_provenance(folder / "README.md", added, source, licence)
    return added


def read_processed(project: Project, use_case: UseCase) -> tuple[pd.DataFrame, Raw]:
    """The processed rows, made if need be, and the raw files that they come from."""
    return datasets.read(processed(project, use_case).path), raw(project, use_case)


def _schema(use_case: UseCase, stage: str):
    return schemas.complete(use_case.schema(stage), stage, use_case.config.key)


def _file(project: Project, use_case: UseCase, stage: str, sources: Raw) -> Path:
    code = digests.of_files(use_case.package, use_case.package.rglob("*.py"))
    name = digests.of_value([sources.sha256, code, keys.machinery(["data"])])[:16]
    return project.data / stage / use_case.name / f"{name}.parquet"


def _is_there(file: Path) -> bool:
    """Whether a set was made completely: its sidecar is written last."""
    return file.is_file() and datasets.sidecar(file).is_file()


def _note_provenance(note: Path, added: Dataset, source: str, licence: str) -> None:
    line = f"| {added.path.name} | {added.rows} | `{added.sha256}` | {source} | {licence} |\n"
    text = note.read_text(encoding="utf-8") if note.is_file() else ""
    if added.sha256 not in text:
        head = "" if "| file | rows |" in text else "\n| file | rows | sha256 | source | licence |\n|---|---|---|---|---|\n"
        files.write_text(note, text + head + line)
