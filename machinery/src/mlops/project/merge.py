"""How a later version of a file comes to a project whose team may have edited it: taken, merged, kept, or laid beside."""

from __future__ import annotations

import difflib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from mlops import folders

SUFFIX = ".new"
ALIKE = 0.6  # from which share of equal lines on a file counts as another one, renamed


@dataclass(frozen=True)
class Change:
    """What happens to one file: `content` is written to `path`, None removes it; `action` and `note` say why."""

    path: str
    action: str
    content: bytes | None = None
    note: str = ""


def reconcile(base: Mapping[str, bytes], theirs: Mapping[str, bytes], ours: Mapping[str, bytes]) -> list[Change]:
    """Return what is to be done so that the files of `ours` become those of `theirs`, without losing an edit since `base`.

    base: the files as the present machinery has them; theirs: as the next one has them; ours: as the project has them, other
    files of the same folders included.
    """
    known, changes = {*base, *theirs}, []
    for path in sorted(known):
        place = path
        if path in base and path not in ours and path in theirs:
            place = _renamed(base[path], path, {name: ours[name] for name in ours if name not in known}) or path
        change = _one(place, base.get(path), theirs.get(path), ours.get(place))
        if change:
            changes.append(change)
    return changes


def _one(path: str, base: bytes | None, theirs: bytes | None, ours: bytes | None) -> Change | None:
    if ours is None:
        if theirs is None:
            return None
        return Change(path, "created", theirs) if base is None else Change(path, "left out", note="removed by the team")
    crlf = b"\r\n" in ours and b"\n" not in ours.replace(b"\r\n", b"")
    base, theirs = (_ends(text, crlf) for text in (base, theirs))
    if ours == theirs or theirs == base:
        return None
    if theirs is None:
        return (
            Change(path, "removed")
            if ours == base
            else Change(path, "kept", note="no longer the machinery's; edited by the team")
        )
    if ours == base:
        return Change(path, "updated", theirs)
    merged = three_way(ours, base, theirs) if base is not None else None
    if merged is not None:
        return Change(path, "merged", merged, "the team's edit is kept")
    return Change(path + SUFFIX, "conflict", theirs, f"take over by hand what differs, then remove {path}{SUFFIX}")


def three_way(ours: bytes, base: bytes, theirs: bytes) -> bytes | None:
    """Return the merge of two edits of one text, None where they touch the same lines or cannot be merged."""
    with folders.work_folder() as folder:
        places = [folder / name for name in ("ours", "base", "theirs")]
        for place, content in zip(places, (ours, base, theirs), strict=True):
            place.write_bytes(content)
        done = subprocess.run(["git", "merge-file", "-p", *map(str, places)], capture_output=True)
    return done.stdout if done.returncode == 0 else None


def _renamed(base: bytes, path: str, files: Mapping[str, bytes]) -> str | None:
    """The file of the same folder and kind that is most like a file which is gone, None where none is alike."""
    parent, suffix = PurePosixPath(path).parent, PurePosixPath(path).suffix
    lines = base.splitlines()
    alike = {
        name: difflib.SequenceMatcher(None, lines, content.replace(b"\r\n", b"\n").splitlines(), autojunk=False).ratio()
        for name, content in files.items()
        if PurePosixPath(name).parent == parent and PurePosixPath(name).suffix == suffix
    }
    best = max(alike, key=alike.__getitem__, default=None)
    return best if best is not None and alike[best] >= ALIKE else None


def _ends(text: bytes | None, crlf: bool) -> bytes | None:
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") if text is not None and crlf else text
