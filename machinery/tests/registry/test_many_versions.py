"""A store of many versions: what a run reads of it does not grow with them, but for one look at the list."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from mlops import tracking
from mlops.config import Project

MANY = 1_000


def multiply(database: Path, first: int, last: int) -> None:
    """Copies of version 1 with its run, counted from first to last; each has an id, a key and a number of its own."""
    ids = {"run_uuid": lambda old, i: f"{i:032x}", "run_id": lambda old, i: f"{i:032x}", "version": lambda old, i: i}
    own = {"number": lambda i: f"1.0.{i}", "key": lambda i: f"{i:064x}"}
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.row_factory = sqlite3.Row
        run = connection.execute("SELECT run_id FROM model_versions").fetchone()[0]
        for table in ("runs", "tags", "metrics", "latest_metrics", "params", "model_versions", "model_version_tags"):
            column = "version" if table.startswith("model") else "run_uuid"
            rows = connection.execute(f"SELECT * FROM {table} WHERE {column} = ?", (1 if column == "version" else run,))
            for row in [dict(row) for row in rows]:
                for i in range(first, last + 1):
                    new = {name: ids[name](old, i) if name in ids else old for name, old in row.items()}
                    if table == "model_version_tags" and row["key"] in own:
                        new["value"] = own[row["key"]](i)
                    marks = ", ".join("?" * len(new))
                    connection.execute(f"INSERT INTO {table} ({', '.join(new)}) VALUES ({marks})", list(new.values()))


@contextmanager
def rows_read() -> Iterator[Counter]:
    """Count the objects that SQLAlchemy makes of rows meanwhile, by their class."""
    from mlflow.store.model_registry.dbmodels import models

    read: Counter = Counter()

    def count(target: Any, context: Any) -> None:
        read[type(target).__name__] += 1

    kinds = [models.SqlModelVersion, models.SqlModelVersionTag, models.SqlRegisteredModelTag]
    for kind in kinds:
        event.listen(kind, "load", count)
    try:
        yield read
    finally:
        for kind in kinds:
            event.remove(kind, "load", count)


@contextmanager
def statements() -> Iterator[list[str]]:
    """The SQL statements that are executed meanwhile."""
    executed: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        executed.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield executed
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_a_run_reads_the_list_of_versions_once_however_many_there_are(registered: Project, run: Callable) -> None:
    with statements() as few:
        assert run(registered, "parameters.regularisation=1.1").version.version == "2"
    multiply(registered.store / tracking.DATABASE, 3, MANY)
    with statements() as many, rows_read() as read:
        outcome = run(registered, "parameters.regularisation=1.2")
    assert (outcome.version.number, outcome.moved.before) == (f"1.0.{MANY + 1}", "1.0.1")
    assert len(many) < 1.5 * len(few)
    tags = len(outcome.version.tags)
    assert MANY * (tags - 1) < read["SqlModelVersionTag"] < 1.5 * MANY * tags
