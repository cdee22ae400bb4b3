"""Aliases: where they point, and the log of every move with who, why, from and to.

The log is kept as tags of the registered model, so that it lives in every store and moves with it.
"""

from __future__ import annotations

import getpass
import json
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mlops.errors import UserError
from mlops.registry.versions import Version, by_alias

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "move."
# What MLflow takes as the name of an alias, and what a database keeps of a tag of a registered model, in characters.
LONGEST_ALIAS = 255
LONGEST_TAG = 5_000


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
    """Point an alias at a version, the log first and the alias last; None where it points there already.

    A move that the store refuses leaves no line in the log. Raises UserError for an invalid alias.
    """
    check(alias)
    now = by_alias(versions, alias)
    if now and now.version == to.version:
        return None
    stamp = time.time_ns()
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(stamp / 1e9))
    done = Move(alias, now.number if now else None, to.number, who(), why, when)
    client.set_registered_model_tag(to.name, f"{PREFIX}{stamp}", as_tag(asdict(done), "why"))
    try:
        client.set_registered_model_alias(to.name, alias, to.version)
    except Exception:
        # An answer that was lost is no refusal: the store is asked where the alias points.
        if str(client.get_registered_model(to.name).aliases.get(alias)) != to.version:
            client.delete_registered_model_tag(to.name, f"{PREFIX}{stamp}")
        raise
    return done


def check(alias: str) -> None:
    """Raise UserError for a name that MLflow keeps for itself or does not take, before anything is registered."""
    small = alias.lower()
    reserved = small == "latest" or (small.startswith("v") and small[1:].isdigit())
    if reserved or len(alias) > LONGEST_ALIAS or not alias.replace("-", "_").isidentifier():
        shown = alias if len(alias) <= LONGEST_ALIAS else f"{alias[:20]}… of {len(alias)} characters"
        raise UserError(f"alias {shown!r} may not be used; take a word such as challenger, candidate or champion")


def as_tag(entry: dict[str, Any], *texts: str) -> str:
    """An entry of a log as JSON that fits into a tag; for that the named texts are cut, the first one first."""
    for name in texts:
        over = len(json.dumps(entry, ensure_ascii=False)) - LONGEST_TAG
        if over > 0:
            entry = {**entry, name: f"{entry[name][: max(0, len(entry[name]) - over - 1)]}…"}
    # What an argument held of bytes that are no text cannot be stored.
    return json.dumps(entry, ensure_ascii=False).encode(errors="replace").decode()


def log(client: MlflowClient, name: str) -> list[Move]:
    """Every move of the aliases of a registered model, the newest first."""
    tags = client.get_registered_model(name).tags
    kept = sorted(((key, value) for key, value in tags.items() if key.startswith(PREFIX)), reverse=True)
    return [Move(**json.loads(value)) for _, value in kept]


def who() -> str:
    """Who is acting: the GitHub actor in a workflow, else the user of this machine, by number where it has no name."""
    try:
        return os.environ.get("GITHUB_ACTOR") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
