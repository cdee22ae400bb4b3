"""Code and data saved in one commit, and the data of a commit restored. Data are pushed before the commit names them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from mlops import digests, dvc, git
from mlops.config import Project
from mlops.errors import DataError, UserError

MEGABYTE = 1_000_000


def save(project: Project, message: str) -> tuple[str, list[Path]]:
    """Push the large raw files, then commit everything; return the commit and those files.

    Raises DataError where data cannot be pushed, or differ from their digest; nothing is committed then.
    """
    if not message.strip():
        raise UserError("the message is empty, so nothing is saved; give one: mlops save -m '…'")
    if git.run("ls-files", "--unmerged", root=project.root).stdout:
        raise UserError(f"{project.root}: a merge has conflicts; resolve them, then save")
    files = _large(project)
    for file in files:
        _check(file)
    if files:
        dvc.set_up(project)
        _store(project, files)
    git.git("add", "--all", root=project.root)
    if not git.git("status", "--porcelain", root=project.root):
        raise UserError("nothing to save: no file differs from the commit that is checked out")
    git.git("commit", "--quiet", "--message", message, root=project.root, env=git.identity(project.root))
    return git.git("rev-parse", "HEAD", root=project.root), files


def _large(project: Project) -> list[Path]:
    """The raw files that have a pointer, and those above the size that git does not hold."""
    folder = project.data / "raw"
    # What is in the index alone can still be held back from the commit.
    tracked = {
        project.root / name
        for name in git.run("ls-tree", "-r", "-z", "--name-only", "HEAD", root=project.root).stdout.split("\0")
    }
    limit = project.large.megabytes * MEGABYTE
    files = {pointer.with_suffix("") for pointer in dvc.pointers(folder)}
    for file in folder.glob("*/*"):
        plain = file.is_file() and not file.name.startswith(".") and not file.name.endswith(dvc.BESIDE)
        if plain and file not in tracked and file.stat().st_size > limit:
            files.add(file)
    return sorted(file for file in files if file.is_file())


def _check(file: Path) -> None:
    """Raise DataError where a raw file is not the one that its sidecar records."""
    if (recorded := _recorded(file)) and digests.of_file(file) != recorded:
        raise DataError(
            f"{file}: differs from the content recorded in {_sidecar(file).name}, and raw data are immutable; "
            "nothing was saved: give the new content another name, and restore this file with: mlops data restore"
        )


def _sidecar(file: Path) -> Path:
    return file.with_name(f"{file.name}.schema.json")


def _recorded(file: Path) -> str:
    beside = _sidecar(file)
    try:
        return str(json.loads(beside.read_text(encoding="utf-8"))["sha256"]) if beside.is_file() else ""
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{beside}: not the record of a data set; restore it: git checkout -- {beside.name}") from None


def _store(project: Project, files: list[Path]) -> None:
    """Put the files into cache and remote; a cache with other bytes than its name says is written anew from them."""
    names = [str(file.relative_to(project.root)) for file in files]
    for file in files:
        dvc.drop_damaged(project, dvc.md5(file))
    git.run("rm", "--cached", "--quiet", "--ignore-unmatch", "--", *names, root=project.root)
    try:
        dvc.run(project, "add", *names)
        dvc.run(project, "push", *(f"{name}.dvc" for name in names))
    except DataError as error:
        hint = "nothing was committed: see that it can be reached, its keys are set and the disk has space, then save again"
        raise DataError(f"{error}; {hint}") from None


def restore(project: Project) -> tuple[list[Path], list[Path]]:
    """Bring the large raw files that the commit's pointers name; return those brought, and those of other commits removed.

    Raises DataError, before anything is written, naming a file whose content nothing else holds, and where content cannot
    be fetched.
    """
    folder = project.data / "raw"
    wanted = {pointer.with_suffix(""): dvc.pointed(pointer) for pointer in dvc.pointers(folder)}
    stale = [file for file, digest in wanted.items() if not file.is_file() or dvc.md5(file) != digest]
    for file in stale:
        if file.is_file() and not dvc.is_saved(project, dvc.md5(file)):
            raise DataError(f"{file}: holds content that was never saved; nothing was restored: move it away, or mlops save")
    others = dvc.of_other_commits(project, folder)
    if stale:
        _fetch(project, {file: wanted[file] for file in stale})
    for file in others:
        file.unlink()
        if not git.run("ls-files", "--", str(_sidecar(file)), root=project.root).stdout:  # a run here wrote it
            _sidecar(file).unlink(missing_ok=True)
    return stale, others


def _fetch(project: Project, wanted: dict[Path, str]) -> None:
    dvc.set_up(project)
    damaged = [file for file, digest in wanted.items() if dvc.drop_damaged(project, digest)]
    names = [f"{file.relative_to(project.root)}.dvc" for file in wanted]
    try:
        dvc.run(project, "pull", "--force", *names)
    except DataError as error:
        where = f" (its copy in the cache was damaged: {damaged[0].name})" if damaged else ""
        raise DataError(f"{', '.join(file.name for file in wanted)}: {error}{where}; {_remedy(project)}") from None
    for file, digest in wanted.items():
        if not file.is_file() or dvc.md5(file) != digest:
            dvc.drop_damaged(project, digest)
            place = dvc.remote(project)
            raise DataError(f"{file}: {place} holds other bytes than its pointer names; where the file is whole: mlops save")


def _remedy(project: Project) -> str:
    """What to do where content cannot be fetched: nobody but the clone that saved it has the default remote."""
    if dvc.has_remote(project):
        return "see that it holds them whole and its keys are set, then: mlops data restore"
    return (
        "large.remote in config/project.yaml is empty, so that only the clone that saved them has them: set it there to a "
        "folder or bucket that all can reach, mlops save, then here: mlops data restore"
    )


def fetch_into_cache(project: Project, tree: Path, pointer: Path) -> None:
    """Bring what a pointer of another checkout names from the project's remote into the cache that both share.

    Raises UserError where DVC is not installed, DataError where the content cannot be fetched.
    """
    large = project.large.model_copy(update={"remote": dvc.remote(project)})
    other = project.model_copy(update={"root": tree, "data": tree / "data", "large": large})
    keys = project.root / ".dvc" / "config.local"
    if keys.is_file() and (tree / ".dvc").is_dir():
        shutil.copyfile(keys, tree / ".dvc" / "config.local")
    dvc.set_up(other)
    dvc.drop_damaged(project, dvc.pointed(pointer))
    dvc.run(other, "fetch", str(pointer.relative_to(tree)))
    if not dvc.is_saved(project, dvc.pointed(pointer)):
        raise DataError(
            f"{pointer.stem}: {large.remote} does not hold what its pointer names; where the file is whole: mlops save"
        )
