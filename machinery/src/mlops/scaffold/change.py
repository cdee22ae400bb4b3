"""`mlops add --like`, `remove` and `rename`: the files of a use case copied, removed or renamed, all of them or none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlops import git
from mlops.config import Project, check_use_case, nearest
from mlops.errors import UserError
from mlops.project import shipped, transaction
from mlops.scaffold.add import as_default, check_name

# What is read as text, in which the old name is replaced; everything else is copied byte by byte.
TEXTS = (".py", ".yaml", ".md", ".ipynb")


@dataclass(frozen=True)
class Removal:
    """What would go, what else names the use case and is left to the team, and what stays of it."""

    paths: tuple[str, ...]
    mentions: tuple[str, ...]
    stays: str


def files_of(project: Project, name: str) -> list[str]:
    """The files of a use case, below the root: code, configuration, raw data, test, page, notebooks."""
    root = project.root
    folders = [root / "src" / "use_cases" / name, project.data / "raw" / name]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    files += [root / "config" / f"{name}.yaml", root / "tests" / "use_cases" / f"test_{name}.py"]
    files += [root / "docs" / f"{name}{ending}" for ending in (".md", ".svg")]
    of_it = re.compile(rf"(^|_){re.escape(name)}($|_)")
    for notebook in (root / "notebooks").glob("*.ipynb"):
        if of_it.search(notebook.stem):
            files += [notebook, *(file for file in notebook.with_suffix("").rglob("*") if file.is_file())]
    return sorted(str(file.relative_to(root)) for file in files if file.is_file())


def copy(project: Project, old: str, new: str) -> list[str]:
    """Copy a use case, or an example of the machinery, under a name; what it says of itself says it by that name.

    Raises UserError for an unknown use case, a name that is taken, or a file that is in the way.
    """
    examples = [name for name in shipped.examples() if name not in project.use_cases]
    known = [*project.use_cases, *examples]
    if old not in known:
        raise UserError(f"no use case or example {old!r}{nearest(old, known)}; there are: {', '.join(known)}")
    check_name(project, new)
    source = shipped.example(old) if old in examples else _contents(project, old)
    contents = _renamed(project, source, old, new)
    transaction.change(project.root, contents | as_default(project, new))
    return sorted(contents)


def rename(project: Project, old: str, new: str) -> list[str]:
    """Rename a use case; its versions stay in the store under the old name. Raises UserError as `copy`."""
    check_use_case(project, old)
    check_name(project, new)
    contents: dict[str, bytes | None] = dict(_renamed(project, _contents(project, old), old, new))
    contents |= dict.fromkeys(files_of(project, old))
    contents |= _default(project, old, new)
    transaction.change(project.root, contents)
    return sorted(path for path, content in contents.items() if content is not None)


def removal(project: Project, name: str) -> Removal:
    """What removing a use case would do. Raises UserError for an unknown one, and for the default where others are there."""
    check_use_case(project, name)
    others = [other for other in project.use_cases if other != name]
    if project.default_use_case == name and others:
        raise UserError(
            f"{name} is default_use_case in config/project.yaml: write another one there first ({', '.join(others)})"
        )
    paths = files_of(project, name)
    word = re.compile(rf"\b{re.escape(name)}\b")
    listed = git.run("ls-files", root=project.root).stdout.splitlines()
    read = [
        path for path in listed if path not in paths and path.endswith((*TEXTS, ".toml", ".yml")) and path != "CHANGELOG.md"
    ]
    mentions = [path for path in read if (project.root / path).is_file() and word.search(_text(project.root / path))]
    stays = f"versions, runs and aliases of {name} stay in the store: mlops history {name}"
    return Removal(tuple(paths), tuple(mentions), stays)


def remove(project: Project, name: str) -> Removal:
    """Remove the files of a use case; nothing is changed in the store."""
    gone = removal(project, name)
    transaction.change(project.root, dict.fromkeys(gone.paths))
    return gone


def _contents(project: Project, name: str) -> dict[str, bytes]:
    return {path: (project.root / path).read_bytes() for path in files_of(project, name)}


def _renamed(project: Project, contents: Mapping[str, bytes], old: str, new: str) -> dict[str, bytes]:
    """New path → content, of every file of a use case. The sidecar of a data set keeps its digest and is copied as it is."""
    renamed = {}
    for path, content in contents.items():
        target = _swapped(path, old, new)
        if (project.root / target).exists():
            raise UserError(f"{target} is there already, and is not written over; move it away, or choose another name")
        renamed[target] = _swapped(content.decode(), old, new).encode() if path.endswith(TEXTS) else content
    return renamed


def _swapped(text: str, old: str, new: str) -> str:
    """The name replaced where it stands as a word of its own, or between underscores."""
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(old)}(?![A-Za-z0-9])", new, text)


def _default(project: Project, old: str, new: str) -> Mapping[str, bytes]:
    if project.default_use_case != old:
        return {}
    path = "config/project.yaml"
    text = (project.root / path).read_text(encoding="utf-8")
    return {path: re.sub(rf"(?m)^(default_use_case: *){re.escape(old)}\b", rf"\g<1>{new}", text).encode()}


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
