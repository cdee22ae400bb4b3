"""Where actions/download-artifact unpacks artifacts.

Derived from actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c (v8.0.1), src/download-artifact.ts: with
`pattern`, one match is unpacked into `path` itself, several into a folder each, unless `merge-multiple` is true; no match is
no error, and leaves no folder. A `name` that is not there is one.
"""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
import sys
from pathlib import Path


def download(inputs: dict[str, str], workspace: Path, store: Path) -> list[str]:
    """Unpack the artifacts and return their names; raises ValueError where the action fails."""
    for unknown in ("artifact-ids", "skip-decompress"):
        if inputs.get(unknown, "") not in ("", "false"):
            raise ValueError(f"this stand-in does not know {unknown}")
    to, name = workspace / inputs.get("path", ""), inputs.get("name", "")
    names = sorted(folder.name for folder in store.iterdir())
    if name:
        if name not in names:
            raise ValueError(f"Unable to download artifact(s): Artifact '{name}' not found")
        chosen = [name]
    else:
        chosen = fnmatch.filter(names, inputs.get("pattern", "") or "*")
    flat = bool(name) or inputs.get("merge-multiple") == "true" or len(chosen) == 1
    for each in chosen:
        shutil.copytree(store / each, to if flat else to / each, dirs_exist_ok=True)
    return chosen


if __name__ == "__main__":
    try:
        done = download(
            json.loads(os.environ["INPUTS"]), Path(os.environ["GITHUB_WORKSPACE"]), Path(os.environ["STAND_IN_ARTIFACTS"])
        )
    except ValueError as error:
        print(f"::error::{error}")
        sys.exit(1)
    print(f"Total of {len(done)} artifact(s) downloaded")
