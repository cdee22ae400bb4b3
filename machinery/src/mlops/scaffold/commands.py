"""`mlops add`, `remove`, `rename`: the use cases of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from mlops import console

if TYPE_CHECKING:
    from mlops.scaffold.add import Added

app = typer.Typer()

JSON = typer.Option(False, "--json", help="Print the result as JSON.")


def _listed(values: list[str]) -> tuple[str, ...]:
    """The columns of an option that may be given again, or hold several with commas between them."""
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())


@app.command()
def add(
    name: str = typer.Argument(help="The new use case: small letters, digits, _."),
    place: str = typer.Option(
        "", "--from", metavar="FILE|URL", help="CSV, Parquet, Excel, JSON lines; https://, s3://; a database."
    ),
    target: str = typer.Option("", "--target", metavar="COLUMN", help="What is to be predicted."),
    key: list[str] = typer.Option([], "--key", metavar="COLUMN", help="What names a row; default: found."),
    time: str = typer.Option("", "--time", metavar="COLUMN", help="When a row is from: the last ones are held out."),
    group: str = typer.Option("", "--group", metavar="COLUMN", help="Rows of a group stay on one side of the split."),
    drop: list[str] = typer.Option([], "--drop", metavar="COLUMN", help="Leave a column out."),
    keep: list[str] = typer.Option([], "--keep", metavar="COLUMN", help="Keep a column that would be left out."),
    task: str = typer.Option("", "--task", help="classification or regression; default: by the target's values."),
    positive: str = typer.Option("", "--positive", metavar="CLASS", help="The class that matters; default: the rarer of two."),
    query: str = typer.Option("", "--query", metavar="SQL", help="With the SQLAlchemy URL of a database: what to select."),
    licence: str = typer.Option("", "--licence", help="Under which licence the data may be used."),
    like: str = typer.Option("", "--like", metavar="USE_CASE", help="Instead of --from: copy a use case or an example."),
    notebook: bool = typer.Option(True, help="Run the new notebook, so that it is committed with its figures."),
    json: bool = JSON,
) -> None:
    """Make a use case of a file: schema, features, model, configuration, test, notebook, page. It asks nothing.

    Example: mlops add churn --from churn.csv --target churned
    """
    from mlops.config import load_project
    from mlops.errors import UserError
    from mlops.scaffold.add import add as add_use_case
    from mlops.scaffold.understand import Wishes

    if like:
        from mlops.scaffold.change import copy

        paths = copy(load_project(), like, name)
        return console.as_json({"files": paths}) if json else _copied(name, paths)
    if not place or not target:
        raise UserError(f"mlops add {name}: --from FILE and --target COLUMN are needed (or --like USE_CASE)")
    if task not in ("", "classification", "regression"):
        raise UserError(f"--task {task}: classification or regression")
    wishes = Wishes(target, _listed(key), time, group, _listed(drop), _listed(keep), task, positive)
    added = add_use_case(load_project(), name, place, wishes, query, licence, console.note if not json else lambda text: None)
    if not json:
        _show(added)
    if notebook:
        _run_notebook(name)
    if json:
        from mlops.scaffold.show import as_value

        return console.as_json(as_value(added))
    console.note(f"next: mlops run {name}")


def add_data(
    name: str = typer.Argument(help="Use case."),
    place: str = typer.Argument(metavar="FILE|URL", help="With the columns of the raw schema; https://, s3://; a database."),
    source: str = typer.Option("", help="Where it comes from, for the provenance note; an address is noted by itself."),
    licence: str = typer.Option(..., help="Under which licence it may be used."),
    query: str = typer.Option("", "--query", metavar="SQL", help="With the SQLAlchemy URL of a database: what to select."),
    json: bool = JSON,
) -> None:
    """Add new rows to the raw data, of a file or as a snapshot of an address; what is there is never changed.

    Example: mlops data add iris new.csv --source "measured in May" --licence CC0
    """
    from mlops.config import load_project
    from mlops.data.commands import show
    from mlops.scaffold.add import add_data as add_rows

    show("raw", [add_rows(load_project(), name, place, query, source, licence)], json)


@app.command()
def remove(
    name: str = typer.Argument(help="Use case."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    json: bool = JSON,
) -> None:
    """Remove the files of a use case: code, configuration, raw data, test, page, notebooks. The store keeps its versions.

    Example: mlops remove churn --yes
    """
    import sys

    from mlops.config import load_project
    from mlops.errors import UserError
    from mlops.scaffold import change

    project = load_project()
    gone = change.removal(project, name)
    if not yes:
        for path in gone.paths:
            console.note(f"would remove {path}")
        if not sys.stdin.isatty():
            raise UserError(f"mlops remove {name}: {len(gone.paths)} files would go; say so with --yes")
        typer.confirm(f"Remove {len(gone.paths)} files of {name}?", abort=True, err=True)
    change.remove(project, name)
    if json:
        return console.as_json(vars(gone))
    console.note(f"removed {len(gone.paths)} files of {name}; {gone.stays}")
    if gone.mentions:
        console.note(f"it is still named in: {', '.join(gone.mentions)}")


@app.command()
def rename(
    old: str = typer.Argument(help="Use case."), new: str = typer.Argument(help="Its new name."), json: bool = JSON
) -> None:
    """Rename a use case in all its files; its versions stay in the store under the old name.

    Example: mlops rename churn leavers
    """
    from mlops.config import load_project
    from mlops.scaffold import change

    paths = change.rename(load_project(), old, new)
    if json:
        return console.as_json({"files": paths})
    console.note(f"{old} is {new} in {len(paths)} files; versions of {old} stay in the store: mlops history {old}")
    console.note(f"next: mlops run {new}")


def _run_notebook(name: str) -> None:
    """Run the new notebook, so that it is committed with its figures; where its tools are not installed it stays as it is."""
    from mlops.scaffold.show import run_notebook

    console.note(f"running notebooks/01_explore_{name}.ipynb; --no-notebook leaves that for later")
    if reason := run_notebook(name):
        console.note(
            f"notebooks/01_explore_{name}.ipynb is written and not run ({reason}); run it with: mlops notebooks run --write"
        )


def _copied(name: str, paths: list[str]) -> None:
    for path in paths:
        console.note(f"wrote {path}")
    console.note(f"next: mlops run {name}")


def _show(added: Added) -> None:
    from mlops.scaffold import show

    title = f"{added.table.file.name}: {len(added.table.rows)} rows, {len(added.table.kinds)} columns"
    console.table(title, ("column", "kind", "missing", "different", "used as"), show.shortened(added.table))
    console.table("cross validation", *show.scores(added))
    for note in (*added.table.notes, *show.warnings(added)):
        console.note(f"note: {note}")
    for path in added.files:
        console.note(f"wrote {path}")
    console.note(
        f"{added.lines} lines of Python and YAML, all yours; how the file is read and judged: config/{added.name}.yaml"
    )
