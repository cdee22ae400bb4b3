"""The card of a version: what it predicts, from which data, how well, for whom less well, and where it must not be used.

Everything in it is derived from what the store holds of the version; the same version gives the same card.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import files, folders, git, tracking
from mlops.config import Project, UseCaseConfig
from mlops.errors import UserError
from mlops.registry import lineage, slices, versions
from mlops.registry.card_formats import FORMATS, WITH_PLOTS
from mlops.registry.card_text import day, shortened
from mlops.registry.versions import Version
from mlops.training import personal
from mlops.training.candidate import BASELINE, PREDICTION, TRUTH, Candidate
from mlops.training.gate import goodness, limit
from mlops.training.ranges import outside

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mlops.metrics.measures import Measure, Predictions
    from mlops.use_case import UseCase


@dataclass(frozen=True)
class Card:
    """The facts of a card, and its plots: name → PNG."""

    facts: dict[str, Any]
    plots: dict[str, bytes]


def make(project: Project, use_case: UseCase, version: Version) -> Card:
    """Fetch a version from the store and derive its card; the use case says by which columns the holdout is sliced.

    Raises DataError when a file of the version does not have its digest, UserError for a version without a report.
    """
    with folders.work_folder() as scratch:
        candidate = versions.fetch(project, version, scratch)
        report, plots = _report(project, version, scratch)
        facts = _facts(project, use_case, version, candidate, report)
    return Card({**facts, "plots": sorted(plots)}, plots)


def write(card: Card, file: Path, form: str = "markdown") -> None:
    """Write a card in a format, its plots, where it shows them, in a folder beside it named as the file without its ending.

    Raises UserError, before it writes anything, where the file cannot be there.
    """
    folder = file.with_suffix("")
    with files.replacing(file) as text:
        for name, content in card.plots.items() if form in WITH_PLOTS else ():
            with files.replacing(folder / name) as temporary:
                temporary.write_bytes(content)
        text.write_text(FORMATS[form](card.facts, folder.name), encoding="utf-8")


def _facts(
    project: Project, use_case: UseCase, version: Version, candidate: Candidate, report: dict[str, Any]
) -> dict[str, Any]:
    import numpy as np

    from mlops import use_case_code
    from mlops.metrics.own import measures_of_version
    from mlops.training.evaluate import recorded
    from mlops.training.fitting import as_truth

    manifest, holdout = candidate.manifest, candidate.holdout()
    config = UseCaseConfig.model_validate(manifest["config"])
    classes = np.array(manifest["classes"]) if manifest["classes"] else None
    truth = as_truth(holdout[TRUTH], classes)
    models = recorded(holdout, PREDICTION, classes), recorded(holdout, BASELINE, classes)
    own = use_case.evaluate if use_case_code.digest(use_case.package) == manifest["parts"]["code"] else None
    measures = measures_of_version(own, manifest, config, classes)
    metrics = [_metric(name, config, measures, truth, models[0], row) for name, row in _rows(report).items()]
    named = {*use_case.config.serving.personal, *config.serving.personal}
    described = _described(named, manifest, config, holdout)
    shown = holdout.drop(columns=described["personal"])
    times = config.split.column if config.split.method == "time" else _time(shown)
    columns = [name for name in use_case.config.slices if name not in described["personal"]]
    primary = measures.get(config.primary)
    by_rows = slices.of_rows(holdout, columns, times, (config.primary, primary), truth, models) if primary else []
    facts = {
        "use_case": use_case.name,
        "number": version.number,
        "registered": time.strftime("%Y-%m-%d", time.gmtime(version.created / 1000)),
        "description": manifest["description"],
        "task": manifest["task"],
        "classes": manifest["classes"],
        "estimator": manifest.get("estimator", []),
        **_configured(config),
        "data": [_data(project, use_case.name, manifest["git"]["sha"], item) for item in manifest["data"]],
        "rows": manifest["rows"],
        "period": _period(described["ranges"], holdout, times),
        "metrics": metrics,
        "verdict": {**report["verdict"], "rows": None, "champion": report["champion"]},
        "classes_found": [] if classes is None else slices.of_classes(config.target.column, classes, truth, *models),
        "importance": manifest.get("importance", []),
        "slices": [asdict(each) for each in by_rows],
        **described,
        "lineage": asdict(lineage.origin(project, version)),
        "python": manifest["python"],
        "fit_seconds": manifest.get("fit_seconds"),
        "packages": _packages(candidate.path / "model" / "requirements.txt"),
        "model_files": _model_files(candidate),
    }
    return {**facts, "limits": _limits(facts, by_rows, config)}


def _configured(config: UseCaseConfig) -> dict[str, Any]:
    """What of a version's configuration the card tells."""
    return {
        "target": config.target.column,
        "key": list(config.key),
        "parameters": config.parameters,
        "seed": config.seed,
        "split": config.split.model_dump(),
        "bootstrap": config.bootstrap.model_dump(),
    }


def _described(named: set[str], manifest: dict[str, Any], config: UseCaseConfig, holdout: pd.DataFrame) -> dict[str, Any]:
    """The ranges of the training rows and where the holdout goes beyond them; `named` is what may hold personal data.

    Of that only the names are shown: those of the inputs, and those of which it is not known what was made of them.
    """
    hidden = personal.hidden(named, manifest)
    ranges = {name: known for name, known in manifest.get("ranges", {}).items() if name not in hidden}
    return {
        "ranges": ranges,
        "personal": [str(name) for name in holdout if name in hidden - {*config.key, config.target.column}],
        "personal_unknown": personal.unknown(named, manifest, [*map(str, holdout)]),
        "outside": outside(holdout, {name: known for name, known in ranges.items() if name not in config.key}),
    }


def _model_files(candidate: Candidate) -> list[dict[str, Any]]:
    sizes = {name: (candidate.path / name).stat().st_size for name in candidate.manifest["files"]}
    return [{"file": name, "bytes": size, "sha256": candidate.manifest["files"][name]} for name, size in sorted(sizes.items())]


def _packages(file: Path) -> list[str]:
    """The packages that the model was trained with, as NAME==VERSION."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return [line.partition(" ")[0] for line in lines if "==" in line]


def _metric(
    name: str,
    config: UseCaseConfig,
    measures: dict[str, Measure],
    truth: np.ndarray,
    predictions: Predictions,
    row: dict[str, Any],
) -> dict[str, Any]:
    """One metric as the gate saw it, with its interval; None for what is not known."""
    from mlops.metrics.measures import bootstrap

    low = high = None
    if name in measures:
        drawn = config.bootstrap
        low, high = bootstrap(measures[name], predictions, truth, drawn.resamples, drawn.block, config.seed)
    return {
        "metric": name,
        "value": row["candidate"],
        "low": low,
        "high": high,
        "baseline": row["baseline"],
        "champion": row["champion"],
        "limit": limit(config.metrics[name]),
        "direction": config.metrics[name].direction,
        "primary": config.metrics[name].primary,
    }


def _rows(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["metric"]: row for row in report["verdict"]["rows"]}


def _report(project: Project, version: Version, scratch: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The report that was written when the version was registered, and its plots."""
    with tracking.open_store(project):
        folder = tracking.fetch(scratch, run_id=version.run_id, artifact_path="report")
    if not (folder / "report.json").is_file():
        raise UserError(f"{version.title}: its run {version.run_id} has no report; register it again with: mlops run")
    plots = {file.name: file.read_bytes() for file in sorted((folder / "plots").glob("*.png"))}
    return json.loads((folder / "report.json").read_text(encoding="utf-8")), plots


def _data(project: Project, name: str, commit: str, item: dict[str, Any]) -> dict[str, Any]:
    """A raw file with the source and licence that the provenance note has for its digest."""
    path = f"data/raw/{name}/README.md"
    done = git.run("show", f"{commit}:{path}", root=project.root)
    now = project.data / "raw" / name / "README.md"
    note = done.stdout if not done.returncode else now.read_text(encoding="utf-8") if now.is_file() else ""
    line = next((line for line in note.splitlines() if line.startswith("|") and item["sha256"] in line), "")
    cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    source, licence = cells[3:5] if len(cells) >= 5 else (None, None)
    return {**item, "source": source, "licence": licence}


def _time(holdout: pd.DataFrame) -> str | None:
    """The first column of the holdout that holds times, if any."""
    return next(map(str, holdout.select_dtypes("datetime")), None)


def _period(ranges: dict[str, Any], holdout: pd.DataFrame, times: str | None) -> dict[str, Any] | None:
    """First and last time of the training rows and of the holdout; None where rows have no time."""
    if times is None:
        return None
    known = ranges.get(times, {})
    held = holdout[times]
    return {
        "column": times,
        "training": [known.get("low"), known.get("high")],
        "holdout": [held.min().isoformat(), held.max().isoformat()],
    }


def _limits(facts: dict[str, Any], by_rows: Sequence[slices.Slice], config: UseCaseConfig) -> list[str]:
    """Sentences on where the version should not be used, each derived from the facts."""
    kept = [f"{item['metric']} {item['limit']}" for item in facts["metrics"] if item["limit"] != "–"]
    sentences = [f"The gate keeps it to {', '.join(kept)}; a service that needs better needs another model."] if kept else []
    if facts["period"] and facts["period"]["training"][1]:
        low, high = (day(end) for end in facts["period"]["training"])
        sentences.append(f"It has learnt from {low} to {high}: what has changed since is not in it.")
    direction = config.metrics[config.primary].direction
    judged = [part for part in by_rows if part.rows >= slices.FEW and math.isfinite(part.candidate)]
    if judged:
        worst = min(judged, key=lambda part: goodness(direction, part.candidate))
        sentences.append(f"Worst slice of {slices.FEW} rows or more: {worst.name}, {worst.metric} {worst.candidate:.4f}.")
    rare = [item for item in facts["classes_found"] if math.isfinite(item["f1"])]
    if rare:
        least = min(rare, key=lambda item: item["f1"])
        sentences.append(f"Least sure class: {least['value']}, F1 {least['f1']:.4f} on {least['rows']} rows.")
    sentences += _beaten(judged, direction)
    small = [part.name for part in by_rows if part.rows < slices.FEW]
    small += [f"{item['by']} {item['value']}" for item in facts["classes_found"] if item["rows"] < slices.FEW]
    if small:
        sentences.append(f"Fewer than {slices.FEW} holdout rows, so that little is known of them: {shortened(small)}.")
    if facts["outside"]:
        rows = ", ".join(f"{name} ({count})" for name, count in facts["outside"].items())
        sentences.append(f"The holdout itself went beyond the training ranges in (rows): {rows}.")
    if facts["ranges"]:
        sentences.append("Inputs outside the training ranges below were never seen: what it says of them is a guess.")
    sentences += _left_out(facts)
    if unknown := [item["file"] for item in facts["data"] if not item["licence"]]:
        sentences.append(f"Source and licence are not noted for: {shortened(unknown)}.")
    if facts["lineage"]["dirty"]:
        sentences.append(
            "It was trained with changes that no commit holds, so it cannot be trained again from the repository."
        )
    return sentences


def _left_out(facts: dict[str, Any]) -> list[str]:
    """Which inputs may hold personal data, and what is not known of them."""
    sentences = []
    if names := facts["personal"]:
        sentences.append(f"Inputs that may hold personal data, their values left out here: {shortened(names)}.")
    if names := facts["personal_unknown"]:
        sentences.append(f"Which inputs were made of {shortened(names)} is not known: name them in serving.personal.")
    return sentences


def _beaten(judged: Sequence[slices.Slice], direction: str) -> list[str]:
    """Where the simple rule is the better one."""
    better = [part.name for part in judged if goodness(direction, part.baseline) > goodness(direction, part.candidate)]
    return [f"The baseline is the better rule in: {shortened(better)}."] if better else []
