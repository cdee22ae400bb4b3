"""`mlops run`, `register` and what looks into the store: `compare`, `history`, `show`, `alias`, `archive`, `ui`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import typer

from mlops import console

if TYPE_CHECKING:
    from mlops.registry.register import Outcome

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
    if not outcome.passed:
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
    console.note(f"plot {file}")


@app.command()
def history(name: str = NAME, json: bool = JSON) -> None:
    """The versions of a use case, and every move of an alias: who, why, from, to.

    Example: mlops history ridership
    """
    from mlops import tracking
    from mlops.config import load_project
    from mlops.registry import aliases, versions

    project = load_project()
    name = name or project.default_use_case
    with tracking.open_store(project, make=False) as client:
        listed = versions.of_use_case(client, project, name)
        versions.choose(name, listed, None)
        moves = aliases.log(client, versions.qualified(project, name))
    if json:
        console.as_json({"versions": [vars(item) for item in listed], "moves": [vars(item) for item in moves]})
        return
    rows = [
        (item.number, ", ".join(item.aliases) or None, item.tags.get("archived"), item.tags["git_commit"][:12])
        for item in listed
    ]
    console.table(f"{name}: versions", ("number", "aliases", "archived", "commit"), rows)
    steps = [(item.when, item.alias, item.before, item.after, item.who, item.why) for item in moves]
    console.table(f"{name}: moves of aliases", ("when", "alias", "from", "to", "who", "why"), steps)


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
def card(
    name: str = NAME,
    ref: str = typer.Argument("", help="Alias or number; default: the champion."),
    out: str = typer.Option("", "--out", "-o", metavar="FILE", help="Write it there, its plots in a folder beside it."),
    json: bool = JSON,
) -> None:
    """The card of a version in Markdown: data, metrics with intervals, slices, limits, origin; the same each time.

    Example: mlops card ridership champion --out card.md
    """
    from pathlib import Path

    from mlops.config import load_project
    from mlops.registry import card as cards
    from mlops.registry import versions
    from mlops.use_case import load_use_case

    project = load_project()
    use_case = load_use_case(project, name)
    result = cards.make(project, use_case, versions.resolve(project, use_case.name, ref or None))
    if out:
        cards.write(result, Path(out))
        console.note(f"card {out}")
    if json:
        console.as_json(result.facts)
    elif not out:
        console.text(cards.markdown(result.facts, "report/plots"))


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
    decision = "passes the gate, nothing is registered" if outcome.passed else "refused by the gate"
    return f"{outcome.use_case}: {decision}"
