"""Functions of a notebook moved into a module: the notebook imports them and shows what it showed before."""

from __future__ import annotations

import ast
import builtins
import copy
import re
import subprocess
import symtable
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops import files, folders
from mlops.errors import UserError
from mlops.notebooks import cells, content, execute, execution, export, outputs
from mlops.notebooks.content import Notebook

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
CONSTANT = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True)
class Extraction:
    """What moves: the names, the new text of the module and the notebook as it will be; `kept` has each cell's old number."""

    names: list[str]
    module: str
    notebook: Notebook
    kept: list[int]


@dataclass
class _Part:
    """Statements that leave a cell: their lines, from 0, and their source."""

    cell: int
    lines: set[int] = field(default_factory=set)
    sources: list[str] = field(default_factory=list)


def extract(root: Path, path: Path, selection: str, target: Path, check: bool = True, timeout: int = 600) -> Extraction:
    """Move functions, classes and constants of the chosen cells into a module below src/; return what was moved.

    selection: `tag:NAME`, or numbers such as `3,5-7`. check: run the notebook before and after; where it fails or shows
    something else, both files stay as they were. Raises UserError where it cannot be done, with the reason.
    """
    module = _module(root, target)
    notebook = content.read(path)
    before = path.read_bytes()
    plan = planned(content.raw(before, notebook), notebook, path.name, selection, target, module)
    code = target.read_text(encoding="utf-8") if target.is_file() else None
    expected = _outputs(path, timeout) if check else []
    files.write_text(target, plan.module)
    files.write_text(path, outputs.as_text(plan.notebook))
    try:
        _format(root, target)
        if check:
            _compare(plan, expected, _outputs(path, timeout))
    except BaseException:
        with files.replacing(path) as temporary:
            temporary.write_bytes(before)
        files.write_text(target, code) if code is not None else target.unlink()
        raise
    if content.is_marked(path.parent):
        export.export(path, ["py"])
    return plan


def planned(raw: Notebook, notebook: Notebook, name: str, selection: str, target: Path, module: str) -> Extraction:
    """Return what would be moved; writes nothing. raw: the notebook as its file has it."""
    chosen = selected(notebook, selection)
    parts = [part for number in chosen if (part := _part(notebook, number)).sources]
    if not parts:
        raise UserError(f"{name}: no function, class or CONSTANT is defined in {selection}; nothing was moved")
    code = "\n\n\n".join(source for part in parts for source in part.sources)
    names = sorted(_bound(ast.parse(code)))
    existing = target.read_text(encoding="utf-8") if target.is_file() else ""
    if twice := sorted(set(names) & _bound(_tree(existing, target))):
        raise UserError(f"{target} defines {', '.join(twice)} already; rename it there or in the notebook")
    imports = _imports_for(notebook, code, names, _tree(existing, target))
    text = _joined(existing, imports, code, name)
    changed, kept = _changed(raw, notebook, parts, f"from {module} import {', '.join(names)}", set(imports))
    return Extraction(names, text, changed, kept)


def selected(notebook: Notebook, selection: str) -> list[int]:
    """Return the numbers of the code cells of `tag:NAME` or of `3,5-7`; raises UserError where there are none."""
    total = len(notebook["cells"])
    if selection.startswith("tag:"):
        tag = selection.removeprefix("tag:")
        numbers = [n for n, cell in enumerate(notebook["cells"], 1) if tag in cell["metadata"].get("tags", [])]
    elif re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", selection):
        ranges = [[int(end) for end in part.split("-")] for part in selection.split(",")]
        numbers = sorted({n for ends in ranges for n in range(ends[0], ends[-1] + 1) if 1 <= n <= total})
    else:
        raise UserError(f"--cells {selection}: tag:NAME or numbers such as 3,5-7 are expected")
    code = [number for number in numbers if notebook["cells"][number - 1]["cell_type"] == "code"]
    if not code:
        raise UserError(f"--cells {selection}: no code cell of the notebook's {total} cells is chosen by it")
    return code


def _module(root: Path, target: Path) -> str:
    source = (root / "src").resolve()
    place = target.resolve()
    if target.suffix != ".py" or not place.is_relative_to(source):
        raise UserError(f"--to {target}: a .py file below src/ is expected, such as src/use_cases/NAME/features.py")
    return ".".join(place.relative_to(source).with_suffix("").parts)


def _part(notebook: Notebook, number: int) -> _Part:
    source = notebook["cells"][number - 1]["source"]
    try:
        python = cells.as_python(source)
        tree = cells.compiled(python.text) if python else None
    except SyntaxError as error:
        raise UserError(f"cell {number}: Python cannot read it ({error.msg}); repair it first") from error
    part = _Part(number)
    lines = source.split("\n")
    for node in tree.body if tree else []:
        if not isinstance(node, Definition) and not _is_constant(node):
            continue
        if not python or python.text.rstrip() != source.rstrip():
            raise UserError(f"cell {number}: it holds magics beside definitions; put them into a cell of their own")
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]) - 1
        while first and lines[first - 1].startswith("#"):
            first -= 1
        last = node.end_lineno or node.lineno
        part.lines.update(range(first, last))
        part.sources.append("\n".join(lines[first:last]))
    return part


def _is_constant(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return bool(targets) and all(isinstance(one, ast.Name) and CONSTANT.fullmatch(one.id) for one in targets)


def _tree(text: str, path: Path) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise UserError(f"{path}: Python cannot read it (line {error.lineno}: {error.msg}); repair it first") from error


def _bound(tree: ast.Module) -> set[str]:
    """The names that a module's own statements define."""
    names = {node.name for node in tree.body if isinstance(node, Definition)}
    return names | {one.id for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)
                    for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}  # fmt: skip


def _imports_for(notebook: Notebook, code: str, names: Sequence[str], existing: ast.Module) -> dict[str, str]:
    """Return the imports that the code needs and the module lacks: `{name: statement}`."""
    needed = {name for name in _globals(symtable.symtable(code, "module", "exec"))} - {*names, *dir(builtins)}
    there, offered = _imports(existing.body), {}
    assigned: dict[str, int] = {}
    for number, cell in enumerate(notebook["cells"], 1):
        tree = _readable(cell)
        if tree:
            offered.update(_imports(tree.body))
            assigned.update({name: number for name in _assigned(tree)})
    missing = sorted(needed - {*offered} - _bound(existing) - {*there})
    if missing:
        where = f"which the notebook defines in cell {assigned[missing[0]]}" if missing[0] in assigned else "which is nowhere"
        raise UserError(f"the code uses {missing[0]}, {where}; pass it as a parameter, import it, or move its cell too")
    for name in needed & {*there} & {*offered}:
        if there[name] != offered[name]:
            raise UserError(f"{name} is `{there[name]}` in the module and `{offered[name]}` in the notebook; use one name")
    return {name: offered[name] for name in sorted(needed - {*there} - _bound(existing))}


def _globals(table: symtable.SymbolTable) -> set[str]:
    top = table.get_type() == "module"
    own = {one.get_name() for one in table.get_symbols() if one.is_referenced() and (top or one.is_global())}
    return own.union(*map(_globals, table.get_children()))


def _readable(cell: dict[str, Any]) -> ast.Module | None:
    try:
        python = cells.as_python(cell["source"]) if cell["cell_type"] == "code" else None
        return cells.compiled(python.text) if python else None
    except SyntaxError:
        return None


def _imports(body: Sequence[ast.stmt]) -> dict[str, str]:
    offered = {}
    for node in body:
        if isinstance(node, ast.Import):
            offered.update({one.asname or one.name.partition(".")[0]: ast.unparse(ast.Import([one])) for one in node.names})
        elif isinstance(node, ast.ImportFrom):
            for one in node.names:
                offered[one.asname or one.name] = ast.unparse(ast.ImportFrom(node.module, [one], node.level))
    return offered


def _assigned(tree: ast.Module) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)} | {
        node.name for node in tree.body if isinstance(node, Definition)
    }


def _joined(existing: str, imports: dict[str, str], code: str, name: str) -> str:
    new = "\n".join(dict.fromkeys(imports.values()))
    if not existing.strip():
        return f'"""Functions of {name}."""\n\n{new}\n\n\n{code}\n' if new else f'"""Functions of {name}."""\n\n\n{code}\n'
    tree, lines = ast.parse(existing), existing.rstrip("\n").split("\n")
    heads = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    docstring = tree.body[:1] if ast.get_docstring(tree) is not None else []
    last = max((node.end_lineno or 0 for node in [*docstring, *heads]), default=0)
    if new:
        lines[last:last] = [new] if heads else ["", new, ""]
    return "\n".join(lines) + f"\n\n\n{code}\n"


def _changed(
    raw: Notebook, notebook: Notebook, parts: Sequence[_Part], statement: str, copied: set[str]
) -> tuple[Notebook, list[int]]:
    """The notebook without what moved: its first cell imports it, cells with nothing left go, as do imports without a use."""
    sources = {number: cell["source"] for number, cell in enumerate(notebook["cells"], 1) if cell["cell_type"] == "code"}
    for part in parts:
        left = [line for number, line in enumerate(sources[part.cell].split("\n")) if number not in part.lines]
        sources[part.cell] = re.sub(r"\n{3,}", "\n\n", "\n".join(left)).strip("\n")
    for number in sources:
        others = "\n".join(source for other, source in sources.items() if other != number)
        sources[number] = _without_imports(sources[number], others, copied)
    first = parts[0].cell
    sources[first] = f"{statement}\n\n{sources[first]}".rstrip("\n")
    changed = copy.deepcopy(raw)
    rows, kept = [], []
    for number, cell in enumerate(changed["cells"], 1):
        if number in sources and sources[number] != notebook["cells"][number - 1]["source"]:
            if not sources[number].strip():
                continue
            cell["source"] = sources[number].splitlines(keepends=True)
        rows.append(cell)
        kept.append(number)
    changed["cells"] = rows
    return changed, kept


def _without_imports(source: str, others: str, copied: set[str]) -> str:
    """A cell without the lines of imports whose names only the moved code used."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return source
    lines = source.split("\n")
    gone: set[int] = set()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom) and (names := {*_imports([node])}) <= copied:
            span = range(node.lineno - 1, node.end_lineno or node.lineno)
            rest = "\n".join([*(line for number, line in enumerate(lines) if number not in span), others])
            if not any(re.search(rf"\b{re.escape(name)}\b", rest) for name in names):
                gone.update(span)
    return "\n".join(line for number, line in enumerate(lines) if number not in gone).strip("\n") if gone else source


def _format(root: Path, target: Path) -> None:
    """In the project's format, where its tools are installed."""
    for tool in ("isort", "black"):
        command = [sys.executable, "-m", tool, "--quiet", str(target.resolve())]
        subprocess.run(command, cwd=root, capture_output=True, check=False)


def _outputs(path: Path, timeout: int) -> list[dict[str, Any]]:
    """The cells of the notebook after a run of it; raises UserError where it fails."""
    with folders.work_folder() as folder:
        (result,) = execute.run([path], folder, timeout, keep=True)
        if result.error or not result.copy:
            raise UserError(f"{path}: {result.error}; nothing was moved")
        return execution.own_cells(content.read(Path(result.copy)))


def _compare(plan: Extraction, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    same = {"cells": [before[number - 1] for number in plan.kept]}
    if differing := execute.differing_cells(same, {"cells": after}):
        number = plan.kept[differing[0] - 1]
        raise UserError(f"with the functions in a module cell {number} shows something else; nothing was moved")
