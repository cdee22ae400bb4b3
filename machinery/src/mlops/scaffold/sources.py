"""Where rows come from: a file, http(s)://, s3:// and its kin, or a database. Each becomes a file that stays as it is."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlops import folders
from mlops.data.read import EXCEL, JSON
from mlops.errors import StoreUnreachable, UserError, first_line

WEB, STORAGE = ("http", "https"), ("s3", "gs", "wasbs", "abfss", "dbfs")
# Seconds without a byte after which a download is given up.
PATIENCE = 60
FORMATS = (".csv", ".csv.gz", ".tsv", ".parquet", *EXCEL, *JSON)


@dataclass(frozen=True)
class Snapshot:
    """A file with the rows as they were when it was taken, and where from."""

    file: Path
    source: str


@contextmanager
def snapshot(place: str, query: str = "") -> Iterator[Snapshot]:
    """The rows of a file, an address or a query, as a file under a name that raw data have.

    Raises UserError for what is not there or is no table, StoreUnreachable for an address that does not answer.
    """
    scheme = place.partition("://")[0].lower() if "://" in place else ""
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    if query and (not scheme or scheme in (*WEB, *STORAGE)):
        raise UserError(f"--query goes with the SQLAlchemy URL of a database, which {place} is not")
    with folders.work_folder() as scratch:
        if not scheme:
            yield Snapshot(_named(Path(place), scratch), f"{Path(place).name}, added {when}")
        elif scheme in WEB:
            yield Snapshot(_named(_from_web(place, scratch), scratch), f"{_without_login(place)}, taken {when}")
        elif scheme in STORAGE:
            from mlops.tracking import download

            yield Snapshot(_named(download(place, scratch), scratch), f"{_without_login(place)}, taken {when}")
        else:
            yield Snapshot(_from_database(place, query, scratch), f"{_without_login(place)}, {query}, taken {when}")


def _named(file: Path, scratch: Path) -> Path:
    """The file under a name whose ending says what it is; what is none of them is taken for separated text."""
    if not file.is_file():
        raise UserError(f"{file}: no such file; correct the path")
    name = file.name.lower()
    if name.endswith(".json") and not file.read_bytes()[:200].lstrip().startswith(b"["):
        return Path(shutil.copyfile(file, scratch / f"{file.stem}.jsonl"))
    if name.endswith(FORMATS):
        return file
    if name.endswith((".zip", ".gz", ".bz2", ".7z", ".pdf", ".xml", ".html", ".pkl", ".pickle")):
        raise UserError(f"{file.name}: tables are read from {', '.join(FORMATS)}; unpack it, or save it as one of these")
    return Path(shutil.copyfile(file, scratch / f"{file.stem or 'rows'}.csv"))


def _from_web(address: str, scratch: Path) -> Path:
    import requests

    target = scratch / (Path(unquote(urlsplit(address).path)).name or "rows.csv")
    try:
        with requests.get(address, stream=True, timeout=PATIENCE) as reply:
            if reply.status_code != 200:
                raise UserError(f"{_without_login(address)}: answers {reply.status_code} {reply.reason}; correct the address")
            with target.open("wb") as stream:
                for block in reply.iter_content(1 << 20):
                    stream.write(block)
    except requests.RequestException as error:
        raise StoreUnreachable(
            f"{_without_login(address)}: does not answer ({type(error).__name__}); look at the network"
        ) from None
    return target


def _from_database(address: str, query: str, scratch: Path) -> Path:
    import pandas as pd
    import sqlalchemy

    if not query:
        raise UserError(f"{_without_login(address)}: a database needs --query, as in --query 'SELECT * FROM customers'")
    try:
        engine = sqlalchemy.create_engine(address)
        with engine.connect() as connection:
            rows = pd.read_sql_query(sqlalchemy.text(query), connection)
        engine.dispose()
    except (sqlalchemy.exc.NoSuchModuleError, ModuleNotFoundError) as error:
        reason = _hidden(error, address)
        raise UserError(f"{_without_login(address)}: {reason}; install its driver with: mlops deps add") from None
    except (sqlalchemy.exc.ArgumentError, ValueError):  # its message may hold the address with the password
        example = "postgresql://user@host/name"
        raise UserError(f"{_without_login(address)}: no SQLAlchemy URL of a database, as {example} is; correct it") from None
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise UserError(f"{_without_login(address)}: {_hidden(error, address)}; correct address or query") from None
    if rows.empty:
        raise UserError(f"{_without_login(address)}: the query has no rows; correct it")
    if twice := [str(name) for name in rows.columns[rows.columns.duplicated()]]:
        raise UserError(f"{_without_login(address)}: the query has column {twice[0]} twice; name each with AS")
    for name in rows:  # identifiers of sixteen bytes, which a table would keep as bytes
        if rows[name].map(type).isin([uuid.UUID]).any():
            rows[name] = rows[name].map(str, na_action="ignore")
    target = scratch / "query.parquet"
    rows.to_parquet(target, index=False)
    return target


def _without_login(address: str) -> str:
    """The address as a note may hold it: without user, password and what follows a question mark."""
    scheme, _, rest = address.partition("://")
    if scheme.lower() not in (*WEB, *STORAGE):
        # A password of a database may hold signs that an address ends with.
        return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _hidden(error: BaseException, address: str) -> str:
    """What a driver says of an address, in one line, without the password in it."""
    login = address.partition("://")[2].rpartition("@")[0]
    password = login.partition(":")[2]
    text = first_line(error)
    for secret in sorted({address, login, password, unquote(password)} - {""}, key=len, reverse=True):
        text = text.replace(secret, "…")
    return text
