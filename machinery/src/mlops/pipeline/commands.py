"""`mlops run`, `train`, `report` and `tune`: the main job and its parts; no store is needed to train."""

from __future__ import annotations

import json
import shlex
from typing import Any

import typer

from mlops import console
from mlops.registry.commands import ALIAS, REASON, show_outcomes

app = typer.Typer()

NAME = typer.Argument("", help="Use case; default: the project's default one.")
JSON = typer.Option(False, "--json", help="Print the result as JSON.")
SET = typer.Option([], "--set", metavar="KEY=VALUE", help="Override a key of the configuration; may be given again.")
CANDIDATE = typer.Option("", "--candidate", metavar="DIR", help="Candidate folder; default: the newest of the use case.")


@app.command()
def run(
    name: str = NAME,
    every: bool = typer.Option(False, "--all", help="Every use case."),
    set_: list[str] = SET,
    alias: str = ALIAS,
    reason: str = REASON,
    again: bool = typer.Option(False, "--again", help="Train even where nothing has changed."),
    register: bool = typer.Option(True, help="Register what passes; without, only the report is written."),
    json: bool = JSON,
) -> None:
    """The main job: data, train, gate, register, report.

    Exit code 1 when the gate refuses a candidate, unless its configuration expects that; 3 when the store does not answer
    (the candidate is kept).

    Example: mlops run iris
    """
    from mlops import pipeline
    from mlops.config import load_project
    from mlops.registry.register import refusal
    from mlops.use_case import load_use_case

    project = load_project()
    names = project.use_cases if every else [name or project.default_use_case]
    use_cases = [load_use_case(project, each, tuple(set_)) for each in names]
    if not register:
        outcomes = [pipeline.try_out(project, use_case, again) for use_case in use_cases]
    else:
        outcomes = [pipeline.run(project, use_case, alias or None, reason, again) for use_case in use_cases]
    show_outcomes(outcomes, json)
    for refused in (outcome for outcome in outcomes if not outcome.accepted):
        raise refusal(refused)
    if not json and len(outcomes) == 1 and outcomes[0].version:
        console.note(f"next: mlops serve {outcomes[0].use_case}")


@app.command()
def train(
    name: str = NAME,
    set_: list[str] = SET,
    again: bool = typer.Option(False, "--again", help="Train even where nothing has changed."),
    json: bool = JSON,
) -> None:
    """Train a candidate: a folder with model, metrics and holdout predictions. No store is needed.

    Example: mlops train ridership --set parameters.max_depth=5
    """
    from mlops.config import load_project
    from mlops.training.train import train as train_candidate
    from mlops.use_case import load_use_case

    project = load_project()
    candidate, created = train_candidate(project, load_use_case(project, name, tuple(set_)), again)
    manifest = candidate.manifest
    if json:
        console.as_json({**manifest, "trained": manifest["created"], "path": candidate.path, "created": created})
        return
    rows = [(metric, value, manifest["baseline"][metric]) for metric, value in manifest["metrics"].items()]
    console.table(f"{candidate.use_case} {candidate.key[:16]}", ("metric", "this model", "baseline"), rows)
    console.note(f"candidate {candidate.path} ({'trained' if created else 'trained before, taken as it is'})")


@app.command()
def report(name: str = NAME, set_: list[str] = SET, candidate: str = CANDIDATE, json: bool = JSON) -> None:
    """Compare a candidate with champion and baseline and write the report; nothing is registered.

    Exit code 1 when the gate would refuse it.

    Example: mlops report ridership
    """
    from mlops.config import load_project
    from mlops.errors import GateRefused
    from mlops.registry.register import judge
    from mlops.training import candidate as candidates
    from mlops.training import report as reports
    from mlops.use_case import load_use_case

    project = load_project()
    use_case = load_use_case(project, name, tuple(set_))
    chosen = candidates.choose(project, use_case.name, candidate)
    evaluation, file = judge(project, use_case, chosen)
    if json:
        console.as_json({**reports.as_value(chosen, evaluation, []), "report": file})
    else:
        console.table(use_case.name, reports.HEAD, reports.table(evaluation.verdict))
        console.note(f"report {file}")
    if not evaluation.verdict.accepted:
        raise GateRefused(f"{use_case.name}: the gate would refuse: {'; '.join(evaluation.verdict.reasons)}; see {file}")


@app.command()
def tune(
    name: str = NAME,
    trials: int = typer.Option(0, min=0, show_default=False, help="How many parameter sets to try; default: as configured."),
    set_: list[str] = SET,
    json: bool = JSON,
) -> None:
    """Search for better parameters by cross validation on the training rows; each trial is a child run in the store.

    Example: mlops tune iris --trials 20
    """
    from mlops.config import load_project
    from mlops.registry.tune import search
    from mlops.use_case import load_use_case

    project = load_project()
    use_case = load_use_case(project, name, tuple(set_))
    best = search(project, use_case, trials)
    if json:
        console.as_json(best)
        return
    names = list(best["trials"][0]["parameters"])
    rows = [(item["number"], *(_short(item["parameters"][key]) for key in names), item["score"]) for item in best["trials"]]
    console.table(f"{use_case.name}: trials, the best first", ("trial", *names, best["metric"]), rows)
    settings = " ".join(f"--set {shlex.quote(f'parameters.{key}={_yaml(value)}')}" for key, value in best["best"].items())
    console.note(f"try the best: mlops run {use_case.name} {settings}")


@app.command()
def study(name: str = NAME, set_: list[str] = SET, json: bool = JSON) -> None:
    """What a use case tries beside its model, by its study.py: a parent run, a child run a trial, a table and a plot.

    Example: mlops study points
    """
    from mlops.config import load_project
    from mlops.registry.study import carry_out
    from mlops.use_case import load_use_case

    project = load_project()
    use_case = load_use_case(project, name, tuple(set_))
    result = carry_out(project, use_case)
    if json:
        console.as_json(result)
        return
    parameters, metrics = list(result["trials"][0]["parameters"]), list(result["trials"][0]["metrics"])
    rows = [
        (*(item["parameters"].get(key) for key in parameters), *(item["metrics"].get(key) for key in metrics))
        for item in result["trials"]
    ]
    console.table(f"{use_case.name}: trials of the study", (*parameters, *metrics), rows)
    console.note(f"plot {result['plot']}")


def _yaml(value: Any) -> str:
    """A parameter as `--set` reads it."""
    return str(value) if isinstance(value, str | float) else json.dumps(value)


def _short(value: Any) -> Any:
    """A parameter in a table; a number keeps five significant digits, as `.4f` would make 0 of a small one."""
    return f"{value:.5g}" if isinstance(value, float) else value
