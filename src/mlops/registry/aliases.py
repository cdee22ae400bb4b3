"""Aliases: where they point, and the log of every move with who, why, from and to.

The log is kept as tags of the registered model, so that it lives in every store and moves with it.
"""

from __future__ import annotations

import getpass
import json
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mlops.errors import UserError
from mlops.registry.versions import Version, by_alias

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "move."


@dataclass(frozen=True)
class Move:
    """One move of an alias: from and to are version numbers, `before` None where the alias was new; time in UTC."""

    alias: str
    before: str | None
    after: str
    who: str
    why: str
    when: str


def move(client: MlflowClient, versions: list[Version], alias: str, to: Version, why: str) -> Move | None:
    """Point an alias at a version, the log first and the alias last; None where it points there already."""
    now = by_alias(versions, alias)
    if now and now.version == to.version:
        return None
    stamp = time.time_ns()
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(stamp / 1e9))
    made = Move(alias, now.number if now else None, to.number, who(), why, when)
    client.set_registered_model_tag(to.name, f"{PREFIX}{stamp}", json.dumps(asdict(made)))
    client.set_registered_model_alias(to.name, alias, to.version)
    return made


def check(alias: str) -> None:
    """Raise UserError for a name that MLflow keeps for itself or does not take, before anything is registered."""
    reserved = alias == "latest" or (alias.startswith("v") and alias[1:].isdigit())
    if reserved or not alias.replace("-", "_").isidentifier():
        raise UserError(f"alias {alias!r} may not be used; take a word such as challenger, candidate or champion")


def log(client: MlflowClient, name: str) -> list[Move]:
    """Every move of the aliases of a registered model, the newest first."""
    tags = client.get_registered_model(name).tags
    kept = sorted(((key, value) for key, value in tags.items() if key.startswith(PREFIX)), reverse=True)
    return [Move(**json.loads(value)) for _, value in kept]


def who() -> str:
    """Who is acting: the GitHub actor in a workflow, else the user of this machine."""
    return os.environ.get("GITHUB_ACTOR") or getpass.getuser()
