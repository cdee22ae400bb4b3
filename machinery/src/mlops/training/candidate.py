"""A candidate: the self-contained folder that training makes. No store is needed to make or to read one.

model/             the model in MLflow's format (skops, so nothing is unpickled), signature, input example
features.skops     the fitted feature steps on their own, where the model has any
holdout.parquet    the holdout rows: key, inputs, with the truth and the predictions (columns in double underscores)
reference.json     how inputs and outputs were spread, for the watch on the model in service
uncommitted.patch  what the commit does not hold of the code and configuration, where that is anything
manifest.json      key and its parts, code, data, parameters, metrics, and the digest of each file
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import digests
from mlops.config import Project
from mlops.errors import DataError, UserError

if TYPE_CHECKING:
    import pandas as pd

TRUTH, PREDICTION, BASELINE = "__target__", "__prediction__", "__baseline__"
PROBABILITY = "__probability_{}__"
# What a manifest is read by; the tags of a run are looked at where it is registered.
PARTS = {"use_case": str, "key": str, "config": dict, "problem": dict, "metrics": dict, "baseline": dict, "files": dict}


@dataclass(frozen=True)
class Candidate:
    """A candidate folder and its manifest."""

    path: Path
    manifest: dict[str, Any]

    @property
    def use_case(self) -> str:
        """The name of the use case that it was trained for."""
        return str(self.manifest["use_case"])

    @property
    def key(self) -> str:
        """The digest that identifies what it was made from."""
        return str(self.manifest["key"])

    def holdout(self) -> pd.DataFrame:
        """The holdout rows with truth, predictions and the baseline's predictions."""
        import pandas as pd

        return pd.read_parquet(self.path / "holdout.parquet")


def folder(project: Project, use_case: str, key: str) -> Path:
    """Where the candidate of a key lies."""
    return project.output / "candidates" / use_case / key[:16]


def read(path: Path) -> Candidate:
    """A candidate whose files all have the digests of its manifest.

    Raises UserError where there is no candidate, DataError for a manifest that training did not write, and naming the first
    file that is missing or was changed.
    """
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no candidate there (manifest.json is missing); make one with: mlops train") from None
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise DataError(f"{path}/manifest.json:{line}: not JSON; delete the folder and run: mlops train") from None
    for key, kind in PARTS.items():
        if not isinstance(manifest, dict) or not isinstance(manifest.get(key), kind):
            raise DataError(f"{path}/manifest.json: {key} is missing or wrong; delete the folder and run: mlops train")
    if wrong := next(differing(path, manifest["files"]), None):
        raise DataError(f"{path / wrong[0]}: {wrong[1]} since training; delete the folder and run: mlops train")
    return Candidate(path, manifest)


def differing(path: Path, files: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The files of a folder that are not what a manifest records, each with what is wrong: missing, changed, added."""
    for name, recorded in files.items():
        file = path / name
        inside = not file.is_symlink() and file.resolve().is_relative_to(path.resolve())
        if not inside or not file.is_file():
            yield name, "missing" if inside and not file.is_symlink() else "not a file of its own"
        elif digests.of_file(file) != recorded:
            yield name, "changed"
    present = (file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir())
    yield from ((name, "added") for name in sorted(present) if name not in files and not _is_beside(name))


def _is_beside(name: str) -> bool:
    """What lies in a candidate's folder and is not of training: the manifest, and a note that MLflow leaves in a download."""
    return name in ("manifest.json", "model/registered_model_meta") or "__pycache__/" in name


def find(project: Project, use_case: str, key: str) -> Candidate | None:
    """The complete candidate of a key, or None; a damaged one counts as none, as training can make it again."""
    try:
        return read(folder(project, use_case, key))
    except (UserError, DataError):
        return None


def newest(project: Project, use_case: str) -> Candidate:
    """The candidate that was made last; raises UserError where there is none."""
    # A folder that a killed process left behind has a dot before its name.
    files = (project.output / "candidates" / use_case).glob("[!.]*/manifest.json")
    ordered = sorted(files, key=lambda file: file.stat().st_mtime)
    if not ordered:
        raise UserError(f"{use_case}: no candidate under {project.output}; make one with: mlops train {use_case}")
    return read(ordered[-1].parent)


def choose(project: Project, use_case: str, path: str) -> Candidate:
    """The candidate in a folder, or the newest one of the use case where no folder is given."""
    return read(Path(path)) if path else newest(project, use_case)
