"""A package more: in setup.py, the inputs and the locks in one step, or nowhere."""

from pathlib import Path

import pytest

from mlops import pythons
from mlops.errors import UserError
from mlops.project import deps

ROOT = Path(__file__).parents[3]
ONE_LINE = 'setup(\n    install_requires=["a", "b>=2"],  # why\n)\n'
MANY = 'setup(\n    # é\n    install_requires=[\n        "a",  # why\n        "b",\n    ],\n)\n'
EXTRA = 'setup(extras_require={"dev": ["t"], "x": ["y"]}, install_requires=["a"])\n'
# What uv 0.13 prints where no version fits.
NO_VERSION = """  × No solution found when resolving dependencies:
  ╰─▶ Because you require pandas>=2.2,<3 and pandas>=3, we can conclude that
      your requirements are unsatisfiable.
"""


@pytest.mark.parametrize(
    ("text", "dev", "expected"),
    [
        (ONE_LINE, False, ONE_LINE.replace('"b>=2"', '"b>=2", "new"')),
        (MANY, False, MANY.replace('"b",', '"b",\n        "new",')),
        (EXTRA, True, EXTRA.replace('["t"]', '["t", "new"]')),
        ("setup(install_requires=[])\n", False, 'setup(install_requires=["new"])\n'),
    ],
)
def test_a_requirement_more_leaves_the_rest_of_setup_py_as_it_is(text: str, dev: bool, expected: str) -> None:
    assert deps.with_requirement(text, "new", dev) == expected


def test_a_list_that_is_computed_is_left_to_the_team() -> None:
    with pytest.raises(UserError, match="no install_requires=.* add 'new' by hand"):
        deps.with_requirement("setup(install_requires=read())\n", "new", False)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """What `deps add` reads of a project: setup.py, the locks, the machinery that it names."""
    for path in (
        "setup.py",
        "vendor/machinery.txt",
        *(f"requirements/{file.name}" for file in (ROOT / "requirements").iterdir()),
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    (tmp_path / "src").mkdir()
    (tmp_path / "machinery").symlink_to(ROOT / "machinery")
    return tmp_path


def _uv(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A uv whose `pip compile` and `pip install` do what `script` says; its last argument is the lock."""
    tool = folder / "uv-of-test"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setattr(pythons, "uv", lambda: str(tool))


def _texts(root: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for folder in (root, root / "requirements") for file in folder.glob("*.*")}


@pytest.mark.parametrize("fails", ["compile", "install"])
def test_where_it_cannot_be_locked_or_installed_nothing_has_changed(
    fails: str, copied: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = 'for last; do :; done; echo "lightgbm==4.7.0" >> "$last"'
    script = f"if [ $2 = {fails} ]; then cat >&2 <<'EOF'\n{NO_VERSION}EOF\nexit 1; fi\n{lock}"
    _uv(tmp_path_factory.mktemp("uv"), monkeypatch, script)
    before = _texts(copied)
    with pytest.raises(UserError, match=r"Because you require pandas>=2.2,<3 and pandas>=3; nothing was changed$"):
        deps.add(copied, "lightgbm")
    assert _texts(copied) == before


def test_a_package_gets_the_locked_version_as_its_lowest_and_is_served_too(
    copied: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    _uv(tmp_path_factory.mktemp("uv"), monkeypatch, 'for last; do :; done; echo "lightgbm==4.7.0" >> "$last"')
    added = deps.add(copied, "lightgbm", install=False)
    assert (added.line, added.version) == ("lightgbm>=4.7", "4.7.0")
    for file in ("setup.py", "requirements/base.in", "requirements/serve-skops.in"):
        assert "lightgbm>=4.7" in (copied / file).read_text(), file
    with pytest.raises(UserError, match="setup.py asks for lightgbm>=4.7 already"):
        deps.add(copied, "LightGBM")
