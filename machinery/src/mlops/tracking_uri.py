"""The address of a tracking store: whether there can be one, and whether its server answers; without MLflow."""

from __future__ import annotations

import os
import socket
from importlib.metadata import entry_points
from urllib.parse import urlsplit

from mlops.errors import ConfigError, StoreUnreachable, first_line

PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
# What MLflow keeps a registry in; a package that it knows as a plugin adds its own.
SCHEMES = (*PORTS, "sqlite", "databricks", "databricks-uc")
# Set by `mlops store pull` where the store is a server whose address this run does not have.
UNTOLD = "MLOPS_STORE_UNREADABLE"
# The folder of a Databricks workspace for experiments, whose names are paths there.
EXPERIMENT_PATH = "MLOPS_EXPERIMENT_PATH"
SHARED = "/Shared"
# Seconds until a server that does not answer is given up.
PATIENCE = 4
# The request for encryption that opens a PostgreSQL connection; every server answers it with one letter.
POSTGRES_HELLO = bytes.fromhex("0000000804d2162f")


def check(place: str) -> None:
    """Raise ConfigError for a tracking URI that no store can have; what it says holds no part of a password."""
    hint = "correct MLFLOW_TRACKING_URI, as in https://mlflow.example.org"
    scheme = place.partition(":")[0].partition("+")[0]
    if scheme not in SCHEMES and scheme not in {plugin.name for plugin in entry_points(group="mlflow.tracking_store")}:
        raise ConfigError(f"MLFLOW_TRACKING_URI: MLflow keeps no registry at {scheme!r} ({', '.join(SCHEMES)}); {hint}")
    try:
        parts = urlsplit(place)
        sound = parts.port != 0 and bool(parts.hostname or not scheme.startswith("http"))
    except ValueError:
        sound = False
    if not sound:
        raise ConfigError(f"MLFLOW_TRACKING_URI: its host or port is none (a port is a number from 1 to 65535); {hint}")


def experiment_name(place: str, name: str) -> str:
    """The name of an experiment in a store: on Databricks a path in the workspace, elsewhere as it is.

    Raises ConfigError for a path that is not absolute.
    """
    if not place.startswith("databricks"):
        return name
    path = os.environ.get(EXPERIMENT_PATH) or SHARED
    if not path.startswith("/"):
        raise ConfigError(f"{EXPERIMENT_PATH}: {path!r} is no absolute path of the workspace; write it as in /Shared/churn")
    return f"{path.rstrip('/')}/{name}"


def refuse_untold() -> None:
    """Raise StoreUnreachable where the store is a server whose address this run does not have."""
    if os.environ.get(UNTOLD):
        raise StoreUnreachable(
            "the store is a tracking server, and this run does not have its address: runs for forks get no variables; "
            "push the branch to the repository itself to see the champion"
        )


def probe(place: str) -> None:
    """Raise StoreUnreachable unless a server answers within PATIENCE; what it answers does not matter here."""
    parts = urlsplit(place)
    scheme = parts.scheme.split("+")[0]
    if scheme not in PORTS or not parts.hostname:
        return
    port = parts.port or PORTS[scheme]
    try:
        if scheme.startswith("http"):
            _greet_http(place)
        else:
            _greet_database((parts.hostname, port), scheme)
    except OSError as error:
        cause: BaseException = error
        while cause.__context__:
            cause = cause.__context__
        reason = f"nothing came within {PATIENCE} s" if isinstance(cause, TimeoutError) else first_line(cause)
        raise StoreUnreachable(
            f"{scheme}://{parts.hostname}:{port}: the tracking store does not answer ({reason}); "
            "start it, or correct MLFLOW_TRACKING_URI"
        ) from None


def _greet_http(place: str) -> None:
    import requests

    try:
        requests.get(f"{place.rstrip('/')}/health", timeout=PATIENCE, stream=True).close()
    except requests.exceptions.SSLError:
        pass  # it answers; MLflow knows the settings for its certificate


def _greet_database(address: tuple[str, int], scheme: str) -> None:
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        if scheme == "postgresql":
            connection.sendall(POSTGRES_HELLO)
        if scheme != "mssql" and not connection.recv(1):
            raise ConnectionError("it hangs up")


def drop_empty_settings() -> None:
    """Remove empty variables of storage: a workflow hands on also those that nobody has set, and an empty region is wrong."""
    empty = [name for name, value in os.environ.items() if not value]
    for name in empty:
        if name.startswith(("AWS_", "MLFLOW_S3_")):
            del os.environ[name]
