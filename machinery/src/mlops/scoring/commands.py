"""`mlops score`: raw rows in, predictions out."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from mlops import console

if TYPE_CHECKING:
    from pathlib import Path

    from mlops.config.operations import Batch
    from mlops.scoring.raw import Scored

app = typer.Typer()
SHOWN = 20
HOW = """No use case is scored today. In `config/<use case>.yaml`:
`serving: {batch: {input: "s3://bucket/new", output: "s3://bucket/scored"}}`."""


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
        "",
        metavar="[INPUT]",
        help="Raw rows, as trained on; the target may be missing. Also a folder, 'pattern' or s3://…, with a folder as "
        "OUTPUT. Default: serving.batch.input of the configuration, with what stands beside it.",
    ),
    to: str = typer.Argument(
        "",
        metavar="[OUTPUT]",
        help="Write keys and predictions to this .csv or .parquet, or in parts to this folder or s3://…",
    ),
    ref: str = typer.Option("", "--ref", help="Alias or number; default: the champion, else the newest version."),
    on_error: OnError | None = typer.Option(
        None, "--on-error", help="A row that cannot be scored stops a batch, or is put aside with its reason. Default: fail."
    ),
    part_rows: int | None = typer.Option(
        None, "--part-rows", min=1, help="Rows of a part, on which memory depends. Default: by the columns, up to 100000."
    ),
    whole: bool = typer.Option(False, "--whole", help="Score all rows at once: features need more than one row."),
    jobs: int = typer.Option(0, "--jobs", min=0, help="Parts that are scored at a time; default: one a processor, up to 4."),
    engine: Engine = typer.Option(Engine.arrow, "--engine", help="Score in this process, or with Spark; into a folder."),
    master: str = typer.Option("", "--master", help="Spark's cluster; default: MLOPS_SPARK_MASTER, else this machine."),
    report: str = typer.Option("", "--report", help="Copy manifest and rejects of a batch into this folder too."),
    json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Score raw rows with the features that the version was trained with; answers with the key of each row.

    A folder as OUTPUT takes files of any size; a run that was stopped goes on where it was.

    Example: mlops score churn new.csv scored.csv
    """
    from pathlib import Path

    from mlops.scoring import inputs, remote

    chosen = _configured(name, source, to, ref, on_error, part_rows)
    source, to = chosen.input, chosen.output
    if inputs.is_many(source) or remote.is_remote(to) or (to and (Path(to).is_dir() or not Path(to).suffix)):
        from joblib import cpu_count

        options = {"part_rows": chosen.part_rows, "quarantine": chosen.on_error == "quarantine", "whole": whole}
        options["jobs"] = jobs or min(cpu_count(), 4)
        _score_batch(name, chosen, engine, master, report, options, json)
        return
    wrong = [(engine is Engine.spark, "--engine spark", "parts are scored"), (report, "--report", "there is a manifest")]
    _score_file(name, chosen, wrong, json)


def _score_file(name: str, chosen: Batch, needing: list[tuple[object, str, str]], json: bool) -> None:
    """Score one file at once; `needing`: whether an option that needs a folder was given, its name, what it does there."""
    from pathlib import Path

    from mlops.config import load_project
    from mlops.errors import UserError
    from mlops.scoring.raw import score as score_raw

    source, to = chosen.input, chosen.output
    if to and not to.endswith((".csv", ".parquet")):
        raise UserError(f"{to}: predictions are written as .csv or .parquet, or into a folder; name it so")
    for wrong, option, reason in (
        (chosen.on_error == "quarantine", "--on-error quarantine", "rows are put aside"),
        *needing,
    ):
        if wrong:
            raise UserError(f"{option}: {reason} where OUTPUT is a folder; name one")
    scored = score_raw(load_project(), name, chosen.ref or None, Path(source))
    if to:
        _write(scored, Path(to))
    if scored.unanswered:
        console.note(f"{scored.unanswered} rows have no answer: load or features left them out")
    _show(name, scored, to, json)


def _configured(name: str, source: str, to: str, ref: str, on_error: OnError | None, part_rows: int | None) -> Batch:
    """What is scored, to where and how: as the command line has it, and the configuration where it names no INPUT."""
    from mlops.config import load_project, load_use_case_config
    from mlops.config.operations import Batch
    from mlops.errors import UserError

    batch = Batch()
    if not source:
        project = load_project()
        batch = load_use_case_config(project, name or project.default_use_case).serving.batch
        if not batch.input:
            raise UserError(
                f"{name}: neither INPUT nor serving.batch.input in config/{name}.yaml; name a file, or configure it"
            )
    given = {"input": source, "output": to, "ref": ref, "on_error": on_error, "part_rows": part_rows}
    return batch.model_copy(update={key: value for key, value in given.items() if value})


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
    name: str, chosen: Batch, engine: Engine, master: str, report: str, options: dict[str, Any], json: bool
) -> None:
    from pathlib import Path

    from mlops import git, runner
    from mlops.config import load_project
    from mlops.errors import UserError
    from mlops.scoring import batch, remote
    from mlops.scoring import report as reports

    source, to = chosen.input, chosen.output
    if not to or (Path(to).suffix in (".csv", ".parquet") and not Path(to).is_dir()):
        what = "what lies in a bucket is" if remote.is_remote(source) else "many files are"
        raise UserError(f"{source}: {what} scored into a folder; name one as OUTPUT")
    project = load_project()
    if engine is Engine.spark:
        from mlops.scoring import spark_engine

        if distant := next((place for place in (source, to) if remote.is_remote(place)), ""):
            raise UserError(f"{distant}: --engine spark works on folders that driver and workers share; use --engine arrow")
        # Workers have other working folders.
        source, to = os.path.abspath(source), os.path.abspath(to)
        options |= {"engine": spark_engine.engine(project.output / "spark.log", master)}
    output = remote.place_of(to)
    manifest = batch.score(project, name, chosen.ref or None, source, output, **options)
    if report:
        reports.save(manifest, output, Path(report))
    if git.in_actions():
        runner.summary(reports.markdown(manifest, output))
    if json:
        console.as_json(manifest)
        return
    counts = ", ".join(f"{manifest[key]:,} {key}" for key in ("predictions", "rejects", "unanswered") if manifest[key])
    console.note(f"{name} {manifest['version']}: {counts or 'no predictions'} in {to}")


@app.command()
def scored(
    only: str = typer.Option("", help="This use case alone, whatever its schedule is."),
    due: bool = typer.Option(False, "--due", help="Those alone whose schedule has come today."),
    json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    """Name the use cases whose input and output are configured, and hand them to the jobs of a workflow.

    Example: mlops scored --due
    """
    from json import dumps

    from mlops import runner
    from mlops.config import load_project, load_use_case_config

    project = load_project()
    names = [only] if only else project.use_cases
    batches = {name: load_use_case_config(project, name).serving.batch for name in names}
    chosen = [name for name, batch in batches.items() if name == only or (batch.input and (not due or _is_due(batch)))]
    runner.output("use_cases", dumps(chosen))
    if json:
        console.as_json({"use_cases": chosen})
    if not chosen:
        runner.summary(f"### Score\n\n{HOW}")
    elif not json:
        console.table("Scored", ["use case", "input", "output", "schedule"], [_row(name, batches[name]) for name in chosen])


def _row(name: str, batch: Batch) -> tuple[str, str, str, str]:
    return name, batch.input, batch.output, batch.schedule


def _is_due(batch: Batch) -> bool:
    from datetime import UTC, datetime

    return batch.schedule == "daily" or (batch.schedule == "weekly" and datetime.now(UTC).weekday() == 0)


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
