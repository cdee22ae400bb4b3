"""The store: where runs, versions and artifacts live. Without a server it is a SQLite file and a folder under models/.

MLflow records absolute artifact paths. When the embedded store is opened at another place than the one recorded in it, its
paths are rewritten in one transaction, so that it can be moved, renamed and cloned.
"""

from __future__ import annotations

import functools
import logging
import os
import platform
import shutil
import sqlite3
import warnings
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml

from mlops import damage, files, folders, tracking_uri, trust
from mlops.config import Project
from mlops.console import note
from mlops.damage import ARTIFACTS, BACKUP, DATABASE
from mlops.errors import StoreUnreachable, UserError, first_line

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

# Where MLflow keeps absolute paths.
PATHS = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}
# MLflow's codes for an error of its database, for files that are not there, and for a server that cannot do what is asked.
DATABASE_ERRORS = ("BAD_REQUEST", "INTERNAL_ERROR")
LOST = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
OUTAGES = (*DATABASE_ERRORS, "TEMPORARILY_UNAVAILABLE", "PERMISSION_DENIED", "UNAUTHENTICATED")


def is_embedded(project: Project) -> bool:
    """Whether the store is the project's own folder, no server being configured."""
    return project.tracking_uri is None


def is_unused(project: Project) -> bool:
    """Whether the store is the project's own and nothing was ever put into it; a server's is not looked at."""
    return is_embedded(project) and not (project.store / DATABASE).is_file()


def uri(project: Project) -> str:
    """The tracking URI: the configured server, else the embedded SQLite file."""
    return project.tracking_uri or f"sqlite:///{project.store / DATABASE}"


def shown(project: Project) -> str:
    """The tracking URI as a person may read it: without user name and password."""
    place = uri(project)
    parts = urlsplit(place)
    return place.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1) if "@" in parts.netloc else place


def artifact_root(project: Project) -> str | None:
    """Where a new experiment keeps its artifacts; None lets a server decide.

    Where the tracking URI is a database and no server, `MLFLOW_DEFAULT_ARTIFACT_ROOT` tells it, as it tells `mlflow server`.
    """
    if is_embedded(project):
        return str(project.store / ARTIFACTS)
    return None if uri(project).startswith("http") else os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT")


@contextmanager
def locked(project: Project) -> Iterator[None]:
    """Hold the embedded store alone while something is registered; a server looks after itself."""
    if not is_embedded(project):
        yield
        return
    if is_read_only(project.store):
        raise UserError(
            f"{project.store}: the store is read-only, so it can be read and nothing can change in it; "
            "make the folder writable, or name another one under store in config/project.yaml"
        )
    with alone(project.store):
        files.make_folder(project.store)
        yield


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the embedded store in a folder; the lock lies beside the folder, which a pull exchanges as a whole."""
    from filelock import FileLock

    files.make_folder(folder.parent)
    lock = _lock_of(folder)
    with files.writing(lock):
        lock.touch()  # FileLock may wait for ever where it cannot make the file
    with FileLock(lock, is_singleton=True):
        folders.recover(folder)
        yield


def _lock_of(folder: Path) -> Path:
    """The lock's file; a folder that is a mounted disk may have nothing writable around it, and is never exchanged."""
    around = folder.parent
    return around / f".{folder.name}.lock" if os.access(around, os.W_OK) else folder / ".lock"


@contextmanager
def open_store(project: Project, make: bool = True) -> Iterator[MlflowClient]:
    """A client of the store; an embedded one is made on first use, unless `make` says that it is only read.

    Raises ConfigError as `tracking_uri.check` and StoreUnreachable as `tracking_uri.probe` do, and that for a database that is
    damaged; UserError where nothing is to be made and none is there.
    """
    _quiet()
    place = uri(project)
    tracking_uri.check(place)
    tracking_uri.probe(place)
    if is_embedded(project):
        tracking_uri.refuse_untold()
        if not make:
            require(project)
        place = f"sqlite:///{prepare(project)}"
    import mlflow

    configured = {name: os.environ.pop(name, None) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
    # It logs the traceback of what it raises, which here becomes one line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    mlflow.set_tracking_uri(place)
    mlflow.set_registry_uri(configured["MLFLOW_REGISTRY_URI"] or place)
    # MLflow sets both variables; left there, the embedded store would look like a configured server from now on.
    for name, value in configured.items():
        os.environ.pop(name, None)
        os.environ.update({name: value} if value else {})
    try:
        yield mlflow.MlflowClient()
    except ModuleNotFoundError as error:
        raise UserError(f"{place.split(':')[0]}: {error.name} is missing for this store: make setup") from error
    except Exception as error:
        if not _is_of_the_store(error):
            raise
        raise StoreUnreachable(_unreachable(project, error)) from error


def is_read_only(store: Path) -> bool:
    """Whether there is a store in the folder that this process may read and not write."""
    database = store / DATABASE
    return database.is_file() and not (os.access(store, os.W_OK) and os.access(database, os.W_OK))


@functools.lru_cache
def _copy_of(database: Path, size: int, changed: int) -> Path:
    """A copy of a read-only store's database, for as long as this process lives; SQLite and MLflow write to what they open."""
    copy = folders.lasting_work_folder() / DATABASE
    for ending in ("", "-wal", "-journal"):
        source = database.with_name(f"{DATABASE}{ending}")
        if source.is_file():
            shutil.copyfile(source, copy.with_name(f"{DATABASE}{ending}"))
    return copy


def prepare(project: Project) -> Path:
    """Make the embedded store, or adapt the paths in it to where it lies now; returns its database, of a read-only one a copy.

    Raises StoreUnreachable if it is damaged, UserError where MLflow could not find its artifacts.
    """
    database = project.store / DATABASE
    if odd := next((sign for sign in "%?#" if sign in str(database)), None):
        raise UserError(f"{project.store}: MLflow cannot keep a store below a folder with {odd} in its name; rename it")
    if is_read_only(project.store):
        state = database.stat()
        copy = _copy_of(database, state.st_size, state.st_mtime_ns)
        _check_and_relocate(project, copy)
        return copy
    with locked(project):
        for left_by_a_crash in project.store.glob(f".{DATABASE}.*"):
            left_by_a_crash.unlink()
        if not database.is_file():
            if (project.store / BACKUP).is_file():
                raise StoreUnreachable(_unreachable(project, sqlite3.DatabaseError("it is missing")))
            _create(database)
        _check_and_relocate(project, database)
    return database


def _check_and_relocate(project: Project, database: Path) -> None:
    try:
        with closing(sqlite3.connect(database)) as connection:
            damage.check(connection)
            _relocate(connection, project.store)
    except sqlite3.DatabaseError as error:
        raise StoreUnreachable(_unreachable(project, error)) from None


def require(project: Project) -> None:
    """Raise UserError where there is no embedded store; one that lost its database, but not its backup, is damaged."""
    if folders.is_half_replaced(project.store):
        with alone(project.store):  # which brings the store back
            pass
    if not any((project.store / name).is_file() for name in (DATABASE, BACKUP)):
        raise UserError(
            f"no store at {project.store}; make one with: mlops run, or name its folder under store in config/project.yaml"
        )


def back_up(project: Project) -> None:
    """Copy the embedded database beside itself, so that a damaged one can be restored.

    What was registered stays registered where there is no room for the copy: that is a note, no error.
    """
    if not is_embedded(project):
        return
    try:
        with files.replacing(project.store / BACKUP) as temporary:
            with closing(sqlite3.connect(project.store / DATABASE)) as source, closing(sqlite3.connect(temporary)) as target:
                source.backup(target)
    except (OSError, UserError, sqlite3.Error) as error:
        note(f"{project.store / BACKUP}: not written ({first_line(error)}), so the backup is older than the store; make room")


def save_model(
    folder: Path, model: Any, inputs: pd.DataFrame, example: pd.DataFrame, predictions: Any, lock: list[str]
) -> None:
    """Write a fitted scikit-learn model as a folder in MLflow's format, with signature and input example.

    inputs: all rows that there are, of which the signature is: a column with gaps is optional.
    lock: the pinned requirements of the model; given, MLflow need not load the model to find them out. The folder holds
    the same bytes for the same model, so it carries no time and no run.
    """
    _quiet()
    from mlflow.models import Model
    from mlflow.models.utils import _save_example
    from mlflow.pyfunc import add_to_model
    from mlflow.sklearn import FLAVOR_NAME, SERIALIZATION_FORMAT_SKOPS
    from sklearn import __version__ as sklearn_version

    from mlops import model_file

    folder.mkdir(parents=True)
    trusted = model_file.write(folder / "model.skops", model)
    description = Model(utc_time_created="1980-01-01 00:00:00.000000", model_uuid=None)
    description.signature = _signature(inputs, predictions)
    _save_example(description, example, str(folder))
    add_to_model(description, loader_module="mlflow.sklearn", model_path="model.skops", python_env="python_env.yaml")
    description.add_flavor(
        FLAVOR_NAME,
        pickled_model="model.skops",
        sklearn_version=sklearn_version,
        serialization_format=SERIALIZATION_FORMAT_SKOPS,
        skops_trusted_types=trusted,
        code=None,
    )
    description.save(str(folder / "MLmodel"))
    (folder / "requirements.txt").write_text("\n".join(lock) + "\n")
    environment = {"python": platform.python_version(), "dependencies": ["-r requirements.txt"]}
    (folder / "python_env.yaml").write_text(yaml.safe_dump(environment, sort_keys=False))


def _signature(inputs: pd.DataFrame, predictions: Any) -> ModelSignature:
    """The signature of rows: a few of them, as MLflow has it, need not show a column's type nor its gaps."""
    import pandas as pd
    from mlflow.models import infer_signature
    from mlflow.types import ColSpec, Schema

    row = {}
    for name, values in inputs.items():
        known = values[values.notna()]
        row[name] = (values if known.empty else known).head(1).array
    with warnings.catch_warnings():
        # Whether a column has gaps is known below, from all rows.
        warnings.filterwarnings("ignore", message=".*Inferred schema contains integer column")
        signature = infer_signature(pd.DataFrame(row), predictions)
    gaps = inputs.isna().any()
    columns: list[Any] = [ColSpec(column.type, column.name, required=not gaps[column.name]) for column in signature.inputs]
    signature.inputs = Schema(columns)
    return signature


def load_model(folder: Path, trusted: Collection[str] = ()) -> Any:
    """The scikit-learn model in a folder of MLflow's format; raises Untrusted for one that would run code, see `trust`."""
    return trust.load_model(folder, trusted)


def download(address: str, to: Path) -> Path:
    """Bring a file or folder from storage that MLflow can read (s3://, gs://, …) into the folder `to`; returns where it lies.

    Raises StoreUnreachable where the storage does not answer, UserError where nothing is there or its package is missing.
    """
    _quiet()
    tracking_uri.drop_empty_settings()
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        return Path(download_artifacts(artifact_uri=address, dst_path=str(to)))
    except ModuleNotFoundError as error:
        raise UserError(f"{address}: {error.name} is missing for this storage: make setup") from error
    except MlflowException as error:
        # MLflow gathers what each file met in one text: the last line of it says what it was.
        reason = " ".join(str(error).split())[-200:]
        if any(sign in reason.lower() for sign in ("connect", "timed out", "timeout")):
            raise StoreUnreachable(f"{address}: does not answer (… {reason}); look at address and network") from error
        raise UserError(f"{address}: cannot be read (… {reason}); correct the address or the credentials") from error
    except Exception as error:
        if not _is_of_the_store(error):
            raise
        raise StoreUnreachable(f"{address}: cannot be read ({first_line(error)}); look at address and credentials") from error


def fetch(to: Path | None = None, **place: str) -> Path:
    """Bring what a run (`run_id`, `artifact_path`) or a model (`artifact_uri`) keeps in the opened store into the folder `to`.

    Returns where it lies. Raises StoreUnreachable where the store knows of files that it has lost.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        return Path(download_artifacts(**place, dst_path=str(to) if to else None))
    except MlflowException as error:
        if error.error_code not in LOST:
            raise
        raise StoreUnreachable(
            f"the store has lost files: {'/'.join(place.values())} ({first_line(error).rstrip('.')}); "
            "bring its artifacts back from a copy, or move the store away and begin anew"
        ) from None


def _quiet() -> None:
    """Before MLflow is imported: no telemetry, no advertising, and a server that is gone is given up soon."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "PGCONNECT_TIMEOUT": str(tracking_uri.PATIENCE),
        "GIT_PYTHON_REFRESH": "quiet",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }.items():
        os.environ.setdefault(name, value)


def _create(database: Path) -> None:
    """Make the tables in a file of another name, which then takes its place: a crash leaves no half-made store."""
    note(f"making the embedded store in {database.parent}")
    with files.replacing(database) as temporary:
        _make_tables(temporary)
        # MLflow writes the artifact root into its SQL unquoted, so that an apostrophe breaks it: it is set afterwards.
        with closing(sqlite3.connect(temporary)) as connection, connection:
            connection.execute("UPDATE experiments SET artifact_location = ?", (f"{database.parent / ARTIFACTS}/0",))


def _make_tables(database: Path) -> None:
    """Have MLflow make a database of its newest form, which takes a second: it replays each change of its tables."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with folders.work_folder() as elsewhere:
        SqlAlchemyStore(f"sqlite:///{database}", str(elsewhere)).engine.dispose()


def _relocate(connection: sqlite3.Connection, store: Path) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS mlops_place (path TEXT NOT NULL)")
    recorded = connection.execute("SELECT path FROM mlops_place").fetchone()
    if recorded and recorded[0] == str(store):
        return
    with connection:
        if recorded:
            old, new = f"{recorded[0]}/", f"{store}/"
            for table, column in PATHS.items():
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (new, len(old) + 1, len(old), old),
                )
            note(f"the store moved from {recorded[0]} to {store}; its paths are adapted")
        connection.execute("DELETE FROM mlops_place")
        connection.execute("INSERT INTO mlops_place VALUES (?)", (str(store),))


def _is_of_the_store(error: Exception) -> bool:
    """Whether an error comes from a server, database or artifact storage, and not from what was asked of it."""
    if type(error).__module__.split(".")[0] in ("requests", "urllib3", "sqlalchemy", "sqlite3", "botocore", "boto3"):
        return True
    return getattr(error, "error_code", None) in OUTAGES


def _unreachable(project: Project, error: Exception) -> str:
    reason = first_line(getattr(error, "orig", None) or error)
    if not is_embedded(project):
        return (
            f"the tracking store does not answer as it should ({reason}); look at the server, or correct MLFLOW_TRACKING_URI"
        )
    return damage.advice(project.store, reason)
