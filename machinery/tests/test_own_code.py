"""A use case runs its own code, which its key covers: what it imports from elsewhere in the project is refused in one line."""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import mlops

import use_cases
from mlops import use_case_code
from mlops.config import Project
from mlops.errors import UserError
from mlops.use_case import load_use_case


@pytest.fixture
def meadow(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a use case `meadow`, copied from iris as docs/use-cases.md says."""
    folder = project.root / "src" / "use_cases" / "meadow"
    shutil.copytree(load_use_case(project, "iris").package, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(project.data / "raw" / "iris", project.data / "raw" / "meadow")
    shutil.copyfile(project.root / "config" / "iris.yaml", project.root / "config" / "meadow.yaml")
    monkeypatch.setattr(use_cases, "__path__", [str(folder.parent), *use_cases.__path__])
    for name in loaded():
        monkeypatch.delitem(sys.modules, name)
    yield folder
    for name in loaded():
        del sys.modules[name]


def loaded() -> list[str]:
    """The modules that a test here brings, or a project's own of the same name."""
    return [name for name in sys.modules if re.match(r"use_cases\.(meadow|common)\b", name)]


def add(file: Path, line: str) -> None:
    """Put a line at the end of a module, which is made where it is not there."""
    file.parent.mkdir(exist_ok=True)
    with file.open("a", encoding="utf-8") as text:
        text.write(f"{line}\n")


@pytest.mark.parametrize("example", ["iris", "ridership"])
def test_a_copy_of_an_example_runs_its_own_code(project: Project, meadow: Path, example: str) -> None:
    shutil.copytree(load_use_case(project, example).package, meadow, dirs_exist_ok=True)
    shutil.copyfile(project.root / "config" / f"{example}.yaml", project.root / "config" / "meadow.yaml")
    use_case = load_use_case(project, "meadow")
    functions = (use_case.load, use_case.schema, use_case.features, use_case.build, use_case.baseline)
    assert {function.__module__.rpartition(".")[0] for function in functions} == {"use_cases.meadow"}
    assert use_case.package == meadow


NO_PART = "which is no part of meadow, so a change there would pass unseen"
MOVE = "move what is shared to src/use_cases/common/"
FOREIGN = {
    "from use_cases.iris.data import load as read, schema": (
        "use_cases.iris.data",
        "write `from .data import load as read, schema`",
    ),
    "from ..iris import model": ("use_cases.iris", MOVE),
    "from use_cases.iris.gone import load": ("use_cases.iris.gone", MOVE),
    "import use_cases.iris.data": ("use_cases.iris.data", MOVE),
    "from use_cases import iris": ("use_cases.iris", MOVE),
    "from .. import iris": ("use_cases.iris", MOVE),
    "if False: from use_cases.iris_two import x": ("use_cases.iris_two", MOVE),
    "import use_cases": ("use_cases", MOVE),
    "import numpy, acme.dates": ("acme.dates", MOVE),
    "from single import x": ("single", MOVE),
}


@pytest.mark.parametrize("line", FOREIGN)
def test_an_import_that_the_key_does_not_cover_is_refused(project: Project, meadow: Path, line: str) -> None:
    add(project.root / "src" / "acme" / "dates.py", "x = 1")
    add(project.root / "src" / "single.py", "x = 1")
    number = len((meadow / "features.py").read_text().splitlines()) + 1
    add(meadow / "features.py", line)
    module, hint = FOREIGN[line]
    done = mlops("train", "meadow")
    assert (done.code, done.error) == (2, f"src/use_cases/meadow/features.py:{number}: imports {module}, {NO_PART}; {hint}")


def test_the_hint_is_right_in_a_folder_below(project: Project, meadow: Path) -> None:
    add(meadow / "below" / "more.py", "from use_cases.iris.data import SPECIES")
    assert "more.py:1: imports use_cases.iris.data" in (message := mlops("train", "meadow").error)
    assert "write `from ..data import SPECIES`" in message


@pytest.mark.parametrize(
    "line",
    [
        "from .data import LENGTHS",
        "from use_cases.meadow.data import LENGTHS",
        "from use_cases.meadow import data",
        "from .. import common",
        "from ..common import dates",
        "from use_cases.common.dates import first",
        "import use_cases.common.dates",
        "import numpy",
        "from mlops.digests import of_text",
    ],
)
def test_own_code_common_code_packages_and_machinery_are_imported(project: Project, meadow: Path, line: str) -> None:
    add(meadow.parent / "common" / "__init__.py", "")
    add(meadow.parent / "common" / "dates.py", "first = 1")
    add(meadow / "features.py", line)
    assert load_use_case(project, "meadow").name == "meadow"


def test_common_code_imports_no_use_case(project: Project, meadow: Path) -> None:
    add(meadow.parent / "common" / "dates.py", "from use_cases.meadow.data import LENGTHS")
    refused = mlops("train", "meadow").error
    assert refused.startswith("src/use_cases/common/dates.py:1: imports use_cases.meadow.data, which is no part of common")


def test_the_digest_changes_with_own_and_with_common_code_and_not_with_another_use_case(meadow: Path) -> None:
    seen = [use_case_code.digest(meadow)]
    for name in (
        "meadow/data.py",
        "meadow/new.py",
        "common/dates.py",
        "common/dates.py",
        "common/below/deep.py",
        "__init__.py",
    ):
        add(meadow.parent / name, "x = 1")
        seen.append(use_case_code.digest(meadow))
    assert len(set(seen)) == len(seen)
    add(meadow.parent / "taxi" / "data.py", "x = 1")
    assert use_case_code.digest(meadow) == seen[-1]


def test_an_environment_with_the_code_of_another_project_is_refused(project: Project) -> None:
    here = load_use_case(project, "iris").package  # of this repository: the project itself has no code yet
    own = project.root / "src" / "use_cases" / "iris"
    shutil.copytree(here, own, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.raises(UserError, match=f"{own}: this environment has the code of another project; run .*/.venv/bin/mlops"):
        load_use_case(project, "iris")
