"""Runs against each other: what was tried, and what it brought."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import files, tracking
from mlops.config import Metric, Project
from mlops.errors import UserError
from mlops.registry import changes, versions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlops.use_case import UseCase

COLOUR = "#0072B2"
REFUSED: dict[str, Any] = {"facecolor": "white", "edgecolor": COLOUR, "hatch": "///"}
LIMIT: dict[str, Any] = {"color": "#222222", "linewidth": 0.8, "linestyle": "--"}


def runs_of(project: Project, use_case: UseCase, last: int) -> list[dict[str, Any]]:
    """The last runs that were asked before the gate, the newest first: name, gate, metrics, parameters, branch, id, and
    what changed since the run before.

    Raises UserError where there is none yet.
    """
    name = versions.experiment_name(project, use_case.name)
    with tracking.open_store(project, make=False) as client:
        experiment = client.get_experiment_by_name(name)
        runs = client.search_runs([experiment.experiment_id], "tags.gate != ''", max_results=last + 1) if experiment else []
    if not runs:
        raise UserError(f"{use_case.name}: no runs to compare yet; make one with: mlops run {use_case.name}")
    # One more is read, so that the oldest one that is shown has one before it.
    facts = [changes.facts_of(run) for run in runs]
    changed = [list(changes.between(old, new)) for new, old in zip(facts, facts[1:], strict=False)]
    return [
        {
            "name": run.info.run_name,
            "gate": run.data.tags["gate"],
            "branch": run.data.tags.get("git_branch", ""),
            "metrics": {key: value for key, value in run.data.metrics.items() if "/" not in key},
            "baseline": run.data.metrics.get(f"baseline/{use_case.config.primary}"),
            "parameters": dict(run.data.params),
            "changed": since,
            "run_id": run.info.run_id,
        }
        for run, since in zip(runs[:last], [*changed, []], strict=False)
    ]


def plot(project: Project, use_case: UseCase, runs: list[dict[str, Any]]) -> Path:
    """A bar a run for each metric, in the order of time; returns the PNG's path."""
    file = project.output / "reports" / use_case.name / "compare.png"
    with files.replacing(file) as temporary:
        draw(use_case, runs).savefig(temporary, dpi=110, metadata={"Software": None})
    return file


def draw(use_case: UseCase, runs: list[dict[str, Any]]) -> Figure:
    """The figure of `plot`: refused runs hatched, limits dashed, on both sides of zero where zero is best."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    ordered, metrics = runs[::-1], list(use_case.config.metrics)
    figure = Figure(figsize=(3.6 * len(metrics), 0.4 * len(ordered) + 1.9), layout="constrained")
    FigureCanvasAgg(figure)
    for index, (axes, metric) in enumerate(zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True)):
        values = [item["metrics"].get(metric, float("nan")) for item in ordered]
        bars = axes.barh(range(len(ordered)), values, color=COLOUR)
        for bar, item in zip(bars, ordered, strict=True):
            if item["gate"] != "passed":
                bar.set(**REFUSED)
        for place in _limits(use_case.config.metrics[metric]):
            axes.axvline(place, **LIMIT)
        axes.set_yticks(range(len(ordered)), [item["name"] for item in ordered] if index == 0 else [])
        axes.set_title(metric, loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    passed = Patch(facecolor=COLOUR, label="passed")
    marks = [passed, Patch(**REFUSED, label="refused by the gate"), Line2D([], [], **LIMIT, label="limit")]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), fontsize=8, frameon=False)
    return figure


def _limits(rule: Metric) -> tuple[float, ...]:
    """Where a metric's limit lies: on both sides of zero where it is a distance from it."""
    if rule.limit is None:
        return ()
    return (-rule.limit, rule.limit) if rule.direction == "zero" else (rule.limit,)
