"""The machinery that a project names in vendor/machinery.txt: a wheel with its hash, or a folder with its source.

`./vendor/mlops_machinery-1.0.0-py3-none-any.whl --hash=sha256:…` or `-e ./machinery`, and comments around it.
"""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mlops.errors import UserError

LINE = PurePosixPath("vendor/machinery.txt")
DISTRIBUTION = "mlops_machinery"
FORM = re.compile(r"\./(?P<wheel>vendor/[^ ]+\.whl)(?: --hash=sha256:(?P<hash>[0-9a-f]{64}))?")
WHEEL = re.compile(rf"{DISTRIBUTION}-(?P<version>[^-]+)-py3-none-any\.whl")


@dataclass(frozen=True)
class Machinery:
    """Where the machinery is: a wheel below vendor/ with the SHA-256 that it must have, or a folder."""

    wheel: str = ""
    sha256: str = ""
    folder: str = ""

    @property
    def version(self) -> str:
        """The version in the wheel's name, "" for a folder."""
        match = WHEEL.fullmatch(PurePosixPath(self.wheel).name)
        return match["version"] if match else ""


def read(root: Path) -> Machinery:
    """Read vendor/machinery.txt; raises UserError where it is missing or says neither, or a wheel has no hash."""
    file = root / LINE
    if not file.is_file():
        raise UserError(f"{file} is missing: it names the machinery; restore it with git checkout -- {LINE}")
    return parse(file.read_text(encoding="utf-8"), str(file))


def parse(text: str, place: str) -> Machinery:
    """Read the one line that names the machinery; `place` is where an error points to."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    line = lines[0] if len(lines) == 1 else ""
    if match := re.fullmatch(r"-e \./(?P<folder>[^ ]+)", line):
        return Machinery(folder=match["folder"])
    match = FORM.fullmatch(line)
    if match is None:
        raise UserError(f"{place}: one line is expected, `./vendor/X.whl --hash=sha256:…` or `-e ./machinery`")
    if not match["hash"]:
        raise UserError(
            f"{place}: the wheel has no hash, so any other file would pass for it; add --hash=sha256:… of {match['wheel']}"
        )
    return Machinery(wheel=match["wheel"], sha256=match["hash"])


def line(wheel: str, sha256: str) -> str:
    """What vendor/machinery.txt says of a wheel below vendor/."""
    return f"./{wheel} --hash=sha256:{sha256}\n"


def verified(content: bytes, machinery: Machinery) -> bytes:
    """Return a wheel's bytes; raises UserError where they are not those that vendor/machinery.txt pins."""
    digest = hashlib.sha256(content).hexdigest()
    if digest != machinery.sha256:
        raise UserError(
            f"{machinery.wheel} has the hash {digest[:12]}…, {LINE} pins {machinery.sha256[:12]}…: it is another file; "
            f"restore both with git checkout -- vendor"
        )
    return content


def blob(root: Path, commit: str, path: str) -> bytes | None:
    """The content of a project's file in a commit, None where it has none; a project may lie below the repository."""
    done = subprocess.run(["git", "show", f"{commit}:./{path}"], cwd=root, capture_output=True)
    return done.stdout if done.returncode == 0 else None


def sources(root: Path, commit: str) -> dict[str, bytes]:
    """The Python modules of the machinery as a commit has it, by their path below the package.

    Raises UserError where the wheel is not the one that the commit pins. Empty where the commit names no machinery.
    """
    text = blob(root, commit, str(LINE))
    if text is None:
        return {}
    machinery = parse(text.decode("utf-8"), f"{LINE} at {commit[:12]}")
    if machinery.folder:
        return _of_folder(root, commit, f"{machinery.folder}/src/mlops/")
    content = blob(root, commit, machinery.wheel)
    if content is None:
        raise UserError(
            f"{LINE} at {commit[:12]} names {machinery.wheel}, which is not in the commit: git add -f {machinery.wheel}"
        )
    return of_wheel(verified(content, machinery))


def of_wheel(content: bytes) -> dict[str, bytes]:
    """The Python modules of the package in a wheel, by their path below it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if name.startswith("mlops/") and name.endswith(".py")]
        return {
            name.removeprefix("mlops/"): archive.read(name) for name in names if not name.startswith("mlops/project/data/")
        }


def _of_folder(root: Path, commit: str, below: str) -> dict[str, bytes]:
    done = subprocess.run(["git", "archive", "--format=zip", commit, below], cwd=root, capture_output=True)
    if done.returncode:
        return {}
    with zipfile.ZipFile(io.BytesIO(done.stdout)) as archive:
        return {name.removeprefix(below): archive.read(name) for name in archive.namelist() if name.endswith(".py")}
