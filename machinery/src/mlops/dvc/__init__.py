"""Raw files too large for git, held with DVC as storage only: a pointer `<file>.dvc` in git, the content in cache and remote.

DVC has an environment of its own (`make dvc`): it pins packages that the project's lock has in other versions.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from mlops import git
from mlops.config import Project
from mlops.errors import DataError, UserError

ENVIRONMENT = Path("dvc")  # below the environment that runs the commands
REMOTE = "mlops"
SECTION = f"'remote \"{REMOTE}\"'"  # of .dvc/config.local
BESIDE = (".dvc", ".schema.json", ".md")  # what lies beside a raw file and is none
FAILED = ("ERROR:", "CRITICAL:")


def command() -> str:
    """The path of DVC's command; raise UserError where it is not installed."""
    own = Path(sys.prefix) / ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin") / "dvc"
    place = str(own) if own.is_file() else shutil.which("dvc")
    if not place:
        raise UserError("DVC is not installed, and raw data lie with it: make dvc")
    return place


def run(project: Project, *arguments: str) -> None:
    """Run DVC in the project; raise DataError with its own last words when it fails.

    Never with --quiet, under which it does not say what is wrong.
    """
    # A workflow hands on an empty value where nobody has set the variable; boto takes it for an address.
    given = {name: value for name, value in os.environ.items() if value or not name.startswith("AWS_")}
    variables = {**given, "DVC_NO_ANALYTICS": "1", "DVC_STUDIO_OFFLINE": "1"}
    done = subprocess.run([command(), *arguments], cwd=project.root, env=variables, capture_output=True, text=True)
    if done.returncode:
        place = remote(project)
        absent = "" if "://" in place or Path(place).is_dir() else " (no such folder)"
        raise DataError(f"dvc {arguments[0]} failed: {_last_words(done.stderr or done.stdout)}; remote: {place}{absent}")


def _last_words(stderr: str) -> str:
    """The first and the last error that DVC names, where it names a line for each file."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.partition(": ")[2].removeprefix("unexpected error - ") for line in lines if line.startswith(FAILED)]
    errors = [line.partition(" - Checkout failed for")[0] for line in errors]  # what follows are the files, on other lines
    named = list(dict.fromkeys((errors or lines[-1:])[:: max(1, len(errors) - 1)]))
    return "; ".join(named) or "no message"


def remote(project: Project) -> str:
    """Where the content of large files is pushed: `large.remote`, or by default a folder in the repository's git folder."""
    url = project.large.remote or _remembered(project)
    if not url:
        return _default_remote(project)
    return url if "://" in url else str(project.root / url)


def has_remote(project: Project) -> bool:
    """Whether there is a remote that other clones can reach."""
    return bool(project.large.remote or _remembered(project))


def _default_remote(project: Project) -> str:
    return str(_common(project) / "mlops-dvc" / "remote")


def _remembered(project: Project) -> str:
    """The remote that a later commit has named in this clone: of a commit from before it, nobody else has the data."""
    settings = configparser.RawConfigParser()
    settings.read(project.root / ".dvc" / "config.local", encoding="utf-8")
    url = settings.get(SECTION, "url", fallback="").strip('"')
    return "" if url == _default_remote(project) else url


def cache(project: Project) -> Path:
    """The cache, which all worktrees of the repository share."""
    return _common(project) / "mlops-dvc" / "cache"


def _common(project: Project) -> Path:
    return (project.root / git.git("rev-parse", "--git-common-dir", root=project.root)).resolve()


def set_up(project: Project) -> None:
    """Make the project one of DVC's where it is none, with cache and remote as configured.

    They stand in .dvc/config.local, which git does not hold; what else stands there, such as a key, stays.
    """
    if not (project.root / ".dvc").is_dir():
        top = Path(git.git("rev-parse", "--show-toplevel", root=project.root)).resolve()
        run(project, "init", *(() if top == project.root.resolve() else ("--subdir",)))
    file = project.root / ".dvc" / "config.local"
    settings = configparser.RawConfigParser()
    settings.read(file, encoding="utf-8")
    for section, key, value in (
        ("core", "remote", REMOTE),
        ("core", "analytics", "false"),
        ("cache", "dir", str(cache(project))),
        (SECTION, "url", remote(project)),
    ):
        if not settings.has_section(section):
            settings.add_section(section)
        settings.set(section, key, f'"{value}"' if set(value) & set(",#") else value)  # else a list, or a comment
    with file.open("w", encoding="utf-8") as text:
        settings.write(text)


def pointers(folder: Path) -> list[Path]:
    """The pointers below a folder of raw data."""
    return sorted(folder.rglob("*.dvc"))


def missing(folder: Path) -> list[Path]:
    """The raw files of a use case that have a pointer and are not there."""
    return [file for pointer in sorted(folder.glob("*.dvc")) if not (file := pointer.with_suffix("")).is_file()]


def pointed(pointer: Path) -> str:
    """The MD5 digest, by which DVC names content, that a pointer names; raise DataError where it cannot be read."""
    try:
        return str(yaml.safe_load(pointer.read_text(encoding="utf-8"))["outs"][0]["md5"])
    except (OSError, yaml.YAMLError, KeyError, IndexError, TypeError, UnicodeDecodeError):
        raise DataError(f"{pointer}: not a pointer of DVC; restore it: git checkout -- {pointer.name}") from None


def md5(file: Path) -> str:
    """The MD5 digest of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def cached(project: Project, digest: str) -> Path:
    """Where the cache has the content of a digest."""
    return cache(project) / "files" / "md5" / digest[:2] / digest[2:]


def is_saved(project: Project, digest: str) -> bool:
    """Whether the cache has the content, undamaged."""
    file = cached(project, digest)
    return file.is_file() and md5(file) == digest


def of_other_commits(project: Project, folder: Path) -> list[Path]:
    """Raw files below a folder that another commit's pointer names and none of this one, with the content that was saved."""
    if not (project.root / ".dvc").is_dir():
        return []
    names = git.git("ls-files", "--others", "-z", "--", str(folder), root=project.root).split("\0")
    files = [project.root / name for name in names if name and not name.endswith(BESIDE)]
    return [file for file in files if file.is_file() and _is_of_another(project, file)]


def _is_of_another(project: Project, file: Path) -> bool:
    pointer = file.with_name(f"{file.name}.dvc")
    if pointer.is_file() or not git.run("log", "--all", "-1", "--format=%h", "--", str(pointer), root=project.root).stdout:
        return False
    return is_saved(project, md5(file))


def drop_damaged(project: Project, digest: str) -> bool:
    """Remove the content of a digest from the cache where its bytes are other ones; return whether it was so."""
    file = cached(project, digest)
    if not file.is_file() or md5(file) == digest:
        return False
    file.chmod(0o644)
    file.unlink()
    return True
