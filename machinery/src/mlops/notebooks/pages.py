"""The pages of a review: nbdime's own view of the changed cells, as files that any browser opens without a server.

nbdime's program asks a server for `{base, diff}`; here the answer stands in the page. Its script and style files are copied
beside the pages once, whatever they are called in the installed release. Nothing in a notebook runs: nbdime cleans outputs,
"trust outputs" is taken away, and the page's content security policy allows nbdime's files and one script by its digest.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from mlops.errors import UserError
from mlops.notebooks import content
from mlops.notebooks.changes import Diff, NotebookChange
from mlops.notebooks.content import Cell, Notebook
from mlops.notebooks.review import summary, title

CONTEXT = 1  # unchanged cells shown on each side of a changed one
STATIC_KINDS = {".js", ".woff2", ".txt", ".css"}


def write(changes: Sequence[NotebookChange], folder: Path) -> Path:
    """Write `index.html`, one page for each notebook and the shared static files; return the index.

    Raises UserError when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = _names(changes)
        for change in changes:
            if names[change.path]:
                content.write_atomically(folder / names[change.path], notebook_page(change))
        if any(names.values()):
            _copy_static(folder / "static")
        content.write_atomically(folder / "index.html", index_page(changes, names))
    except OSError as error:
        raise UserError(f"{folder}: the review cannot be written ({error.strerror}); choose another --output") from error
    return folder / "index.html"


def trimmed(base: Notebook, diff: Diff, context: int = CONTEXT) -> tuple[Notebook, Diff]:
    """Return the notebook with its changed cells and their neighbours only, and the diff for it.

    A line stands for each run of cells that was left out and gives their numbers in the old notebook.
    """
    operations: Diff = next((op["diff"] for op in diff if op["key"] == "cells"), [])
    total = len(base["cells"])
    kept: set[int] = set()
    for op in operations:
        length = {"addrange": 0, "removerange": op.get("length", 0)}.get(op["op"], 1)
        kept.update(range(max(0, op["key"] - context), min(total, op["key"] + length + context)))
    cells: list[Cell] = []
    position = {}
    last = -1
    for index in [*sorted(kept), total]:
        if index - last > 1:
            cells.append(_gap(last + 2, index))
        position[index] = len(cells)
        if index < total:
            cells.append(dict(base["cells"][index], id=str(index + 1)))
        last = index
    moved = [dict(_numbered(op), key=position[op["key"]]) for op in operations]
    return dict(base, cells=cells), [{"op": "patch", "key": "cells", "diff": moved}]


def notebook_page(change: NotebookChange) -> str:
    """Return the page of one notebook: old and new side by side, as nbdime shows them."""
    base, diff = trimmed(change.base, change.diff)
    answer = _embedded({"base": base, "diff": diff})
    config = _embedded({"base": "before", "remote": "after", "baseUrl": "/", "hideUnchanged": False, "collapseIdentical": 2})
    figures = summary(change)
    words = ", ".join(f"{figures[kind]} {kind}" for kind in ("added", "removed", "changed") if figures[kind])
    boot = _asset("review.js")
    return _fill(
        _asset("review.html"),
        title=html.escape(change.path),
        words=html.escape(words or "no cell differs"),
        style=_asset("review.css"),
        policy=f"default-src 'none'; script-src 'self' file: '{_source_hash(boot)}'; style-src 'unsafe-inline'; "
        "img-src data:; font-src 'self' file: data:; base-uri 'none'; form-action 'none'",
        answer=answer,
        config=config,
        boot=boot,
    )


def index_page(changes: Sequence[NotebookChange], names: dict[str, str]) -> str:
    """Return the page that lists the notebooks and their changed cells and links to their pages."""
    rows = "".join(_index_entry(change, names[change.path]) for change in changes)
    return _fill(
        _asset("review_index.html"),
        style=_asset("review.css"),
        policy="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
        rows=rows or "<p>No notebook changed.</p>",
    )


def _index_entry(change: NotebookChange, name: str) -> str:
    path = html.escape(change.path)
    heading = f'<a href="{html.escape(name)}">{path}</a>' if name else path
    if change.error:
        body = f'<p class="error">{html.escape(change.error)}</p>'
    else:
        cells = "".join(f'<li class="{cell.kind}">{html.escape(title(cell))}</li>' for cell in change.cells[:200])
        body = f"<ul>{cells}</ul>" if cells else "<p>Only execution counts, ids or metadata differ.</p>"
    return f'<section><h2>{heading} <span class="status">{change.status}</span></h2>{body}</section>\n'


def _names(changes: Sequence[NotebookChange]) -> dict[str, str]:
    """A page's file name is the notebook's path in letters that every file system and artifact store takes."""
    names: dict[str, str] = {}
    for number, change in enumerate(changes, 1):
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", change.path.removesuffix(".ipynb")).strip("-")[:80]
        names[change.path] = f"{number:02d}-{plain or 'notebook'}.html" if change.cells else ""
    return names


def _copy_static(target: Path) -> None:
    source = resources.files("nbdime") / "webapp" / "static"
    target.mkdir(exist_ok=True)
    with resources.as_file(source) as folder:
        for path in folder.iterdir():
            if path.suffix in STATIC_KINDS:
                shutil.copyfile(path, target / path.name)


def _numbered(operation: dict[str, Any]) -> dict[str, Any]:
    """nbdime shows a cell's id above it; here that is its number, or "new"."""
    if operation["op"] != "addrange":
        return operation
    return dict(operation, valuelist=[dict(cell, id="new") for cell in operation["valuelist"]])


def _gap(first: int, last: int) -> Cell:
    words = f"cell {first} is" if first == last else f"cells {first} to {last} are"
    return {"cell_type": "markdown", "metadata": {}, "id": "–", "source": f"⋯ {words} unchanged ⋯"}


def _embedded(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it can close the element."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _source_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return (resources.files("mlops.notebooks") / name).read_text(encoding="utf-8").rstrip("\n")


def _fill(template: str, **values: str) -> str:
    """One pass, so that a value that looks like a place to fill stays as it is."""
    return re.sub(r"\{\{ (\w+) \}\}", lambda match: values[match.group(1)], template)
