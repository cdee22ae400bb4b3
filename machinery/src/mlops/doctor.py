"""Whether this machine and project have what the commands need."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mlops import console, git, keys, tracking, use_case_code
from mlops.config import Project, load_project
from mlops.errors import MlopsError
from mlops.pythons import supported_pythons
from mlops.use_case import UseCase, load_use_case

# Free space below which a registration may fail half-way (it would leave no version behind).
ENOUGH_BYTES = 500_000_000


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what was found, and how to fix it where it is not as it should be."""

    what: str
    ok: bool
    detail: str
    hint: str = ""


def examine() -> list[Finding]:
    """Every finding; it never raises for what a user can fix."""
    first = [_python(), _tool("git", "install git: a run is identified by its commit"), _tool("make", "install make")]
    project, finding = _try("project", load_project, lambda value: str(value.root))
    if project is None:
        return [*first, finding]
    checks = [_try(f"use case {name}", partial(load_use_case, project, name), _described)[1] for name in project.use_cases]
    commit = _try("commit", lambda: git.commit(project.root), lambda value: f"{value.sha[:12]} on {value.branch}")[1]
    store = _try("store", lambda: _open(project), str)[1]
    return [*first, finding, _code(project), commit, *checks, _lock(project), store, _space(project)]


def next_step(findings: list[Finding]) -> str:
    """The command that comes next: the first thing to fix, a first use case, a first model, or to serve it."""
    for item in findings:
        if not item.ok:
            return f"{item.what}: {item.hint}"
    project = load_project()
    if not project.use_cases:
        return "mlops add NAME --from FILE --target COLUMN"
    for name in sorted(project.use_cases, key=lambda name: name != project.default_use_case):
        if not any((project.output / "candidates" / name).glob("[!.]*/manifest.json")):
            return f"mlops run {name}"
    return f"mlops serve {project.default_use_case}, or mlops ui"


def show(title: str, findings: list[Finding], json: bool) -> int:
    """Print the findings, as a table or as JSON; return the exit code: 2 where something is missing."""
    if json:
        console.as_json([vars(item) for item in findings])
    else:
        rows = [("ok" if item.ok else "missing", item.what, item.detail, "" if item.ok else item.hint) for item in findings]
        console.table(title, ("", "what", "detail", "how to fix"), rows)
    return 0 if all(item.ok for item in findings) else 2


def _python() -> Finding:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    known = supported_pythons()
    return Finding("Python", version in known, version, f"use one of {', '.join(known)}: make PYTHON=python{known[-1]} …")


def _tool(name: str, hint: str) -> Finding:
    place = shutil.which(name)
    return Finding(name, place is not None, place or "not there", "" if place else hint)


def _try(what: str, look: Callable[[], Any], describe: Callable[..., str]) -> tuple[Any, Finding]:
    try:
        value = look()
    except (MlopsError, OSError) as error:
        return None, Finding(what, False, "see right", str(error))
    return value, Finding(what, True, describe(value))


def _described(use_case: UseCase) -> str:
    return use_case.config.description


def _open(project: Project) -> str:
    with tracking.open_store(project) as client:
        client.search_registered_models(max_results=1)
    return tracking.shown(project)


def _code(project: Project) -> Finding:
    """Whether the code that runs is the project's own; that of the original does where a project was copied with its .venv."""
    spec = importlib.util.find_spec(use_case_code.PACKAGE)
    running = {
        project.root / "src" / use_case_code.PACKAGE: list(spec.submodule_search_locations or ()) if spec else [],
        project.root / "machinery" / "src" / "mlops": [str(Path(__file__).parent)],
    }
    for own, places in running.items():
        if own.is_dir() and own.resolve() not in [Path(place).resolve() for place in places]:
            return Finding(
                "code", False, f"{', '.join(places) or 'none'} runs, not {own}", "make setup, which makes .venv anew here"
            )
    return Finding("code", True, "the project's own")


def _lock(project: Project) -> Finding:
    """Whether the packages that are installed are those of the lock file."""
    file = project.root / keys.LOCK
    if not file.is_file():
        return Finding("lock file", False, f"{file} is missing", "restore it (git checkout), or compile it: make lock")
    text = file.read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", text, re.MULTILINE))
    for name in ("mlflow", "scikit-learn", "pandas", "pandera", "pydantic"):
        if (installed := _installed(name)) != pinned.get(name):
            return Finding("lock file", False, f"{name} {installed}, locked {pinned.get(name)}", "make setup")
    return Finding("lock file", True, f"{len(pinned)} packages pinned")


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _space(project: Project) -> Finding:
    free = shutil.disk_usage(_existing(project.store)).free
    return Finding("disk", free > ENOUGH_BYTES, f"{free / 1e9:.1f} GB free", f"make room below {project.store}")


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if os.path.isdir(place))  # is_dir() raises where it may not look
