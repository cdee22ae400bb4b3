"""`mlops data`: each step of the data stage on its own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
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
    _show("raw", list(stages.raw(project, load_use_case(project, name)).files), json)


@app.command()
def interim(name: str = NAME, json: bool = JSON) -> None:
    """Load the raw files into tidy rows; no work where they are there.

    Example: mlops data interim ridership
    """
    from mlops.config import load_project
    from mlops.data import stages
    from mlops.use_case import load_use_case

    project = load_project()
    _show("interim", [stages.interim(project, load_use_case(project, name))], json)


@app.command()
def processed(name: str = NAME, json: bool = JSON) -> None:
    """Make the features of the interim rows; no work where they are there.

    Example: mlops data processed ridership --json
    """
    from mlops.config import load_project
    from mlops.data import stages
    from mlops.use_case import load_use_case

    project = load_project()
    _show("processed", [stages.processed(project, load_use_case(project, name))], json)


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
def add(
    name: str = typer.Argument(help="Use case."),
    file: Path = typer.Argument(help="A CSV or Parquet file with the columns of the raw schema."),
    source: str = typer.Option(..., help="Where the file comes from; goes into the provenance note."),
    licence: str = typer.Option(..., help="Under which licence it may be used."),
    json: bool = JSON,
) -> None:
    """Add a file of new rows to the raw data; what is there is never changed.

    Example: mlops data add iris new.csv --source "measured in May" --licence CC0
    """
    from mlops.config import load_project
    from mlops.data import stages
    from mlops.use_case import load_use_case

    project = load_project()
    _show("raw", [stages.add(project, load_use_case(project, name), file, source, licence)], json)


def _show(stage: str, sets: Iterable[Dataset], json: bool) -> None:
    if json:
        console.as_json([vars(item) for item in sets])
        return
    for item in sets:
        state = "created" if item.created else "up to date, nothing to do"
        console.note(f"{stage} {item.path}: {item.rows} rows, {item.columns} columns, {item.sha256[:16]} ({state})")
        if item.unknown:
            console.note(f"{item.path.name}: not in the schema, so neither counted nor checked: {', '.join(item.unknown)}")
