"""A use case as it was when a version was trained: its configuration from the version, its code by digest."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlops import folders, git, use_case_code
from mlops.config import Project, UseCaseConfig
from mlops.errors import UserError
from mlops.use_case import FUNCTIONS, UseCase, bound


@contextmanager
def use_case(project: Project, manifest: dict[str, Any]) -> Iterator[UseCase]:
    """The use case of a candidate: the code that lies here where it is that code, else the one of the candidate's commit.

    Raises UserError where neither has the digest that training recorded.
    """
    name, wanted = manifest["use_case"], manifest["parts"]["code"]
    config = UseCaseConfig.model_validate(manifest["config"])
    here = _package(name)
    if here is not None and use_case_code.digest(here) == wanted:
        yield _bound(name, config, here)
        return
    with folders.work_folder() as scratch:
        package = _of_commit(project.root, manifest["git"]["sha"], name, scratch)
        if package is None or use_case_code.digest(package) != wanted:
            raise UserError(
                f"{name}: neither src/use_cases/{name} nor commit {manifest['git']['sha'][:12]} holds the code that "
                "the version was trained with (it was not committed, or the commit is not here): git fetch, "
                f"or train it anew: mlops run {name}"
            )
        with _imported_from(package.parent):
            yield _bound(name, config, package)


@contextmanager
def shipped(folder: Path, manifest: dict[str, Any]) -> Iterator[UseCase]:
    """The use case of a candidate, from a folder that holds the packages of use cases as they were when it was trained."""
    name = manifest["use_case"]
    with _imported_from(folder):
        yield _bound(name, UseCaseConfig.model_validate(manifest["config"]), folder / name)


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(f"{use_case_code.PACKAGE}.{name}")
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _bound(name: str, config: UseCaseConfig, package: Path) -> UseCase:
    module = importlib.import_module(f"{use_case_code.PACKAGE}.{name}")
    functions: dict[str, Any] = {function: getattr(module, function) for function in FUNCTIONS}
    return bound(name, config, package, functions | {"evaluate": getattr(module, "evaluate", None)})


def _of_commit(root: Path, sha: str, name: str, scratch: Path) -> Path | None:
    """The folder of a use case as a commit has it, or None where the commit or the folder is not there."""
    archive = scratch / "code.tar"
    done = git.run("archive", "--format=tar", f"--output={archive}", sha, f"src/{use_case_code.PACKAGE}", root=root)
    if done.returncode:
        return None
    with tarfile.open(archive) as files:
        files.extractall(scratch, filter="data")
    package = scratch / "src" / use_case_code.PACKAGE / name
    return package if (package / "__init__.py").is_file() else None


@contextmanager
def _imported_from(folder: Path) -> Iterator[None]:
    """Within it, use cases are imported from another folder; afterwards the modules of before are back."""
    parent = importlib.import_module(use_case_code.PACKAGE)
    path, prefix = list(parent.__path__), f"{use_case_code.PACKAGE}."
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(prefix)}
    parent.__path__ = [str(folder)]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.startswith(prefix)]:
            del sys.modules[name]
        parent.__path__ = path
        sys.modules.update(kept)
