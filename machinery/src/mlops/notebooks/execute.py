"""Notebooks from top to bottom on a fresh kernel, and their outputs against the committed ones."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlops import files, folders
from mlops.errors import UserError
from mlops.notebooks import content, execution, export, kernels, outputs
from mlops.notebooks.content import Cell, Notebook
from mlops.notebooks.execution import Execution

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
KEPT_METADATA = ("kernelspec", "language_info")


@dataclass(frozen=True)
class Options:
    """How notebooks are run: seconds that a cell may take, whether fresh outputs go into the notebook, its parameters, and
    what the project keeps of outputs; and whether the executed copy of one that ran is kept.
    """

    timeout: int = 600
    write: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    outputs: str = "keep"
    keep: bool = False


def run(
    paths: Sequence[Path],
    output: Path,
    timeout: int = 600,
    write: bool = False,
    store: bool = True,
    parameters: Mapping[str, Any] | None = None,
    jobs: int = 1,
    kept: str = "keep",
    keep: bool = False,
) -> Iterator[Execution]:
    """Run the notebooks, `jobs` at a time; yields a result each, in the order of the paths.

    timeout: seconds that one cell may take. write: put the fresh outputs into the notebook and export it. parameters: values
    that take the place of those in the cell tagged `parameters`; the executed copy then stays below `output`, as that of a
    notebook that failed does. kept: the project's policy for outputs, by which the fresh ones are compared and written. Runs
    and candidates go to a store of each notebook's own, which is thrown away; without `store` none is created beforehand,
    which saves the seconds that MLflow takes to import.
    A notebook that cannot be read has failed; raises UserError where `output` cannot be a folder.
    """
    files.make_folder(output)
    options = Options(timeout, write, parameters or {}, kept, keep)
    with folders.work_folder() as place:
        if store:
            _make_store(Path(place) / "new")
        tasks = [
            (path, folder, options, Path(place), number)
            for number, (path, folder) in enumerate(zip(paths, content.folders_below(output, paths), strict=True))
        ]
        jobs = min(jobs, len(tasks))
        yield from _at_once(tasks, jobs) if jobs > 1 else map(_run_apart, tasks)


def differing_cells(before: Notebook, after: Notebook) -> list[int]:
    """Return the numbers of the cells whose outputs differ, but for what is volatile.

    A cell tagged `volatile` or `skip-execution` is passed over, and so are progress and warnings (stderr); numbers are
    compared to six digits, figures and pages by being there.
    """
    pairs = zip(before["cells"], after["cells"], strict=False)
    judged = ((number, old, new) for number, (old, new) in enumerate(pairs, 1) if not (_is_volatile(old) or _is_skipped(new)))
    return [number for number, old, new in judged if _seen(old) != _seen(new)]


Task = tuple[Path, Path, Options, Path, int]


def _at_once(tasks: Sequence[Task], jobs: int) -> Iterator[Execution]:
    """Each in a process, because a notebook's working directory and environment are those of the process that runs it."""
    from joblib import cpu_count

    threads = {"OMP_NUM_THREADS": str(max(1, cpu_count() // jobs))}
    with _environment({} if "OMP_NUM_THREADS" in os.environ else threads):
        pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=content.quick_imports)
        with pool:
            futures = [pool.submit(_run_apart, task) for task in tasks]
            for task, future in zip(tasks, futures, strict=True):
                try:
                    yield future.result()
                except BrokenExecutor:
                    ended = "the process that ran it was killed; is there enough memory? Try --jobs 1"
                    yield Execution(str(task[0]), 0.0, ended, None, [])


def _run_apart(task: Task) -> Execution:
    """Run a notebook with a store of its own: others that run at the same time neither see nor wait for it."""
    path, output, options, place, number = task
    own = place / str(number)
    if (place / "new").is_dir():
        shutil.copytree(place / "new", own)
    ours = {"MLOPS__PROJECT__STORE": f"{own}/models", "MLOPS__PROJECT__OUTPUT": f"{own}/output", **QUIET}
    with _environment(ours):
        result = _run_one(path, output, options)
    shutil.rmtree(own, ignore_errors=True)
    return result


def _run_one(path: Path, output: Path, options: Options) -> Execution:
    copy = output / path.name
    try:
        before = path.read_bytes() if path.is_file() else b""
        committed = content.read(path)
        kernel = kernels.name(committed)
        kernels.check_parameters(path, committed, options.parameters)
        _refuse_foreign_copy(copy)
    except UserError as problem:
        return Execution(str(path), 0.0, str(problem).removeprefix(f"{path}: "), None, [])
    files.make_folder(output)
    copy.unlink(missing_ok=True)
    started = time.perf_counter()
    error = None
    try:
        kernels.execute(path, copy, kernel, options.timeout, options.parameters)
    except Exception as problem:  # a failing cell, a dead kernel, a time limit: all end this notebook
        error = _reason(problem, copy, options.timeout)
    result = _measured(Execution(str(path), time.perf_counter() - started, error, None, []), copy)
    if error:
        return replace(result, copy=str(copy) if copy.is_file() else None)
    return _kept(result, path, copy, committed, options, before)


def _kept(result: Execution, path: Path, copy: Path, committed: Notebook, options: Options, before: bytes) -> Execution:
    """What becomes of the executed copy of a notebook that ran."""
    if options.parameters or options.keep:
        return replace(result, copy=str(copy))
    result = replace(result, differing=differing_cells(committed, outputs.applied(_executed(copy), options.outputs)))
    if options.write and path.read_bytes() != before:
        changed = "the notebook was changed while it ran, and stays as it is; run it again"
        return replace(result, error=changed, copy=str(copy))
    if options.write:
        write_back(path, copy, options.outputs)
        result = replace(result, error=_export(path))
    copy.unlink()
    return result


def _executed(copy: Path) -> Notebook:
    """The executed copy without the cells that papermill adds."""
    executed = content.read(copy)
    return dict(executed, cells=execution.own_cells(executed))


def _measured(result: Execution, copy: Path) -> Execution:
    """The result with the seconds of its cells and the cell that failed, as far as an executed copy tells of them."""
    with suppress(UserError):
        executed = content.read(copy)
        failure = execution.failure(executed) if result.error else None
        return replace(result, cells=execution.cell_seconds(executed), failure=failure)
    return result


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


def write_back(path: Path, executed: Path, policy: str = "keep") -> None:
    """Put the executed cells into the notebook, without what changes from run to run: times and the tool's own notes."""
    fresh = json.loads(executed.read_bytes())
    committed = content.raw(path.read_bytes(), content.read(path))
    fresh["cells"] = execution.own_cells(fresh)
    for old, new in zip(committed["cells"], fresh["cells"], strict=True):
        if _is_skipped(new):
            new.update({key: old[key] for key in ("outputs", "execution_count") if key in old})
    kept = {*committed["metadata"], *KEPT_METADATA} - {"papermill"}
    fresh["metadata"] = {key: value for key, value in fresh["metadata"].items() if key in kept}
    for cell in fresh["cells"]:
        noted = ("papermill", "execution", "tags") if not cell["metadata"].get("tags") else ("papermill", "execution")
        cell["metadata"] = {key: value for key, value in cell["metadata"].items() if key not in noted}
    files.write_text(path, outputs.as_text(outputs.applied(fresh, policy)))


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value


def _make_store(folder: Path) -> None:
    """Beforehand, so that no notebook's output tells of it. Notebooks outside a project need none."""
    from mlops import tracking
    from mlops.config import find_root, load_project

    try:
        root = find_root()
    except UserError:
        return
    with _environment({"MLOPS__PROJECT__STORE": f"{folder}/models", "MLOPS__PROJECT__OUTPUT": f"{folder}/output", **QUIET}):
        project = load_project(root)
        if tracking.is_embedded(project):
            tracking.prepare(project)


def _reason(problem: Exception, copy: Path, timeout: int) -> str | None:
    """Return why a notebook failed in one line, None where the only errors are those that its cells announce."""
    kind = type(problem).__name__
    failure = None
    with suppress(UserError):
        failure = execution.failure(content.read(copy))
    where = f"cell {failure.cell}" if failure else "a cell"
    if kind == "PapermillExecutionError":
        if not failure:
            return None
        return f"{where}: {getattr(problem, 'ename', kind)}: {str(getattr(problem, 'evalue', ''))[:300]}"
    if kind == "CellTimeoutError":
        return f"{where} took longer than {timeout} s"
    if kind == "DeadKernelError":
        return "the kernel died" + (f" in {where}" if failure else "")
    lines = str(problem).strip().splitlines()
    return f"{kind}: {lines[0][:300]}" if lines else kind


def _is_skipped(cell: Cell) -> bool:
    return "skip-execution" in (cell.get("metadata") or {}).get("tags", [])


def _is_volatile(cell: Cell) -> bool:
    return VOLATILE_TAG in cell.get("metadata", {}).get("tags", [])


def _seen(cell: Cell) -> list[Any]:
    return [_plain(output) for output in cell.get("outputs", []) if output.get("name") != "stderr"]


def _plain(output: dict[str, Any]) -> Any:
    if "text" in output:
        return [output.get("name"), _steady(output["text"])]
    data = output.get("data") or {}
    return [sorted(data), _steady(str(data.get("text/plain", "")))]


def _steady(text: str) -> str:
    return NUMBER.sub(lambda match: f"{float(match.group()):.6g}", VOLATILE.sub("…", text))
