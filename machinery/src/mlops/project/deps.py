"""`mlops deps add`: a package in setup.py, in all lock files and in this environment, or nowhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops import pythons
from mlops.errors import UserError
from mlops.project import locks, requirements, transaction

if TYPE_CHECKING:
    from packaging.requirements import Requirement

SETUP, SERVED = "setup.py", "requirements/serve-skops.in"
# Those that hold the project's own packages; the other locks follow dev.txt.
LOCKS = ("dev", "base", "serve-skops", "serve-pyfunc")


@dataclass(frozen=True)
class AddedPackage:
    """A package that a project asks for: the line in setup.py, the version that is locked, the files that changed."""

    line: str
    version: str
    files: tuple[str, ...]


def add(root: Path, package: str, dev: bool = False, serve: bool = True, install: bool = True) -> AddedPackage:
    """Ask for a package, lock it and install what is locked.

    dev: for tests and tools alone. serve: servers and images have it too, as a model of that package needs it to answer.
    Raises UserError for what is no requirement, is asked for already or cannot be locked or installed; nothing has
    changed then.
    """
    asked = parsed(package)
    before = requirements.of_setup(root)
    _refuse_known(asked, before)
    extra = 'extra == "dev"' if dev else ""
    serve = serve and not dev
    found = _locked(root, asked, before, extra, serve)
    version = _version(found["requirements/dev.txt"].decode(), asked.name)
    if not asked.specifier and not asked.url:
        # What is locked is what it has been tried with; a later one may come.
        asked = parsed(f"{package}>={'.'.join(version.split('.')[:2])}")
        found |= {path: text.encode() for path, text in _inputs(root, asked, before, extra, serve).items()}
    found[SETUP] = with_requirement((root / SETUP).read_text(encoding="utf-8"), str(asked), dev).encode()
    changed = {path: content for path, content in found.items() if (root / path).read_bytes() != content}
    old: dict[str, bytes | None] = {path: (root / path).read_bytes() for path in changed}
    transaction.change(root, changed)
    if install and (problem := _install(root, "dev" if dev else "base")):
        transaction.change(root, old)
        raise UserError(f"{asked.name} {version} cannot be installed: {problem}; nothing was changed")
    return AddedPackage(str(asked), version, tuple(sorted(changed)))


def parsed(package: str) -> Requirement:
    """A requirement as pip takes it, such as `lightgbm` or `lightgbm>=4,<5`; raises UserError for anything else."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(package)
    except InvalidRequirement as error:
        raise UserError(
            f"{package!r} is no package ({str(error).splitlines()[0]}); write lightgbm, or 'lightgbm>=4,<5'"
        ) from None


def with_requirement(text: str, line: str, dev: bool) -> str:
    """The text of a setup.py with a requirement more, at the end of its list; the rest stays as it is.

    Raises UserError where the list does not stand there as one.
    """
    listed = _list(text, dev)
    if listed is None:
        where = 'extras_require={"dev": [...]}' if dev else "install_requires=[...]"
        raise UserError(f"setup.py has no {where} as a plain list of texts: add {line!r} by hand, then: make lock")
    quoted = f'"{line}"' if '"' not in line else repr(line)
    assert listed.end_lineno is not None and listed.end_col_offset is not None
    if not listed.elts:
        return _insert(text, listed.lineno, listed.col_offset + 1, quoted)
    last = listed.elts[-1]
    assert last.end_lineno is not None and last.end_col_offset is not None
    between = f",\n{' ' * last.col_offset}" if last.lineno > listed.lineno else ", "
    return _insert(text, last.end_lineno, last.end_col_offset, between + quoted)


def _list(text: str, dev: bool) -> ast.List | None:
    """The list of requirements in the call of `setup`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "setup":
            values = {keyword.arg: keyword.value for keyword in node.keywords}
            found: ast.expr | None = values.get("install_requires")
            if dev:
                extras = values.get("extras_require")
                pairs = zip(extras.keys, extras.values, strict=True) if isinstance(extras, ast.Dict) else ()
                found = next((value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "dev"), None)
            return found if isinstance(found, ast.List) else None
    return None


def _insert(text: str, line: int, column: int, added: str) -> str:
    """The text with an addition at a place as `ast` counts it: lines from 1, columns in UTF-8 bytes."""
    lines = text.splitlines(keepends=True)
    content = lines[line - 1].encode()
    lines[line - 1] = (content[:column] + added.encode() + content[column:]).decode()
    return "".join(lines)


def _refuse_known(asked: Requirement, before: list[str]) -> None:
    """What setup.py asks for itself is changed there; what the machinery brings may be narrowed."""
    from packaging.utils import canonicalize_name

    for line in before:
        if canonicalize_name(parsed(line).name) == canonicalize_name(asked.name):
            raise UserError(f"setup.py asks for {line.partition(';')[0].strip()} already: change it there, then: make lock")


def _inputs(root: Path, asked: Requirement, before: list[str], extra: str, serve: bool) -> dict[str, str]:
    found = requirements.of_project(root, project=[*before, f"{asked}; {extra}" if extra else str(asked)])
    if serve:
        found[SERVED] = (root / SERVED).read_text(encoding="utf-8").rstrip("\n") + f"\n{asked}\n"
    return found


def _locked(root: Path, asked: Requirement, before: list[str], extra: str, serve: bool) -> dict[str, bytes]:
    inputs = _inputs(root, asked, before, extra, serve)
    return locks.compiled(root, inputs, LOCKS if serve else LOCKS[:2], str(asked))


def _version(lock: str, name: str) -> str:
    from packaging.utils import canonicalize_name

    found = re.search(rf"^{re.escape(canonicalize_name(name))}==([^\s;\\]+)", lock, re.MULTILINE)
    if found is None:
        raise UserError(f"{name} is not in the lock: it is part of Python, or meant for another one; nothing was changed")
    return found[1]


def _install(root: Path, lock: str) -> str:
    """Install a lock into this environment; returns why it was not, nothing where it was."""
    command = [pythons.uv(), "pip", "install", "--quiet", "--python", sys.executable, "--require-hashes"]
    file = f"{locks.FOLDER}/{lock}.txt"
    done = subprocess.run([*command, "-r", file], cwd=root, capture_output=True, text=True)
    return locks.reason(done.stderr) if done.returncode else ""
