"""Addresses of the lines of committed scripts: on the pull request, where a comment is one click away, or in the tree."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from html import escape
from pathlib import PurePosixPath
from urllib.parse import quote

from mlops import runner
from mlops.notebooks import export
from mlops.notebooks.changes import CellChange, NotebookChange


@dataclass(frozen=True)
class Links:
    """Where the reader finds lines. pull: the address of the pull request. tree: of the head's files; "" is none.

    GitHub's page of a pull request has the anchor `diff-` and the SHA-256 of a file's path, then R or L and the line.
    """

    pull: str = ""
    tree: str = ""
    starts: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    def html(self, change: NotebookChange, cell: CellChange) -> str:
        """Return the link of a cell to its line, "" where there is no such address or no committed script."""
        if not change.has_script or not (self.pull or self.tree):
            return ""
        side, number = ("R", cell.new) if cell.new else ("L", cell.old)
        path = change.path if cell.new else change.old_path
        notebook = change.head if cell.new else change.base
        script = str(PurePosixPath(path).with_suffix("") / f"{PurePosixPath(path).stem}.py")
        if (path, side) not in self.starts:
            self.starts[path, side] = export.cell_lines(notebook)
        line = export.line_of(notebook, number or 1, _first_change(cell), self.starts[path, side])
        if self.pull and cell.source_changed:
            address = f"{self.pull}/files#diff-{hashlib.sha256(script.encode()).hexdigest()}{side}{line}"
            words = "comment on"
        elif self.tree and cell.new:
            address, words = f"{self.tree}/{quote(script)}#L{line}", "see"
        else:
            return ""
        return f' <a class="line" href="{escape(address)}">{words} line {line} of {escape(PurePosixPath(script).name)}</a>'


def of_run(head: str) -> Links:
    """Return the addresses of the pull request that a workflow runs for; outside of one there are none."""
    number = (runner.event().get("pull_request") or {}).get("number")
    server, repository = os.environ.get("GITHUB_SERVER_URL", "https://github.com"), os.environ.get("GITHUB_REPOSITORY", "")
    if not runner.event_name() or not repository:
        return Links()
    place = f"{server}/{repository}"
    return Links(f"{place}/pull/{number}" if number else "", f"{place}/blob/{quote(head)}" if head else "")


def _first_change(cell: CellChange) -> int:
    """The first line of a source that differs, from 1."""
    if not cell.before or not cell.after or not cell.source_changed:
        return 1
    old, new = cell.before["source"].split("\n"), cell.after["source"].split("\n")
    same = next((number for number, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    return min(same + 1, len(new))
