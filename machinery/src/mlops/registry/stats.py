"""DORA's four figures from the deployment log, and what a run costs: minutes and memory.

https://dora.dev/guides/dora-metrics-four-keys/
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import files, git, tracking
from mlops.config import Project
from mlops.errors import UserError
from mlops.registry import deployment_log, versions
from mlops.registry.deployment_log import DEPLOYED, MOVED, REFUSED, RETURNED, Deployment
from mlops.registry.versions import Version

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient

DAY = 86_400
COLOUR, FAILED = "#0072B2", "#D55E00"
ENDINGS = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Run:
    """What one run cost: when it was logged (seconds since 1970), its minutes of fitting, its peak memory in MB."""

    when: float
    minutes: float | None
    memory: float | None


@dataclass(frozen=True)
class Stats:
    """The figures of one use case in one environment; a figure is None where nothing tells it.

    `deployments` counts attempts, `failed` those that did not hold. Times are medians: `lead_hours` from a version's commit to
    its first deployment, `restore_hours` from a deployment to the return from it. `events` are the attempts behind
    the figures, as (seconds since 1970, whether it failed).
    """

    use_case: str
    environment: str
    days: int
    deployments: int
    failed: int
    per_week: float
    lead_hours: float | None
    failure_rate: float | None
    restore_hours: float | None
    runs: int
    minutes: float | None
    memory_mb: float | None
    events: tuple[tuple[float, bool], ...]
    costs: tuple[Run, ...]


def of_project(project: Project, names: Sequence[str], environment: str, days: int) -> list[Stats]:
    """Return the figures of the last `days` for each use case."""
    now = time.time()
    found = []
    for name in names:
        log = deployment_log.history(project, name)
        with tracking.open_store(project, make=False) as client:
            known = versions.all_of(client, versions.qualified(project, name))
            runs = _runs(client, versions.experiment_name(project, name), now - days * DAY)
        commits = {version.number: moment for version in known if (moment := _committed(project.root, version)) is not None}
        found.append(of_log(name, log, commits, runs, environment, days, now))
    return found


def of_log(
    name: str,
    log: Sequence[Deployment],
    commits: dict[str, float],
    runs: Sequence[Run],
    environment: str,
    days: int,
    now: float,
) -> Stats:
    """Return the figures of a deployment log (in any order); `commits` holds the moment of each version's commit."""
    here = sorted((item for item in log if environment in (item.environment, item.alias)), key=lambda item: item.stamp)
    attempts = [item for item in here if item.action == "deploy" and item.result in (DEPLOYED, RETURNED, REFUSED)]
    recent = [item for item in attempts if _moment(item) >= now - days * DAY]
    returned = {item.stamp: back for item in recent if (back := _return_from(item, here))}
    failed = [item for item in recent if item.result != DEPLOYED or item.stamp in returned]
    # A log that is younger than the window is no longer than it is old, and no shorter than a week.
    weeks = max(7.0, min(float(days), (now - _moment(attempts[0])) / DAY)) / 7 if attempts else 1.0
    costs = tuple(run for run in runs if run.when >= now - days * DAY)
    return Stats(
        use_case=name,
        environment=environment,
        days=days,
        deployments=len(recent),
        failed=len(failed),
        per_week=len(recent) / weeks,
        lead_hours=_median(_leads(attempts, recent, commits)),
        failure_rate=len(failed) / len(recent) if recent else None,
        restore_hours=_median(
            [(returned[item.stamp].stamp - item.stamp) / 3.6e12 for item in failed if item.stamp in returned]
        ),
        runs=len(costs),
        minutes=_median([run.minutes for run in costs]),
        memory_mb=_median([run.memory for run in costs]),
        events=tuple((_moment(item), item in failed) for item in recent),
        costs=costs,
    )


def _return_from(item: Deployment, log: Sequence[Deployment]) -> Deployment | None:
    """The rollback or return that took a deployment back, if the next change after it was one."""
    if item.result != DEPLOYED:
        return None
    later = (other for other in log if other.stamp > item.stamp and other.result in (DEPLOYED, MOVED))
    change = next(later, None)
    return change if change and change.action != "deploy" and change.before in (item.number, None) else None


def _leads(attempts: Sequence[Deployment], recent: Sequence[Deployment], commits: dict[str, float]) -> list[float]:
    """Hours from the commit of each version to its first deployment, where that lies in the window."""
    first: dict[str, Deployment] = {}
    for item in attempts:
        if item.result == DEPLOYED:
            first.setdefault(item.number, item)
    return [(_moment(item) - commits[number]) / 3600 for number, item in first.items() if item in recent and number in commits]


def _moment(item: Deployment) -> float:
    return item.stamp / 1e9


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return statistics.median(known) if known else None


def _committed(root: Path, version: Version) -> float | None:
    """The moment of a version's commit; None where this clone does not have it."""
    done = git.run("log", "-1", "--format=%ct", version.tags["git_commit"], root=root)
    return float(done.stdout) if not done.returncode and done.stdout.strip() else None


def _runs(client: MlflowClient, name: str, since: float) -> list[Run]:
    """The runs that were asked before the gate since a moment, the oldest first."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return []
    query = f"tags.gate != '' and attributes.start_time >= {int(since * 1000)}"
    listed = client.search_runs([experiment.experiment_id], query, max_results=1000)
    runs = []
    for run in listed:
        seconds = run.data.metrics.get("fit/seconds")
        minutes = None if seconds is None else seconds / 60
        runs.append(Run(run.info.start_time / 1000, minutes, run.data.metrics.get("process/peak_memory_mb")))
    return runs[::-1]


def rows(stats: Sequence[Stats]) -> list[tuple[Any, ...]]:
    """The table: a line for each figure, a column for each use case."""
    lines: dict[str, list[Any]] = {
        "deployments": [item.deployments for item in stats],
        "deployments a week": [f"{item.per_week:.1f}" if item.deployments else None for item in stats],
        "lead time from commit": [_hours(item.lead_hours) for item in stats],
        "failed or rolled back": [_share(item) for item in stats],
        "time to restore": [_hours(item.restore_hours) for item in stats],
        "runs": [item.runs for item in stats],
        "minutes a run": [None if item.minutes is None else f"{item.minutes:.2f}" for item in stats],
        "peak memory a run": [None if item.memory_mb is None else f"{item.memory_mb:.0f} MB" for item in stats],
    }
    return [(name, *values) for name, values in lines.items()]


def _share(item: Stats) -> str | None:
    rate = item.failure_rate
    return None if rate is None else f"{item.failed} of {item.deployments} ({100 * rate:.0f} %)"


def _hours(hours: float | None) -> str | None:
    """A duration in the unit that reads best."""
    if hours is None:
        return None
    if abs(hours) < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.1f} h" if abs(hours) < 48 else f"{hours / 24:.1f} days"


def plot(stats: Sequence[Stats], file: Path) -> None:
    """Write deployments by week, failed ones in another colour, above the minutes of each run; PNG, SVG or PDF."""
    if file.suffix.lower() not in ENDINGS:
        raise UserError(f"--plot {file}: the name ends in {', '.join(ENDINGS)}")
    with files.replacing(file) as temporary:
        metadata = {"Software": None} if file.suffix.lower() == ".png" else {}
        draw(stats).savefig(temporary, dpi=110, format=file.suffix[1:].lower(), metadata=metadata)


def draw(stats: Sequence[Stats]) -> Figure:
    """The figure of `plot`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1)
    now, days = time.time(), max(item.days for item in stats)
    edges = list(range(-7 * -(-days // 7), 1, 7))

    def at(moments: Sequence[float]) -> list[float]:
        return [min(0.0, (moment - now) / DAY) for moment in moments]

    events = [event for item in stats for event in item.events]
    sides = [at([moment for moment, bad in events if bad is kind]) for kind in (False, True)]
    above.hist(sides, bins=edges, stacked=True, rwidth=0.85, color=[COLOUR, FAILED], label=["held", "failed or rolled back"])
    above.yaxis.get_major_locator().set_params(integer=True)
    above.set_ylabel("deployments a week")
    above.legend(frameon=False, fontsize=8, loc="upper left")
    for item in stats:
        costs = [run for run in item.costs if run.minutes is not None]
        minutes = [run.minutes or 0.0 for run in costs]
        below.plot(at([run.when for run in costs]), minutes, marker="o", markersize=4, linewidth=1, label=item.use_case)
    below.set_ylabel("minutes a run")
    below.legend(frameon=False, fontsize=8, loc="upper left")
    for axes in (above, below):
        axes.set_xlim(edges[0], 0.5)
        axes.set_ylim(bottom=0)
        axes.spines[["top", "right"]].set_visible(False)
    below.set_xlabel("days before now")
    return figure
