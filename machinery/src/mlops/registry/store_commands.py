"""`mlops store`: the store that lives in the repository, brought here, changed and brought back."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import typer

from mlops.console import as_json, note, table

if TYPE_CHECKING:
    from mlops.config import Project

app = typer.Typer(help="The store in the repository: pull, push, status, run.", no_args_is_help=True)

JSON = typer.Option(False, "--json", help="Print the result as JSON.")


@app.command()
def pull(
    force: bool = typer.Option(False, "--force", help="Give up what exists only here."),
    json: bool = JSON,
) -> None:
    """Bring the repository's store into models/; `mlops ui` shows it.

    Example: mlops store pull
    """
    from mlops.registry import repository_store as store
    from mlops.registry import server_mark

    project = _project()
    server = project.tracking_uri or ""
    if not server and not force and server_mark.leave_unread(project.root):
        note("the store is a tracking server: set MLFLOW_TRACKING_URI (a run for a fork is not given it); nothing is pulled")
        return as_json({"commit": None, "server": "unknown", **store.measure(project.store)._asdict()}) if json else None
    commit = "" if server else store.pull(project.root, project.store, force)
    if json:
        as_json({"commit": commit or None, "server": _host(server) or None, **store.measure(project.store)._asdict()})
    elif server:
        _say_server(server)
    elif commit:
        held = store.measure(project.store)
        note(f"{project.store} holds the store of {commit[:12]}: {held.files} files, {store.megabytes(held.size)}")
    else:
        note(f"origin has no store yet ({store.REF}): the first registration makes it")


@app.command()
def push(
    message: str = typer.Option("", "--message", "-m", help="What changed, for the commit."),
    force: bool = typer.Option(False, "--force", help="Remove from origin what was pulled and is not here any more."),
    json: bool = JSON,
) -> None:
    """Bring models/ into the repository, unless somebody was faster since the last pull.

    Example: mlops store push --message "Archive what nobody uses"
    """
    from mlops.errors import StoreUnreachable
    from mlops.git import run
    from mlops.registry import repository_store as store
    from mlops.tracking import alone

    project = _project()
    server = project.tracking_uri or ""
    if server:
        _say_server(server)
        return
    pulled = run("rev-parse", "--verify", "--quiet", store.REF, root=project.root).stdout.strip()
    try:
        with alone(project.store):
            store.refuse_empty(project.store)
            if not force:
                store.refuse_lacking(project.root, project.store)
            commit = store.push(project.root, project.store, pulled, message or "mlops store push")
    except store.LeaseLost:
        raise StoreUnreachable(
            "the store in origin has changed since it was pulled: put models/ aside, `mlops store pull`, register again"
        ) from None
    if json:
        as_json({"commit": commit})
    else:
        note(f"origin holds the store of {commit[:12]}: {store.megabytes(store.measure(project.store).size)}")


@app.command()
def status(json: bool = JSON) -> None:
    """Show where the store is, what it weighs and whether origin has moved on.

    Example: mlops store status --json
    """
    from mlops.git import run
    from mlops.registry import repository_store as store

    project = _project()
    server = project.tracking_uri or ""
    held = store.measure(project.store)
    here = run("rev-parse", "--verify", "--quiet", store.REF, root=project.root).stdout.strip()
    remote = "" if server else store.remote_commit(project.root)
    if json:
        as_json(
            {
                "server": _host(server) or None,
                "here": here or None,
                "origin": remote or None,
                "limit": store.LIMIT,
                **held._asdict(),
            }
        )
        return
    rows = [
        ("tracking server", _host(server) or "none: the store is kept in the repository"),
        ("pulled here", here[:12] or "never"),
        ("in origin", remote[:12] or "none"),
        ("in step", "yes" if here == remote else "no: mlops store pull"),
        ("files", held.files),
        ("size", f"{store.megabytes(held.size)} of {store.megabytes(store.LIMIT)}"),
    ]
    table("Store", ["what", "is"], [row for row in rows if not server or row[0] in ("tracking server", "files", "size")])


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    keep: list[int] = typer.Option(
        [], "--keep", help="Push as well when the command ends with this code; may be given again."
    ),
) -> None:
    """Run `-- COMMAND` on the store of the moment and push what it leaves; repeat it if another job was faster.

    Example: mlops store run --keep 1 -- mlops register ridership
    """
    from mlops.errors import UserError
    from mlops.registry import repository_store as store
    from mlops.registry import server_mark
    from mlops.registry.prune import prune

    if not context.args:
        raise UserError("no command was given: mlops store run -- mlops register NAME")
    project = _project()
    server = project.tracking_uri or ""
    if server:
        _say_server(server)
        code = store.run_command(context.args, project.root)
        server_mark.bring_in_line(project.root, server=True)
        raise typer.Exit(code)
    code, commit = store.transaction(project.root, project.store, context.args, prune=lambda: prune(project), keep=(0, *keep))
    if code not in (0, *keep):
        note(f"{shlex.join(context.args)} ended with {code}: the store in origin is unchanged")
        raise typer.Exit(code)
    server_mark.bring_in_line(project.root, server=False)
    note(f"origin holds the store of {commit[:12]}: {store.megabytes(store.measure(project.store).size)}")
    raise typer.Exit(code)


def _project() -> Project:
    from mlops import tracking, tracking_uri
    from mlops.config import load_project

    project = load_project()
    tracking_uri.check(tracking.uri(project))
    return project


def _say_server(server: str) -> None:
    note(f"the store is the tracking server {_host(server)}: nothing is kept in the repository")


def _host(server: str) -> str:
    """Return the server without the password that an address may carry."""
    from urllib.parse import urlsplit

    return urlsplit(server).hostname or server
