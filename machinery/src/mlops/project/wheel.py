"""The machinery as a wheel: built the same to the byte wherever it is built, read without installing it."""

from __future__ import annotations

import email
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from mlops import folders, vendored
from mlops.errors import UserError

EPOCH = "946684800"  # 2000-01-01: the time of every file in the archive
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
OWNED = "mlops/project/owned/"


@dataclass(frozen=True)
class Wheel:
    """A wheel of the machinery: its file name and bytes."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        """The hash that vendor/machinery.txt pins."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def path(self) -> str:
        """Where it lies in a project."""
        return f"vendor/{self.name}"

    @property
    def metadata(self) -> Message:
        """Name, version and requirements, as the wheel states them."""
        return email.message_from_bytes(self._read(lambda name: name.endswith(".dist-info/METADATA"))[1])

    @property
    def version(self) -> str:
        """The version that the wheel's metadata states."""
        return str(self.metadata["Version"])

    @property
    def requirements(self) -> set[str]:
        """What the wheel requires, extras included, as its metadata write it."""
        return set(self.metadata.get_all("Requires-Dist") or [])

    def owned(self) -> dict[str, bytes]:
        """The files that this version owns in a project: path → content."""
        from mlops.project.shipped import dotted

        with zipfile.ZipFile(io.BytesIO(self.content)) as archive:
            names = [name for name in archive.namelist() if name.startswith(OWNED) and not name.endswith("/")]
            return {dotted(name.removeprefix(OWNED)): archive.read(name) for name in names}

    def _read(self, wanted: Callable[[str], bool]) -> tuple[str, bytes]:
        with zipfile.ZipFile(io.BytesIO(self.content)) as archive:
            name = next(name for name in archive.namelist() if wanted(name))
            return name, archive.read(name)


def opened(file: Path) -> Wheel:
    """Read a wheel file; raises UserError where it is none of the machinery, or its name and its metadata disagree."""
    try:
        wheel = Wheel(file.name, file.read_bytes())
        match = vendored.WHEEL.fullmatch(file.name)
        if match and match["version"] == wheel.version and wheel.metadata["Name"] == "mlops-machinery":
            return wheel
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); give the path of a wheel") from None
    except (zipfile.BadZipFile, StopIteration, KeyError):
        pass
    raise UserError(f"{file}: no wheel of the machinery; its name is mlops_machinery-VERSION-py3-none-any.whl, as released")


def present(root: Path) -> Wheel:
    """The wheel that a project has in vendor/, with the hash that it pins; raises UserError where it has none or another."""
    machinery = vendored.read(root)
    if machinery.folder:
        raise UserError(
            f"the machinery is the folder {machinery.folder}/ here, not a wheel: mlops adopt makes the project thin"
        )
    file = root / machinery.wheel
    if not file.is_file():
        raise UserError(f"{file} is missing, vendor/machinery.txt names it: git checkout -- vendor")
    return Wheel(file.name, vendored.verified(file.read_bytes(), machinery))


def of_commit(root: Path, commit: str) -> Wheel:
    """The wheel built from the machinery's folder as a commit has it, whatever the working tree holds."""
    done = subprocess.run(["git", "archive", "--format=tar", commit], cwd=root, capture_output=True)
    if done.returncode:
        raise UserError(f"git archive {commit} failed in {root}: {done.stderr.decode().strip()}")
    with folders.work_folder() as folder:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
        return built(folder)


def built(repository: Path) -> Wheel:
    """The wheel built in a folder that holds a repository with `machinery/`; the folder is written to.

    Raises UserError where setuptools refuses.
    """
    for path in repository.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    with folders.work_folder() as to:
        done = subprocess.run(
            [sys.executable, "-c", BUILD, str(to)],
            cwd=repository / "machinery",
            env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise UserError(
                f"the wheel cannot be built: {lines[-1] if lines else done.returncode}; make setup brings setuptools"
            )
        file = next(to.glob("*.whl"))
        return Wheel(file.name, file.read_bytes())
