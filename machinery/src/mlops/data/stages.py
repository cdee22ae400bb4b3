"""The way of the data: raw → interim → processed. A step whose result is there already does no work.

Interim and processed sets are named after what they were made from, so that a change of the raw files or of the code
makes a new set and never touches an old one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops import digests, dvc, files, keys, use_case_code
from mlops.config import Project, nearest
from mlops.data import datasets, schemas
from mlops.data.datasets import Dataset
from mlops.data.read import EXCEL, JSON
from mlops.errors import DataError, UserError

if TYPE_CHECKING:
    import pandas as pd
    from pandera.pandas import DataFrameSchema

    from mlops.use_case import UseCase

STAGES = ("raw", "interim", "processed")
RAW = ("*.csv", "*.csv.gz", "*.parquet")
# What is read besides, where `data.read` says how.
DESCRIBED = ("*.tsv", *(f"*{ending}" for ending in (*EXCEL, *JSON)))


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
    refuse_absent(folder)
    if others := dvc.of_other_commits(project, folder):
        raise DataError(
            f"{others[0]}: of another commit, this one does not name it; bring this one's data: mlops data restore"
        )
    files = raw_files(folder, patterns(use_case))
    if not files:
        raise DataError(
            f"{folder}: no raw data ({', '.join(patterns(use_case))}); add some with: mlops data add {use_case.name} FILE"
        )
    schema = _schema(use_case, "raw")
    sets = tuple(datasets.inspect(file, schema, use_case.config.data.read) for file in files)
    new = [item for item in sets if item.created]
    if new and len(sets) > 1:
        schemas.refuse_shared_keys([(item.path, rows_of(use_case, item.path)) for item in sets], schema)
    for item in new:
        datasets.record(item, schema)
    return Raw(sets, _sha256({item.path: item.sha256 for item in sets}))


def refuse_absent(folder: Path) -> None:
    """Raise DataError naming a raw file of which only the pointer is here."""
    if absent := dvc.missing(folder):
        raise DataError(f"{absent[0]}: not here, only its pointer {absent[0].name}.dvc; fetch it with: mlops data restore")


def raw_sha256(project: Project, use_case: UseCase) -> str:
    """The digest of the raw files, of those that are not here as the commit has recorded it; raises DataError as `raw` does."""
    folder = project.data / "raw" / use_case.name
    absent = [file for file in dvc.missing(folder) if any(file.match(pattern) for pattern in patterns(use_case))]
    if not absent:
        return raw(project, use_case).sha256
    here = [
        datasets.inspect(file, _schema(use_case, "raw"), use_case.config.data.read)
        for file in raw_files(folder, patterns(use_case))
    ]
    return _sha256({**{item.path: item.sha256 for item in here}, **{file: datasets.recorded_sha256(file) for file in absent}})


def _sha256(files: dict[Path, str]) -> str:
    return digests.of_value([(file.name, files[file]) for file in sorted(files)])


def interim(project: Project, use_case: UseCase) -> Dataset:
    """Load the raw files into tidy rows: data/interim/<use case>/<digest>.parquet."""
    sources = raw(project, use_case)
    file = _file(project, use_case, "interim", sources)
    if _is_there(file):
        return datasets.describe(file)
    import pandas as pd

    schema = _schema(use_case, "raw")
    read = [(item.path, datasets.read(item.path, schema, use_case.config.data.read)) for item in sources.files]
    # Two branches may each have added a file; once merged, both are recorded and nothing has compared them yet.
    schemas.refuse_shared_keys(read, schema)
    rows = pd.concat([rows for _, rows in read], ignore_index=True)
    return datasets.write(file, _frame(use_case, use_case.load, rows), _schema(use_case, "interim"))


def processed(project: Project, use_case: UseCase) -> Dataset:
    """Make the features of the interim rows: data/processed/<use case>/<digest>.parquet."""
    file = _file(project, use_case, "processed", raw(project, use_case))
    if _is_there(file):
        return datasets.describe(file)
    source = datasets.read(interim(project, use_case).path, _schema(use_case, "interim"))
    return datasets.write(file, _frame(use_case, use_case.features, source), _schema(use_case, "processed"))


def add(project: Project, use_case: UseCase, file: Path, source: str, licence: str) -> Dataset:
    """Copy a file to the raw data, with its schema beside it and a line in the provenance note.

    Raises DataError when the file breaks the schema or another content has its name; nothing is written then.
    """
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    if not any(file.match(pattern) for pattern in patterns(use_case)):
        raise DataError(f"{file.name}: raw data are {', '.join(patterns(use_case))}; export it as one of these")
    folder = project.data / "raw" / use_case.name
    target = folder / file.name
    if target.is_file() and digests.of_file(target) != digests.of_file(file):
        raise DataError(f"{target}: holds other content, and data are immutable; give {file.name} another name")
    schema = _schema(use_case, "raw")
    others = [(other, rows_of(use_case, other)) for other in raw_files(folder, patterns(use_case)) if other != target]
    schemas.refuse_shared_keys([*others, (file, rows_of(use_case, file))], schema)
    with files.replacing(target) as temporary:
        shutil.copyfile(file, temporary)
    added = datasets.inspect(target, schema, use_case.config.data.read)
    if added.created:
        datasets.record(added, schema)
    _note_provenance(folder / "README.md", added, source, licence)
    return added


def read_processed(project: Project, use_case: UseCase) -> tuple[pd.DataFrame, Raw]:
    """The processed rows, made if need be, and the raw files that they come from."""
    return datasets.read(processed(project, use_case).path, _schema(use_case, "processed")), raw(project, use_case)


def read_interim(project: Project, use_case: UseCase) -> pd.DataFrame:
    """The interim rows, made if need be."""
    return datasets.read(interim(project, use_case).path, _schema(use_case, "interim"))


def patterns(use_case: UseCase) -> tuple[str, ...]:
    """The names that raw files of a use case have."""
    return RAW if use_case.config.data.read is None else (*RAW, *DESCRIBED)


def raw_files(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """The raw files in order of their names; what a killed process left half-written has a dot before its name."""
    files = {file for pattern in names for file in folder.glob(pattern)}
    return sorted(file for file in files if not file.name.startswith(".") and not file.name.endswith(".schema.json"))


def rows_of(use_case: UseCase, file: Path) -> pd.DataFrame:
    """The rows of a raw file in the types of the use case's schema, validated."""
    schema = _schema(use_case, "raw")
    return schemas.validate(datasets.rows_of(file, schema, use_case.config.data.read), schema, file)


def _frame(use_case: UseCase, function: Callable[[pd.DataFrame], pd.DataFrame], rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that `load` or `features` makes of others; raises UserError where it fails, or returns no rows."""
    import pandas as pd

    from mlops.use_case import call

    result = call(use_case.name, function, rows)
    if hasattr(result, "toPandas"):
        raise UserError(
            f"src/use_cases/{use_case.name}: {function.__name__} returns a frame of Spark; declare it in "
            f"config/{use_case.name}.yaml: data: {{engine: spark}}"
        )
    if not isinstance(result, pd.DataFrame):
        raise UserError(
            f"src/use_cases/{use_case.name}: {function.__name__} returns {type(result).__name__}, not a DataFrame; is a `return` missing?"
        )
    for name in (*use_case.config.key, use_case.config.target.column) if function is use_case.features else ():
        if name not in result:
            raise UserError(
                f"config/{use_case.name}.yaml: {'target.column' if name == use_case.config.target.column else 'key'} {name} is no "
                f"column that features returns{nearest(name, map(str, result))}; there are: {', '.join(map(str, list(result)[:15]))}"
            )
    return result


def _schema(use_case: UseCase, stage: str) -> DataFrameSchema:
    return schemas.complete(use_case.schema(stage), stage, use_case.config.key)


def _file(project: Project, use_case: UseCase, stage: str, sources: Raw) -> Path:
    code, how = use_case_code.digest(use_case.package), use_case.config.data.model_dump(mode="json")
    name = digests.of_value([sources.sha256, code, keys.machinery(["data"]), use_case.config.key, how])[:16]
    return project.data / stage / use_case.name / f"{name}.parquet"


def _is_there(file: Path) -> bool:
    """Whether a set was made completely: its sidecar is written last."""
    return file.is_file() and datasets.sidecar(file).is_file()


def _note_provenance(note: Path, added: Dataset, source: str, licence: str) -> None:
    cells = [" ".join(text.split()).replace("|", "\\|") for text in (source, licence)]
    line = f"| {added.path.name} | {added.rows} | `{added.sha256}` | {cells[0]} | {cells[1]} |\n"
    text = note.read_text(encoding="utf-8") if note.is_file() else ""
    if added.sha256 not in text:
        head = "" if "| file | rows |" in text else "\n| file | rows | sha256 | source | licence |\n|---|---|---|---|---|\n"
        files.write_text(note, text + head + line)
