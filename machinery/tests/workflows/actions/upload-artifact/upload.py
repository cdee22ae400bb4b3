"""What actions/upload-artifact takes from a path, and what it refuses.

Derived from actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f (v7.0.0): src/shared/search.ts (hidden files,
least common ancestor), src/upload/upload-artifact.ts (no files, overwrite), src/upload/input-helper.ts (retention); and from
actions/toolkit@4b9afa4c890de9d1a84c75bb617ee4d96207823a: packages/glob/src/internal-pattern-helper.ts (search paths),
packages/glob/src/internal-globber.ts (hidden files),
packages/artifact/src/internal/upload/path-and-artifact-name-validation.ts (names).
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import sys
from pathlib import Path

FORBIDDEN = '":<>|*?\r\n'


def search_paths(patterns: list[str]) -> list[str]:
    """Return where each pattern's wildcards begin, without those that lie below another."""
    paths = []
    for pattern in patterns:
        parts = pattern.split(os.sep)
        plain = next((place for place, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts))
        paths.append(os.sep.join(parts[:plain]) or os.sep)
    unique = list(dict.fromkeys(paths))
    return [path for path in unique if not any(str(parent) in unique for parent in Path(path).parents)]


def root_of(paths: list[str], files: list[str]) -> str:
    """Return the folder that names in the artifact are relative to."""
    if len(paths) > 1:
        return os.path.commonpath(paths)
    return os.path.dirname(paths[0]) if files == paths[:1] else paths[0]


def matching(patterns: list[str], paths: list[str], hidden: bool) -> list[str]:
    """Return the files that the patterns match, and all below the folders that they match."""
    files: set[str] = set()
    for pattern in patterns:
        for place in glob.glob(pattern, recursive=True, include_hidden=True):
            below = [place] if os.path.isfile(place) else glob.glob(f"{place}/**", recursive=True, include_hidden=True)
            files |= {os.path.normpath(file) for file in below if os.path.isfile(file)}
    return sorted(file for file in files if hidden or not _hidden(file, paths))


def upload(inputs: dict[str, str], workspace: Path, store: Path) -> str:
    """Keep the artifact and return a warning, "" for none; raises ValueError where the action fails."""
    lines = [line.strip() for line in inputs["path"].splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if any(line.startswith("!") for line in lines):
        raise ValueError("this stand-in knows no excluding pattern")
    if inputs.get("archive", "true") != "true":
        raise ValueError("this stand-in knows no artifact that is not archived")
    days = inputs.get("retention-days") or "0"
    if not days.isdigit():
        raise ValueError("Invalid retention-days")
    patterns = [os.path.normpath(workspace / line) for line in lines]
    paths = search_paths(patterns)
    files = matching(patterns, paths, inputs.get("include-hidden-files") == "true")
    if not files:
        return _nothing(inputs.get("if-no-files-found", "warn"), inputs["path"])
    target = store / _checked(inputs["name"], FORBIDDEN + "\\/")
    if target.exists() and inputs.get("overwrite") != "true":
        raise ValueError(
            "Failed to CreateArtifact: (409) Conflict: an artifact with this name already exists on the workflow run"
        )
    shutil.rmtree(target, ignore_errors=True)
    root = root_of(paths, files)
    for file in files:
        name = _checked(os.path.relpath(file, root), FORBIDDEN)
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target / name)
    return ""


def _hidden(file: str, paths: list[str]) -> bool:
    start = next(path for path in paths if file == path or file.startswith(f"{path.rstrip(os.sep)}{os.sep}"))
    return any(part.startswith(".") for part in Path(file).relative_to(os.path.dirname(start)).parts)


def _nothing(wanted: str, path: str) -> str:
    message = f"No files were found with the provided path: {path}. No artifacts will be uploaded."
    if wanted not in ("warn", "error", "ignore"):
        raise ValueError(f"Unrecognized if-no-files-found input. Provided: {wanted}. Available options: warn,error,ignore")
    if wanted == "error":
        raise ValueError(message)
    return message if wanted == "warn" else ""


def _checked(name: str, forbidden: str) -> str:
    if not name or set(name) & set(forbidden):
        raise ValueError(f"The artifact name or path is not valid: {name!r}")
    return name


if __name__ == "__main__":
    try:
        warning = upload(
            json.loads(os.environ["INPUTS"]), Path(os.environ["GITHUB_WORKSPACE"]), Path(os.environ["STAND_IN_ARTIFACTS"])
        )
    except ValueError as error:
        print(f"::error::{error}")
        sys.exit(1)
    if warning:
        print(f"::warning::{warning}")
