"""A cell of the review page: what it is, its source, attachments, metadata and outputs, before and after."""

from __future__ import annotations

from html import escape
from typing import Any

from mlops.notebooks import review, review_outputs, review_text
from mlops.notebooks.changes import CellChange
from mlops.notebooks.content import Cell

# Tags that tools go by, in words.
TAGS = {
    "parameters": "its values are replaced by mlops notebooks run -p",
    "skip-execution": "not run",
    "raises-exception": "may fail",
    "volatile": "its outputs are not compared",
    "keep_output": "its outputs stay in git",
}


def html(cell: CellChange, anchor: str, language: str, links: str = "", pictures: bool = True) -> str:
    """Return one cell. anchor: its place on the page. links: to its lines. pictures: an unchanged one, rendered."""
    body = _same(cell, language, pictures) if cell.kind == "same" else _changed(cell, language)
    heading = f"Cell {cell.new}" if cell.kind == "same" else review.title(cell)
    kind = (cell.after or cell.before or {})["cell_type"]
    badges = f'<span class="badge">{escape(kind)}</span>{_tags(cell)}'
    return (
        f'<article class="cell {cell.kind}" id="{anchor}"><h3><a href="#{anchor}">{escape(heading)}</a> {badges}{links}</h3>'
        f"{body}</article>\n"
    )


def _changed(cell: CellChange, language: str) -> str:
    before, after = cell.before, cell.after
    source = before["source"] if before else None, after["source"] if after else None
    is_markdown = (after or before or {})["cell_type"] == "markdown"
    parts = []
    if is_markdown and (cell.source_changed or cell.attachments_changed):
        parts.append(_pair(*(review_outputs.markdown(side) if side else "" for side in (before, after))))
    if cell.source_changed:
        parts.append(review_text.compared(source[0], source[1], "" if is_markdown else language))
    elif not is_markdown:
        parts.append(f'<div class="unchanged-source">{review_text.plain(source[1] or "", language)}</div>')
    elif not cell.attachments_changed:
        parts.append(review_outputs.markdown(after or {}))
    if cell.attachments_changed:
        parts.append(_section("attachments", _pair(_attachments(before), _attachments(after))))
    if cell.metadata_changed:
        text = review_text.compared(review.metadata_text(before or {}), review.metadata_text(after or {}), "yaml")
        parts.append(_section("metadata", text))
    outputs = [(side or {}).get("outputs", []) for side in (before, after)]
    if any(outputs):
        words = "outputs" if cell.outputs_changed else "outputs, unchanged"
        parts.append(_section(words, review_outputs.compared(*outputs), "outputs"))
    return "".join(parts)


def _same(cell: CellChange, language: str, pictures: bool) -> str:
    after = cell.after or {}
    if after["cell_type"] == "markdown":
        return review_outputs.markdown(after) if pictures else review_text.plain(after["source"])
    source = review_text.plain(after["source"], language if pictures else "")
    show = review_outputs.shown if pictures else review_outputs.in_short
    outputs = "".join(map(show, after.get("outputs", [])))
    return source + (_section("outputs", outputs, "outputs") if outputs else "")


def _section(words: str, body: str, kind: str = "") -> str:
    return f'<section class="part {kind}"><h4>{escape(words)}</h4>{body}</section>'


def _pair(before: str, after: str) -> str:
    return f'<div class="pair"><div class="old">{before}</div><div class="new">{after}</div></div>'


def _attachments(cell: Cell | None) -> str:
    shown = []
    for name, kinds in ((cell or {}).get("attachments") or {}).items():
        output: dict[str, Any] = {"output_type": "display_data", "data": kinds if isinstance(kinds, dict) else {}}
        shown.append(f'<p class="note">{escape(str(name))}</p>{review_outputs.shown(output)}')
    return "".join(shown)


def _tags(cell: CellChange) -> str:
    before, after = ({*((side or {}).get("metadata") or {}).get("tags", [])} for side in (cell.before, cell.after))
    if cell.before is None or cell.after is None:
        before = after = before | after
    badges = []
    for tag in sorted(before | after, key=str):
        state = "" if tag in before and tag in after else " gone" if tag in before else " new"
        title = f' title="{escape(TAGS[tag])}"' if tag in TAGS else ""
        badges.append(f'<span class="badge tag{state}"{title}>{escape(str(tag))}</span>')
    return "".join(badges)
