"""What a notebook holds: reading, limits, digests, and which notebooks belong to a project.

Only the standard library, because the save hook starts this at each save.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mlops import files
from mlops.errors import UserError
from mlops.notebooks import css_select

Notebook = dict[str, Any]
Cell = dict[str, Any]

MARKERS = (".ipynb_saveprocess", ".ipynb_saveprogress")
TEXT_LIMIT = 1_000_000  # characters of a stream or plain text that an export or a review shows
DATA_LIMIT = 20_000_000  # characters of any other output: an image, a page, a widget
TEXTS = ("text/", "image/")  # beginnings of the kinds of data that are text, or lines of text
SKIPPED = {".ipynb_checkpoints", ".git", ".venv", ".tox", "node_modules", "build", "dist", "output", "models", "__pycache__"}
# Optional packages of jsonschema that build grammars when imported: 0.6 to 1.4 s that a notebook never needs.
SLOW_OPTIONAL = ("rfc3987_syntax", "rfc3986_validator", "isoduration", "webcolors", "uri_template", "fqdn")


def quick_imports() -> None:
    """Keep the slow imports of nbformat and nbconvert out of this process, and let its garbage lie longer.

    For programs, before their first import of nbformat; never in a library or a test process, which others share.
    """
    gc.set_threshold(50_000)  # imports make many objects that stay: looking for garbage among them costs a tenth
    for name in SLOW_OPTIONAL:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    sys.modules.setdefault("soupsieve", css_select)


def read(path: Path) -> Notebook:
    """Return the notebook as a plain dictionary in nbformat 4, sources joined; raises UserError when it is none."""
    try:
        return parse(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def parse(content: bytes | str, name: str) -> Notebook:
    """Return a notebook from its text; raises UserError naming the line that is not JSON, or what is missing."""
    raw = content.encode() if isinstance(content, str) else content
    try:
        notebook = json.loads(raw)
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
        hint = (
            "it holds merge conflict marks"
            if re.search(rb"^<<<<<<< ", raw, re.MULTILINE)
            else "restore it from git or from a checkpoint"
        )
        raise UserError(f"{name}: not a notebook, its JSON breaks at {where}; {hint}") from error
    if not isinstance(notebook, dict) or "nbformat" not in notebook:
        raise UserError(f"{name}: not a notebook, the key nbformat is missing; restore it from git or from a checkpoint")
    if notebook["nbformat"] != 4:
        notebook = _converted(notebook, name)
    if broken := _broken(notebook):
        raise UserError(f"{name}: not a notebook, its {broken} cannot be read; restore it from git or from a checkpoint")
    return _joined(notebook)


def raw(content: bytes, notebook: Notebook) -> Notebook:
    """Return a notebook as its file has it, to be written again; one of an older format as it was read, `notebook`."""
    written = json.loads(content)
    return dict(written) if written["nbformat"] == 4 else notebook


def script_language(notebook: Notebook) -> str:
    """Return the language of the code cells, in small letters; Python when the notebook does not say."""
    metadata = notebook.get("metadata", {})
    for part, key in (("language_info", "name"), ("kernelspec", "language")):
        if metadata.get(part, {}).get(key):
            return str(metadata[part][key]).lower()
    return "python"


def limited(notebook: Notebook) -> Notebook:
    """Return a copy whose outputs are cut to what a person can read, with a line that says so."""
    cells = [dict(cell, outputs=[_limited_output(out) for out in cell["outputs"]]) if "outputs" in cell else cell
             for cell in notebook["cells"]]  # fmt: skip
    return dict(notebook, cells=cells)


def digest(notebook: Notebook) -> str:
    """Return a SHA-256 of all that a page is made of: the notebook without its execution counts, which no page shows."""
    cells = [
        {**_without_count(cell), "outputs": [_without_count(output) for output in cell.get("outputs", [])]}
        for cell in notebook["cells"]
    ]
    text = json.dumps(dict(notebook, cells=cells), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def is_marked(folder: Path) -> bool:
    """Whether notebooks saved in this folder are exported."""
    return any((folder / marker).exists() for marker in MARKERS)


def find(paths: Iterable[Path]) -> list[Path]:
    """Return the notebooks at and below the paths, sorted; checkpoints and the tools' own folders are passed over.

    Raises UserError for a path that is not there, or a file that is no notebook.
    """
    files: set[Path] = set()
    for path in paths:
        if path.is_dir():
            files.update(_walk(path))
        elif path.suffix == ".ipynb" and path.is_file():
            files.add(path)
        else:
            raise UserError(f"{path}: no notebook and no folder; give a .ipynb file or a folder that holds some")
    return sorted(files)


def marked_folders(paths: Iterable[Path]) -> list[Path]:
    """Return the folders at and below the paths, and those of files, whose notebooks are exported; also those without one."""
    folders = {Path(parent) for path in paths if path.is_dir() for parent, _, _ in _folders(path)}
    return sorted(folder for folder in folders | {path.parent for path in paths if not path.is_dir()} if is_marked(folder))


def folders_below(output: Path, paths: Sequence[Path]) -> list[Path]:
    """Return the folder below `output` for the results of each notebook: they lie there as the notebooks lie to each other.

    Notebooks of one folder share `output` itself; a/x.ipynb and b/x.ipynb have output/a and output/b.
    """
    parents = [Path(os.path.abspath(path)).parent for path in paths]
    common = os.path.commonpath(parents) if parents else ""
    return [output / parent.relative_to(common) for parent in parents]


def as_written(text: str) -> bytes:
    """Return the bytes of a text in a file; half of a surrogate pair, which JSON may hold but not UTF-8, is "?"."""
    return text.encode("utf-8", "replace")


def write_atomically(path: Path, text: str) -> bool:
    """Write the file in one step, or leave it alone when it already reads so; return whether it was written."""
    content = as_written(text)
    if path.is_symlink():
        raise UserError(f"{path}: a symbolic link, an export is not written through it; remove the link")
    if path.is_file() and path.read_bytes() == content:
        return False
    files.write_text(path, content.decode("utf-8"))
    return True


def _walk(folder: Path) -> Iterator[Path]:
    for parent, _, names in _folders(folder):
        yield from (Path(parent, name) for name in names if name.endswith(".ipynb"))


def _folders(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        yield parent, folders, names


def _broken(notebook: Notebook) -> str | None:
    """Return the first part whose structure is not nbformat's, as far as it is relied on here; None where there is none."""
    metadata = notebook.get("metadata") or {}
    if not _holds(metadata, dict, "kernelspec", "language_info"):
        return "metadata"
    if not isinstance(notebook.get("nbformat_minor", 0), int):
        return "nbformat_minor"
    if not isinstance(notebook.get("cells"), list):
        return "cells"
    return next((f"cell {number}" for number, cell in enumerate(notebook["cells"], 1) if not _is_cell(cell)), None)


def _is_cell(cell: Any) -> bool:
    return (
        isinstance(cell, dict)
        and isinstance(cell.get("cell_type"), str)
        and isinstance(cell.get("id") or "", str)
        and _is_text(cell.get("source", ""))
        and isinstance(metadata := cell.get("metadata") or {}, dict)
        and _is_lines(metadata.get("tags", []))
        and isinstance(attachments := cell.get("attachments") or {}, dict)
        and all(isinstance(kinds, dict) for kinds in attachments.values())
        and isinstance(outputs := cell.get("outputs") or [], list)
        and all(map(_is_output, outputs))
    )


def _is_output(output: Any) -> bool:
    return (
        _holds(output, dict, "data")
        and _is_lines(output.get("traceback") or [])
        and all(_is_text(value) for kind, value in output.get("data", {}).items() if kind.startswith(TEXTS))
    )


def _holds(value: Any, kind: type, *keys: str) -> bool:
    """Whether a value is a dictionary in which these keys, where they are there, have values of a kind."""
    return isinstance(value, dict) and all(isinstance(value[key], kind) for key in keys if key in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or _is_lines(value)


def _converted(notebook: Notebook, name: str) -> Notebook:
    import nbformat

    try:
        return dict(json.loads(json.dumps(nbformat.convert(nbformat.from_dict(notebook), 4))))
    except Exception as error:  # nbformat raises whatever the broken structure leads to
        raise UserError(f"{name}: nbformat {notebook['nbformat']} cannot be converted; save it in JupyterLab") from error


def _joined(notebook: Notebook) -> Notebook:
    """Multi-line strings may be stored as lists of lines; here they are strings."""
    cells = []
    for cell in notebook["cells"]:
        cell = dict(cell, source=_text(cell.get("source", "")), metadata=cell.get("metadata") or {})
        if cell["cell_type"] == "code":
            cell["outputs"] = [_joined_output(output) for output in cell.get("outputs") or []]
        cells.append(cell)
    return dict(notebook, cells=cells, metadata=notebook.get("metadata") or {})


def _joined_output(output: dict[str, Any]) -> dict[str, Any]:
    output = dict(output)
    if "text" in output:
        output["text"] = _text(output["text"])
    if isinstance(output.get("data"), dict):
        output["data"] = {kind: _text(value) if _is_lines(value) else value for kind, value in output["data"].items()}
    return output


def _is_lines(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(line, str) for line in value)


def _text(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else str(value)


def _limited_output(output: dict[str, Any]) -> dict[str, Any]:
    if "text" in output:
        return dict(output, text=_cut(output["text"], TEXT_LIMIT))
    if not isinstance(output.get("data"), dict):
        return output
    data = {}
    for kind, value in output["data"].items():
        if kind == "text/plain":
            data[kind] = _cut(_text(value), TEXT_LIMIT)
        elif isinstance(value, str) and len(value) > DATA_LIMIT:
            data["text/plain"] = f"[{kind} of {len(value):,} characters left out]"
        else:
            data[kind] = value
    return dict(output, data=data)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[{len(text) - limit:,} more characters left out]\n"


def _without_count(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key != "execution_count"}
