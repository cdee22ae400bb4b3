"""The page of a review: one file that any browser opens without a server, with every notebook and every cell in it.

All is rendered here: the page's only script is ours and moves between cells and views. Nothing of a notebook runs or is
loaded: HTML and Markdown are cleaned, pictures stand in the page as data, drawings too, and the page's content security policy
allows one script and one style sheet by their digests.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from mlops.errors import UserError
from mlops.notebooks import content, review_cells
from mlops.notebooks.changes import CellChange, NotebookChange
from mlops.notebooks.links import Links
from mlops.notebooks.review import summary, title

CONTEXT = 1  # unchanged cells shown on each side of a changed one
UNCHANGED = 1_500_000  # characters of the unchanged cells of one notebook that can be opened; how many more there are is named


def write(changes: Sequence[NotebookChange], folder: Path, links: Links | None = None) -> Path:
    """Write `index.html` and return it; raises UserError when the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        content.write_atomically(folder / "index.html", page(changes, links or Links()))
    except OSError as error:
        raise UserError(f"{folder}: the review cannot be written ({error.strerror}); choose another --output") from error
    return folder / "index.html"


def page(changes: Sequence[NotebookChange], links: Links | None = None) -> str:
    """Return the page of a review."""
    script, style = _asset("review.js"), _asset("review.css")
    entries = "".join(_index_entry(change, number) for number, change in enumerate(changes, 1))
    body = "".join(_notebook(change, number, links or Links()) for number, change in enumerate(changes, 1))
    return _fill(
        _asset("review.html"),
        policy=f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        style=style,
        index=entries,
        body=body or "<p>No notebook changed.</p>",
        script=script,
    )


def gaps(rows: Sequence[CellChange], context: int = CONTEXT) -> Iterator[list[CellChange]]:
    """Yield the cells in their order: one that is shown by itself, or a run of unchanged ones far from any change."""
    shown: set[int] = set()
    for number, row in enumerate(rows):
        if row.kind != "same":
            shown.update(range(number - context, number + context + 1))
    hidden: list[CellChange] = []
    for number, row in enumerate(rows):
        if number not in shown:
            hidden.append(row)
            continue
        if hidden:
            yield hidden
            hidden = []
        yield [row]
    if hidden:
        yield hidden


def _notebook(change: NotebookChange, number: int, links: Links) -> str:
    name = html.escape(change.path)
    was = f" (was {html.escape(change.old_path)})" if change.old_path != change.path else ""
    head = f'<section class="notebook" id="n{number}"><h2>{name}{was} <span class="badge">{change.status}</span></h2>'
    if change.error:
        return f'{head}<p class="error">{html.escape(change.error)}</p></section>'
    return f"{head}<p>{html.escape(_words(change))}</p>{_metadata(change)}{_cells(change, number, links)}</section>\n"


def _cells(change: NotebookChange, number: int, links: Links) -> str:
    language = content.script_language(change.head if change.head["cells"] else change.base)
    parts = []
    budget = UNCHANGED
    for rows in gaps(change.rows):
        alone = rows[0].kind != "same" or len(rows) == 1
        shown = []
        for row in rows:
            is_shown = alone or budget > 0
            text = is_shown and review_cells.html(row, _anchor(number, row), language, links.html(change, row), alone)
            budget -= 0 if alone else len(text or "")
            shown.append(text or "")
        if alone:
            parts.extend(shown)
            continue
        words = f"cells {rows[0].new} to {rows[-1].new} are unchanged"
        left_out = shown.count("")
        more = f'<p class="note">{left_out} more cells are left out for their length.</p>' if left_out else ""
        parts.append(f'<details class="gap"><summary>{words}</summary>{"".join(shown)}{more}</details>\n')
    return "".join(parts)


def _words(change: NotebookChange) -> str:
    figures = summary(change)
    words = ", ".join(f"{figures[kind]} {kind}" for kind in ("added", "removed", "changed") if figures[kind])
    return f"Cells: {words}." if words else "Only execution counts, ids or metadata differ."


def _metadata(change: NotebookChange) -> str:
    """What differs in the notebook's own metadata, and the language that it is written in."""
    rows = "".join(
        f"<tr><th>{html.escape(key)}</th><td class='old'>{_value(before)}</td><td class='new'>{_value(after)}</td></tr>"
        for key, (before, after) in change.metadata.items()
    )
    return f"<table class='metadata'><tr><th>notebook</th><th>before</th><th>after</th></tr>{rows}</table>" if rows else ""


def _value(value: Any) -> str:
    return html.escape("–" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _anchor(number: int, row: CellChange) -> str:
    return f"n{number}-{'c' if row.new else 'r'}{row.new or row.old}"


def _index_entry(change: NotebookChange, number: int) -> str:
    cells = "".join(
        f'<li class="{cell.kind}"><a href="#{_anchor(number, cell)}">{html.escape(title(cell))}</a></li>'
        for cell in change.cells
    )
    return f'<h2><a href="#n{number}">{html.escape(change.path)}</a></h2><ul>{cells}</ul>\n'


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asset(name: str) -> str:
    return (resources.files("mlops.notebooks") / name).read_text(encoding="utf-8").rstrip("\n")


def _fill(template: str, **values: str) -> str:
    """One pass, so that a value that looks like a place to fill stays as it is."""
    return re.sub(r"\{\{ (\w+) \}\}", lambda match: values[match.group(1)], template)
