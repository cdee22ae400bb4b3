"""What a store holds, read from its database without MLflow, and what one store would lose to another."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import NamedTuple

from mlops.errors import UserError

RUNS = ("SELECT run_uuid FROM runs", "SELECT name || ' ' || version FROM model_versions")
# Where it is, and what stands there: moves of aliases, the deployment log and archive marks are tags.
NOTES = (
    "SELECT 'model', name, '', key, value FROM registered_model_tags",
    "SELECT 'alias', name, '', alias, version FROM registered_model_aliases",
    "SELECT 'version', name, version, key, value FROM model_version_tags",
)


class Contents(NamedTuple):
    """Ids of runs and versions; tags and aliases with their values."""

    runs: frozenset[str]
    notes: frozenset[tuple[str, ...]]

    @property
    def places(self) -> frozenset[tuple[str, ...]]:
        """The tags and aliases without their values."""
        return frozenset(note[:-1] for note in self.notes)


def contents(database: Path) -> Contents:
    """Return what an MLflow database holds, nothing where there is none or it is damaged."""
    runs = frozenset(row[0] for row in _rows(database, RUNS))
    return Contents(runs, _rows(database, NOTES))


def refuse_losing(here: Contents, shared: Contents, pulled: Contents, folder: Path) -> None:
    """Raise UserError where a pull would give up what was made here.

    What is here as it was pulled last was not made here: that it is gone or another in origin is no loss.
    """
    runs, notes = here.runs - shared.runs - pulled.runs, here.notes - shared.notes - pulled.notes
    if runs or notes:
        raise UserError(
            f"{folder} has {len(runs)} runs or versions and {len(notes)} tags or aliases that the store in origin has not: "
            "`mlops store push` brings them there if nobody was faster, `mlops store pull --force` gives them up"
        )


def refuse_lacking(here: Contents, pulled: Contents, files: int, folder: Path) -> None:
    """Raise UserError where a push would remove what was pulled: runs, versions, tags, aliases, or this many files."""
    runs, places = pulled.runs - here.runs, pulled.places - here.places
    if runs or places or files:
        raise UserError(
            f"{folder} lacks {len(runs)} runs or versions, {len(places)} tags or aliases and {files} files of the store that "
            "was pulled last: `mlops store pull --force` brings them back, `mlops store push --force` removes them in origin"
        )


def _rows(database: Path, queries: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    if not database.is_file():
        return frozenset()
    rows: set[tuple[str, ...]] = set()
    try:
        with contextlib.closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            for query in queries:
                with contextlib.suppress(sqlite3.OperationalError):
                    rows |= {tuple(map(str, row)) for row in connection.execute(query)}
    except sqlite3.DatabaseError:
        return frozenset()
    return frozenset(rows)
