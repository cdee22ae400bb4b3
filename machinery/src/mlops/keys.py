"""The key: what identifies a version. The same key is the same model; it is never registered twice.

It leaves out what cannot change a model: the project's version, the changelog, the server, the workflows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops import digests, use_case_code
from mlops.config import Project, UseCaseConfig
from mlops.errors import UserError

if TYPE_CHECKING:
    from mlops.use_case import UseCase

# The machinery that has a say in what a model becomes: every module that data and training run through,
# but neither commands nor what only tells of a result.
MACHINERY = (
    "config/__init__.py",
    "config/base.py",
    "config/checks.py",
    "config/decisions.py",
    "config/loader.py",
    "config/models.py",
    "config/reading.py",
    "data",
    "digests.py",
    "files.py",
    "keys.py",
    "metrics",
    "model_file.py",
    "training",
    "use_case.py",
    "use_case_code.py",
)
TELLING = ("commands.py", "figures.py", "plots.py", "probability_plots.py", "report.py")
LOCK = Path("requirements") / "base.txt"


@dataclass(frozen=True)
class Parts:
    """The digests that a key is made of."""

    code: str
    machinery: str
    config: str
    data: str
    lock: str

    @property
    def key(self) -> str:
        """The digest of all parts: 64 hexadecimal characters."""
        return digests.of_value(asdict(self))


def parts_of(project: Project, use_case: UseCase, data: str) -> Parts:
    """The parts of a use case's key, `data` being the digest of its raw files.

    Raises UserError where the lock file is missing.
    """
    lock = project.root / LOCK
    if not lock.is_file():
        raise UserError(f"{lock} is missing; it pins the environment: make lock")
    return Parts(
        code=use_case_code.digest(use_case.package),
        machinery=machinery(),
        config=of_config(use_case.config),
        data=data,
        lock=digests.of_value(pins(lock.read_text(encoding="utf-8"))),
    )


def machinery(names: Sequence[str] = MACHINERY) -> str:
    """The digest of the machinery's modules, or of some of them."""
    root = Path(__file__).parent
    return of_machinery({file.relative_to(root).as_posix(): file.read_bytes() for file in root.rglob("*.py")}, names)


def of_machinery(sources: Mapping[str, bytes], names: Sequence[str] = MACHINERY) -> str:
    """The digest of those modules among a package's sources, given by their path below it."""
    return digests.of_code(
        {
            path: source
            for path, source in sources.items()
            if path.rpartition("/")[2] not in TELLING and any(path == name or path.startswith(f"{name}/") for name in names)
        }
    )


def pins(lock: str) -> list[str]:
    """What a lock file pins, sorted, without comments and hashes: `package==version`, with the marker where there is one."""
    return sorted(re.findall(r"(?m)^([A-Za-z0-9][^ =]*==[^\\\n]*[^\\\s])", lock))


def of_config(config: UseCaseConfig) -> str:
    """The digest of a configuration after all overrides, without what cannot change a model."""
    without = {"description", "tune", "serving", "slices", "monitor", "acknowledge"}
    return digests.of_value(config.model_dump(mode="json", exclude=without))
