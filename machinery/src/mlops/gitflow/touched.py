"""Which use cases a change touches: only these are trained and reported on in a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mlops import digests, keys, vendored
from mlops.git import credentials, git, run


def differs(root: Path, base: str, names: Sequence[str]) -> bool:
    """Return whether HEAD trains or judges otherwise than the commit where it left `origin/<base>`.

    That is so where these modules of the machinery differ, be it a wheel or a folder, or what the lock file pins.
    """
    before = git("merge-base", f"refs/remotes/origin/{base.removeprefix('origin/')}", "HEAD", root=root)
    return _state(root, before, names) != _state(root, "HEAD", names)


def _state(root: Path, commit: str, names: Sequence[str]) -> str:
    lock = vendored.blob(root, commit, keys.LOCK.as_posix()) or b""
    machinery = keys.of_machinery(vendored.sources(root, commit), names)
    return digests.of_value([machinery, keys.pins(lock.decode("utf-8"))])


def use_cases(paths: Iterable[str], known: Sequence[str], shared: Sequence[str]) -> list[str]:
    """Return the known use cases whose model or verdict the changed paths can alter, sorted; all where a shared one changes.

    `shared` are files and folders relative to the project. Documentation, workflows, the project's version and its
    changelog touch none.
    """
    touched: set[str] = set()
    for path in paths:
        if any(path == place or path.startswith(f"{place}/") for place in shared):
            return sorted(known)
        touched |= {name for name in known if _belongs(path, name)}
    return sorted(touched)


def changed_paths(root: Path, base: str) -> list[str] | None:
    """Return the paths that differ between HEAD and where it left `origin/<base>`, None where their history is not here.

    The base may be given with `origin/` before it or without.
    """
    base = base.removeprefix("origin/")
    run(
        "fetch",
        "--quiet",
        "--no-tags",
        "origin",
        f"+refs/heads/{base}:refs/remotes/origin/{base}",
        root=root,
        env=credentials(root),
    )
    reference = f"refs/remotes/origin/{base}"
    if run("merge-base", reference, "HEAD", root=root).returncode:
        return None
    return git("diff", "--name-only", "-z", "--no-renames", f"{reference}...HEAD", root=root).strip("\0").split("\0")


def _belongs(path: str, name: str) -> bool:
    folders = path.split("/")
    if folders[0] == "data":
        return name in folders[1:-1]
    return path == f"config/{name}.yaml" or path.startswith(f"src/use_cases/{name}/")
