"""What the package brings beside its code: the files that it owns in a project, and a project's first ones.

`owned/` and `skeleton/` lie beside this module. The rest comes from the repository that the package is built in: in a wheel
it lies in `data/`, in a folder with the source it is read where it is. `packaged.py`, which builds the wheel, takes the
same lists, so this module imports the standard library alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

HERE = Path(__file__).parent
DATA = HERE / "data"
# The template's repository, where the package is a folder in it: …/machinery/src/mlops/project/shipped.py.
REPOSITORY = HERE.parents[3]

# A project's first files, which are the team's from then on.
FIRST = (
    ".devcontainer/devcontainer.json",
    ".github/CODEOWNERS",
    ".github/ISSUE_TEMPLATE/*",
    ".github/dependabot.yml",
    ".github/pull_request_template.md",
    ".gitignore",
    ".vscode/*.json",
    "AGENTS.md",
    "CONTRIBUTING.md",
    "changelog.d/*",
    "MLproject",
    "changelog.d/README.md",
    "conda-env.yml",
    "config/project.yaml",
    "docs/conf.py",
    "notebooks/.ipynb_saveprocess",
    "python_env.yaml",
    "requirements/*.txt",
    "requirements/base.in",
    "requirements/dev.in",
    "setup.py",
    "src/use_cases/__init__.py",
    "tests/conftest.py",
    "tests/test_*.py",
)
# What belongs to a use case; NAME stands for its name.
USE_CASE = (
    "config/NAME.yaml",
    "data/raw/NAME/*",
    "docs/NAME.md",
    "docs/NAME.svg",
    "notebooks/NAME_*.ipynb",
    "notebooks/NAME_*/*.py",
    "notebooks/*_NAME.ipynb",
    "notebooks/*_NAME/*.py",
    "src/use_cases/NAME/*",
    "tests/use_cases/test_NAME.py",
)
# What `mlops eject` gives back beside the package itself.
SOURCE = ("machinery/*",)
# What tools leave behind.
SKIPPED = ("/__pycache__/", ".egg-info/", "/_build/", "/.mypy_cache/", "/.pytest_cache/", "/.hypothesis/", "/.tox/", "/build/")


def owned() -> dict[str, bytes]:
    """The files that the machinery owns in a project: path → content."""
    return {dotted(path): content for path, content in _tree(HERE / "owned")}


def skeleton() -> dict[str, str]:
    """The texts of a new project that name it, with `$name` and its like: path → text."""
    return {dotted(path): content.decode("utf-8") for path, content in _tree(HERE / "skeleton")}


def first() -> dict[str, bytes]:
    """A project's first files: path → content."""
    return _of("first", FIRST)


def example(name: str) -> dict[str, bytes]:
    """The files of an example use case: path → content; empty for one that is not there."""
    return _of(f"examples/{name}", tuple(pattern.replace("NAME", name) for pattern in USE_CASE), _home(name))


def examples() -> list[str]:
    """The names of the example use cases."""
    if DATA.is_dir():
        return sorted(folder.name for folder in (DATA / "examples").iterdir())
    places = [*(REPOSITORY / "config").glob("*.yaml"), *(REPOSITORY / "machinery" / "examples").glob("*/config/*.yaml")]
    return sorted({file.stem for file in places} - {"project"})


def source() -> dict[str, bytes]:
    """The machinery's source as a folder `machinery/`: the package, its tests, documentation and packaging."""
    packages = HERE.parents[1]
    package = {
        f"machinery/src/{path.relative_to(packages).as_posix()}": path.read_bytes()
        for path in sorted(HERE.parent.rglob("*"))
        if path.is_file() and DATA not in path.parents and not _skipped(path.as_posix().removeprefix(packages.as_posix()))
    }
    return _of("source", SOURCE) | package


def selected(root: Path, patterns: tuple[str, ...]) -> dict[str, bytes]:
    """The files below `root` whose path one of the patterns matches; a `*` takes folders as well."""
    tops = sorted({pattern.split("/")[0] for pattern in patterns})
    places = [place for top in tops for place in root.glob(top)]
    files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*")) if file.is_file()]
    paths = {file.relative_to(root).as_posix(): file for file in files}
    return {
        path: file.read_bytes()
        for path, file in sorted(paths.items())
        if any(fnmatch(path, pattern) for pattern in patterns) and not _skipped(path)
    }


def _of(folder: str, patterns: tuple[str, ...], root: Path = REPOSITORY) -> dict[str, bytes]:
    return dict(_tree(DATA / folder)) if DATA.is_dir() else selected(root, patterns)


def _home(name: str) -> Path:
    """The folder that an example lies in like in a project's root."""
    own = REPOSITORY / "machinery" / "examples" / name
    return own if own.is_dir() else REPOSITORY


def _tree(folder: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(folder.rglob("*")):
        path = file.relative_to(folder).as_posix()
        if file.is_file() and not _skipped(path):
            yield path, file.read_bytes()


def _skipped(path: str) -> bool:
    return any(part in f"/{path}" for part in SKIPPED)


def dotted(path: str) -> str:
    """`dot_github/x` → `.github/x`: a package holds no hidden folders, which tools pass over."""
    return "/".join(f".{part[4:]}" if part.startswith("dot_") else part for part in path.split("/"))
