"""Outputs before and after as HTML: each shown as what it is, and none of it runs."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cache
from html import escape
from typing import Any

from mlops.notebooks import clean, figures, images, review_tables, review_text
from mlops.notebooks.content import Cell

Output = dict[str, Any]
# The richest form that an output has is the one that is shown.
RICHEST = (
    *("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml", "application/vnd.plotly.v1+json"),
    *("text/html", "text/markdown", "application/json", "application/geo+json", "application/javascript"),
    *("text/latex", "text/plain"),
)
PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml")
HTML_LIMIT = 300_000  # characters of one HTML output that are shown; more is named
IMAGE = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
SAFE_IMAGE = re.compile(r'\bsrc="data:image/[a-z+]+;base64,[A-Za-z0-9+/=]*"', re.IGNORECASE)
MODES = '<p class="modes"><button data-mode="">side by side</button><button data-mode="difference">difference</button>'
MODES += '<label>fade <input type="range" min="0" max="100" value="50" data-mode="fade"></label></p>'


def compared(before: Sequence[Output], after: Sequence[Output]) -> str:
    """Return the outputs of a cell; equal ones once, the others before and after."""
    keys = [[json.dumps(output, sort_keys=True) for output in side] for side in (before, after)]
    parts: list[str] = []
    for tag, i, i_end, j, j_end in SequenceMatcher(None, keys[0], keys[1], autojunk=False).get_opcodes():
        if tag == "equal":
            parts.extend(f'<div class="equal">{shown(output)}</div>' for output in after[j:j_end])
            continue
        old, new = list(before[i:i_end]), list(after[j:j_end])
        for number in range(max(len(old), len(new))):
            parts.append(_pair(old[number] if number < len(old) else None, new[number] if number < len(new) else None))
    return "".join(parts)


def in_short(output: Output) -> str:
    """Return one output as text, a picture named with its size: for the many cells that did not change."""
    kind, value = richest(output)
    if kind in PICTURES:
        return f'<p class="note">{escape(figures.named(kind, value))}</p>'
    plain = (output.get("data") or {}).get("text/plain")
    return review_text.plain(str(plain) if plain else as_text(kind, value))


def shown(output: Output) -> str:
    """Return one output as what it is."""
    kind, value = richest(output)
    if kind in PICTURES:
        return _picture(kind, value)
    if kind == "text/html":
        return _html(value)
    if kind == "text/markdown":
        return markdown({"cell_type": "markdown", "source": value})
    drawing = _drawing(kind, value)
    return drawing or review_text.plain(as_text(kind, value))


def markdown(cell: Cell) -> str:
    """Return a Markdown cell, or text in Markdown, rendered; its attachments are in it, what lies elsewhere is named."""
    taken, pictures = images.taken_out({"cells": [dict(cell, cell_type="markdown")]}, None)
    rendered = clean.html(_mistune()(taken["cells"][0]["source"]), styled=False)
    return f'<div class="rendered">{_inert(images.put_back(rendered, pictures))}</div>'


def richest(output: Output) -> tuple[str, Any]:
    """Return the kind that is shown of an output, and its value; a stream or an error is of the kind of that name."""
    if "data" not in output:
        return str(output.get("output_type")), output
    data = output.get("data") or {}
    kind = next((kind for kind in RICHEST if kind in data), next(iter(sorted(data)), "nothing"))
    if kind == "application/vnd.jupyter.widget-view+json":
        kind = "text/plain" if "text/plain" in data else kind
    return kind, data.get(kind, "")


def as_text(kind: str, value: Any) -> str:
    """Return an output as text that can be compared line by line."""
    if kind == "stream":
        return str(value.get("text", ""))
    if kind == "error":
        lines = [str(line) for line in value.get("traceback") or []]
        return "\n".join(lines or [f"{value.get('ename')}: {value.get('evalue')}"])
    if kind.endswith("json") and not isinstance(value, str):
        return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)
    if kind.startswith("text/") or kind == "application/javascript":
        return str(value)
    return figures.named(kind, value)


def _pair(before: Output | None, after: Output | None) -> str:
    (old_kind, old), (kind, new) = richest(before) if before else ("", None), richest(after) if after else ("", None)
    if not before or not after or old_kind != kind:
        return _sides(*(shown(output) if output else "" for output in (before, after)))
    label = f'<p class="kind">{escape(_name(kind, new))}</p>'
    if kind in PICTURES:
        return f'{label}<div class="figure">{MODES}{_sides(_picture(kind, old), _picture(kind, new))}</div>'
    if kind == "text/html":
        return label + _sides(*review_tables.marked(_html(old), _html(new)))
    if kind == "text/markdown":
        return label + _sides(shown(before), shown(after)) + review_text.compared(old, new)
    text = review_text.compared(as_text(kind, old), as_text(kind, new))
    if _drawing(kind, old) or _drawing(kind, new):
        sides = _sides(_drawing(kind, old) or "", _drawing(kind, new) or "")
        return f"{label}{sides}<details><summary>the data</summary>{text}</details>"
    return label + text


def _sides(before: str, after: str) -> str:
    return f'<div class="pair"><div class="old">{before}</div><div class="new">{after}</div></div>'


def _name(kind: str, value: Any) -> str:
    if kind == "stream":
        return str(value.get("name", "stream"))
    return f"{kind}, not run" if kind == "application/javascript" else kind


def _picture(kind: str, value: Any) -> str:
    text = str(value)
    data = base64.b64encode(text.encode("utf-8", "replace")).decode() if kind == "image/svg+xml" else "".join(text.split())
    words = escape(figures.named(kind, value))
    if not re.fullmatch(r"[A-Za-z0-9+/=]*", data):
        return f'<p class="note">{words}: not a picture</p>'
    return f'<figure><img alt="{words}" src="data:{kind};base64,{data}"><figcaption>{words}</figcaption></figure>'


def _html(value: Any) -> str:
    text = str(value)
    if len(text) > HTML_LIMIT:
        return f'<p class="note">{escape(figures.named("text/html", text))}: too long for this page</p>'
    return f'<div class="rendered">{_inert(clean.html(text, styled=False))}</div>'


def _inert(text: str) -> str:
    """A picture that lies elsewhere is named: nothing is loaded, and no broken picture stands there."""
    return IMAGE.sub(lambda match: match[0] if SAFE_IMAGE.search(match[0]) else _named_image(match[0]), text)


def _named_image(tag: str) -> str:
    name = re.search(r'\bsrc="([^"]+)"', tag) or re.search(r'\balt="([^"]+)"', tag)
    return f'<span class="note">[picture {name[1] if name else "from elsewhere"}]</span>'


def _drawing(kind: str, value: Any) -> str:
    from mlops.notebooks import plotly

    svg = plotly.svg(value) if kind == "application/vnd.plotly.v1+json" else ""
    return _picture("image/svg+xml", svg) if svg else ""


@cache
def _mistune() -> Any:
    import mistune

    return mistune.create_markdown(escape=False, plugins=["strikethrough", "table", "url"])
