"""`mlops register` and what looks into the store: `compare`, `history`, `diff`, `show`, `stats`, `alias`, `archive`, `ui`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import typer

from mlops import console
from mlops.errors import UserError

if TYPE_CHECKING:
    from mlops.config import Project
    from mlops.registry.register import Outcome
    from mlops.registry.versions import Version

app = typer.Typer()

NAME = typer.Argument("", help="Use case; default: the project's default one.")
JSON = typer.Option(False, "--json", help="Print the result as JSON.")
SET = typer.Option([], "--set", metavar="KEY=VALUE", help="Override a key of the configuration; may be given again.")
ALIAS = typer.Option("", "--alias", help="The alias that moves; default: the one of the branch.")
REASON = typer.Option("", "--reason", help="Why; goes into the log of moves.")


@app.command()
def register(
    name: str = NAME,
    candidate: str = typer.Option("", "--candidate", metavar="DIR", help="Candidate folder; default: the newest one."),
    set_: list[str] = SET,
    alias: str = ALIAS,
    reason: str = REASON,
    json: bool = JSON,
) -> None:
    """Ask the gate about a candidate and put it into the store; the alias moves last.

    Example: mlops register ridership --alias challenger --reason "after the outage"
    """
    from mlops import git
    from mlops.config import load_project
    from mlops.registry import register as registration
    from mlops.training import candidate as candidates
    from mlops.use_case import load_use_case

    project = load_project()
    use_case = load_use_case(project, name, tuple(set_))
    chosen = candidates.choose(project, use_case.name, candidate)
    branch = git.commit(project.root).branch
    outcome = registration.register(
        project, use_case, chosen, alias or project.alias_of(branch), reason or f"mlops register on {branch}"
    )
    show_outcomes([outcome], json)
    if not outcome.accepted:
        raise registration.refusal(outcome)
    console.note(f"{use_case.name}: {registration.sentence(outcome)}")


@app.command()
def compare(
    name: str = NAME, last: int = typer.Option(10, min=1, max=1000, help="How many runs, the newest first."), json: bool = JSON
) -> None:
    """Runs of a use case against each other: a table and a plot.

    Example: mlops compare ridership --last 5
    """
    from mlops.config import load_project
    from mlops.registry import compare as comparison
    from mlops.use_case import load_use_case

    project = load_project()
    use_case = load_use_case(project, name)
    runs = comparison.runs_of(project, use_case, last)
    file = comparison.plot(project, use_case, runs)
    if json:
        console.as_json({"runs": runs, "plot": file})
        return
    metrics = list(use_case.config.metrics)
    rows = [
        (item["name"], item["gate"], *(item["metrics"].get(metric) for metric in metrics), item["branch"]) for item in runs
    ]
    console.table(f"{use_case.name}: runs, the newest first", ("run", "gate", *metrics, "branch"), rows)
    since = [(item["name"], change) for item in runs for change in item["changed"]]
    if since:
        console.table(f"{use_case.name}: what changed since the run before", ("run", "changed"), since)
    console.note(f"plot {file}")


@app.command()
def history(
    name: str = NAME,
    last: int = typer.Option(20, min=1, max=1000, help="How many versions, the newest first."),
    json: bool = JSON,
) -> None:
    """The versions of a use case with their metrics and what changed between them, and every move of an alias.

    Example: mlops history ridership
    """
    from mlops import tracking
    from mlops.config import load_project
    from mlops.registry import aliases, changes, versions

    project = load_project()
    name = name or project.default_use_case
    with tracking.open_store(project, make=False) as client:
        listed = versions.some_of_use_case(client, project, name)
        moves = aliases.log(client, versions.qualified(project, name))
        # One more is read, so that the oldest one that is shown has one before it.
        steps = changes.steps(client, listed[: last + 1])[:last]
    file = changes.plot(project, name, steps)
    if json:
        shown = [{**vars(item.version), "metrics": item.metrics, "changed": item.changed} for item in steps]
        console.as_json({"versions": shown, "moves": [vars(item) for item in moves], "plot": file})
        return
    rows = [(*_facts(item.version), ", ".join(item.changed) or None) for item in steps]
    console.table(f"{name}: versions", ("number", "aliases", "archived", "commit", "changed"), rows)
    metrics = list(dict.fromkeys(metric for item in steps for metric in item.metrics))
    measured = [(item.version.number, *(item.metrics.get(metric) for metric in metrics)) for item in steps]
    console.table(f"{name}: metrics", ("number", *metrics), measured)
    done = [(item.when, item.alias, item.before, item.after, item.who, item.why) for item in moves]
    console.table(f"{name}: moves of aliases", ("when", "alias", "from", "to", "who", "why"), done)
    console.note(f"plot {file}")


def _facts(version: Version) -> tuple[Any, ...]:
    aliases = ", ".join(version.aliases) or None
    return (version.number, aliases, version.tags.get("archived"), version.tags.get("git_commit", "")[:12])


@app.command()
def diff(
    first: str = typer.Argument(metavar="A", help="NAME@REF, or alias or number of the project's default use case."),
    second: str = typer.Argument(metavar="B", help="The same; an alias or number alone is of A's use case."),
    json: bool = JSON,
) -> None:
    """Two versions of a use case: configuration, data, packages and code that differ, and the metrics of both.

    Example: mlops diff ridership@1.0.0 @champion
    """
    from mlops.config import load_project
    from mlops.registry import changes, versions

    project = load_project()
    name, before = _named(project, first, project.default_use_case)
    other, after = _named(project, second, name)
    if other != name:
        raise UserError(f"mlops diff: {first} and {second} are of two use cases; compare versions of one")
    differences = changes.difference(project, versions.resolve(project, name, before), versions.resolve(project, name, after))
    if json:
        return console.as_json(differences)
    titles = differences["versions"]
    rows = [
        ("commit", *(commit[:12] for commit in differences["commits"])),
        ("differs in", "", ", ".join(differences["parts"]) or "nothing"),
    ]
    rows += [(path, *(str(value) for value in values)) for path, *values in differences["configuration"]]
    rows += [(f"rows: {part}", *(str(counted[part]) for counted in differences["rows"])) for part in differences["rows"][0]]
    console.table(f"{name}: two versions", ("what", *titles), rows)
    console.table("metrics", ("metric", *titles), [(metric, *values) for metric, values in differences["metrics"].items()])
    for what in ("data", "pins", "code"):
        for line in differences[what]:
            console.note(f"{what}: {line}")


@app.command()
def reproduce(
    subject: str = typer.Argument("", metavar="[NAME[@REF]]", help="Use case with alias or number; default: the champion."),
    json: bool = JSON,
) -> None:
    """Train a version again from its commit, elsewhere, with the data, packages and machinery of that time, and compare.

    Exit code 1 where it differs, with the part that is not the same and by how much. Example: mlops reproduce iris@1.0.0
    """
    from dataclasses import asdict

    from mlops.config import load_project
    from mlops.registry import reproduce as reproduction

    project = load_project()
    name, _, ref = subject.partition("@")
    result = reproduction.reported(project, name or project.default_use_case, ref or None)
    if json:
        console.as_json({**asdict(result), "equal": result.equal, "verdict": result.verdict})
    else:
        rows = [(metric, *values) for metric, values in result.metrics.items()]
        console.table(f"{result.version}, commit {result.commit[:12]}", ("metric", "registered", "again"), rows)
        console.note(f"{result.version}: {result.verdict}")
        console.note(reproduction.spent(result))
    raise typer.Exit(0 if result.equal else 1)


def _named(project: Project, subject: str, default: str) -> tuple[str, str]:
    """Use case and ref of NAME@REF, or of a ref alone; raises UserError for a use case without a ref."""
    name, sign, ref = subject.partition("@")
    if not sign and subject in project.use_cases:
        raise UserError(
            f"mlops diff: {subject} is a use case; name a version of it, such as {subject}@champion or {subject}@1.0.0"
        )
    return (name or default, ref) if sign else (default, subject)


@app.command()
def show(
    name: str = NAME, ref: str = typer.Argument("", help="Alias or number; default: the champion."), json: bool = JSON
) -> None:
    """All that the store knows of one version.

    Example: mlops show ridership @champion
    """
    from mlops.config import load_project
    from mlops.registry import versions

    project = load_project()
    version = versions.resolve(project, name or project.default_use_case, ref or None)
    if json:
        console.as_json(vars(version))
        return
    tags = sorted((name, _short(value)) for name, value in version.tags.items() if name != "model_id")
    console.table(version.title, ("what", "value"), [("run", version.run_id), ("model", version.model_id), *tags])


@app.command()
def lineage(
    subject: str = typer.Argument("", metavar="[NAME[@REF] | IMAGE]", help="Use case with alias or number, or an image."),
    ref: str = typer.Argument("", help="Alias or number, where it is not in NAME@REF; default: the champion."),
    json: bool = JSON,
) -> None:
    """From an image or version back to run, commit, pull request and data, and forward to its deployments.

    An image is named as the deployment log has it, by a digest (12 characters or more), or by its name on this machine.

    Example: mlops lineage ridership@production
    """
    from mlops.config import load_project
    from mlops.registry import lineage as origins

    traced = origins.trace(load_project(), subject, ref or None)
    if json:
        from dataclasses import asdict

        return console.as_json(asdict(traced))
    console.table(f"{traced.origin.use_case} {traced.origin.number}: made from", ("what", "is"), origins.rows(traced))
    if not traced.deployments:
        return console.note(f"{traced.origin.use_case} {traced.origin.number} was not deployed yet")
    went = [
        (item.when, item.environment or item.alias, item.action, item.result, item.who, item.why)
        for item in traced.deployments
    ]
    console.table("and went to", ("when", "where", "what", "result", "who", "why"), went)


@app.command()
def stats(
    name: str = typer.Argument("", help="Use case; default: all of the project."),
    environment: str = typer.Option("production", "--environment", help="Where deployments count."),
    days: int = typer.Option(90, "--days", min=1, max=3650, help="The window, up to now."),
    plot: str = typer.Option("", "--plot", metavar="FILE", help="Write a picture there: PNG, SVG or PDF."),
    json: bool = JSON,
) -> None:
    """DORA's figures from the deployment log (frequency, lead time, failures, time to restore), and what runs cost.

    Example: mlops stats --days 30 --plot stats.png
    """
    from dataclasses import asdict
    from pathlib import Path

    from mlops.config import load_project, load_use_case_config
    from mlops.registry import stats as figures

    project = load_project()
    if name:
        load_use_case_config(project, name)
    listed = figures.of_project(project, [name] if name else list(project.use_cases), environment, days)
    if plot:
        figures.plot(listed, Path(plot))
        console.note(f"plot {plot}")
    if json:
        return console.as_json([asdict(item) for item in listed])
    if not any(item.deployments for item in listed):
        console.note(f"nothing was deployed to {environment} in the last {days} days; mlops deploy writes the log")
    if any(item.deployments or item.runs for item in listed):
        names = [item.use_case for item in listed]
        console.table(f"The last {days} days, {environment}", ("figure", *names), figures.rows(listed))


@app.command()
def alias(
    name: str = typer.Argument(help="Use case."),
    alias_: str = typer.Argument(metavar="ALIAS", help="The alias that moves."),
    ref: str = typer.Argument(help="Where to: number or alias."),
    reason: str = typer.Option(..., "--reason", help="Why; goes into the log of moves."),
    json: bool = JSON,
) -> None:
    """Point an alias at a version by hand; the move is logged, the gate is not asked.

    Example: mlops alias ridership challenger 1.0.2 --reason "look at it again"
    """
    from mlops.config import load_project
    from mlops.registry.manual_moves import move

    moved, version = move(load_project(), name, alias_, ref, reason)
    if json:
        console.as_json({"moved": vars(moved) if moved else None, "version": vars(version)})
    else:
        console.note(f"{name}: @{alias_} {'moved to' if moved else 'points already at'} {version.number}")


@app.command()
def archive(
    name: str = typer.Argument(help="Use case."),
    ref: str = typer.Argument(help="The version's number."),
    reason: str = typer.Option(..., "--reason", help="Why; kept with the version."),
    json: bool = JSON,
) -> None:
    """Mark a version as archived; one that an alias points at is refused.

    Example: mlops archive ridership 1.0.1 --reason "superseded"
    """
    from mlops.config import load_project
    from mlops.registry.manual_moves import archive as put_away

    version = put_away(load_project(), name, ref, reason)
    if json:
        console.as_json(vars(version))
    else:
        console.note(f"{name}: {version.number} is archived")


@app.command()
def ui(port: int = typer.Option(5000, min=1, max=65535, help="Port on this machine.")) -> None:
    """MLflow's own page on the store, on this machine only.

    Example: mlops ui --port 5001
    """
    from mlops.config import load_project
    from mlops.registry.ui import serve

    raise typer.Exit(serve(load_project(), port))


def _short(value: str) -> str:
    """A value as a table shows it: of a digest the first 16 digits."""
    return value[:16] if re.fullmatch("[0-9a-f]{64}", value) else value


def show_outcomes(outcomes: list[Outcome], json: bool) -> None:
    """Print what registrations came to: a table each, or all as JSON."""
    from mlops.registry.register import as_value
    from mlops.training import report

    if json:
        console.as_json([as_value(outcome) for outcome in outcomes])
        return
    for outcome in outcomes:
        console.table(_title(outcome), report.HEAD, report.table(outcome.evaluation.verdict))
        console.note(f"report {outcome.report}")


def _title(outcome: Outcome) -> str:
    """The version, or what the gate decided where none was registered: a passing model has none with --no-register."""
    if outcome.version:
        return outcome.version.title
    refused = "refused, as expected" if outcome.accepted else "refused by the gate"
    decision = "passes the gate, nothing is registered" if outcome.passed else refused
    return f"{outcome.use_case}: {decision}"
