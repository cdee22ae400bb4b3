"""A project of its own for each test: nothing that a test does is seen by another, or by the working tree."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest
from checkouts import lay_out, need_examples

from mlops import cli, pipeline, tracking
from mlops.config import Project, load_project
from mlops.use_case import load_use_case

# Settings of a developer's shell or of a workflow, which would change what is tested, or have the tests write elsewhere.
FOREIGN = ("MLFLOW_", "GITHUB_", "MLOPS_")
for variable in [name for name in os.environ if name.startswith(FOREIGN)]:
    del os.environ[variable]
# Tests run side by side, one on each processor: more threads of numerical libraries would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

AUTHOR = {
    f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in (("NAME", "Ann"), ("EMAIL", "a@b.c"))
}


def pytest_configure() -> None:
    """A worker of xdist has a main module of no name, which PySpark takes for a doctest: it would end the process."""
    main = sys.modules["__main__"]
    if main.__spec__ is None and not hasattr(main, "__file__"):
        main.__spec__ = ModuleSpec("pytest.__main__", loader=None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests of Spark are skipped where it cannot run."""
    if item.get_closest_marker("spark") and not (shutil.which("java") and importlib.util.find_spec("pyspark")):
        pytest.skip("needs Java and pyspark: make spark")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository on branch main with the two examples' configuration, raw data and lock file; to be copied, not used."""
    need_examples()
    root = tmp_path_factory.mktemp("template")
    lay_out(root)
    environment = {**os.environ, **AUTHOR, "GIT_CONFIG_GLOBAL": os.devnull}
    for arguments in (["init", "--initial-branch=main"], ["add", "--all"], ["commit", "--message=first"]):
        subprocess.run(["git", *arguments], cwd=root, env=environment, check=True, capture_output=True)
    return root


@pytest.fixture(scope="session", autouse=True)
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow makes the tables of an embedded store once; each store that a test of this process makes is a copy."""
    tables = tmp_path_factory.mktemp("empty") / tracking.DATABASE
    make = tracking._make_tables

    def copied(database: Path) -> None:
        if not tables.is_file():
            make(tables)
        shutil.copyfile(tables, database)

    with patch.object(tracking, "_make_tables", copied):
        yield


@pytest.fixture(autouse=True)
def nothing_goes_out() -> Iterator[None]:
    """What a test, or a library on its behalf, sets for this process does not reach the next: MLflow sets its store so."""
    with patch.dict(os.environ):
        yield


@pytest.fixture
def environment() -> Iterator[None]:
    """No setting of MLflow, GitHub or this project comes in from outside, and none that a test makes goes out."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    with patch.dict(os.environ, {**kept, **AUTHOR, "GIT_CONFIG_GLOBAL": os.devnull}, clear=True):
        yield


@pytest.fixture
def project(template: Path, environment: None, tmp_path: Path) -> Project:
    """A project in a temporary git repository, on branch main and without a store; commands find it by themselves."""
    root = tmp_path / "project"
    shutil.copytree(template, root)
    os.environ["MLOPS_PROJECT"] = str(root)
    return load_project()


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Project, Callable[[], object]], Project]:
    """`once(name, project, make)` brings a project into a state: by `make` at first, later by a copy of what that left."""
    folder = tmp_path_factory.mktemp("once")

    def once(name: str, project: Project, make: Callable[[], object]) -> Project:
        kept = folder / name
        if kept.is_dir():
            shutil.rmtree(project.root)
            shutil.copytree(kept, project.root)
        else:
            make()
            shutil.copytree(project.root, folder / "half")
            (folder / "half").rename(kept)
        return project

    return once


@pytest.fixture
def registered(project: Project, once: Callable[..., Project]) -> Project:
    """A project on branch main whose iris 1.0.0 is the champion; for all but the first test its store was moved there."""
    return once("registered", project, lambda: pipeline.run(project, load_use_case(project, "iris")))


class Said(NamedTuple):
    """What a command left: its exit code, standard output and standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Run `mlops <arguments>` in this process, which saves the seconds that importing takes."""

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["mlops", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
            raise SystemExit(0)
        return Said(int(ended.value.code or 0), *capsys.readouterr())

    return run
