"""A project that is copied with its .venv: that runs the original's code, doctor says so, and `make` makes it anew."""

import shutil
import subprocess
from pathlib import Path

import pytest
from checkouts import ROOT
from command import mlops

from mlops.config import Project

STAMPS = (".venv", ".base", ".dev")


def make(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["make", "-C", str(root), *arguments], capture_output=True, text=True)


@pytest.fixture(params=["original", "Ann's own (project)"])
def original(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A project whose environment is complete; the recipes' commands are stand-ins that do nothing, their stamps are real."""
    root = tmp_path / request.param
    for name in ("Makefile", "setup.py", "vendor/machinery.txt", "requirements/base.txt", "requirements/dev.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    (root / ".venv" / "bin").mkdir(parents=True)
    for name in ("python", "uv"):
        shutil.copyfile("/bin/true", root / ".venv" / "bin" / name)
        (root / ".venv" / "bin" / name).chmod(0o755)
    done = make(root, "PYTHON=true", "setup")
    assert done.returncode == 0, done.stderr
    (root / ".venv" / "pyvenv.cfg").touch()
    return root


def test_an_environment_at_its_own_place_is_kept(original: Path) -> None:
    assert make(original, "-q", ".venv/.dev").returncode == 0


def test_that_of_a_copy_is_made_anew_once(original: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    plan = make(copy, "-n", "setup").stdout
    assert "-m venv --clear .venv" in plan and "requirements/base.txt" in plan and "requirements/dev.txt" in plan
    assert make(copy, "PYTHON=true", "setup").returncode == 0
    assert make(copy, "-q", ".venv/.dev").returncode == 0
    assert make(original, "-q", ".venv/.dev").returncode == 0, "the original's is left alone"


def test_a_path_by_a_link_is_the_same_place(original: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(original)
    assert make(tmp_path / "link", "-q", ".venv/.dev").returncode == 0


@pytest.mark.parametrize("name", ["src/use_cases", "machinery/src/mlops"])
def test_doctor_names_code_that_is_not_the_projects_own(project: Project, name: str) -> None:
    (project.root / name).mkdir(parents=True)
    done = mlops("doctor", "--json")
    (item,) = [item for item in done.value if item["what"] == "code"]
    assert (item["ok"], item["detail"].endswith(f"runs, not {project.root / name}")) == (False, True), item
    assert item["hint"].startswith("make setup")
