"""`mlops score`: raw rows in, predictions out."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from mlops import console

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.scoring.raw import Scored

app = typer.Typer()
SHOWN = 20


class Engine(StrEnum):
    """What scores the parts of a batch."""

    arrow = "arrow"
    spark = "spark"


class OnError(StrEnum):
    """What becomes of a batch in which a row cannot be scored."""

    fail = "fail"
    quarantine = "quarantine"


@app.command()
def score(
    name: str = typer.Argument(help="Use case."),
    source: str = typer.Argument(
        metavar="INPUT",
        help="Raw rows, as trained on; the target may be missing. Also a folder, 'pattern', s3://…, with a folder as OUTPUT.",
    ),
    to: str = typer.Argument(
        "",
        metavar="[OUTPUT]",
        help="Write keys and predictions to this .csv or .parquet, or in parts to this folder or s3://…",
    ),
    ref: str = typer.Option("", "--ref", help="Alias or number; default: the champion, else the newest version."),
    on_error: OnError = typer.Option(
        OnError.fail, "--on-error", help="A row that cannot be scored stops a batch, or is put aside with its reason."
    ),
    part_rows: int = typer.Option(100_000, "--part-rows", min=1, help="Rows of a part, which is what is in memory at once."),
    whole: bool = typer.Option(False, "--whole", help="Score all rows at once: features need more than one row."),
    engine: Engine = typer.Option(Engine.arrow, "--engine", help="Score in this process, or with Spark; into a folder."),
    master: str = typer.Option("", "--master", help="Spark's cluster; default: MLOPS_SPARK_MASTER, else this machine."),
    json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Score raw rows with the features that the version was trained with; answers with the key of each row.

    A folder as OUTPUT takes files of any size; a run that was stopped goes on where it was.

    Example: mlops score churn new.csv scored.csv
    """
    from pathlib import Path

    from mlops.config import load_project
    from mlops.errors import UserError
    from mlops.scoring import inputs, remote
    from mlops.scoring.raw import score as score_raw

    if inputs.is_many(source) or remote.is_remote(to) or (to and (Path(to).is_dir() or not Path(to).suffix)):
        options = {"part_rows": part_rows, "quarantine": on_error is OnError.quarantine, "whole": whole}
        _score_batch(name, ref, source, to, engine, master, options, json)
        return
    if to and not to.endswith((".csv", ".parquet")):
        raise UserError(f"{to}: predictions are written as .csv or .parquet, or into a folder; name it so")
    if on_error is OnError.quarantine:
        raise UserError("--on-error quarantine: rows are put aside where OUTPUT is a folder; name one")
    if engine is Engine.spark:
        raise UserError("--engine spark: parts are scored where OUTPUT is a folder; name one")
    scored = score_raw(load_project(), name, ref or None, Path(source))
    if to:
        _write(scored, Path(to))
    if scored.unanswered:
        console.note(f"{scored.unanswered} rows have no answer: load or features left them out")
    _show(name, scored, to, json)


def _write(scored: Scored, to: Path) -> None:
    from mlops.files import replacing

    with replacing(to) as temporary:
        if to.suffix == ".csv":
            scored.rows.to_csv(temporary, index=False)
        else:
            scored.rows.to_parquet(temporary, index=False)


def _show(name: str, scored: Scored, to: str, json: bool) -> None:
    """Print what one file is answered with, or where it is."""
    if json:
        rows = scored.rows.astype(object).to_dict("records")
        console.as_json({"use_case": name, "version": scored.number, "unanswered": scored.unanswered, "predictions": rows})
    elif to:
        console.note(f"{name} {scored.number}: {len(scored.rows)} predictions in {to}")
    else:
        head = scored.rows.head(SHOWN)
        console.table(f"{name} {scored.number}, {len(scored.rows)} rows", list(map(str, head)), head.itertuples(index=False))
        if len(scored.rows) > SHOWN:
            console.note(f"the first {SHOWN} are shown; an OUTPUT file or --json gives all")


def _score_batch(
    name: str, ref: str, source: str, to: str, engine: Engine, master: str, options: dict[str, Any], json: bool
) -> None:
    from pathlib import Path

    from mlops.config import load_project
    from mlops.errors import UserError
    from mlops.scoring import batch, remote

    if not to or (Path(to).suffix in (".csv", ".parquet") and not Path(to).is_dir()):
        raise UserError(f"{source}: many files are scored into a folder; name one as OUTPUT")
    project = load_project()
    if engine is Engine.spark:
        from mlops.scoring import spark_engine

        if distant := next((place for place in (source, to) if remote.is_remote(place)), ""):
            raise UserError(f"{distant}: --engine spark works on folders that driver and workers share; use --engine arrow")
        # Workers have other working folders.
        source, to = os.path.abspath(source), os.path.abspath(to)
        options |= {"engine": spark_engine.engine(project.output / "spark.log", master)}
    manifest = batch.score(project, name, ref or None, source, remote.place_of(to), **options)
    if json:
        console.as_json(manifest)
        return
    counts = ", ".join(f"{manifest[key]:,} {key}" for key in ("predictions", "rejects", "unanswered") if manifest[key])
    console.note(f"{name} {manifest['version']}: {counts or 'no predictions'} in {to}")


@app.command()
def spark_package(
    to: str = typer.Option("", "--to", help="Folder; default: output/spark."),
    json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Pack machinery and project for spark-submit: an archive of code and configuration, and the script of the driver.

    Example: mlops spark-package
    """
    from pathlib import Path

    from mlops.config import load_project
    from mlops.scoring.spark_package import package

    project = load_project()
    archive, script = package(project, Path(to) if to else project.output / "spark")
    if json:
        console.as_json({"files": [str(archive), str(script)]})
    else:
        console.note(f"run: spark-submit --py-files {archive} {script} NAME INPUT OUTPUT")
