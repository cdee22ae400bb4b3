"""What a reviewer reads about changed notebooks: Markdown for the pull request; `pages` has the pages for the browser."""

from __future__ import annotations

import difflib
import html
import json
import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from mlops.notebooks import figures
from mlops.notebooks.changes import CellChange, NotebookChange
from mlops.notebooks.content import Cell, as_written

COMMENT_LIMIT = 60_000  # characters; a comment on GitHub holds 65,536
BLOCK_LIMIT = 40  # lines of one source or output in the Markdown; the page has the rest
LINE_LIMIT = 300  # characters
FIGURES = 50  # that the Markdown names
ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def markdown(changes: Sequence[NotebookChange], page: str = "", limit: int = COMMENT_LIMIT) -> str:
    """Return the review as GitHub Markdown of at most `limit` characters, cell by cell; `page` is the link to the pages.

    Text of a notebook stands in fenced blocks only, so it can neither format the comment nor mention a person.
    """
    if not changes:
        return "## Notebooks\n\nNo notebook changed.\n"
    head = ["## Notebooks", "", "| notebook | | cells added | removed | changed | new outputs |", "|---|---|--:|--:|--:|--:|"]
    head.extend(_row(change) for change in changes)
    head.append("")
    head.extend(_figures(changes))
    if page:
        head.append(f"[The same, rendered, with tables and figures before and after]({page})\n")
    parts = ["\n".join(head) + "\n"]
    budget = limit - len(parts[0]) - 200
    left_out = 0
    for change in changes:
        for block in _blocks(change):
            if left_out or len(block) > budget:
                left_out += 1
                continue
            parts.append(block)
            budget -= len(block)
    if left_out:
        parts.append(f"\n{left_out} more changes are left out here for their length; the rendered page shows them.\n")
    return as_written("".join(parts)).decode()


def summary(change: NotebookChange) -> dict[str, Any]:
    """Return the figures of one notebook's change for a table or for JSON."""
    kinds = [cell.kind for cell in change.cells]
    return {
        "notebook": change.path,
        "status": change.status,
        "added": kinds.count("added"),
        "removed": kinds.count("removed"),
        "changed": kinds.count("changed") + kinds.count("moved"),
        "outputs": sum(cell.after is not None and cell.outputs_changed for cell in change.cells),
        "error": change.error,
    }


def output_text(cell: Cell | None) -> str:
    """Return the outputs of a cell as plain text; figures and other data are named with their size."""
    return "\n".join(_one_output(output).rstrip("\n") for output in (cell or {}).get("outputs", []))


def title(cell: CellChange) -> str:
    """Return a line such as "Cell 4 changed: source, outputs"."""
    if cell.kind == "added":
        return f"Cell {cell.new} added"
    if cell.kind == "removed":
        return f"Cell {cell.old} removed (its old number)"
    moved = f"moved from {cell.old}" if cell.kind == "moved" else ""
    parts = {
        "source": cell.source_changed,
        "outputs": cell.outputs_changed,
        "attachments": cell.attachments_changed,
        "metadata": cell.metadata_changed,
    }
    changed = ", ".join(name for name, differs in parts.items() if differs)
    return f"Cell {cell.new} " + "; ".join(part for part in (moved, f"changed: {changed}" if changed else "") if part)


def figure_changes(cell: CellChange) -> list[tuple[str, str]]:
    """Return what figures a cell showed and shows, in words, where one of them differs: (before, after)."""
    sides = [_pictures(side) for side in (cell.before, cell.after)]
    pairs = zip_longest(*sides, fillvalue=("", ""))
    return [(before[0], after[0]) for before, after in pairs if before[1] != after[1]]


def _pictures(cell: Cell | None) -> list[tuple[str, str]]:
    data = [output.get("data") or {} for output in (cell or {}).get("outputs", [])]
    return [
        (figures.named(kind, value), str(value))
        for one in data
        for kind, value in sorted(one.items())
        if kind.startswith("image/")
    ]


def _figures(changes: Sequence[NotebookChange]) -> list[str]:
    """A table of the figures that changed, with their sizes; the page shows them."""
    rows = [
        f"| {inline(change.path)} | {cell.new or cell.old} | {before or '–'} | {after or '–'} |"
        for change in changes
        for cell in change.cells
        for before, after in figure_changes(cell)
    ]
    if not rows:
        return []
    shown = rows[:FIGURES] + ([f"| … | | {len(rows) - FIGURES} more | |"] if len(rows) > FIGURES else [])
    return ["Figures that changed:", "", "| notebook | cell | before | after |", "|---|--:|---|---|", *shown, ""]


def _row(change: NotebookChange) -> str:
    figures = summary(change)
    name = inline(change.path)
    if change.old_path != change.path:
        name += f" (was {inline(change.old_path)})"
    numbers = " | ".join(str(figures[key] or "") for key in ("added", "removed", "changed", "outputs"))
    return f"| {name} | {'unreadable' if change.error else change.status} | {numbers} |"


def _blocks(change: NotebookChange) -> list[str]:
    heading = f"\n### {inline(change.path)}\n\n"
    if change.error:
        return [f"{heading}{fenced(change.error, '')}\n"]
    if change.status == "removed":
        return [f"{heading}The notebook was removed.\n"]
    blocks = [_cell_block(cell) for cell in change.cells]
    if not blocks:
        return [f"{heading}Only execution counts, ids or metadata differ.\n"]
    return [heading + blocks[0], *blocks[1:]]


def _cell_block(cell: CellChange) -> str:
    parts = [f"<details><summary>{html.escape(title(cell))}</summary>\n\n"]
    before, after = cell.before or {}, cell.after or {}
    if cell.source_changed:
        parts.append(fenced(_diff(before.get("source", ""), after.get("source", "")), "diff"))
    if cell.outputs_changed:
        parts.append("\nOutputs before (−) and after (+):\n\n")
        parts.append(fenced(_diff(output_text(cell.before), output_text(cell.after)), "diff"))
    if cell.metadata_changed:
        parts.append("\nMetadata:\n\n")
        parts.append(fenced(_diff(metadata_text(before), metadata_text(after)), "diff"))
    return "".join(parts) + "\n</details>\n\n"


def metadata_text(cell: Cell) -> str:
    """Return the metadata of a cell that mean something, as YAML, tags first."""
    import yaml

    metadata = cell.get("metadata") or {}
    try:
        return yaml.safe_dump(metadata, allow_unicode=True, default_flow_style=False) if metadata else ""
    except RecursionError:  # hundreds of levels
        return json.dumps(metadata, ensure_ascii=False, sort_keys=True)


def _diff(before: str, after: str) -> str:
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3))[2:]
    lines = [line for line in lines if not line.startswith("@@")] if len(lines) <= BLOCK_LIMIT else lines
    if not lines:
        return "  the data differ, their text does not"
    shown = [line[:LINE_LIMIT] + ("…" if len(line) > LINE_LIMIT else "") for line in lines[:BLOCK_LIMIT]]
    if len(lines) > BLOCK_LIMIT:
        shown.append(f"… {len(lines) - BLOCK_LIMIT} more lines")
    return "\n".join(shown)


def _one_output(output: dict[str, Any]) -> str:
    kind = output.get("output_type")
    if kind == "stream":
        return ANSI.sub("", output.get("text", ""))
    if kind == "error":
        return f"{output.get('ename')}: {output.get('evalue')}"
    data = output.get("data") or {}
    named = [f"[{figures.named(mime, value)}]" for mime, value in sorted(data.items()) if mime.startswith("image/")]
    text = data.get("text/plain") or data.get("text/markdown") or ""
    if named or not text:
        return " ".join(named or [f"[{figures.named(mime, value)}]" for mime, value in sorted(data.items())])
    return ANSI.sub("", str(text))


def fenced(text: str, language: str) -> str:
    """Return a code block that nothing in the text can end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}\n"


def inline(text: str) -> str:
    """Return a text as code within a line or a table."""
    return "`" + re.sub(r"[`|\r\n]", "·", text) + "`"
