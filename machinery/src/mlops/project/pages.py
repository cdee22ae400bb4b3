"""The machinery's documentation, which its wheel carries: a project has none of these pages, `mlops docs` shows them."""

from __future__ import annotations

from pathlib import Path

from mlops.config import nearest
from mlops.errors import UserError
from mlops.project import shipped


def listed() -> list[tuple[str, str]]:
    """Each page's name and title."""
    return [(file.stem, file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")) for file in _files()]


def page(name: str) -> str:
    """The Markdown text of a page; raises UserError for one that is not there."""
    files = {file.stem: file for file in _files()}
    if name not in files:
        raise UserError(f"no page {name!r}{nearest(name, files)}; mlops docs lists them")
    return files[name].read_text(encoding="utf-8")


def _files() -> list[Path]:
    source = shipped.DATA / "source" if shipped.DATA.is_dir() else shipped.REPOSITORY
    return sorted((source / "machinery" / "docs").glob("*.md"))
