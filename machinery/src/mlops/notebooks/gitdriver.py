"""What git calls to compare and to merge notebooks: nbdime, started quickly, and git's own text merge where nbdime cannot.

`python -P -m mlops.notebooks.gitdriver diff|merge ARGUMENTS`, as written to the repository's configuration by
`mlops notebooks setup`. A merge that worked ends with MERGED or CONFLICT. The command around it takes every other code for a
failure, such as the 1 of a Python that cannot import this module, and merges the text.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mlops.notebooks import environment
from mlops.notebooks.content import quick_imports

# Outputs that differ on both sides are dropped rather than marked: the next run makes them again.
MERGE = ("merge", "--output-strategy", "remove")
MERGED, CONFLICT = 0, 90


def main(arguments: Sequence[str]) -> int:
    """Run nbdime's driver and return the exit code; whatever goes wrong in it, do what git does with text."""
    task, rest = arguments[0], list(arguments[1:])
    try:
        quick_imports()
        return _merge(rest) if task == "merge" else _diff(rest)
    except (Exception, SystemExit) as error:  # nbdime raises and ends with whatever a broken notebook leads to
        name = rest[4] if task == "merge" and len(rest) > 4 else rest[0]
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        print(f"{name}: handled as text, not cell by cell: {reason[:300]}", file=sys.stderr)
    code = plain(task, rest)
    return CONFLICT if task == "merge" and 0 < code < 128 else code


def plain(task: str, arguments: list[str]) -> int:
    """Compare or merge as text: git's own way, with conflict marks for a merge."""
    if task == "merge":
        base, ours, theirs = arguments[:3]
        return subprocess.run(["git", "merge-file", "-L", "ours", "-L", "base", "-L", "theirs", ours, base, theirs]).returncode
    subprocess.run(["git", "diff", "--no-index", "--no-ext-diff", arguments[1], arguments[4]], check=False)
    return 0


def _merge(arguments: list[str]) -> int:
    """Merge copies, so that a merge that breaks off leaves the files as git gave them."""
    from nbdime.vcs.git import mergedriver

    with tempfile.TemporaryDirectory(prefix="merge-") as folder:
        copies = [str(shutil.copyfile(file, Path(folder) / f"{number}.ipynb")) for number, file in enumerate(arguments[:3])]
        _align(copies)
        code = int(mergedriver.main([*MERGE, *copies, *arguments[3:]]) or 0)
        if code not in (0, 1):
            raise ValueError(f"nbdime ended with code {code}")
        shutil.copyfile(copies[1], arguments[1])
    return CONFLICT if code else MERGED


def _align(copies: list[str]) -> None:
    if not Path(copies[0]).read_bytes().strip():
        return  # added on both sides
    notebooks = [json.loads(Path(copy).read_bytes()) for copy in copies]
    environment.align(*notebooks)
    for copy, notebook in zip(copies, notebooks, strict=True):
        Path(copy).write_text(json.dumps(notebook), encoding="utf-8")


def _diff(arguments: list[str]) -> int:
    """Compare copies without the environment; a side that is missing, /dev/null, stays as it is."""
    from nbdime.vcs.git import diffdriver

    with tempfile.TemporaryDirectory(prefix="diff-") as folder:
        for position, side in ((1, "before"), (4, "after")):
            file = Path(arguments[position])
            if file.is_file():
                copy = Path(folder) / side / Path(arguments[0]).name
                copy.parent.mkdir()
                notebook = environment.plain(json.loads(file.read_bytes()))
                copy.write_text(json.dumps(notebook), encoding="utf-8")
                arguments = [*arguments[:position], str(copy), *arguments[position + 1 :]]
        if code := int(diffdriver.main(["diff", *arguments]) or 0):
            raise ValueError(f"nbdime ended with code {code}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
