"""A notebook as a script for review and as a page for reading, the same bytes for the same notebook.

`notebooks/01_explore.ipynb` becomes `notebooks/01_explore/01_explore.py` and `.html`. The script is in the percent format that
editors understand, without prompts and outputs: it is committed, and comments on a pull request go on its lines. The page is
made by nbconvert and is not committed. `python -m mlops.notebooks.export FILE...` is what the save hook starts.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.errors import UserError
from mlops.notebooks import cells, clean, content, images
from mlops.notebooks.content import Cell, Notebook

if TYPE_CHECKING:
    from jinja2.bccache import Bucket, BytecodeCache

FORMATS = ("py", "html")
SCRIPT_MARK = re.compile(r"\ufeff?(?:<<<<<<<[^\n]*\n)?# Exported from .+\.ipynb by `mlops notebooks export`")
PAGE_MARK = re.compile(r'<meta name="notebook-digest" content="([0-9a-f]{64}) ([^"]*)"')
FOREIGN = "not written by mlops notebooks export, so no export replaces it"


def script(notebook: Notebook, name: str) -> str:
    """Return the notebook as a Python script in percent format.

    A cell that is not Python by itself keeps its lines: magics become calls of get_ipython(), the line of a cell magic such as
    %%time, a cell in another language or a broken cell becomes a comment. The script can always be parsed.
    """
    python = content.script_language(notebook) == "python"
    parts = [f"# Exported from {name}.ipynb by `mlops notebooks export`: change the notebook, not this file.\n"]
    parts.extend(_script_cell(cell, python) for cell in notebook["cells"])
    return "\n".join(parts)


def cell_lines(notebook: Notebook) -> list[int]:
    """Return for each cell the line of the script, from 1, where its first line stands."""
    is_python = content.script_language(notebook) == "python"
    lines = []
    line = 4  # below the remark at the top, an empty line and the cell's own mark
    for cell in notebook["cells"]:
        lines.append(line)
        line += _script_cell(cell, is_python).count("\n") + 1
    return lines


def line_of(notebook: Notebook, cell: int, line: int = 1, starts: Sequence[int] = ()) -> int:
    """Return the line of the script where a line of a cell stands; all count from 1. starts: what `cell_lines` returns."""
    first = (list(starts) or cell_lines(notebook))[cell - 1]
    if line == 1:
        return first
    one = notebook["cells"][cell - 1]
    last = str(one["source"]).count("\n") + 1
    with suppress(SyntaxError):
        is_python = content.script_language(notebook) == "python" and one["cell_type"] == "code"
        if is_python and (python := cells.as_python(one["source"])):
            return first + next((step for step, part in enumerate(python.lines) if part.number >= line), 0)
    return first + min(line, last) - 1


def page(notebook: Notebook, name: str, sanitize: bool = False, folder: Path | None = None) -> str:
    """Return the notebook as one HTML page; with `sanitize`, scripts in Markdown and outputs are left out.

    Images of Markdown cells are put into the page: attachments, and files in and below `folder`.
    Raises UserError for a notebook that nbconvert refuses.
    """
    import nbformat
    from nbconvert import HTMLExporter

    mark = f'<meta name="notebook-digest" content="{_digest(notebook, folder)} {_made_by(sanitize)}">'
    pictured, pictures = images.taken_out(content.limited(notebook), folder, drawings=sanitize)
    node = nbformat.from_dict(_with_ids(pictured))
    options = {"exclude_input_prompt": True, "exclude_output_prompt": True, "sanitize_html": sanitize}
    exporter = HTMLExporter(**options, optimistic_validation=True)  # once, not after each of its steps
    if sanitize:  # nbconvert's own filter shows headings, tables and images as tags
        exporter.register_filter("clean_html", clean.html)
    exporter.environment.bytecode_cache = _template_cache()
    counter = itertools.count(1)
    exporter.environment.globals["uuid4"] = lambda: f"output-{next(counter)}"
    try:
        body, _ = exporter.from_notebook_node(node, resources={"metadata": {"name": name}})
    except Exception as error:  # nbconvert raises whatever the broken structure leads to
        message = f"{type(error).__name__}: {str(getattr(error, 'message', error))[:300]}".partition("\n")[0]
        raise UserError(f"{name}.ipynb: nbconvert refuses it ({message}); restore it, or save it in JupyterLab") from error
    return images.put_back(body.replace("<head>", f"<head>{mark}", 1), pictures)


def export(path: Path, formats: Iterable[str] = FORMATS, output: Path | None = None, sanitize: bool = False) -> list[Path]:
    """Write the exports of one notebook and return those that changed.

    They go to the folder named like the notebook beside it, or below `output`. Raises UserError for a notebook that cannot be
    read, for a folder or file that is a symbolic link, and for a file that is no export: nothing is written then.
    """
    notebook = content.read(path)
    folder = (output or path.parent) / path.stem
    if folder.is_symlink():
        raise UserError(f"{folder}: a symbolic link, exports are not written through it; replace it by a folder")
    targets = [folder / f"{path.stem}.{kind}" for kind in formats]
    try:
        if foreign := next(filter(_is_foreign, targets), None):
            raise UserError(f"{foreign}: {FOREIGN}; rename it, or rename the notebook")
        folder.mkdir(parents=True, exist_ok=True)
        written = [_write(notebook, target, sanitize, path.parent) for target in targets]
    except OSError as error:
        raise UserError(f"{folder}: the export cannot be written ({error.strerror}); fix it and save again") from error
    return [target for target in written if target]


def export_all(
    folders: Mapping[Path, Path], formats: Iterable[str] = FORMATS, sanitize: bool = False
) -> tuple[list[Path], dict[Path, str]]:
    """Export notebooks, each below its folder; return the files written, and the reason of each that failed."""
    written: list[Path] = []
    failed: dict[Path, str] = {}
    for path, folder in folders.items():
        try:
            written += export(path, formats, folder, sanitize)
        except UserError as error:
            failed[path] = str(error)
    return written, failed


def stale(path: Path) -> str | None:
    """Return why the committed script of a notebook is stale, or None when it is in step; raises UserError as `export`."""
    target = path.parent / path.stem / f"{path.stem}.py"
    if not target.is_file():
        return f"{target} is missing"
    if _is_foreign(target):
        return f"{target}: {FOREIGN}; rename it"
    expected = content.as_written(script(content.read(path), path.stem))
    current = target.read_bytes().replace(b"\r\n", b"\n")  # git may have checked it out so
    return None if current == expected else f"{target} is older than the notebook"


def orphans(folder: Path) -> list[Path]:
    """Return the exports in a marked folder whose notebook is gone (renamed or deleted)."""
    if not content.is_marked(folder):
        return []
    orphaned: list[Path] = []
    for child in sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink()):
        if not (folder / f"{child.name}.ipynb").exists():
            targets = (child / f"{child.name}.{kind}" for kind in FORMATS)
            orphaned.extend(target for target in targets if target.is_file() and _is_ours(target))
    return orphaned


def prune(folder: Path) -> list[Path]:
    """Remove the exports whose notebook is gone, and their folders when nothing else is in them; return the files."""
    removed = orphans(folder)
    for path in removed:
        path.unlink()
    for parent in {path.parent for path in removed}:
        if not any(parent.iterdir()):
            parent.rmdir()
    return removed


def main(arguments: Sequence[str]) -> int:
    """Export the notebooks given and print one line of JSON for each, `{"notebook": ..., "error": null or text}`.

    Returns 1 when one of them failed: the save hook reads the lines.
    """
    if hasattr(os, "nice"):
        os.nice(19)  # the person at the notebook comes first
    content.quick_imports()
    failed = False
    for argument in arguments:
        error = None
        try:
            export(Path(argument))
            prune(Path(argument).parent)
        except Exception as problem:  # whatever a broken notebook leads to, the next one is exported all the same
            error = str(problem) or type(problem).__name__
            failed = True
        print(json.dumps({"notebook": argument, "error": error}), flush=True)
    return int(failed)


def _write(notebook: Notebook, target: Path, sanitize: bool, folder: Path) -> Path | None:
    if target.suffix == ".py":
        return target if content.write_atomically(target, script(notebook, target.stem)) else None
    if not sanitize and _page_is_fresh(notebook, target, folder):  # the mark of a page could be a stranger's, too
        return None
    return target if content.write_atomically(target, page(notebook, target.stem, sanitize, folder)) else None


def _page_is_fresh(notebook: Notebook, target: Path, folder: Path) -> bool:
    """An autosave that changed nothing costs no second conversion."""
    if target.is_symlink() or not target.is_file():
        return False
    with target.open(encoding="utf-8", errors="replace") as file:
        mark = PAGE_MARK.search(file.read(2000))
    return bool(mark) and mark.groups() == (_digest(notebook, folder), _made_by(sanitize=False))  # type: ignore[union-attr]


def _digest(notebook: Notebook, folder: Path | None) -> str:
    files = images.digest(notebook, folder)
    return content.digest(dict(notebook, files=files) if files else notebook)


def _made_by(sanitize: bool) -> str:
    from importlib.metadata import version

    return f"nbconvert {version('nbconvert')}{' sanitized' if sanitize else ''}"


def _template_cache() -> BytecodeCache | None:
    """Keep nbconvert's templates compiled, in Jinja's own folder of this user: a tenth of an export; none where that fails."""
    from jinja2 import FileSystemBytecodeCache

    class Cache(FileSystemBytecodeCache):
        def dump_bytecode(self, bucket: Bucket) -> None:
            with suppress(OSError):
                super().dump_bytecode(bucket)

    with suppress(OSError, RuntimeError):
        return Cache()
    return None


def _is_ours(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        start = file.read(2000)
    return bool(SCRIPT_MARK.match(start) or PAGE_MARK.search(start))


def _is_foreign(path: Path) -> bool:
    """Whether a file that stands here already was written by someone else: what they wrote is never lost."""
    return path.is_file() and not path.is_symlink() and not _is_ours(path)


def _script_cell(cell: Cell, python: bool) -> str:
    kind, source = cell["cell_type"], cells.LINE_END.sub("\n", cell["source"]).rstrip()
    if kind != "code":
        return f"# %% [{kind}]\n{_commented(source)}\n"
    return f"# %%\n{plain_python(source) if python else _commented(source)}\n"


def _commented(source: str) -> str:
    return "\n".join(f"# {line}".rstrip() for line in source.replace("\0", "").splitlines())  # Python reads no null byte


def plain_python(source: str) -> str:
    """Return a code cell as Python that can be parsed: magics as calls, what is no Python as comments."""
    try:
        python = cells.as_python(source)
    except SyntaxError:
        return _commented(source)
    return python.text if python else _commented(source)


def _with_ids(notebook: Notebook) -> Notebook:
    """Cells of old notebooks have no id; nbconvert would draw random ones."""
    numbered = [dict(cell, id=cell.get("id") or f"cell-{number}") for number, cell in enumerate(notebook["cells"], 1)]
    return dict(notebook, cells=numbered, nbformat_minor=max(5, notebook.get("nbformat_minor", 5)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
