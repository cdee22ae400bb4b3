"""What a project's pyproject.toml says of notebooks: `[tool.mlops.notebooks]`.

There and not in config/project.yaml, whose reader is part of what identifies a model: no notebook changes a model.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from mlops.errors import UserError

# Rules of `mlops notebooks check`, beside flake8's.
RULES = (
    "conflict",
    "error",
    "ids",
    "imports",
    "large",
    "order",
    "outputs",
    "path",
    "readable",
    "secret",
    "stale",
    "syntax",
    "twice",
)
FLAKE8_CODE = re.compile(r"[A-Z]+[0-9]*")
POLICIES = ("keep", "strip", "figures")
KEYS = ("outputs", "output_limit", "skip")


class Settings(NamedTuple):
    """What holds for the notebooks of a project.

    outputs: what git holds of the outputs: all (keep), none (strip) or pictures (figures). output_limit: bytes of the outputs
    of one cell. skip: rules and flake8's codes, or their beginnings, that are left out.
    """

    outputs: str = "keep"
    output_limit: int = 1_000_000
    skip: tuple[str, ...] = ()


def read(root: Path) -> Settings:
    """Return the settings of a project; raises UserError for a key or a value that does not exist: it would do nothing."""
    file = root / "pyproject.toml"
    try:
        table: Any = tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not valid TOML ({error})") from error
    for key in ("tool", "mlops", "notebooks"):
        table = table.get(key, {}) if isinstance(table, dict) else table
    where = f"{file}: [tool.mlops.notebooks]"
    if not isinstance(table, dict) or set(table) - set(KEYS):
        raise UserError(f"{where} takes the keys {', '.join(KEYS)}")
    settings = Settings(**table)
    if settings.outputs not in POLICIES:
        raise UserError(f"{where} outputs: {settings.outputs!r} is none of {', '.join(POLICIES)}")
    if not isinstance(settings.output_limit, int) or isinstance(settings.output_limit, bool) or settings.output_limit < 1:
        raise UserError(f"{where} output_limit: a number of bytes is expected, found {settings.output_limit!r}")
    return settings._replace(skip=_rules(settings.skip, where))


def _rules(names: Any, where: str) -> tuple[str, ...]:
    if not isinstance(names, list | tuple):
        raise UserError(f'{where} skip: a list is expected, such as skip = ["imports", "E501"]')
    for name in names:
        if name not in RULES and not FLAKE8_CODE.fullmatch(str(name)):
            raise UserError(f"{where} skip: no rule {name!r}; choose from {', '.join(RULES)} and flake8's codes")
    return tuple(names)
