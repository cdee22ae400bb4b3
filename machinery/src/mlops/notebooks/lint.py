"""flake8, with the project's settings, on what IPython runs of notebooks."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mlops.errors import UserError
from mlops.notebooks import cells
from mlops.notebooks.content import Notebook, as_written

SETTINGS = (".flake8", "setup.cfg", "tox.ini")
# What IPython gives a notebook beside Python's own builtins.
BUILTINS = "In,Out,display,exit,get_ipython,quit,_,__,___,_i,_ii,_iii,_ih,_oh,_dh,_sh,_exit_code"
NUMBERED = re.compile(r"_i?\d+")
# E402, F404: a notebook imports where it needs to; E703, W391: a semicolon or a blank line may end a cell;
# E999, F704: cells.compiled judges what IPython can run, such as `await` at the top.
IGNORED = "E402,F404,E703,W391,E999,F704"
RUNS_MORE = re.compile(r"^\s*%(?:run|pylab|load|store\s+-r)\b", re.MULTILINE)  # magics that define names flake8 cannot see
REPORT = re.compile(r"^(?P<file>\d+)\.py:(?P<line>\d+):(?P<code>[A-Z]+\d+) (?P<text>.*)$")
NAME = re.compile(r"'([^']+)'")


class Finding(NamedTuple):
    """What flake8 reports: the cell's number among all cells and the line in it, from 1."""

    path: Path
    cell: int
    line: int
    code: str
    text: str


class Script(NamedTuple):
    """A notebook as one file for flake8; `places` has a cell and a line of it for each line, None between cells."""

    text: str
    places: list[tuple[int, cells.Line] | None]
    magics: str


def check(root: Path, notebooks: Mapping[Path, Notebook]) -> list[Finding]:
    """Return what flake8 reports of Python notebooks; one with a cell that Python cannot read is left out.

    Raises UserError where flake8 cannot do its work.
    """
    scripts = {path: parsed for path, notebook in notebooks.items() if (parsed := script(notebook))}
    if not scripts:
        return []
    faults = []
    for path, line, code, text in _reports(root, scripts):
        place = scripts[path].places[line - 1] if line <= len(scripts[path].places) else None
        if place and _holds(scripts[path], place[1], code, text):
            faults.append(Finding(path, place[0], place[1].number, code, text))
    return faults


def script(notebook: Notebook) -> Script | None:
    """Return the code cells below each other, or None where one of them cannot be read."""
    lines: list[str] = []
    places: list[tuple[int, cells.Line] | None] = []
    magics = []
    for number, cell in enumerate(notebook["cells"], 1):
        if cell["cell_type"] != "code" or not cell["source"].strip():
            continue
        try:
            python = cells.as_python(cell["source"])
        except SyntaxError:
            return None
        magics.append(python.magics if python else cell["source"])
        if python:
            lines += [*["", ""] * bool(lines), "# %%", *_without_await(python.text).split("\n")]
            places += [*[None, None] * bool(places), None, *((number, line) for line in python.lines)]
    return Script("\n".join(lines) + "\n", places, "\n".join(magics))


def _without_await(text: str) -> str:
    """Take away `await` outside of functions: pyflakes looks at nothing below one that only IPython allows there."""
    lines = text.split("\n")
    for line, column in sorted(_awaits(cells.compiled(text)), reverse=True):
        raw = as_written(lines[line - 1])
        lines[line - 1] = (raw[:column] + raw[column + len("await") :].lstrip(b" ")).decode()
    return "\n".join(lines)


def _awaits(node: ast.AST) -> Iterator[tuple[int, int]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Await):
            yield child.lineno, child.col_offset
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _awaits(child)


def _reports(root: Path, scripts: Mapping[Path, Script]) -> Iterator[tuple[Path, int, str, str]]:
    """In a folder of its own with the project's settings, so that what they say of paths holds for the notebooks."""
    paths = list(scripts)
    with tempfile.TemporaryDirectory(prefix="flake8-") as folder:
        for name in SETTINGS:
            if (root / name).is_file():
                shutil.copyfile(root / name, Path(folder) / name)
        for number, path in enumerate(paths):
            (Path(folder) / f"{number}.py").write_bytes(as_written(scripts[path].text))
        command = [sys.executable, "-m", "flake8", f"--extend-ignore={IGNORED}", f"--builtins={BUILTINS}", "--exit-zero"]
        files = [f"{number}.py" for number in range(len(paths))]
        shape = ["--format=%(path)s:%(row)d:%(code)s %(text)s", "--color=never"]
        done = subprocess.run([*command, *shape, *files], cwd=folder, capture_output=True, text=True, check=False)
    matches = [REPORT.match(line.removeprefix("./")) for line in done.stdout.splitlines()]
    if done.returncode or not all(matches):
        reason = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise UserError(f"flake8 cannot check the notebooks: {reason}; make setup, or correct its settings")
    for match in filter(None, matches):
        yield paths[int(match["file"])], int(match["line"]), match["code"], match["text"]


def _holds(export: Script, line: cells.Line, code: str, text: str) -> bool:
    """Whether a report is about what was written: style only of such lines, names only where no magic uses or defines them."""
    if not code.startswith("F"):
        return line.as_written
    name = match[1] if (match := NAME.search(text)) else ""
    if code == "F821":
        return not (NUMBERED.fullmatch(name) or RUNS_MORE.search(export.magics) or _mentions(export.magics, name))
    if code in ("F401", "F841"):
        return not any(_mentions(export.magics, bound) for bound in {name.split(" as ")[-1], re.split(r"[. ]", name)[-1]})
    return True


def _mentions(magics: str, name: str) -> bool:
    return bool(re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", magics))
