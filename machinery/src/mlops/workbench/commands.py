"""`mlops workbench`: start, status and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from mlops import console

if TYPE_CHECKING:
    from mlops.workbench.settings import Settings

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="JupyterLab, MLflow, PostgreSQL and an S3 store.")
JSON = typer.Option(False, "--json", help="Print the result as JSON.")


@app.command()
def start(
    port: list[str] = typer.Option([], "--port", metavar="PART=NUMBER", help="jupyter, mlflow, postgres or s3."),
    bind: str = typer.Option("", help="Where JupyterLab and MLflow listen; 127.0.0.1 by default."),
    foreground: bool = typer.Option(False, "--foreground", help="Until Ctrl-C; by default in the background."),
    docker: bool = typer.Option(False, "--docker", help="In containers, by Docker's compose."),
    json: bool = JSON,
) -> None:
    """Start JupyterLab, MLflow, PostgreSQL and an S3 store, and wait until they answer.

    Example: mlops workbench start --port mlflow=5001
    """
    from mlops.workbench import docker as containers
    from mlops.workbench import supervisor

    settings = _settings(port, bind)
    _refuse_lost_secrets(settings)
    if foreground and not docker:
        supervisor.run(settings)
        return
    with console.phase("workbench started"):
        if docker:
            containers.start(settings)
        else:
            supervisor.start(settings)
    _show(settings, json)


@app.command()
def status(json: bool = JSON) -> None:
    """What of the workbench runs, where and since when.

    Example: mlops workbench status --json
    """
    _show(_of_project(), json)


@app.command()
def stop(json: bool = JSON) -> None:
    """End the workbench, with Docker or without: its processes or containers and nothing else; its data stay.

    Example: mlops workbench stop
    """
    from mlops.workbench import docker, supervisor

    settings = _of_project()
    ended = [*supervisor.stop(settings), *docker.stop(settings)]
    if json:
        console.as_json({"ended": ended})
    else:
        console.note(f"ended: {', '.join(ended)}; the data stay" if ended else "no workbench of this project runs")


def _settings(port: list[str] | None = None, bind: str = "") -> Settings:
    from mlops.config import load_project
    from mlops.workbench import settings

    return settings.read(load_project().root, port or [], bind)


def _of_project() -> Settings:
    """The project's workbench, whatever the variables say of one that would be started."""
    from mlops.config import load_project
    from mlops.workbench import settings

    return settings.Settings(load_project().root, settings.LOOPBACK, settings.PORTS)


def _refuse_lost_secrets(settings: Settings) -> None:
    """Raise UserError where MLflow's users are there and the file with their password is not: none would get in."""
    from mlops.errors import UserError
    from mlops.workbench import docker

    secrets, users = settings.home / "secrets.json", settings.home / "users.db"
    if secrets.is_file():
        return
    left = [f"rm {users}"] if users.is_file() else []
    left += [f"docker volume rm {settings.name}_users"] if docker.has_users(settings) else []
    if left:
        stop = ["make down"] if docker.containers(settings) else []
        raise UserError(
            f"{secrets} is gone, and MLflow's users, whose password it held, are still there: put it back from a copy, or "
            f"begin with new passwords and the data as they are: {' && '.join([*stop, *left])}"
        )


def _show(settings: Settings, json: bool) -> None:
    """Print what runs; the token and the password stay in their file, whose name is printed."""
    from mlops.workbench import docker, processes, supervisor

    state = supervisor.read_state(settings)
    running = supervisor.is_running(state)
    otherwise = "starting" if running else "ended"  # what ends is started again
    parts = [{**part, "state": "running" if processes.find(part) else otherwise} for part in state.get("parts", [])]
    parts += docker.containers(settings)
    if json:
        known = {"pid": state.get("pid") if running else None, "bind": state.get("bind"), "since": state.get("since")}
        known |= {"running": running, "ready": running and bool(state.get("ready")), "logs": str(settings.logs)}
        console.as_json({**known, "parts": parts, "secrets": str(settings.home / "secrets.json")})
        return
    if not parts:
        console.note("no workbench of this project runs: make workbench, or make workbench-local")
        return
    for part in parts:
        runs_in = f"pid {part['pid']}" if "pid" in part else part["container"]
        line = (part["part"], part["state"], part["address"], part["since"], part["kind"], runs_in)
        console.text("{:<9} {:<8} {:<42} since {}  {}, {}\n".format(*line))
    if state and not running:
        console.note("its supervisor was killed: mlops workbench stop ends what it left")
    console.note(f"token and passwords: {settings.home / 'secrets.json'}; logs: {settings.logs}")
