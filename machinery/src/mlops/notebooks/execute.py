"""Notebooks from top to bottom on a fresh kernel, and their outputs against the committed ones."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traitlets.config import Config

from mlops import files, folders
from mlops.errors import UserError
from mlops.notebooks import content, export
from mlops.notebooks.content import Cell, Notebook

VOLATILE_TAG = "volatile"
# What differs from run to run and means nothing: addresses, identifiers, dates with a time, durations.
VOLATILE = re.compile(
    r"0x[0-9a-f]{6,}|\b[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\b"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?|\d+(?:\.\d+)? ?(?:s|ms|µs|seconds)\b"
)
NUMBER = re.compile(r"-?\d+\.\d+(?:[eE][+-]?\d+)?")
# Remarks of packages about the environment, which are no result of a notebook and name folders of one machine.
QUIET = {
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "PYTHONWARNINGS": "ignore:IProgress not found",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}
# Bytes of a socket's path that every system takes, without the kernel's number at its end.
SOCKET_PATH = 100
KEPT_METADATA = ("kernelspec", "language_info")


@dataclass(frozen=True)
class Execution:
    """One notebook that was run: seconds, the error (None: it ran), where the executed copy is, cells whose outputs differ."""

    notebook: str
    seconds: float
    error: str | None
    copy: str | None
    differing: list[int]


def run(
    paths: Sequence[Path], output: Path, timeout: int = 600, write: bool = False, store: bool = True
) -> Iterator[Execution]:
    """Run the notebooks one after the other; yields a result each.

    timeout: seconds that one cell may take. write: put the fresh outputs into the notebook and export it. The executed copy of
    a notebook that failed stays below `output`. Runs and candidates go to a store of their own, which is thrown away; without
    `store` none is created beforehand, which saves the seconds that MLflow takes to import.
    A notebook that cannot be read has failed; raises UserError where `output` cannot be a folder.
    """
    files.make_folder(output)
    with _own_store(store):
        for path, folder in zip(paths, content.folders_below(output, paths), strict=True):
            yield _run_one(path, folder, timeout, write)


def differing_cells(before: Notebook, after: Notebook) -> list[int]:
    """Return the numbers of the cells whose outputs differ, but for what is volatile.

    A cell tagged `volatile` is passed over; numbers are compared to six digits, figures and pages by being there.
    """
    pairs = zip(before["cells"], after["cells"], strict=False)
    return [number for number, (old, new) in enumerate(pairs, 1) if not _is_volatile(old) and _seen(old) != _seen(new)]


def _run_one(path: Path, output: Path, timeout: int, write: bool) -> Execution:
    import papermill

    copy = output / path.name
    try:
        before = path.read_bytes() if path.is_file() else b""
        committed = content.read(path)
        _refuse_foreign_copy(copy)
    except UserError as problem:
        return Execution(str(path), 0.0, str(problem).removeprefix(f"{path}: "), None, [])
    files.make_folder(output)
    started = time.perf_counter()
    error = None
    try:
        with folders.work_folder() as sockets:
            papermill.execute_notebook(
                str(path.resolve()),
                str(copy.resolve()),
                cwd=str(path.parent.resolve()),
                kernel_name=_kernel(committed),
                execution_timeout=timeout,
                progress_bar=False,
                log_output=False,
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
                config=_connection(Path(sockets)),
            )
    except Exception as problem:  # a failing cell, a dead kernel, a time limit, an unknown kernel: all end this notebook
        error = _reason(problem, timeout)
    seconds = time.perf_counter() - started
    if error:
        return Execution(str(path), seconds, error, str(copy) if copy.is_file() else None, [])
    differing = differing_cells(committed, content.read(copy))
    if write and path.read_bytes() != before:
        changed = "the notebook was changed while it ran, and stays as it is; run it again"
        return Execution(str(path), seconds, changed, str(copy), differing)
    if write:
        write_back(path, copy)
        error = _export(path)
    copy.unlink()
    return Execution(str(path), seconds, error, None, differing)


def _export(path: Path) -> str | None:
    try:
        if content.is_marked(path.parent):
            export.export(path, ["py"])
    except UserError as problem:
        return f"it ran, but is not exported: {problem}"
    return None


def _refuse_foreign_copy(copy: Path) -> None:
    """An earlier executed copy may be replaced and removed; a notebook of a person, such as the one that is run, may not."""
    if copy.exists() and "papermill" not in content.read(copy)["metadata"]:
        raise UserError(f"{copy} is no executed copy, so none replaces it; choose another --output")


def write_back(path: Path, executed: Path) -> None:
    """Put the executed cells into the notebook, without what changes from run to run: times and the tool's own notes."""
    fresh = json.loads(executed.read_text(encoding="utf-8"))
    kept = {*content.read(path)["metadata"], *KEPT_METADATA} - {"papermill"}
    fresh["metadata"] = {key: value for key, value in fresh["metadata"].items() if key in kept}
    for cell in fresh["cells"]:
        noted = ("papermill", "execution", "tags") if not cell["metadata"].get("tags") else ("papermill", "execution")
        cell["metadata"] = {key: value for key, value in cell["metadata"].items() if key not in noted}
    files.write_text(path, json.dumps(fresh, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


@contextmanager
def _own_store(create: bool) -> Iterator[None]:
    """Notebooks log runs and train; here they do so in a folder that goes away, so that running them changes nothing."""
    with folders.work_folder() as folder:
        ours = {
            "MLOPS__PROJECT__STORE": f"{folder}/models",
            "MLOPS__PROJECT__OUTPUT": f"{folder}/output",
            **QUIET,
        }
        before = {key: os.environ.get(key) for key in ours}
        os.environ.update(ours)
        try:
            if create:
                _make_store()
            yield
        finally:
            for key, value in before.items():
                os.environ.pop(key, None)
                if value is not None:
                    os.environ[key] = value


def _make_store() -> None:
    """Beforehand, so that no notebook's output tells of it. Notebooks outside a project need none."""
    from mlops import tracking
    from mlops.config import find_root, load_project

    try:
        root = find_root()
    except UserError:
        return
    project = load_project(root)
    if tracking.is_embedded(project):
        tracking.prepare(project)


def _kernel(notebook: Notebook) -> str:
    """Every Python notebook runs on this environment's kernel, whatever the writer's was called."""
    if content.script_language(notebook) == "python":
        return "python3"
    name = notebook["metadata"].get("kernelspec", {}).get("name")
    if not name:
        raise UserError("the notebook names no kernel; choose one in JupyterLab and save it")
    return str(name)


def _connection(folder: Path) -> Config:
    """Return how to talk to the kernel: by sockets in a folder. A port is chosen seconds before the kernel takes it, and on a
    busy machine another process may have it by then; it serves where the folder's path is too long for a socket.
    """
    address = str(folder / "k")
    if len(os.fsencode(address)) > SOCKET_PATH:
        return Config()
    return Config({"KernelManager": {"transport": "ipc", "ip": address}})


def _reason(problem: Exception, timeout: int) -> str:
    kind = type(problem).__name__
    if kind == "PapermillExecutionError":
        number = getattr(problem, "cell_index", -1) + 1
        return f"cell {number}: {getattr(problem, 'ename', kind)}: {str(getattr(problem, 'evalue', ''))[:300]}"
    if kind == "CellTimeoutError":
        return f"a cell took longer than {timeout} s"
    if kind == "DeadKernelError":
        return "the kernel died"
    lines = str(problem).strip().splitlines()
    return f"{kind}: {lines[0][:300]}" if lines else kind


def _is_volatile(cell: Cell) -> bool:
    return VOLATILE_TAG in cell.get("metadata", {}).get("tags", [])


def _seen(cell: Cell) -> list[Any]:
    return [_plain(output) for output in cell.get("outputs", [])]


def _plain(output: dict[str, Any]) -> Any:
    if "text" in output:
        return [output.get("name"), _steady(output["text"])]
    data = output.get("data") or {}
    return [sorted(data), _steady(str(data.get("text/plain", "")))]


def _steady(text: str) -> str:
    return NUMBER.sub(lambda match: f"{float(match.group()):.6g}", VOLATILE.sub("…", text))
