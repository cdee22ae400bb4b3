"""What a project asks for directly, as requirements/base.in and dev.in: the files that the locks are compiled from.

setup.py and the machinery's own metadata are the source. A tool that bumps the locks sees neither: Dependabot reads only the
texts in requirements/, and no index has the machinery, be it a wheel or a folder. So both are written out, without it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from email import message_from_bytes
from pathlib import Path

from mlops import folders, vendored
from mlops.errors import UserError
from mlops.project import wheel

MACHINERY = "mlops-machinery"
BASE, DEV = "requirements/base.in", "requirements/dev.in"
HEADER = "# Written by `make lock` from setup.py and the requirements of the machinery: change setup.py, not this file.\n"
EXTRA = re.compile(r"(?:; | and )extra == [\"'](?P<extra>[\w-]+)[\"']$")
PREPARE = "import sys; from setuptools import build_meta; print(build_meta.prepare_metadata_for_build_wheel(sys.argv[1]))"


def inputs(machinery: Iterable[str], project: Iterable[str]) -> dict[str, str]:
    """The texts of base.in and dev.in, from the Requires-Dist lines of the machinery and of the project."""
    required, brought = _by_extra(project), _by_extra(machinery)
    flat = {extra: _without_machinery(lines, brought) for extra, lines in required.items()}
    base = flat.pop("", set())
    extras = set().union(*flat.values()) - base
    return {
        BASE: HEADER + "".join(f"{line}\n" for line in sorted(base)),
        DEV: HEADER + "-r base.in\n" + "".join(f"{line}\n" for line in sorted(extras)),
    }


def of_project(root: Path, machinery: Iterable[str] | None = None, project: Iterable[str] | None = None) -> dict[str, str]:
    """The texts of base.in and dev.in for a machinery, that of vendor/machinery.txt by default, and a project's requirements.

    project: Requires-Dist lines, those of the setup.py in `root` by default.

    Raises UserError where setup.py cannot be read.
    """
    if machinery is None:
        folder = vendored.read(root).folder
        machinery = _metadata(root / folder) if folder else sorted(wheel.present(root).requirements)
    return inputs(machinery, _metadata(root) if project is None else project)


def of_setup(root: Path) -> list[str]:
    """The Requires-Dist lines of the project's setup.py; raises UserError where it cannot be read."""
    return _metadata(root)


def of_extra(root: Path, extra: str) -> list[str]:
    """What an extra of the setup.py in a folder asks for; raises UserError where it cannot be read."""
    return sorted(_by_extra(_metadata(root))[extra])


def _metadata(folder: Path) -> list[str]:
    """The Requires-Dist lines of a folder with a setup.py, as setuptools writes them."""
    with folders.work_folder() as to:
        done = subprocess.run([sys.executable, "-c", PREPARE, str(to)], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise UserError(f"{folder / 'setup.py'} cannot be read: {lines[-1] if lines else done.returncode}")
        content = next(to.glob("*.dist-info/METADATA")).read_bytes()
    return list(message_from_bytes(content).get_all("Requires-Dist") or [])


def _by_extra(lines: Iterable[str]) -> dict[str, set[str]]:
    """Requirements by the extra that brings them, "" for those that are always needed; written without the extra's marker."""
    by_extra: dict[str, set[str]] = {"": set()}
    for line in lines:
        match = EXTRA.search(line)
        by_extra.setdefault(match["extra"] if match else "", set()).add(EXTRA.sub("", line))
    return by_extra


def _without_machinery(lines: Iterable[str], brought: dict[str, set[str]]) -> set[str]:
    """The requirements with the machinery replaced by what it brings, the extras that are asked of it included."""
    from packaging.requirements import Requirement

    kept: set[str] = set()
    for line in lines:
        requirement = Requirement(line)
        if requirement.name != MACHINERY:
            kept.add(line)
            continue
        if unknown := requirement.extras - brought.keys():
            raise UserError(
                f"setup.py asks for {MACHINERY}[{min(unknown)}]; it has: {', '.join(sorted(brought.keys() - {''}))}"
            )
        kept |= brought[""].union(*(brought[extra] for extra in requirement.extras))
    return kept
