"""The compiled modules of a folder of packages, for another one: importing new packages costs a multiple of known ones."""

from __future__ import annotations

import os
import py_compile
import struct
from importlib.util import cache_from_source
from pathlib import Path

CACHE = "__pycache__"
# What precedes the code, as PEP 552 has it: magic number, flags (0: held against time and size of the source), time, size.
HEADER = struct.Struct("<4sIII")


def share(here: Path, there: Path) -> int:
    """Write the compiled modules of a folder of packages into another one, for the same Python; returns how many.

    Those whose source has the same bytes in both, and that were compiled of it, are taken, with the time of the other source;
    the others are compiled. What nobody has imported here is compiled in neither.
    """
    count = 0
    for folder, _, names in os.walk(here):
        if not folder.endswith(CACHE):
            continue
        place = there / Path(folder).relative_to(here)
        for name in names:
            source = f"{name.partition('.')[0]}.py"
            if (place / name).exists():
                continue
            compiled = _for(Path(folder) / name, Path(folder).parent / source, place.parent / source)
            if compiled is not None:
                place.mkdir(exist_ok=True)
                (place / name).write_bytes(compiled)
                count += 1
            elif (place.parent / source).is_file() and name == Path(cache_from_source(source)).name:
                count += py_compile.compile(str(place.parent / source), str(place / name), quiet=2) is not None
    return count


def _for(compiled: Path, source: Path, other: Path) -> bytes | None:
    """A compiled module as that of another source; None where it was not compiled of these bytes."""
    try:
        mine, theirs = source.stat(), other.stat()
        if mine.st_size != theirs.st_size or not (os.path.samestat(mine, theirs) or source.read_bytes() == other.read_bytes()):
            return None
        content = compiled.read_bytes()
        magic, flags, time, size = HEADER.unpack_from(content)
    except (OSError, struct.error):
        return None
    if flags or (time, size) != (_time(mine), mine.st_size & 0xFFFFFFFF):
        return None
    return HEADER.pack(magic, flags, _time(theirs), size) + content[HEADER.size :]


def _time(status: os.stat_result) -> int:
    return int(status.st_mtime) & 0xFFFFFFFF
