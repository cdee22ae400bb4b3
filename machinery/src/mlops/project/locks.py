"""The lock files, compiled by uv with the options that `make lock` and Dependabot use."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlops import folders, pythons
from mlops.errors import UserError

# The header names the options: Dependabot takes them from there when it compiles a lock again.
OPTIONS = ("--universal", "--python-version", "3.11")
COMPILE = ("--quiet", *OPTIONS, "--generate-hashes", "--custom-compile-command", f"make lock # {' '.join(OPTIONS)}")
FOLDER = "requirements"


def compiled(root: Path, inputs: Mapping[str, str], locks: Sequence[str], what: str) -> dict[str, bytes]:
    """The locks of these names (`dev` first, the others agree with it) and the inputs that they come from: path → content.

    A version that a lock has now is kept where it can be. Raises UserError, naming `what`, where the requirements cannot
    be met.
    """
    with folders.work_folder() as folder:
        for file in (root / FOLDER).glob("*.*"):
            shutil.copyfile(file, folder / file.name)
        for path, text in inputs.items():
            (folder / Path(path).name).write_text(text, encoding="utf-8")
        for lock in locks:
            arguments = [f"{lock}.in", *(() if lock == "dev" else ("-c", "dev.txt")), "-o", f"{lock}.txt"]
            command = [pythons.uv(), "pip", "compile", *COMPILE, *arguments]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            if done.returncode:
                raise UserError(f"{what} cannot be locked: {reason(done.stderr)}; nothing was changed")
        return {
            path: (folder / Path(path).name).read_bytes() for path in (*inputs, *(f"{FOLDER}/{lock}.txt" for lock in locks))
        }


def reason(stderr: str) -> str:
    """The cause that uv gives on its error stream, in one line."""
    lines = [line.strip(" │├╰─▶╯×·") for line in stderr.splitlines() if not line.lstrip().lower().startswith("warning")]
    whole = " ".join(line for line in lines if line)
    cause = re.search(r"Because .*?(?=, we can conclude| hint: |$)", whole)
    return (cause[0] if cause else whole)[-400:].rstrip(".")
