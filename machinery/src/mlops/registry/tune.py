"""The search for better parameters: optuna proposes, cross validation on the training rows decides, MLflow records."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlops import tracking
from mlops.config import Project, Range
from mlops.console import step
from mlops.data import stages
from mlops.errors import UserError
from mlops.metrics.probabilities import NEED_PROBABILITIES
from mlops.registry import runs, versions
from mlops.registry.aliases import who
from mlops.training import thresholds
from mlops.training.fitting import as_truth, fit, predict, primary_measure
from mlops.training.folds import folds, out_of_fold
from mlops.training.gate import goodness
from mlops.training.split import split

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mlops.use_case import UseCase


def search(project: Project, use_case: UseCase, trials: int = 0) -> dict[str, Any]:
    """Try parameter sets; returns metric, best parameters and every trial, the best first.

    The holdout is not looked at: it stays the judge. Raises UserError where the configuration has no `tune`.
    """
    config = use_case.config
    if config.tune is None:
        raise UserError(f"config/{use_case.name}.yaml: nothing to tune; add a section tune with the parameters' ranges")
    try:
        import optuna
    except ModuleNotFoundError:
        raise UserError("optuna is not installed: make setup") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows, _ = stages.read_processed(project, use_case)
    training, _ = split(rows, config.split, config.key, config.target.column)
    direction = config.metrics[config.primary].direction
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=config.seed))
    done: list[dict[str, Any]] = []
    ranges = config.tune.parameters

    def attempt(trial: Any) -> float:
        proposed = {key: _suggest(trial, key, allowed) for key, allowed in ranges.items()}
        value = _cross_validated(use_case, training, proposed)
        done.append({"number": trial.number, "parameters": proposed, "score": value})
        return goodness(direction, value)

    with step(f"tune {use_case.name}"):
        study.optimize(attempt, n_trials=trials or config.tune.trials)
    done.sort(key=lambda item: goodness(direction, item["score"]), reverse=True)
    with tracking.locked(project), tracking.open_store(project) as client:
        experiment = runs.experiment(client, project, versions.qualified(project, use_case.name), config.description)
        parent = _log(client, experiment, use_case, done)
        tracking.back_up(project)
    return {"metric": config.primary, "best": done[0]["parameters"], "trials": done, "run_id": parent}


def _suggest(trial: Any, key: str, allowed: Range) -> Any:
    if allowed.choices:
        choices = list(allowed.choices)
        if any(isinstance(choice, list | dict) for choice in choices):  # optuna takes single values only
            return choices[trial.suggest_categorical(key, list(range(len(choices))))]
        return trial.suggest_categorical(key, choices)
    low, high = float(allowed.low or 0), float(allowed.high or 0)
    if low.is_integer() and high.is_integer() and not allowed.log:
        return trial.suggest_int(key, int(low), int(high))
    return trial.suggest_float(key, low, high, log=allowed.log)


def _cross_validated(use_case: UseCase, training: pd.DataFrame, proposed: dict[str, Any]) -> float:
    """The mean of the primary metric over folds split as the gate splits, at the threshold that training would take."""
    import numpy as np

    changed = {"parameters": {**use_case.config.parameters, **proposed}}
    use_case = replace(use_case, config=use_case.config.model_copy(update=changed))
    config, inputs = use_case.config, use_case.inputs(training)
    target, number = training[config.target.column], config.tune.folds if config.tune else 4
    classes = np.unique(target.to_numpy()) if config.task == "classification" else None
    parts = folds(training, config.split, None if classes is None else config.target.column, number, config.seed)
    scores, measure = [], primary_measure(use_case, classes)
    for fitted, judged in parts:
        rows = training.iloc[fitted]
        model = fit(use_case, rows[inputs], target.iloc[fitted], _threshold(use_case, rows, classes))
        predictions = predict(model, training[inputs].iloc[judged], classes)
        scores.append(measure(as_truth(target.iloc[judged], classes), predictions))
    return float(np.mean(scores))


def _threshold(use_case: UseCase, rows: pd.DataFrame, classes: np.ndarray | None) -> dict[str, Any]:
    """The threshold chosen on the rows that a model is fitted on; empty where the primary metric is one of probabilities."""
    config = use_case.config
    if config.threshold is None or config.primary in NEED_PROBABILITIES:
        return {}
    seen = out_of_fold(use_case, rows, classes) if config.threshold.rule else None
    return thresholds.choose(config, as_truth(rows[config.target.column], classes), seen, classes)


def _log(client: Any, experiment: str, use_case: UseCase, done: list[dict[str, Any]]) -> str:
    """One run for the search and a child run for each trial; returns the id of the first."""
    from mlflow.entities import Metric, Param

    metric, now = f"cross_validated/{use_case.config.primary}", int(time.time() * 1000)
    tags = {"use_case": use_case.name, "kind": "tune", "mlflow.user": who()}
    parent: str = client.create_run(experiment, run_name=f"{use_case.name} tune", tags=tags).info.run_id
    for item in [{**done[0], "number": None}, *done]:
        run_id = parent
        if item["number"] is not None:
            child = {**tags, "mlflow.parentRunId": parent}
            run_id = client.create_run(experiment, run_name=f"trial {item['number']}", tags=child).info.run_id
        parameters = [Param(key, str(value)) for key, value in item["parameters"].items()]
        client.log_batch(run_id, metrics=[Metric(metric, item["score"], now, 0)], params=parameters)
        client.set_terminated(run_id)
    return parent
