"""`mlops monitor` and `mlops monitored`: the watch on served models, for people, schedulers and the workflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mlops import console

if TYPE_CHECKING:
    from mlops.monitoring.monitor import Check, Watched

app = typer.Typer()

JSON = typer.Option(False, "--json", help="Print the result as JSON.")
HOW = """No use case is watched yet. To turn it on:

1. Let the server write its prediction log: `MLOPS_SERVE_PREDICTION_LOG=/var/log/mlops`.
2. Bring the log to where this workflow can read it, such as a bucket, and say where in `config/<use case>.yaml`:
   `monitor: {log_uri: "s3://bucket/prefix"}`.
3. Store the bucket's keys as secrets `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.

More is in `mlops docs monitoring`; `mlops monitor NAME --log FOLDER` tries it out on a laptop."""


@app.command()
def monitor(
    name: str = typer.Argument("", help="Use case; default: the project's default one."),
    log: str = typer.Option("", "--log", metavar="URI", help="Prediction log: folder, file, s3://…; else monitor.log_uri."),
    since: str = typer.Option("", metavar="TIME", help="Rows from this date or time on (UTC where it has no zone)."),
    days: float = typer.Option(0, min=0, show_default=False, help="Rows of the last so many days; default: monitor.days."),
    out: Path | None = typer.Option(None, metavar="DIR", help="Folder for the report; default: output/monitor/NAME."),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Override a key of the configuration."),
    github: bool = typer.Option(False, "--github", help="Open, update or close the issue; propose new data if so configured."),
    proposals: Path | None = typer.Option(None, metavar="DIR", help="Leave new data there for `mlops propose`; push nothing."),
    json: bool = JSON,
) -> None:
    """Compare what a served model is asked and answers with what it was trained on; exit code 1 when it has drifted.

    The same where nothing can be seen: a log without a row, rows that cannot be read, a version that the store does not have.

    The report is written as HTML, Markdown and JSON. With --github, drift is reported in an issue and the exit code is 0.

    Example: mlops monitor ridership --log /var/log/mlops --days 7
    """
    from mlops.config import load_project
    from mlops.errors import UserError
    from mlops.monitoring import monitor as watch
    from mlops.monitoring import notify, report
    from mlops.monitoring.log import resolved
    from mlops.use_case import load_use_case

    project = load_project()
    use_case = load_use_case(project, name, tuple(set_))
    settings = use_case.config.monitor
    address = resolved(log, Path.cwd()) if log else settings.log_uri
    if not address:
        raise UserError(
            f"config/{use_case.name}.yaml: monitor.log_uri is not set; set it, or say where the prediction log is with --log"
        )
    if since and days:
        raise UserError("--since and --days both begin the window: give one of them")
    start = watch.start_of(since, days or settings.days)
    with console.step(f"reading {address}"):
        check = watch.run(project, use_case, address, start)
    folder = report.write(check, out or project.output / "monitor" / use_case.name)
    notified = notify.send(project, use_case, check, proposals) if github else {}
    notify.call_webhook(use_case, check, notified)
    if json:
        console.as_json({**watch.as_value(check), "report": folder / "report.html", "notified": notified})
    else:
        _show(check)
    why = f": {check.fault}" if check.fault else ""
    console.note(f"{check.use_case}: {check.verdict}{why}; report {folder / 'report.html'}")
    if check.verdict in watch.ALARMS and not notified.get("issue"):
        raise typer.Exit(1)


@app.command()
def propose(
    folder: Path = typer.Argument(help="Where `mlops monitor --proposals` left new data: NAME/proposal.json."),
    json: bool = JSON,
) -> None:
    """Push the branches of new data that a check has left, and open their pull requests; the one step that writes.

    Example: mlops propose output/proposals
    """
    from mlops import runner
    from mlops.git import project_root, repository
    from mlops.gitflow import github
    from mlops.monitoring import proposed

    root = project_root()
    lines = proposed.push(root, folder, github.connect(repository(root)))
    if json:
        console.as_json(lines)
    runner.summary("\n".join(["### New data", "", *(lines or ["Nothing was left to propose."])]))


@app.command()
def monitored(
    only: str = typer.Option("", help="This use case alone."),
    json: bool = JSON,
) -> None:
    """Say which use cases have a prediction log to watch, and hand them to the jobs of a workflow.

    Example: mlops monitored --json
    """
    from json import dumps

    from mlops import runner
    from mlops.config import load_project, load_use_case_config

    project = load_project()
    names = [only] if only else project.use_cases
    addresses = {name: load_use_case_config(project, name).monitor.log_uri for name in names}
    watched = [name for name, address in addresses.items() if address]
    # Storage needs packages that the main job has no use for.
    group = "dev" if any("://" in addresses[name] for name in watched) else "base"
    runner.output("use_cases", dumps(watched))
    runner.output("group", group)
    if json:
        console.as_json({"use_cases": watched, "group": group})
    if not watched:
        runner.summary(f"### Monitor\n\n{HOW}")
    elif not json:
        console.table("Watched", ["use case", "prediction log"], [(name, addresses[name]) for name in watched])


def _show(check: Check) -> None:
    from mlops.monitoring.drift import severity

    read = check.log
    malformed = f", {read.malformed} malformed" if read.malformed else ""
    console.note(f"{read.rows} rows since {read.since:%Y-%m-%d %H:%M} UTC in {read.where}{malformed}")
    for item in check.shadows:
        console.note(f"shadow: {item.words}")
    for version in check.versions:
        state = "answers now" if version.serving else "has been replaced"
        title = f"{check.use_case} {version.number}: {version.verdict}, {version.rows} rows, {state}"
        loud = [item for item in version.findings if severity(item.verdict)]
        if loud:
            rows = [
                (item.name, item.verdict, *map(_short, (item.psi, item.distance, item.missing, item.unseen))) for item in loud
            ]
            console.table(title, ("column", "verdict", "PSI", "KS or JS", "missing", "never seen"), rows)
        else:
            console.note(title)
        if version.findings:
            quiet = sum(item.verdict == "ok" for item in version.findings)
            console.note(f"{quiet} of {len(version.findings)} columns are as they were")
            _show_quality(version)


def _show_quality(version: Watched) -> None:
    for note in version.notes:
        console.note(f"labels: {note}")
    if not version.quality:
        return console.note(f"{version.labelled} labelled rows: too few to judge the quality")
    rows = [
        (row.metric, row.verdict, row.value, f"{row.low:.4f} … {row.high:.4f}", row.limit, row.holdout)
        for row in version.quality
    ]
    head = ("metric", "verdict", "in service", f"{100 * version.quality[0].level:.3g} % interval", "limit", "holdout")
    console.table(f"Quality on {version.labelled} labelled rows", head, rows)


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"
