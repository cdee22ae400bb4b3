"""What is wrong with an embedded store, and the advice that fits it.

Whether a database is damaged is read from the database, not from the error: a full or locked disk damages nothing, and a
backup that is put over a sound database loses what was registered since.
"""

from __future__ import annotations

import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

DATABASE, BACKUP, ARTIFACTS = "mlflow.db", "mlflow.db.backup", "artifacts"

# What SQLite and the system report of a sound database that cannot be used now, and what helps.
HINTS = {
    ("full", "no space", "file too large", "quota"): "free some space on the disk, then repeat the command",
    ("locked", "busy"): "wait for the process that is using it, or end it, then repeat the command",
    ("readonly", "read-only", "permission", "unable to open"): "make the folder writable, then repeat the command",
}
OTHERWISE = "check disk, space and permissions, then repeat the command"


def check(connection: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError for a database that is empty or whose pages do not fit together."""
    connection.execute("SELECT version_num FROM alembic_version")
    state = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if state != "ok":
        raise sqlite3.DatabaseError(state.replace("\n", " "))


def damage(database: Path) -> str:
    """What is damaged in a database, "" where it is sound or cannot be read just now."""
    if not database.is_file():
        return "it is missing"
    try:
        with closing(_reading(database)) as connection:
            check(connection)
    except sqlite3.OperationalError as error:
        return str(error) if "no such table" in str(error) else ""
    except sqlite3.DatabaseError as error:
        return str(error)
    return ""


def advice(store: Path, reason: str) -> str:
    """One line on an embedded store that failed for a reason: what it is, and how to go on without losing anything."""
    database, backup = store / DATABASE, store / BACKUP
    damaged = damage(database)
    if not damaged:
        hint = next((hint for signs, hint in HINTS.items() if any(sign in reason.lower() for sign in signs)), OTHERWISE)
        return f"{database}: the store cannot be used now ({reason}); it is not damaged: {hint}"
    source, target = shlex.quote(str(backup)), shlex.quote(str(database))
    if not backup.is_file():
        hint = f"move it away: mv {target} {target}.damaged"
    elif missing := models_after(backup, store / ARTIFACTS):
        hint = (
            f"its backup is older and lacks {len(missing)} models ({missing[0]}), whose numbers would be given again: "
            f"recover it with `sqlite3 {target} .recover`, or take the store of origin: mlops store pull --force"
        )
    else:
        hint = f"restore it with: cp {source} {target}"
    return f"{database}: the store is damaged ({damaged}); {hint}"


def models_after(backup: Path, artifacts: Path) -> list[str]:
    """The ids of models that have artifacts and that a backup does not know: they were registered after it."""
    stored = sorted(folder.name for folder in artifacts.glob("*/models/*") if folder.is_dir())
    try:
        with closing(_reading(backup)) as connection:
            known = {row[0] for row in connection.execute("SELECT model_id FROM logged_models")}
    except sqlite3.DatabaseError:
        return stored
    return [name for name in stored if name not in known]


def _reading(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)
