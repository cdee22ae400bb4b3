"""Training: from processed rows to a candidate folder. Deterministic, and no store is needed.

rows → split → fit → predict the holdout → metrics → candidate
"""

from __future__ import annotations

import json
import platform
import re
import time
from dataclasses import asdict
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import digests, files, folders, git, keys, model_file, tracking, trust, uncommitted
from mlops.config import Project
from mlops.console import note, phase
from mlops.data import stages
from mlops.metrics.measures import Predictions
from mlops.training import candidate as candidates
from mlops.training import (
    conformal,
    data_rules,
    file_access,
    folds,
    importance,
    leaks,
    personal,
    reference,
    rules,
    seeds,
    thresholds,
)
from mlops.training.candidate import BASELINE, PREDICTION, PROBABILITY, TRUTH, Candidate
from mlops.training.findings import Finding, as_values
from mlops.training.fitting import (
    as_predictions,
    as_truth,
    error_of,
    fit,
    labels_of,
    metrics_of,
    predict,
    primary_measure,
    without_threshold,
)
from mlops.training.ranges import ranges_of
from mlops.training.split import split
from mlops.use_case import call

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mlops.use_case import UseCase

# What a reader of the model has to install, pinned to what it was trained with.
PACKAGES = ("mlflow", "scikit-learn", "skops", "numpy", "pandas", "scipy")


def train(project: Project, use_case: UseCase, again: bool = False) -> tuple[Candidate, bool]:
    """The candidate of the use case as code, configuration and data stand now, and whether it was made by this call.

    A complete candidate of the same key is taken as it is, unless `again` is set.
    Raises DataError for data that break their schema, UserError for an estimator that cannot be fitted.
    """
    with phase(f"{use_case.name}: raw data checked"):
        raw = stages.raw(project, use_case)
    parts = keys.parts_of(project, use_case, raw.sha256)
    if not again and (candidate := candidates.find(project, use_case.name, parts.key)):
        return candidate, False
    with phase(f"{use_case.name}: rows and features"):
        rows, _ = stages.read_processed(project, use_case)
    folder = candidates.folder(project, use_case.name, parts.key)
    if folder.is_dir():
        _set_aside(folder)
    with files.new_folder(folder) as temporary:
        facts = {
            "key": parts.key,
            "parts": asdict(parts),
            "git": _commit(project, use_case, temporary),
            "data": [{"file": item.path.name, "sha256": item.sha256, "rows": item.rows} for item in raw.files],
        }
        interim = stages.read_interim(project, use_case)
        facts |= data_rules.newest(use_case.config, use_case.name, interim)
        facts["personal"] = personal.derived(use_case, interim, rows)
        _make(temporary, use_case, rows, {**facts, "checks": leaks.of_features(use_case, interim, rows)})
    return candidates.read(folder), True


def _commit(project: Project, use_case: UseCase, folder: Path) -> dict[str, Any]:
    """The commit that is trained; with changes that it does not hold, the patch of these is written beside the model."""
    commit = git.commit(project.root)
    if not commit.dirty:
        return asdict(commit)
    kept = uncommitted.keep(project.root, folder)
    if reason := kept.get("reason"):
        note(f"{use_case.name}: the changes that no commit holds are not kept ({reason}): nobody can train this again")
    return {**asdict(commit), "uncommitted": kept}


def _make(folder: Path, use_case: UseCase, rows: pd.DataFrame, facts: dict[str, Any]) -> None:
    """Fit, predict and write every file of the candidate, the manifest last."""
    import numpy as np

    config, inputs = use_case.config, use_case.inputs(rows)
    training, holdout = split(rows, config.split, config.key, config.target.column)
    target = config.target.column
    classes = np.unique(rows[target].to_numpy()) if config.task == "classification" else None
    (model, decided), predictions, simple, seconds, opened = _fitted(use_case, training, holdout, classes)
    truth = as_truth(holdout[target], classes)
    error = error_of(truth, simple, classes)
    findings, alone = _checked(use_case, rows, training, holdout, error)
    findings += [*facts["checks"], *file_access.finding(opened)]
    _write_holdout(folder / "holdout.parquet", holdout, use_case, predictions, simple, classes)
    outputs = predictions.values if classes is None else classes[predictions.values]
    # What the years have changed is no drift: with a split by time, the last period is what the model has proved itself on.
    known = holdout if config.split.method == "time" else training
    _write_reference(folder, known[inputs], outputs, classes is not None)
    plain = without_threshold(model)
    _write_model(folder, use_case, model, rows, holdout)
    primary = primary_measure(use_case, classes)
    decided["importance"] = importance.of_inputs(use_case, model, holdout[inputs], truth, classes, primary)
    if added := importance.contributions(plain, training[inputs], str(target if classes is None else classes[-1])):
        decided["contributions"] = added
    manifest = {
        **facts,
        "use_case": use_case.name,
        "description": config.description,
        "task": config.task,
        "config": config.model_dump(mode="json"),
        "problem": problem(use_case, rows),
        "checks": as_values(findings),
        "single_inputs": alone,
        "baseline_digest": rules.of_baseline(use_case.baseline),
        "classes": None if classes is None else classes.tolist(),
        "metrics": metrics_of(use_case, truth, predictions, classes),
        "baseline": metrics_of(use_case, truth, simple, classes),
        "rows": {"training": len(training), "holdout": len(holdout)},
        "ranges": ranges_of(training[_described(use_case, training)], personal.hidden(config.serving.personal, facts)),
        "estimator": _estimator(plain),
        **decided,
        "python": platform.python_version(),
        "processor": _processor(),
        "fit_seconds": round(seconds, 3),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "files": {
            str(file.relative_to(folder)): digests.of_file(file) for file in sorted(folder.rglob("*")) if file.is_file()
        },
    }
    files.write_json(folder / "manifest.json", manifest)


def _write_reference(folder: Path, inputs: pd.DataFrame, outputs: np.ndarray, classes: bool) -> None:
    """Write the profile that drift is measured against."""
    profile = reference.profile(inputs, outputs, classes)
    files.write_text(folder / "reference.json", json.dumps(profile, separators=(",", ":")) + "\n")


def _write_model(folder: Path, use_case: UseCase, model: Any, rows: pd.DataFrame, holdout: pd.DataFrame) -> None:
    """Write the model as MLflow keeps it, with an example of three rows, and what stands before its estimator beside it."""
    config, inputs = use_case.config, use_case.inputs(rows)
    answers = holdout[config.target.column].head(3).to_frame()
    lock = [f"{name}=={installed(name)}" for name in PACKAGES]
    tracking.save_model(folder / "model", model, rows[inputs], holdout[inputs].head(3), answers, lock)
    trust.check(folder / "model" / "model.skops", config.serving.trust)
    plain = without_threshold(model)
    if hasattr(plain, "steps") and len(plain.steps) > 1:
        model_file.write(folder / "features.skops", plain[:-1])


def _fitted(
    use_case: UseCase, training: pd.DataFrame, holdout: pd.DataFrame, classes: np.ndarray | None
) -> tuple[tuple[Any, dict[str, Any]], Predictions, Predictions, float, list[str]]:
    """The fitted model with what was decided on the training rows; of the holdout its and the baseline's predictions.

    After them the seconds of the fit, and the data files that were opened.
    """
    inputs, target = use_case.inputs(training), use_case.config.target.column
    started = time.perf_counter()
    with file_access.watch() as opened:
        with phase(f"{use_case.name}: fit on {len(training)} rows"):
            decided = _decide(use_case, training, classes)
            model = fit(use_case, training[inputs], training[target], decided.get("threshold"))
        seconds = time.perf_counter() - started
        with labels_of(use_case, "the model"):
            predictions = predict(model, holdout[inputs], classes)
        with labels_of(use_case, "the baseline"):
            simple = as_predictions(call(use_case.name, use_case.baseline, training, holdout), classes)
    return (model, decided), predictions, simple, seconds, opened


def _checked(
    use_case: UseCase, rows: pd.DataFrame, training: pd.DataFrame, holdout: pd.DataFrame, error: float
) -> tuple[list[Finding], dict[str, dict[str, float]]]:
    """The findings of the checks on rows and seed, and what each input reaches alone; `error` is the baseline's."""
    config, inputs = use_case.config, use_case.inputs(rows)
    target, classes, checks = config.target.column, config.task == "classification", config.checks
    findings, alone = leaks.of_single_inputs(training, holdout, inputs, target, error, classes, checks.single_input)
    findings += leaks.of_duplicates(training[inputs], holdout[inputs], training[target], checks.duplicates)
    findings += leaks.of_row_numbers(rows, inputs, config.split.method == "time")
    return [*findings, *seeds.check(use_case, training, inputs)], alone


def problem(use_case: UseCase, rows: pd.DataFrame) -> dict[str, Any]:
    """What makes two models comparable: target, split and schema of the inputs."""
    config = use_case.config
    target: dict[str, Any] = {
        "column": config.target.column,
        "task": config.task,
        "type": str(rows[config.target.column].dtype),
    }
    if config.task == "classification":
        target["classes"] = sorted(rows[config.target.column].unique().tolist())
    rule: dict[str, Any] = {**config.split.model_dump(), "key": list(config.key)}
    return {"target": target, "split": rule, "schema": {name: str(rows[name].dtype) for name in use_case.inputs(rows)}}


def _described(use_case: UseCase, rows: pd.DataFrame) -> list[str]:
    """The columns whose range is recorded: inputs, target, and the times among the keys; other keys only name a row."""
    import pandas as pd

    times = [name for name in use_case.config.key if pd.api.types.is_datetime64_any_dtype(rows[name])]
    return [*times, *use_case.inputs(rows), use_case.config.target.column]


def _estimator(model: Any) -> list[str]:
    """The class of a model, or of each step of a pipeline."""
    return [type(step).__name__ for _, step in model.steps] if hasattr(model, "steps") else [type(model).__name__]


def _processor() -> str:
    """The processor's name, as floating point may be rounded otherwise on another one."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"(?m)^model name\s*:\s*(.+)$", info.read_text(encoding="utf-8")) if info.is_file() else []
    return names[0] if names else platform.processor() or platform.machine()


def _decide(use_case: UseCase, training: pd.DataFrame, classes: np.ndarray | None) -> dict[str, Any]:
    """What is decided on the training rows alone, by models that have not seen them: threshold, and intervals or sets."""
    config = use_case.config
    truth = as_truth(training[config.target.column], classes)
    needs = config.coverage or (config.threshold and config.threshold.rule)
    seen = folds.out_of_fold(use_case, training, classes) if needs else None
    threshold = thresholds.choose(config, truth, seen, classes)
    coverage = conformal.choose(config.coverage, truth, seen, classes) if config.coverage and seen else {}
    return {name: value for name, value in (("threshold", threshold), ("coverage", coverage)) if value}


def _write_holdout(
    file: Path,
    holdout: pd.DataFrame,
    use_case: UseCase,
    predictions: Predictions,
    simple: Predictions,
    classes: np.ndarray | None,
) -> None:
    target = use_case.config.target.column
    columns: dict[str, Any] = {TRUTH: holdout[target], PREDICTION: predictions.values, BASELINE: simple.values}
    if classes is not None and predictions.probabilities is not None:
        columns |= {PREDICTION: classes[predictions.values], BASELINE: classes[simple.values]}
        columns |= {PROBABILITY.format(name): predictions.probabilities[:, index] for index, name in enumerate(classes)}
    holdout.drop(columns=target).assign(**columns).to_parquet(file, index=False)


def _set_aside(folder: Path) -> None:
    """Make room for a new folder of the same name: the damaged one is renamed in one move, then removed."""
    with folders.work_folder(folder.parent) as scratch:
        folder.rename(scratch / "candidate")
