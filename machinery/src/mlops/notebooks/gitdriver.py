"""What git calls to compare and to merge notebooks: nbdime, started quickly.

`python -m mlops.notebooks.gitdriver diff|merge ARGUMENTS`, as written to the repository's configuration by
`mlops notebooks setup`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from mlops.notebooks.content import quick_imports

# Outputs that differ on both sides are dropped rather than marked: the next run makes them again.
MERGE = ("merge", "--output-strategy", "remove")


def main(arguments: Sequence[str]) -> int:
    """Run nbdime's driver and return its exit code; where nbdime is gone, do what git does with text."""
    quick_imports()
    task, rest = arguments[0], list(arguments[1:])
    try:
        from nbdime.vcs.git import diffdriver, mergedriver
    except ImportError:
        return plain(task, rest)
    if task == "merge":
        return int(mergedriver.main([*MERGE, *rest]) or 0)
    return int(diffdriver.main(["diff", *rest]) or 0)


def plain(task: str, arguments: list[str]) -> int:
    """Compare or merge as text: git's own way, with conflict marks for a merge."""
    if task == "merge":
        base, ours, theirs = arguments[:3]
        return subprocess.run(["git", "merge-file", "-L", "ours", "-L", "base", "-L", "theirs", ours, base, theirs]).returncode
    subprocess.run(["git", "diff", "--no-index", "--no-ext-diff", arguments[1], arguments[4]], check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
