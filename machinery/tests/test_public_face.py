"""The package's public face: small, typed, light to import, and all that a project's own code needs."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name

import pytest
from checkouts import ROOT

import mlops
from mlops.spark import ml, text

OWN = [*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "notebooks").glob("*.ipynb")]
OWN += [*(ROOT / "machinery" / "examples").rglob("*.ipynb"), *(ROOT / "machinery" / "examples").glob("*/[st]*/**/*.py")]


FACE = {
    *(f"mlops.{name}" for name in mlops.__all__),
    *(f"{module.__name__}.{name}" for module in (ml, text) for name in module.__all__),
}


def code(file: Path) -> str:
    if file.suffix == ".py":
        return file.read_text(encoding="utf-8")
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    lines = [line for cell in cells if cell["cell_type"] == "code" for line in "".join(cell["source"]).splitlines()]
    return "\n".join(line for line in lines if line.startswith(("from ", "import ")))


def taken(file: Path) -> set[str]:
    """What a file imports of the package, by full name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(code(file))):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names if name.name.split(".")[0] == "mlops"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mlops":
            names |= {f"{node.module}.{name.name}" for name in node.names}
    return names


@pytest.mark.parametrize("name", sorted(FACE))
def test_each_name_is_there_and_documented(name: str) -> None:
    assert resolve_name(name).__doc__


def test_the_projects_own_code_takes_nothing_else() -> None:
    allowed = {"mlops", *FACE}
    assert {str(file): taken(file) - allowed for file in OWN if taken(file) - allowed} == {}


def test_the_page_lists_every_name() -> None:
    page = (ROOT / "machinery/docs/api.md").read_text(encoding="utf-8").partition("```")[0]
    assert {name for name in FACE if f"`{name.rpartition('.')[2]}`" not in page} == set()


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, mlops; print([name for name in ('pandas', 'mlflow', 'sklearn') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(AttributeError, match="load_project"):
        mlops.load_projekt  # noqa: B018
