"""The compiled modules of an environment for another one: importing new packages costs a multiple of importing known ones."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

CACHE = "__pycache__"


def share(here: Path, there: Path) -> int:
    """Copy compiled modules from a folder of packages to another one; returns how many.

    Only those whose source is one and the same file in both, as uv links it from its cache; Python itself compares size and
    time of a source before it takes what was compiled of it.
    """
    count = 0
    for folder, _, names in os.walk(here):
        if not folder.endswith(CACHE):
            continue
        place = there / Path(folder).relative_to(here)
        for name in names:
            source = f"{name.partition('.')[0]}.py"
            if _is_one_file(Path(folder).parent / source, place.parent / source) and not (place / name).exists():
                place.mkdir(exist_ok=True)
                shutil.copyfile(Path(folder) / name, place / name)
                count += 1
    return count


def _is_one_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
