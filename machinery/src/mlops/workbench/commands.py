"""`mlops workbench`: start, status and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from mlops import console

if TYPE_CHECKING:
    from mlops.workbench.settings import Settings

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="JupyterLab, MLflow, PostgreSQL and an S3 store.")
JSON = typer.Option(False, "--json", help="Print the result as JSON.")

COLUMNS = ("part", "what", "state", "address", "pid", "since")


@app.command()
def start(
    port: list[str] = typer.Option([], "--port", metavar="PART=NUMBER", help="jupyter, mlflow, postgres or s3."),
    bind: str = typer.Option("", help="Where JupyterLab and MLflow listen; 127.0.0.1 by default."),
    foreground: bool = typer.Option(False, "--foreground", help="Until Ctrl-C; by default in the background."),
    json: bool = JSON,
) -> None:
    """Start JupyterLab, MLflow, PostgreSQL and an S3 store, and wait until they answer.

    Example: mlops workbench start --port mlflow=5001
    """
    from mlops.workbench import supervisor

    settings = _settings(port, bind)
    if foreground:
        supervisor.run(settings)
        return
    with console.phase("workbench started"):
        state = supervisor.start(settings)
    _show(state, settings, json)


@app.command()
def status(json: bool = JSON) -> None:
    """What of the workbench runs, where and since when.

    Example: mlops workbench status --json
    """
    from mlops.workbench import supervisor

    settings = _settings()
    _show(supervisor.read_state(settings), settings, json)


@app.command()
def stop(json: bool = JSON) -> None:
    """End the workbench; its data stay.

    Example: mlops workbench stop
    """
    from mlops.workbench import supervisor

    ended = supervisor.stop(_settings())
    if json:
        console.as_json({"ended": ended})
    else:
        console.note(f"ended: {', '.join(ended)}; the data stay" if ended else "no workbench of this project runs")


def _settings(port: list[str] | None = None, bind: str = "") -> Settings:
    from mlops.config import load_project
    from mlops.workbench import settings

    return settings.read(load_project().root, port or [], bind)


def _show(state: dict[str, Any], settings: Settings, json: bool) -> None:
    """Print what runs; the token and the password stay in their file, whose name is printed."""
    from mlops.workbench import processes, supervisor

    running = supervisor.is_running(state)
    parts = [{**part, "state": "running" if processes.find(part) else "ended"} for part in state.get("parts", [])]
    known = {"running": running, "ready": running and bool(state.get("ready")), "pid": state.get("pid") if running else None}
    known |= {"bind": state.get("bind"), "since": state.get("since"), "secrets": str(settings.home / "secrets.json")}
    if json:
        console.as_json({**known, "parts": parts, "logs": str(settings.logs)})
        return
    if not parts:
        console.note("no workbench of this project runs: make workbench, or make workbench-local")
        return
    rows = [(part["part"], part["kind"], part["state"], part["address"], str(part["pid"]), part["since"]) for part in parts]
    console.table(f"workbench of {settings.root.name}", COLUMNS, rows)
    if not running:
        console.note("its supervisor was killed: mlops workbench stop ends what it left")
    console.note(f"token and passwords: {settings.home / 'secrets.json'}; logs: {settings.logs}")
