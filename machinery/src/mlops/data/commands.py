"""`mlops data`: each step of the data stage on its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from mlops import console

if TYPE_CHECKING:
    from mlops.data.datasets import Dataset

app = typer.Typer(no_args_is_help=True, help="Raw → interim → processed: make, list and add data sets.")

NAME = typer.Argument("", help="Use case; default: the project's default one.")
JSON = typer.Option(False, "--json", help="Print the result as JSON.")


@app.command()
def raw(name: str = NAME, json: bool = JSON) -> None:
    """Check the raw files against digest and schema.

    Example: mlops data raw iris
    """
    from mlops.config import load_project
    from mlops.data import stages
    from mlops.use_case import load_use_case

    project = load_project()
    show("raw", list(stages.raw(project, load_use_case(project, name)).files), json)


@app.command()
def interim(name: str = NAME, json: bool = JSON) -> None:
    """Load the raw files into tidy rows; no work where they are there.

    Example: mlops data interim ridership
    """
    from mlops.config import load_project
    from mlops.data import stages
    from mlops.use_case import load_use_case

    project = load_project()
    show("interim", [stages.interim(project, load_use_case(project, name))], json)


@app.command()
def processed(name: str = NAME, json: bool = JSON) -> None:
    """Make the features of the interim rows; no work where they are there.

    Example: mlops data processed ridership --json
    """
    from mlops.config import load_project
    from mlops.data import stages
    from mlops.use_case import load_use_case

    project = load_project()
    show("processed", [stages.processed(project, load_use_case(project, name))], json)


@app.command("list")
def list_(json: bool = JSON) -> None:
    """The catalog: every data set with its rows, schema and digest.

    Example: mlops data list
    """
    from mlops.config import load_project
    from mlops.data import datasets, stages

    project = load_project()
    rows = []
    for stage in stages.STAGES:
        for schema in sorted((project.data / stage).glob("*/*.schema.json")):
            item = datasets.describe(schema.with_name(schema.name.removesuffix(".schema.json")))
            rows.append((stage, schema.parent.name, item.path.name, item.rows, item.columns, item.sha256[:16]))
    head = ("stage", "use case", "file", "rows", "columns", "digest")
    if json:
        console.as_json([dict(zip(head, row, strict=True)) for row in rows])
    else:
        console.table(f"Data sets in {project.data}", head, rows)


@app.command()
def restore(json: bool = JSON) -> None:
    """Bring the large raw files of the commit that is checked out; content that was never saved is not overwritten.

    Example: mlops data restore
    """
    from mlops.config import load_project
    from mlops.dvc import large

    brought, removed = large.restore(load_project())
    if json:
        return console.as_json({"restored": brought, "removed": removed})
    for file in brought:
        console.note(f"restored {file}")
    for file in removed:
        console.note(f"removed {file}: this commit does not have it, the cache does")
    if not brought and not removed:
        console.note("every large raw file is the one of this commit, nothing to do")


def save(
    message: str = typer.Option(..., "--message", "-m", help="Of the commit."),
    json: bool = JSON,
) -> None:
    """Commit code and data in one step: large raw files go to the remote first, their pointers into git.

    Example: mlops save -m "Rows of May"
    """
    from mlops.config import load_project
    from mlops.dvc import large

    commit, files = large.save(load_project(), message)
    if json:
        return console.as_json({"commit": commit, "large": files})
    large_files = f", large raw files at the remote: {', '.join(file.name for file in files)}" if files else ""
    console.note(f"saved as {commit[:12]}{large_files}")


def show(stage: str, sets: Iterable[Dataset], json: bool) -> None:
    """Print data sets: where they lie, their rows and digest, and whether they are new."""
    if json:
        console.as_json([vars(item) for item in sets])
        return
    for item in sets:
        state = "created" if item.created else "up to date, nothing to do"
        console.note(f"{stage} {item.path}: {item.rows} rows, {item.columns} columns, {item.sha256[:16]} ({state})")
        if item.unknown:
            console.note(f"{item.path.name}: not in the schema, so neither counted nor checked: {', '.join(item.unknown)}")
