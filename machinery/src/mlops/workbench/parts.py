"""The parts of a workbench: what each is started with, when it is ready, and what the notebooks' environment says of it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from mlops import files
from mlops.errors import UserError
from mlops.workbench import postgres
from mlops.workbench.settings import BUCKET, DATABASE, LOOPBACK, REGION, USER, Settings, write_private

# The store's answers have none of the checksums that AWS's own have; what reads Parquet files would refuse them.
CHECKSUMS = dict.fromkeys(("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"), "when_required")
# Of the shell that starts the workbench: they would send its parts elsewhere.
FOREIGN = ("MLFLOW_", "MLOPS_", "AWS_", "JUPYTER_TOKEN", "PG", "RCLONE_", "DATABRICKS_")
HINT = "make workbench-local installs it"


@dataclass(frozen=True)
class Part:
    """A server of the workbench.

    kind: what serves. data: where it keeps what it has, and a folder that is there. keeps: whether others need it to start.
    """

    name: str
    kind: str
    port: int
    command: tuple[str, ...]
    ready: Callable[[], bool]
    address: str
    data: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop: signal.Signals = signal.SIGTERM
    keeps: bool = False


def assemble(settings: Settings) -> list[Part]:
    """The parts in the order in which they start; data folders are made.

    Raises UserError where others than this machine would reach MLflow and it could not ask for a password.
    """
    asks = find_spec("flask_wtf") is not None
    if settings.exposed and not asks:
        raise UserError(f"--bind {settings.bind}: MLflow would let everybody in, as Flask-WTF is not installed; {HINT}")
    database, where = _database(settings)
    bucket, artifacts = _bucket(settings)
    return [
        *database,
        *bucket,
        _mlflow(settings, where, artifacts, bool(bucket), asks),
        _jupyter(settings, bool(bucket), asks),
    ]


def routes(settings: Settings, bucket: bool, asks: bool) -> dict[str, str]:
    """The variables by which notebooks, and whatever is started from them, reach the backend."""
    host = settings.shown_host
    variables = {"MLFLOW_TRACKING_URI": f"http://{host}:{settings.ports['mlflow']}"}
    if asks:
        variables |= {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": settings.secrets["mlflow_password"]}
    return variables | (bucket_variables(settings, f"http://{LOOPBACK}:{settings.ports['s3']}") if bucket else {})


def bucket_variables(settings: Settings, endpoint: str) -> dict[str, str]:
    """The variables by which MLflow, boto3 and what uses them reach the bucket."""
    return {
        "MLFLOW_S3_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": settings.secrets["s3_access_key"],
        "AWS_SECRET_ACCESS_KEY": settings.secrets["s3_secret_key"],
        "AWS_DEFAULT_REGION": REGION,
        **CHECKSUMS,
    }


def inherited() -> dict[str, str]:
    """The variables of the shell that a part keeps."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


def answers(address: str) -> bool:
    """Whether an HTTP server answers at all, a refusal included."""
    import requests

    try:
        return requests.get(address, timeout=2).status_code < 500
    except requests.RequestException:
        return False


def _database(settings: Settings) -> tuple[list[Part], str]:
    """PostgreSQL where it is installed, else no part and a SQLite file; with the address for MLflow."""
    server = postgres.locate(settings)
    if server is None:
        return [], f"sqlite:///{settings.home / 'mlflow.db'}"
    port, password = settings.ports["postgres"], settings.secrets["postgres_password"]
    server.prepare(password)
    part = Part(
        name="postgres",
        kind=f"PostgreSQL {server.version}",
        port=port,
        command=server.command(port),
        ready=partial(server.is_ready, port),
        address=f"postgresql://{USER}@{LOOPBACK}:{port}/{DATABASE}",
        data=server.data,
        environment=inherited(),
        user=server.user,
        keeps=True,
        stop=signal.SIGINT,  # its fast shutdown: it does not wait until all clients have left
    )
    return [part], f"postgresql://{USER}:{password}@{LOOPBACK}:{port}/{DATABASE}"


def _bucket(settings: Settings) -> tuple[list[Part], str]:
    """An S3 server on a folder where rclone is installed, else no part and the folder; with the address for MLflow."""
    folder = settings.home / "s3"
    files.make_folder(folder / BUCKET)
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        return [], str(folder / BUCKET)
    address = f"http://{LOOPBACK}:{settings.ports['s3']}"
    key = f'"{settings.secrets["s3_access_key"]},{settings.secrets["s3_secret_key"]}"'
    options = ("--addr", f"{LOOPBACK}:{settings.ports['s3']}", "--no-cleanup", "--config", str(settings.home / "rclone.conf"))
    part = Part(
        name="s3",
        kind="rclone serve s3",
        port=settings.ports["s3"],
        command=(program, "serve", "s3", str(folder), *options),
        ready=partial(answers, address),
        address=address,
        data=folder,
        environment={**inherited(), "RCLONE_AUTH_KEY": key},
        keeps=True,
    )
    return [part], f"s3://{BUCKET}"


def mlflow_environment(settings: Settings, database: str, artifacts: str, asks: bool) -> dict[str, str]:
    """The variables of MLflow's server: its places, and its passwords, which no list of processes may show."""
    variables = {
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_ARTIFACTS_DESTINATION": artifacts,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    if asks:
        variables |= {
            "MLFLOW_AUTH_CONFIG_PATH": str(settings.home / "auth.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": settings.secrets["mlflow_password"],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": settings.secrets["flask_secret"],
        }
    return variables


def open_to(settings: Settings) -> dict[str, str]:
    """MLflow takes requests for its own host alone; beyond loopback for any name, as the password keeps strangers out."""
    if not settings.exposed:
        return {} if settings.bind == LOOPBACK else {"MLFLOW_SERVER_ALLOWED_HOSTS": f"{settings.shown_host}:*"}
    origins = f"http://*:{settings.ports['mlflow']}"
    return {"MLFLOW_SERVER_ALLOWED_HOSTS": "*", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": origins}


def auth_config(users: str) -> str:
    """MLflow's file for users: those who are logged in may do all; a password that was right holds for five minutes."""
    lines = (
        "[mlflow]",
        "default_permission = MANAGE",
        f"database_uri = {users}",
        f"admin_username = {USER}",
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth",
        "auth_cache_ttl_seconds = 300",
    )
    return "".join(f"{line}\n" for line in lines)


def _mlflow(settings: Settings, database: str, artifacts: str, bucket: bool, asks: bool) -> Part:
    port = settings.ports["mlflow"]
    write_private(settings.home / "auth.ini", auth_config(f"sqlite:///{settings.home / 'users.db'}"))
    command = [sys.executable, "-m", "mlflow", "server", "--host", settings.bind, "--port", str(port), "--workers", "1"]
    if asks:
        command += ["--app-name", "basic-auth"]
    keys = bucket_variables(settings, f"http://{LOOPBACK}:{settings.ports['s3']}") if bucket else {}
    address = f"http://{settings.shown_host}:{port}"
    return Part(
        name="mlflow",
        kind=f"MLflow {version('mlflow')}" + (f", user {USER}" if asks else ""),
        port=port,
        command=tuple(command),
        ready=partial(answers, f"{address}/health"),
        address=address,
        data=Path(artifacts) if not bucket else settings.home / "s3" / BUCKET,
        environment={**inherited(), **mlflow_environment(settings, database, artifacts, asks), **keys, **open_to(settings)},
    )


def _jupyter(settings: Settings, bucket: bool, asks: bool) -> Part:
    from mlops.notebooks.execute import QUIET
    from mlops.notebooks.setup import enable_extension

    if find_spec("jupyterlab") is None:
        raise UserError(f"JupyterLab is not installed; {HINT}")
    enable_extension()
    port = settings.ports["jupyter"]
    options = ["--no-browser", f"--ServerApp.ip={settings.bind}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    options += [f"--ServerApp.root_dir={settings.root}", *(["--allow-root"] if os.getuid() == 0 else [])]
    address = f"http://{settings.shown_host}:{port}"
    own = {"JUPYTER_TOKEN": settings.secrets["jupyter_token"], "MLOPS_PROJECT": str(settings.root)}
    return Part(
        name="jupyter",
        kind=f"JupyterLab {version('jupyterlab')}",
        port=port,
        command=(sys.executable, "-m", "jupyterlab", *options),
        ready=partial(answers, f"{address}/api"),
        address=f"{address}/lab",
        data=settings.root,
        environment={**inherited(), **QUIET, **own, **routes(settings, bucket, asks)},
    )
