"""What a run checks: which target of make on which Python, and whether the change needs any check at all.

| event | checks |
|---|---|
| pull request, merge queue | `make lint` on every Python, `make test` on the oldest and the newest, the notebooks once |
| push to dev | `make tests` on every Python |
| back-merge that changes nothing but version and changelog | none, neither in its pull request nor when it is merged |
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlops.git import credentials, git, run, text_at
from mlops.gitflow import branches, versions
from mlops.gitflow.checks import CHANGELOG, SETUP, Merge
from mlops.gitflow.fragments import FOLDER

FRAGMENTS = f"{FOLDER}/"
NOWHERE = "0" * 40


def checks(event: str, branch: str, pythons: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of the matrix: name, python, target of make, and whether the notebooks are run there.

    `branch` is the one that was pushed.
    """
    ordered = sorted(pythons, key=lambda version: tuple(int(part) for part in version.split(".")))
    if event in ("pull_request", "merge_group"):
        ends = {*ordered[:1], *ordered[-1:]}
        targets = {version: "test" if version in ends else "lint" for version in ordered}
        # Where only lint runs there is time for the notebooks.
        least = [version for version in ordered if targets[version] == "lint"] or ordered
        return [_row(version, target, version == least[-1]) for version, target in targets.items()]
    if event == "push" and branch == branches.DEV:
        return [_row(version, "tests", False) for version in ordered]
    return []


def _row(python: str, target: str, notebooks: bool) -> dict[str, Any]:
    words = {"test": "lint, test", "tests": "test"}.get(target, target)
    name = f"{words}{', notebooks' if notebooks else ''} ({python})"
    return {"name": name, "python": python, "target": target, "notebooks": notebooks}


def nothing_to_check(root: Path, merge: Merge | None, event: dict[str, Any]) -> bool:
    """Return whether this run is about a back-merge that brings no more than version and changelog.

    For a pull request its branch has to be one that back-merges; for a push what differs from the commit before decides.
    """
    if merge:
        backmerge = branches.kind(merge.head) in ("backmerge", branches.MAIN) and not merge.foreign
        base = f"refs/remotes/origin/{merge.base}"
        start = run("merge-base", base, "HEAD", root=root).stdout.strip() if backmerge else ""
    else:
        start = str(event.get("before") or NOWHERE)
        if start != NOWHERE:
            run("fetch", "--quiet", "--no-tags", "--depth=1", "origin", start, root=root, env=credentials(root))
    return start not in ("", NOWHERE) and version_and_changelog_only(root, start)


def version_and_changelog_only(root: Path, start: str) -> bool:
    """Return whether HEAD differs from `start` by version and changelog alone; False where that cannot be found out."""
    done = run("diff", "--name-only", "-z", "--no-renames", start, "HEAD", root=root)
    paths = [path for path in done.stdout.split("\0") if path]
    known = all(path in (CHANGELOG, SETUP) or path.startswith(FRAGMENTS) for path in paths)
    if done.returncode or not known:
        return False
    before, after = text_at(start, SETUP, root), git("show", f"HEAD:{SETUP}", root=root)
    return (
        before.strip() == after.strip()
        or versions.with_version(before, versions.project_version(after)).strip() == after.strip()
    )
