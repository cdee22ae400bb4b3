"""What changed in notebooks between two git refs, cell by cell.

Execution counts, ids and metadata that only tell how a notebook was shown or run are left out before comparing: with them
every cell that was run again would count.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops import git
from mlops.errors import UserError
from mlops.notebooks import content, pairing
from mlops.notebooks.content import Cell, Notebook
from mlops.notebooks.outputs import SHOWN

EMPTY: Notebook = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": []}
STREAM_LIMIT = 20_000  # characters of a stream that take part in a comparison
# Metadata that editors write for themselves, of cells and of notebooks.
EDITORS = {
    *SHOWN,
    *("accelerator", "colab", "colab_type", "deletable", "editable", "hidden", "id", "jp-MarkdownHeadingCollapsed", "jupyter"),
    *("outputId", "pycharm", "trusted"),
    *("vscode", "kernelspec", "language_info", "orig_nbformat", "toc", "widgets", "lines_to_next_cell"),
}


@dataclass(frozen=True)
class CellChange:
    """One cell of both notebooks: positions count from 1, None on the side where the cell is missing."""

    kind: str  # added, removed, changed, moved, same
    before: Cell | None
    after: Cell | None
    old: int | None
    new: int | None

    @property
    def source_changed(self) -> bool:
        return self._differs("source")

    @property
    def outputs_changed(self) -> bool:
        before, after = self.before or {}, self.after or {}
        return bool(before.get("outputs", []) != after.get("outputs", []))

    @property
    def metadata_changed(self) -> bool:
        return self.before is not None and self.after is not None and self._differs("metadata")

    @property
    def attachments_changed(self) -> bool:
        return bool((self.before or {}).get("attachments", {}) != (self.after or {}).get("attachments", {}))

    def _differs(self, key: str) -> bool:
        if self.before is None or self.after is None:
            return True
        return bool(self.before[key] != self.after[key])


@dataclass(frozen=True)
class NotebookChange:
    """One notebook that differs; `error` says why it could not be compared.

    base, head: the notebooks as they are. rows: every cell of both, in the order of the new notebook, as it is compared.
    metadata: what differs in the notebook's own, `{key: (before, after)}`. has_script: its script is committed.
    """

    path: str
    status: str  # added, removed, renamed, changed
    base: Notebook
    head: Notebook
    rows: list[CellChange]
    old_path: str
    error: str | None = None
    metadata: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    has_script: bool = False

    @property
    def cells(self) -> list[CellChange]:
        """The cells that differ."""
        return [row for row in self.rows if row.kind != "same"]


def between(root: Path, base: str, head: str | None, paths: Iterable[str] = ()) -> list[NotebookChange]:
    """Return the notebooks that differ between the common ancestor of the refs and `head` (None: the working tree).

    The working tree has files that are not yet in git, too, but for those that git ignores.
    Raises UserError when a ref is unknown or the folder is no git repository.
    """
    root = Path(git.git("rev-parse", "--show-toplevel", root=root))
    start = _merge_base(root, base, head or "HEAD")
    end = [head] if head else []
    where = list(paths) or ["*.ipynb"]
    listing = git.git("diff", "--no-ext-diff", "--name-status", "-z", "-M", start, *end, "--", *where, root=root)
    untracked = "" if head else git.git("ls-files", "--others", "--exclude-standard", "-z", "--", *where, root=root)
    added = [("added", path, path) for path in untracked.split("\0")]
    return [
        _change(root, status, old, new, start, head)
        for status, old, new in [*_entries(listing.split("\0")), *added]
        if new.endswith(".ipynb") or old.endswith(".ipynb")
    ]


def compare(base: Notebook, head: Notebook) -> list[CellChange]:
    """Return every cell of both notebooks in the order of the new one, a removed cell where it was."""
    old, new = _comparable(base), _comparable(head)
    chosen = pairing.pairs(old, new, *([cell.get("id") for cell in notebook["cells"]] for notebook in (base, head)))
    elsewhere = pairing.moved(chosen)
    partner = {j: i for i, j in chosen}
    removed = sorted({*range(len(old))} - {*partner.values()}, reverse=True)
    rows: list[CellChange] = []
    for j, after in enumerate(new):
        i = partner.get(j)
        if i is None:
            rows.append(CellChange("added", None, after, None, j + 1))
            continue
        while j not in elsewhere and removed and removed[-1] < i:
            rows.append(_removed(old, removed.pop()))
        kind = "moved" if j in elsewhere else "same" if old[i] == after else "changed"
        rows.append(CellChange(kind, old[i], after, i + 1, j + 1))
    rows.extend(_removed(old, i) for i in reversed(removed))
    return rows


def metadata_changes(base: Notebook, head: Notebook) -> dict[str, tuple[Any, Any]]:
    """Return what differs in the notebooks' own metadata and means something: the language, and what a person wrote."""
    before, after = ({"language": content.script_language(one), **_meaning(one["metadata"])} for one in (base, head))
    keys = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
    return {key: (before.get(key), after.get(key)) for key in keys}


def _removed(cells: list[Cell], i: int) -> CellChange:
    return CellChange("removed", cells[i], None, i + 1, None)


def _merge_base(root: Path, base: str, head: str) -> str:
    for ref in (base, head):
        try:
            git.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}", root=root)
        except UserError as error:
            raise UserError(
                f"{ref}: no such commit in {root}; fetch it (git fetch origin, full history) or check the name"
            ) from error
    try:
        return git.git("merge-base", base, head, root=root)
    except UserError:  # unrelated histories, or a shallow clone
        return base


def _entries(fields: list[str]) -> Iterable[tuple[str, str, str]]:
    words = iter(field for field in fields if field)
    names = {"A": "added", "D": "removed", "R": "renamed", "C": "added"}
    for code in words:
        old = next(words)
        new = next(words) if code[0] in "RC" else old
        yield names.get(code[0], "changed"), old, new


def _change(root: Path, status: str, old: str, new: str, start: str, head: str | None) -> NotebookChange:
    try:
        before = EMPTY if status == "added" else _at(root, start, old)
        if status == "removed":
            after = EMPTY
        elif head:
            after = _at(root, head, new)
        else:
            after = content.read(root / new)
    except UserError as error:
        return NotebookChange(new, status, EMPTY, EMPTY, [], old, str(error))
    has_script = content.is_marked((root / new).parent)
    metadata = metadata_changes(before, after) if EMPTY not in (before, after) else {}
    return NotebookChange(new, status, before, after, compare(before, after), old, None, metadata, has_script)


def _at(root: Path, ref: str, path: str) -> Notebook:
    try:
        return content.parse(git.git("show", f"{ref}:{path}", root=root), f"{path} at {ref[:12]}")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} at {ref[:12]}: not a notebook, it is not in UTF-8; save it in JupyterLab") from error


def _comparable(notebook: Notebook) -> list[Cell]:
    cells = []
    for cell in content.limited(notebook)["cells"]:
        plain: Cell = {"cell_type": cell["cell_type"], "metadata": _meaning(cell["metadata"]), "source": cell["source"]}
        if cell.get("attachments"):
            plain["attachments"] = cell["attachments"]
        if cell["cell_type"] == "code":
            plain["outputs"] = [_comparable_output(output) for output in cell["outputs"]]
        cells.append(plain)
    return cells


def _meaning(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata without what editors and runs write, and without what is empty, such as tags that are all gone."""
    return {key: value for key, value in metadata.items() if key not in EDITORS and value not in ([], {}, None)
            and not key.startswith("application/")}  # fmt: skip


def _comparable_output(output: dict[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in output.items() if key != "transient"}
    if "execution_count" in plain:
        plain["execution_count"] = None
    if "metadata" in plain:
        plain["metadata"] = {}
    text = plain.get("text")
    if isinstance(text, str) and len(text) > STREAM_LIMIT:
        plain["text"] = f"{text[:STREAM_LIMIT]}\n[{len(text) - STREAM_LIMIT:,} more characters left out]\n"
    return plain
