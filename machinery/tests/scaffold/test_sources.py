"""Rows of a database or an address become an immutable raw file; no password is written or shown."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
from command import mlops

from mlops.config import Project
from mlops.errors import UserError
from mlops.scaffold import sources


@pytest.fixture
def flowers(project: Project, tmp_path: Path) -> pd.DataFrame:
    """New rows of iris, in a database and in a folder that a web server shows."""
    rows = pd.read_csv(project.data / "raw" / "iris" / "iris.csv").head(5)
    rows["flower"] += 10_000
    with closing(sqlite3.connect(tmp_path / "flowers.db")) as database:
        rows.to_sql("flowers", database, index=False)
    (tmp_path / "web").mkdir()
    rows.assign(flower=rows["flower"] + 100).to_csv(tmp_path / "web" / "more.csv", index=False)
    return rows


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web server that wants a password."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "web"))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            if self.headers.get("authorization") != "Basic YW5uOnMzY3JldA==":
                return self.send_error(401)
            super().do_GET()

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_query_and_an_address_become_raw_files_with_source_time_and_digest(
    project: Project, flowers: pd.DataFrame, site: str, tmp_path: Path
) -> None:
    folder = project.data / "raw" / "iris"
    query = ("--query", "SELECT * FROM flowers")
    done = mlops("data", "add", "iris", f"sqlite:///{tmp_path}/flowers.db", *query, "--licence", "CC0", "--json")
    assert done.code == 0, done.err
    taken = Path(done.value[0]["path"])
    assert taken.parent == folder and taken.name.startswith("query-20")
    assert pd.read_parquet(taken)["flower"].tolist() == flowers["flower"].tolist()
    done = mlops("data", "add", "iris", f"http://ann:s3cret@{site}/more.csv?token=t0ken", "--licence", "CC0", "--json")
    assert done.code == 0, done.err
    note = (folder / "README.md").read_text()
    assert f"`{done.value[0]['sha256']}` | http://{site}/more.csv, taken 20" in note
    assert "SELECT * FROM flowers, taken 20" in note
    written = "".join(file.read_text(errors="ignore") for file in folder.iterdir())
    assert not any(secret in written + done.out + done.err for secret in ("s3cret", "t0ken"))


@pytest.mark.parametrize(
    ("place", "query", "reason"),
    [
        ("sqlite:///{tmp}/flowers.db", "SELECT * FROM flowers WHERE flower < 0", "the query has no rows; correct it"),
        ("sqlite:///{tmp}/flowers.db", "SELECT * FROM trees", "no such table: trees"),
        ("sqlite:///{tmp}/flowers.db", "SELECT *, flower FROM flowers", "has column flower twice; name each with AS"),
        ("sqlite:///{tmp}/flowers.db", "", "a database needs --query"),
        ("nodb://ann:s3cret@host/db", "SELECT 1", "install its driver with: mlops deps add"),  # pragma: allowlist secret
        ("postgresql://ann:s3cret@host:port/db", "SELECT 1", "no SQLAlchemy URL of a database"),  # pragma: allowlist secret
        ("http://ann:wrong-s3cret@{site}/more.csv", "", "answers 401 Unauthorized; correct"),  # pragma: allowlist secret
        ("http://ann:s3cret@{site}/less.csv", "", "answers 404"),  # pragma: allowlist secret
        ("http://ann:s3cret@127.0.0.1:1/more.csv", "", "does not answer (ConnectionError)"),  # pragma: allowlist secret
        ("{tmp}/web/more.csv", "", "--source is missing"),
    ],
)
def test_what_is_not_there_is_one_line_without_the_password(
    project: Project, flowers: pd.DataFrame, site: str, tmp_path: Path, place: str, query: str, reason: str
) -> None:
    options = ("--query", query) if query else ()
    done = mlops("data", "add", "iris", place.format(tmp=tmp_path, site=site), *options, "--licence", "CC0")
    assert done.code in (2, 3) and reason in done.error
    assert "s3cret" not in done.err
    left = {file.name for file in (project.data / "raw" / "iris").iterdir()}
    assert left <= {"iris.csv", "iris.csv.schema.json", "README.md"}


@pytest.mark.parametrize("password", ["s3cret", "s3/cret#1", "s3?cret@x"])
def test_no_sign_in_a_password_brings_it_into_a_note(password: str) -> None:
    address = f"postgresql://ann:{password}@db.example.org/shop?sslmode=require"
    assert sources._without_login(address) == "postgresql://db.example.org/shop"
    error = UserError(f"cannot connect to {address} as ann:{password}")
    assert password not in sources._hidden(error, address)
