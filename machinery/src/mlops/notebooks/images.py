"""Images of Markdown cells put into a page: attachments, and files beside the notebook.

A stand-in address takes an image's place while nbconvert makes the page, because its cleaning takes addresses with data away.
"""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mlops.notebooks.content import Cell, Notebook, as_written

# `![words](address`, `[name]: address` and `<img src="address"`.
REFERENCE = re.compile(
    r"(!\[[^\]]*\]\(\s*<?|^ {0,3}\[[^\]]+\]:\s*<?|<img\b[^>]*?\bsrc\s*=\s*[\"'])([^)\s>\"']+)", re.MULTILINE | re.IGNORECASE
)
KINDS = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml", "image/bmp", "image/avif"}
LIMIT = 20_000_000  # bytes of one image
STAND_IN = re.compile(r"https://image\.invalid/(\d+)\.png")


def taken_out(notebook: Notebook, folder: Path | None, drawings: bool = False) -> tuple[Notebook, list[tuple[str, str]]]:
    """Return the notebook with stand-ins for its images, and for each stand-in its address as written and with the data.

    drawings: SVG in outputs becomes an image, in which nothing runs.
    folder: where addresses of files are looked up; a file outside of it, also by a symbolic link, is left alone.
    """
    images: list[tuple[str, str]] = []

    def replaced(cell: Cell, match: re.Match[str]) -> str:
        data = _data(match[2], cell, folder)
        if data is None:
            return match[0]
        images.append((match[2], data))
        return f"{match[1]}https://image.invalid/{len(images) - 1}.png"

    def drawn(output: dict[str, Any]) -> dict[str, Any]:
        svg = (output.get("data") or {}).get("image/svg+xml")
        if not isinstance(svg, str):
            return output
        images.append(("", f"data:image/svg+xml;base64,{base64.b64encode(as_written(svg)).decode()}"))
        others = {kind: value for kind, value in output["data"].items() if kind != "image/svg+xml"}
        return dict(output, data={**others, "text/html": f'<img src="https://image.invalid/{len(images) - 1}.png">'})

    cells = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell = dict(cell, source=REFERENCE.sub(partial(replaced, cell), cell["source"]))
        elif drawings and "outputs" in cell:
            cell = dict(cell, outputs=[drawn(output) for output in cell["outputs"]])
        cells.append(cell)
    return dict(notebook, cells=cells), images


def put_back(page: str, images: list[tuple[str, str]]) -> str:
    """Return the page with the data of the images, and with the address as written where it is shown as text."""
    page = re.sub(rf'(\bsrc=["\']){STAND_IN.pattern}', lambda match: f"{match[1]}{images[int(match[2])][1]}", page)
    return STAND_IN.sub(lambda match: images[int(match[1])][0], page)


def digest(notebook: Notebook, folder: Path | None) -> str:
    """Return a SHA-256 of the files that a page of the notebook shows; "" where it shows none."""
    shown = hashlib.sha256()
    files = list(_files(notebook, folder))
    for file in files:
        shown.update(file.read_bytes())
    return shown.hexdigest() if files else ""


def _files(notebook: Notebook, folder: Path | None) -> Iterator[Path]:
    for cell in notebook["cells"]:
        for match in REFERENCE.finditer(cell["source"]) if cell["cell_type"] == "markdown" else ():
            if file := _file(match[2], folder):
                yield file


def _data(address: str, cell: Cell, folder: Path | None) -> str | None:
    name = address.removeprefix("attachment:")
    if name != address:
        attachments = cell.get("attachments") or {}
        kinds = attachments.get(name) or attachments.get(unquote(name)) or {}
        return next((f"data:{kind};base64,{''.join(value)}" for kind, value in kinds.items() if kind in KINDS), None)
    file = _file(address, folder)
    return f"data:{_kind(file)};base64,{base64.b64encode(file.read_bytes()).decode()}" if file else None


def _file(address: str, folder: Path | None) -> Path | None:
    if folder is None or ":" in address or address.startswith(("/", "#")):
        return None
    try:
        file = (folder / unquote(address.partition("?")[0])).resolve()
        inside = file.is_relative_to(folder.resolve()) and file.is_file() and file.stat().st_size <= LIMIT
    except (OSError, ValueError):
        return None
    return file if inside and _kind(file) in KINDS else None


def _kind(file: Path) -> str:
    return mimetypes.guess_type(file.name)[0] or ""
