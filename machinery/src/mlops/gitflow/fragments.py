"""Changelog fragments: one file a change in changelog.d/, which a release collects into its entry of the changelog.

Two branches that write to the same lines of a changelog conflict at each back-merge; files of their own never do. towncrier
(https://towncrier.readthedocs.io) renders them, as `[tool.towncrier]` in pyproject.toml says.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from mlops import folders
from mlops.errors import UserError
from mlops.git import run, text_at
from mlops.gitflow.versions import changelog_entry

FOLDER = "changelog.d"
CONFIG = "pyproject.toml"
# The headings of https://keepachangelog.com, in its order.
KINDS = ("added", "changed", "deprecated", "removed", "fixed", "security")
NAME = re.compile(rf"[^.]+\.(?:{'|'.join(KINDS)})(?:\.\d+)?\.md")
HEADING = re.compile(r"(?m)^### (.+?)[ \t]*$")


def in_commit(reference: str, root: Path) -> list[str]:
    """Return the paths of the fragments in a commit, sorted."""
    done = run("ls-tree", "-r", "-z", "--name-only", reference, "--", f"{FOLDER}/", root=root)
    return sorted(path for path in done.stdout.split("\0") if path and _is_one(path))


def in_folder(root: Path) -> list[str]:
    """Return the paths of the fragments that lie in a checkout, sorted."""
    paths = (file.relative_to(root).as_posix() for file in (root / FOLDER).rglob("*") if file.is_file())
    return sorted(path for path in paths if _is_one(path))


def name_problems(paths: Iterable[str]) -> list[str]:
    """Return which fragments have a name that no release would collect, one line each."""
    wrong = [path for path in paths if not NAME.fullmatch(path.removeprefix(f"{FOLDER}/"))]
    return [
        f"{path} is no fragment of the changelog: name it {FOLDER}/+NAME.KIND.md, KIND one of {', '.join(KINDS)}"
        for path in wrong
    ]


def rendered(reference: str, root: Path, version: str) -> str:
    """Return the Markdown that the fragments of a commit make of a version's entry, "" where there are none."""
    paths = in_commit(reference, root)
    if problems := name_problems(paths):
        raise UserError(problems[0])
    if not paths:
        return ""
    with folders.work_folder() as scratch:
        for path in (*paths, CONFIG):
            file = Path(scratch, path)
            file.parent.mkdir(exist_ok=True)
            file.write_text(text_at(reference, path, root), encoding="utf-8")
        return changelog_entry(_towncrier(scratch, version), version)


def joined(entry: str, more: str) -> str:
    """Return an entry of the changelog with another one's items under the same headings, in the order of the kinds."""
    parts = _parts(entry)
    for heading, text in _parts(more).items():
        parts[heading] = "\n".join(filter(None, (parts.get(heading, ""), text)))
    order = ["", *(kind.capitalize() for kind in KINDS)]
    headings = sorted(parts, key=lambda heading: order.index(heading) if heading in order else len(order))
    return "\n\n".join(f"### {heading}\n\n{parts[heading]}" if heading else parts[heading] for heading in headings)


def _is_one(path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    return not name.startswith(".") and name.lower() != "readme.md"


def _towncrier(root: Path, version: str) -> str:
    # The date is of no account: the heading is taken off.
    arguments = ("build", "--draft", "--version", version, "--date", "2000-01-01", "--dir", str(root))
    done = subprocess.run([sys.executable, "-m", "towncrier", *arguments], capture_output=True, text=True)
    if "No module named" in done.stderr:
        raise UserError("towncrier is not installed, which collects the fragments of the changelog: make setup")
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip() or str(done.returncode)).splitlines()[-1]
        raise UserError(f"{FOLDER} cannot be collected: {reason}; see [tool.towncrier] in {CONFIG}")
    return done.stdout


def _parts(entry: str) -> dict[str, str]:
    """Return heading → text of an entry; what stands before the first heading is under ""."""
    first, *rest = HEADING.split(entry)
    parts = {"": first.strip()} if first.strip() else {}
    return parts | {heading: text.strip() for heading, text in zip(rest[::2], rest[1::2])}
