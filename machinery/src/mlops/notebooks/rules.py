"""What the gate holds notebooks to. Each rule returns faults; a fault says what, where and how to fix it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mlops import git
from mlops.errors import UserError
from mlops.notebooks import cells, content, export, lint, outputs, settings
from mlops.notebooks.content import Notebook

ROOTS = r"home|Users|root|mnt|media|tmp|var|opt|content|workspaces?|kaggle|data|srv"
ABSOLUTE = re.compile(rf"^(?:file://)?(?:/(?:{ROOTS})(?:/|$)|~/|[A-Za-z]:[\\/](?!/))")
IN_OUTPUT = re.compile(
    r"(?<![\w/.:])/(?:(?:home|Users|root|tmp)/[\w.-]+|[\w./-]+/site-packages/)[\w./-]*" r"|\b[A-Z]:\\Users\\[^\s\"']+"
)
CONFLICT_KEY = "nbdime-conflicts"
# At the start of a line as git and nbdime write them; nbdime puts them in bold where they are a Markdown cell.
CONFLICT_MARK = re.compile(r"^(?:<span[^>]*><b>)?(?:<{7}|>{7}|\|{7})(?:[ <\n]|$)", re.MULTILINE)
NOT_JUDGED = {"raises-exception", "skip-execution"}  # tags that Jupyter's own tools go by


@dataclass(frozen=True)
class Fault:
    """One broken rule; `where` is a cell, a line or a file, `hint` says what to do."""

    notebook: str
    rule: str
    where: str
    what: str
    hint: str


class Code(NamedTuple):
    """A code cell that is Python: its number from 1 and its syntax tree."""

    number: int
    tree: ast.Module


def check(root: Path, paths: Sequence[Path], flake8: bool = True, folders: Sequence[Path] = ()) -> list[Fault]:
    """Return the faults of the notebooks, sorted by notebook; an unreadable notebook is a fault, not an error.

    folders: more folders to look for exports without a notebook in, beside those of the notebooks.
    Rules that the project's pyproject.toml names under `[tool.mlops.notebooks]`, `skip`, are left out.
    """
    chosen = settings.read(root)
    held = chosen._replace(outputs="keep") if outputs.is_filtered(root) else chosen
    defined = definitions(root / "src")
    packages = {path.name for path in (root / "src").glob("*") if (path / "__init__.py").is_file()}
    faults: list[Fault] = []
    notebooks: dict[Path, Notebook] = {}
    for path in paths:
        try:
            notebook = content.read(path)
        except UserError as error:
            faults.append(Fault(str(path), "readable", "file", str(error), "restore it from git or from a checkpoint"))
            continue
        notebooks[path] = notebook
        faults.extend(_of_one(root, path, notebook, defined, packages, chosen.outputs == "keep"))
        faults.extend(Fault(str(path), rule, f"cell {number}", *words) for rule, number, *words in outputs.of(held, notebook))
    faults.extend(uncommitted(root, paths))
    for folder in sorted({*folders, *(path.parent for path in paths)}):
        for orphan in export.orphans(folder):
            faults.append(Fault(str(orphan), "stale", "file", "its notebook is gone", "mlops notebooks export"))
    if flake8:
        faults.extend(_flake8(root, notebooks))
    return sorted((fault for fault in faults if not fault.rule.startswith(chosen.skip)), key=lambda fault: fault.notebook)


def uncommitted(root: Path, paths: Sequence[Path]) -> Iterator[Fault]:
    """Where git has a notebook of a marked folder, it has the script too: a commit of the one alone leaves one behind."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--full-name", ":/"]
    listed = subprocess.run(command, capture_output=True, check=False)
    if listed.returncode:
        return  # no repository
    known = set(os.fsdecode(listed.stdout).split("\0"))
    top = Path(git.git("rev-parse", "--show-toplevel", root=root)).resolve()
    for path in paths:
        script = path.parent / path.stem / f"{path.stem}.py"
        if not (content.is_marked(path.parent) and script.is_file() and path.resolve().is_relative_to(top)):
            continue
        if _below(path, top) in known and _below(script, top) not in known:
            yield Fault(str(path), "stale", "export", f"{script} is not in git, the notebook is", f"git add {script}")


def _below(path: Path, top: Path) -> str:
    return path.resolve().relative_to(top).as_posix()


def definitions(source: Path) -> dict[str, str]:
    """Return the functions and classes at the top of the modules below a folder: `{name: file:line}`."""
    defined: dict[str, str] = {}
    for path in sorted(source.rglob("*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                defined.setdefault(node.name, f"{path.relative_to(source.parent)}:{node.lineno}")
    return defined


def execution_order(notebook: Notebook, name: str, counted: bool = True) -> Iterator[Fault]:
    """Code cells that were run are numbered 1, 2, 3 … from the top, and none failed.

    A cell may fail or be passed over where its tag announces it. Where outputs and counts are stripped from the notebook,
    or the project strips counts (`counted` is false), there is no order to check.
    """
    hint = f"restart the kernel and run all cells, or: mlops notebooks run --write {name}"
    code = [(number, cell) for number, cell in enumerate(notebook["cells"], 1) if cell["cell_type"] == "code"]
    expected = 1
    was_run = any(cell.get("execution_count") or cell["outputs"] for _, cell in code)
    for number, cell in code if counted and was_run else []:
        count = cell.get("execution_count")
        if not cell["source"].strip() or (count is None and "skip-execution" in cell["metadata"].get("tags", [])):
            continue
        if count != expected:
            what = "was not run" if count is None else f"was run as number {count}, not {expected}"
            yield Fault(name, "order", f"cell {number}", what, hint)
            return
        expected += 1
    for number, cell in code:
        failed = any(output.get("output_type") == "error" for output in cell["outputs"])
        if failed and not NOT_JUDGED & {*cell["metadata"].get("tags", [])}:
            yield Fault(name, "error", f"cell {number}", "its output is an error", hint)


def conflicts(notebook: Notebook, name: str) -> Iterator[Fault]:
    """Nothing is left of a merge: neither conflict marks of git or nbdime nor nbdime's record of what it could not merge."""
    hint = "decide between the two sides and remove the marks: git mergetool --tool=nbdime"
    if CONFLICT_KEY in notebook["metadata"]:
        yield Fault(name, "conflict", "notebook", f"its metadata holds {CONFLICT_KEY}", hint)
    for number, cell in enumerate(notebook["cells"], 1):
        texts = [cell["source"], *(str(output.get("text", "")) for output in cell.get("outputs", []))]
        if CONFLICT_KEY in cell["metadata"]:
            yield Fault(name, "conflict", f"cell {number}", f"its metadata holds {CONFLICT_KEY}", hint)
        elif any(CONFLICT_MARK.search(text) for text in texts):
            yield Fault(name, "conflict", f"cell {number}", "it holds a conflict mark of a merge", hint)


def readable(notebook: Notebook, name: str) -> Iterator[Fault]:
    """A code cell is Python as IPython takes it, but for one whose tags announce that it fails or is passed over."""
    for number, cell in enumerate(notebook["cells"], 1):
        if cell["cell_type"] != "code" or NOT_JUDGED & {*cell["metadata"].get("tags", [])}:
            continue
        try:
            cells.as_python(cell["source"])
        except SyntaxError as error:
            what = f"Python cannot read it: {error.msg}" + (f" (line {error.lineno})" if error.lineno else "")
            yield Fault(name, "syntax", f"cell {number}", what, "repair the cell, or make it a Markdown cell")


def defined_twice(code: Iterable[Code], defined: dict[str, str], name: str) -> Iterator[Fault]:
    """A function lives in the module; the notebook imports it."""
    for cell in code:
        for node in cell.tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name in defined:
                where = defined[node.name]
                what = f"{node.name} is defined here and in {where}"
                yield Fault(name, "twice", f"cell {cell.number}", what, "import it from the module and remove it here")


def absolute_paths(code: Iterable[Code], notebook: Notebook, name: str) -> Iterator[Fault]:
    """Neither a string of the source nor an output names a folder of one machine."""
    for cell in code:
        for node in ast.walk(cell.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and ABSOLUTE.match(node.value):
                what = f"absolute path {node.value[:80]!r}"
                yield Fault(
                    name, "path", f"cell {cell.number}", what, "use mlops.config.load_project() or a path in the project"
                )
    for number, one in enumerate(notebook["cells"], 1):
        for output in one.get("outputs", []):
            text = output.get("text") or (output.get("data") or {}).get("text/plain") or ""
            if match := IN_OUTPUT.search(str(text)[: content.TEXT_LIMIT]):
                what = f"output names {match.group()[:80]!r}"
                yield Fault(name, "path", f"cell {number}", what, "do not print it, and run the cell again")


def imports_source(code: Sequence[Code], packages: set[str], root: Path, name: str) -> Iterator[Fault]:
    """A notebook stands on the project's code: it imports from src/ or from the machinery, and what it imports is there."""
    if not packages or not code:
        return
    imported = False
    for cell in code:
        for module in _imported(cell.tree):
            top = module.partition(".")[0]
            imported = imported or top in packages or top == "mlops"
            if top not in packages:
                continue
            place = root / "src" / Path(*module.split("."))
            if not (place.with_suffix(".py").is_file() or place.is_dir()):
                yield Fault(name, "imports", f"cell {cell.number}", f"src/ has no module {module}", "import what is there")
    if not imported:
        modules = ", ".join(sorted(packages))
        yield Fault(
            name,
            "imports",
            "notebook",
            "nothing is imported from src/ or mlops",
            f"move code to a module and import it ({modules})",
        )


def _of_one(
    root: Path, path: Path, notebook: Notebook, defined: dict[str, str], packages: set[str], ordered: bool
) -> Iterator[Fault]:
    name = str(path)
    if content.is_marked(path.parent) and (reason := export.stale(path)):
        yield Fault(name, "stale", "export", reason, f"mlops notebooks export {name}")
    if any("id" not in cell for cell in notebook["cells"]):
        yield Fault(name, "ids", "notebook", "cells have no id (nbformat before 4.5)", "save it in JupyterLab")
    ids = Counter(cell["id"] for cell in notebook["cells"] if cell.get("id"))
    if twice := [one for one, count in ids.items() if count > 1]:
        what = f"several cells have the id {', '.join(twice[:5])}"
        yield Fault(name, "ids", "notebook", what, "open it in JupyterLab and save it, which draws new ones")
    yield from conflicts(notebook, name)
    yield from execution_order(notebook, name, ordered)
    if content.script_language(notebook) != "python":
        return
    yield from readable(notebook, name)
    code = list(_code(notebook))
    yield from defined_twice(code, defined, name)
    yield from absolute_paths(code, notebook, name)
    yield from imports_source(code, packages, root, name)


def _code(notebook: Notebook) -> Iterator[Code]:
    for number, cell in enumerate(notebook["cells"], 1):
        with suppress(SyntaxError):  # a fault of its own
            if cell["cell_type"] == "code" and (python := cells.as_python(cell["source"])):
                yield Code(number, cells.compiled(python.text))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _flake8(root: Path, notebooks: Mapping[Path, Notebook]) -> Iterator[Fault]:
    python = {path: notebook for path, notebook in notebooks.items() if content.script_language(notebook) == "python"}
    for path, cell, line, code, text in lint.check(root, python):
        yield Fault(str(path), code, f"cell {cell}, line {line}", text, "correct the cell")
