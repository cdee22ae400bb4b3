"""The lock files hold what setup.py asks for: a stale one fails the tests of a pull request."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from unittest import mock

import offline
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PIN = re.compile(r"(?m)^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)")


def asked(setup_py: Path) -> tuple[list[str], list[str]]:
    """Return the requirements of setup.py: those of the main job, and all with every extra."""
    with mock.patch("setuptools.setup") as setup:
        runpy.run_path(str(setup_py))
    arguments = setup.call_args.kwargs
    extras = [line for lines in arguments["extras_require"].values() for line in lines]
    return arguments["install_requires"], [*arguments["install_requires"], *extras]


def stale(requirements: list[str], lock: str) -> list[str]:
    """Return the requirements that a lock file does not satisfy."""
    pinned = {canonicalize_name(name): version for name, version in PIN.findall(lock)}
    found = []
    for requirement in map(Requirement, requirements):
        version = pinned.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            found.append(str(requirement))
    return found


@pytest.mark.parametrize(("file", "part"), [("base.txt", 0), ("dev.txt", 1)])
def test_the_lock_files_satisfy_setup_py(file: str, part: int) -> None:
    lock = (offline.TREE / "requirements" / file).read_text(encoding="utf-8")
    assert stale(asked(offline.TREE / "setup.py")[part], lock) == [], "run make lock"


@pytest.mark.parametrize("line", ["demo>=2", "Other_Name==1.0", "absent"])
def test_a_stale_lock_file_is_found(line: str) -> None:
    lock = "demo==1.5.0 \\\n    --hash=sha256:0\nother-name==0.9 ; python_version < '4'\n"
    assert stale([line], lock) == [str(Requirement(line))]
    assert stale(["demo>=1,<2", "other.name>=0.9"], lock) == []
