"""What changed from one version to another: parameters, rules, data, code, lock, machinery; and what it brought."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import files, git, keys
from mlops.config import Project
from mlops.registry import versions
from mlops.registry.versions import Version

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import Run

# The parts of a key, and the tag of a version that holds the digest of each.
PARTS = {
    "code": "code_digest",
    "data": "data_digest",
    "configuration": "config_digest",
    "lock": "environment_digest",
    "machinery": "machinery_digest",
}
METRIC = "metric."
COLOUR = "#0072B2"
# Of the plot, in inches: a version's width, and that of all; in letters and lines: what stands below a version.
WIDTH, MOST = 1.3, 40.0
LETTERS, LINES = 18, 8


@dataclass(frozen=True)
class RunFacts:
    """Of a run: its tags, with the digests of the parts, its parameters, and its raw files with `file`, `sha256`, `rows`."""

    tags: Mapping[str, str]
    parameters: Mapping[str, str]
    data: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Step:
    """A version beside the one before it: its metrics, and what is not as it was there."""

    version: Version
    metrics: dict[str, float]
    changed: tuple[str, ...]


def steps(client: MlflowClient, listed: Sequence[Version]) -> list[Step]:
    """The versions, the newest first, each with what changed since the one that was registered before it."""
    known = [_run_of(client, item) for item in listed]
    older: list[RunFacts | None] = [*known[1:], None]
    return [
        Step(version, metrics_of(version), () if before is None else tuple(between(before, facts)))
        for version, facts, before in zip(listed, known, older, strict=True)
    ]


def metrics_of(version: Version) -> dict[str, float]:
    """The metrics of a version, as its tags hold them."""
    return {tag.removeprefix(METRIC): float(value) for tag, value in version.tags.items() if tag.startswith(METRIC)}


def parts_that_differ(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The parts of the key whose digests differ between the tags of two versions."""
    return [part for part, tag in PARTS.items() if before.get(tag) != after.get(tag)]


def facts_of(run: Run) -> RunFacts:
    """What a run of the store has logged of its parameters and data."""
    files = [
        {"file": item.dataset.name, "sha256": item.dataset.digest, "rows": json.loads(item.dataset.profile)["num_rows"]}
        for item in (run.inputs.dataset_inputs if run.inputs else ())
        if item.dataset.profile
    ]
    return RunFacts(run.data.tags, run.data.params, files)


def _run_of(client: MlflowClient, version: Version) -> RunFacts:
    """What the run of a version logged; its tags alone where the run was deleted, which a history can do without."""
    from mlflow.exceptions import MlflowException

    try:
        return replace(facts_of(client.get_run(version.run_id)), tags=version.tags)
    except MlflowException:
        return RunFacts(version.tags, {}, [])


def between(old: RunFacts, new: RunFacts) -> Iterator[str]:
    """What changed from one run to another: each parameter and raw file, then the other parts of the key."""
    was, now = old.parameters, new.parameters
    moved = [name for name in sorted({*was, *now}) if was.get(name) != now.get(name)] if was and now else []
    yield from (f"{name} {was.get(name, '–')} → {now.get(name, '–')}" for name in moved)
    for part in parts_that_differ(old.tags, new.tags):
        files = _data(old.data, new.data) if part == "data" and old.data and new.data else []
        if files:
            yield from (f"data: {file}" for file in files)
        elif not (part == "configuration" and moved):
            yield part


def difference(project: Project, before: Version, after: Version) -> dict[str, Any]:
    """Two versions side by side: commits, configuration, data, pins and code that differ, and the metrics of both.

    Raises DataError where a version's files are damaged.
    """
    old, new = versions.manifest_of(project, before), versions.manifest_of(project, after)
    commits = old["git"]["sha"], new["git"]["sha"]
    return {
        "versions": [before.title, after.title],
        "commits": list(commits),
        "parts": parts_that_differ(before.tags, after.tags),
        "configuration": [list(item) for item in leaves_that_differ(old["config"], new["config"])],
        "data": _data(old["data"], new["data"]),
        "pins": (
            _pins(project, *commits) if before.tags.get("environment_digest") != after.tags.get("environment_digest") else []
        ),
        "code": [*_code(project, after.tags["use_case"], *commits), *_uncommitted(before, old), *_uncommitted(after, new)],
        "metrics": {
            name: [old["metrics"].get(name), new["metrics"].get(name)] for name in {**old["metrics"], **new["metrics"]}
        },
        "rows": [old["rows"], new["rows"]],
    }


def leaves_that_differ(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The path of each value that two trees do not share, with both values; None where one has none."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            yield from leaves_that_differ(old.get(name), new.get(name), f"{path}.{name}" if path else str(name))
    elif old != new:
        yield path, old, new


def _data(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence a raw file that is not the same in both: rows, and what its digest begins with."""
    was, now = ({item["file"]: item for item in listed} for listed in (old, new))
    gone = [f"{name} is gone ({_facts(was[name])})" for name in was if name not in now]
    added = [f"{name} is new ({_facts(now[name])})" for name in now if name not in was]
    both = [name for name in was if name in now and was[name]["sha256"] != now[name]["sha256"]]
    return [*gone, *added, *(f"{name} has other content ({_facts(was[name])} → {_facts(now[name])})" for name in both)]


def _facts(file: Mapping[str, Any]) -> str:
    return f"{file['rows']} row{'s' if file['rows'] != 1 else ''}, {file['sha256'][:12]}"


def _pins(project: Project, before: str, after: str) -> list[str]:
    """Each pin of the lock that is not the same in both commits; empty where this clone has not both."""
    was, now = ({pin.split("==")[0]: pin for pin in _lock(project, commit)} for commit in (before, after))
    if not was or not now:
        return []
    moved = [name for name in sorted({*was, *now}) if was.get(name) != now.get(name)]
    return [f"{was.get(name, f'{name} –')} → {now.get(name, '–').partition('==')[2] or '–'}" for name in moved]


def _lock(project: Project, commit: str) -> list[str]:
    return keys.pins(git.text_at(commit, f"{prefix(project)}{keys.LOCK.as_posix()}", project.root))


def _code(project: Project, use_case: str, before: str, after: str) -> list[str]:
    """git's summary of the use case's code between two commits, a line a file; empty where this clone has not both."""
    places = [f"src/use_cases/{use_case}", "src/use_cases/common"]
    done = git.run("diff", "--stat=100", before, after, "--", *places, root=project.root)
    return [line.strip() for line in done.stdout.splitlines()] if done.returncode == 0 else []


def _uncommitted(version: Version, manifest: Mapping[str, Any]) -> list[str]:
    """A line on the changes that no commit holds and that a version was trained with."""
    if not manifest["git"].get("dirty"):
        return []
    kept = manifest["git"].get("uncommitted", {})
    names = f": {', '.join(kept['files'])}" if kept.get("files") else ""
    return [f"{version.number} was trained with changes that no commit holds{names}"]


def prefix(project: Project) -> str:
    """Where the project lies in its repository, as git writes it before a path: "" at the top."""
    return git.run("rev-parse", "--show-prefix", root=project.root).stdout.strip()


def plot(project: Project, name: str, history: Sequence[Step]) -> Path:
    """A panel a metric over the versions, in the order of time; returns the PNG's path."""
    file = project.output / "reports" / name / "history.png"
    with files.replacing(file) as temporary:
        draw(history).savefig(temporary, dpi=110, metadata={"Software": None})
    return file


def draw(history: Sequence[Step]) -> Figure:
    """The figure of `plot`: what changed stands below each version, or below every n-th where they are too many to read."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ordered = list(history)[::-1]
    metrics = list(dict.fromkeys(name for step in ordered for name in step.metrics)) or ["no metrics"]
    width = max(5.0, min(MOST, WIDTH * len(ordered)))
    figure = Figure(figsize=(width, 1.7 * len(metrics) + 1.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(metrics), 1, sharex=True, squeeze=False)[:, 0]
    for axes, metric in zip(panels, metrics, strict=True):
        axes.plot(range(len(ordered)), [step.metrics.get(metric, float("nan")) for step in ordered], "o-", color=COLOUR)
        axes.set_title(metric, loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    every = math.ceil(WIDTH * len(ordered) / MOST)
    places = range(len(ordered) - 1, -1, -every)
    panels[-1].set_xticks(places, [_label(ordered[place]) for place in places], fontsize=8)
    return figure


def _label(step: Step) -> str:
    """The number of a version and what changed, in lines that its neighbours leave room for."""
    lines = [line for change in step.changed for line in textwrap.wrap(change, LETTERS)]
    return "\n".join([step.version.number, *(lines if len(lines) <= LINES else [*lines[: LINES - 1], "…"])])
