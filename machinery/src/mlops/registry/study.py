"""A study: what a use case tries beside its model, each trial a child run with a model of its own, in the one experiment.

`use_cases.<name>.study` has `study(training, holdout, parameters, seed)`, which yields a mapping a trial: `parameters`, of
which the first names a line of the plot and the last the place on it; `metrics`; and `model`, which is kept with its run: a
scikit-learn estimator, or a `mlflow.pyfunc.PythonModel` with an `example` of its input; what it `requires` is pinned.
`rows`, a frame, is kept as `rows.csv`: what its metrics can be computed from again.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mlops import files, folders, model_file, tracking, use_case_code
from mlops.config import Project
from mlops.console import step
from mlops.data import stages
from mlops.errors import UserError
from mlops.registry import runs, versions
from mlops.registry.aliases import who
from mlops.training.split import split
from mlops.use_case import call

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from mlops.use_case import UseCase

PARTS = {"parameters": dict, "metrics": dict}


def carry_out(project: Project, use_case: UseCase) -> dict[str, Any]:
    """Carry out the study of a use case and log it; returns metric, trials without models, plot and id of the parent run.

    Raises UserError for a use case without a study, and for a trial that is none.
    """
    function = _function(use_case)
    rows, _ = stages.read_processed(project, use_case)
    config = use_case.config
    training, holdout = split(rows, config.split, config.key, config.target.column)
    with step(f"study {use_case.name}"):
        trials = _trials(use_case, function, training, holdout)
    metric = next(iter(trials[0]["metrics"]))
    plot = _plot(project, use_case, trials, metric)
    with tracking.locked(project), tracking.open_store(project) as client:
        experiment = runs.experiment(client, project, versions.qualified(project, use_case.name), config.description)
        parent = _log(client, experiment, use_case, trials, plot)
        tracking.back_up(project)
    listed = [{part: trial[part] for part in PARTS} for trial in trials]
    return {"metric": metric, "trials": listed, "plot": plot, "run_id": parent}


def _trials(
    use_case: UseCase, function: Callable[..., Any], training: pd.DataFrame, holdout: pd.DataFrame
) -> list[dict[str, Any]]:
    """What the study yields; raises UserError where that is no trial, or where it needs a package that is not installed."""

    def all_of(*given: Any) -> list[dict[str, Any]]:
        try:
            return list(function(*given))
        except ModuleNotFoundError as error:
            raise UserError(
                f"the study of {use_case.name} needs {error.name}, which is not installed: mlops deps add {error.name} --dev"
            ) from error

    config = use_case.config
    trials: list[dict[str, Any]] = call(use_case.name, all_of, training, holdout, config.parameters, config.seed)
    for place, trial in enumerate(trials, 1):
        wrong = [part for part, kind in PARTS.items() if not isinstance(trial, dict) or not isinstance(trial.get(part), kind)]
        if wrong:
            raise UserError(
                f"src/use_cases/{use_case.name}/study.py: trial {place} has no {wrong[0]}: yield a mapping with it"
            )
    if not trials:
        raise UserError(f"src/use_cases/{use_case.name}/study.py: study yields no trial")
    return trials


def _function(use_case: UseCase) -> Callable[..., Any]:
    name = f"{use_case_code.PACKAGE}.{use_case.name}.study"
    function = getattr(importlib.import_module(name), "study", None) if importlib.util.find_spec(name) else None
    if function is None:
        raise UserError(
            f"src/use_cases/{use_case.name}/study.py has no function study; write one that yields trials: mlops docs use-cases"
        )
    return function  # type: ignore[no-any-return]


def _log(client: Any, experiment: str, use_case: UseCase, trials: list[dict[str, Any]], plot: Path) -> str:
    """One run for the study, with its plot, and a child run for each trial, with its model; returns the id of the first."""
    from mlflow.entities import Metric, Param

    tags, now = {"use_case": use_case.name, "kind": "study", "mlflow.user": who()}, int(time.time() * 1000)
    parent: str = client.create_run(experiment, run_name=f"{use_case.name} study", tags=tags).info.run_id
    client.log_artifact(parent, str(plot))
    for trial in trials:
        name = ", ".join(f"{key} {value}" for key, value in trial["parameters"].items())
        child = client.create_run(experiment, run_name=name, tags={**tags, "mlflow.parentRunId": parent}).info.run_id
        parameters = [Param(key, str(value)) for key, value in trial["parameters"].items()]
        metrics = [Metric(key, float(value), now, 0) for key, value in trial["metrics"].items()]
        client.log_batch(child, metrics=metrics, params=parameters)
        if trial.get("rows") is not None:
            client.log_text(child, trial["rows"].to_csv(index=False, lineterminator="\n"), "rows.csv")
        if trial.get("model") is not None:
            _log_model(client, child, trial["model"], trial.get("example"))
        client.set_terminated(child)
    client.set_terminated(parent)
    return parent


def _log_model(client: Any, run_id: str, model: Any, example: pd.DataFrame | None) -> None:
    """Keep a trial's model with its run: `model.skops`, or the folder `model` of a pyfunc model with the code of its class."""
    from mlflow.models import infer_signature
    from mlflow.pyfunc import save_model
    from mlflow.pyfunc.model import PythonModel

    with folders.work_folder() as scratch:
        if not isinstance(model, PythonModel):
            model_file.write(scratch / "model.skops", model)
        else:
            # It warns of the pickle that such a model is: this one is kept for a reader, and no version is made of it.
            logging.getLogger("mlflow.pyfunc").setLevel(logging.ERROR)
            needs = [f"{name}=={version(name)}" for name in ("mlflow", *getattr(model, "requires", ()))]
            with _by_value(sys.modules[type(model).__module__]), warnings.catch_warnings(action="ignore"):
                signature = None if example is None else infer_signature(example, model.predict(None, example))
                save_model(scratch / "model", python_model=model, signature=signature, pip_requirements=needs)
        client.log_artifacts(run_id, str(scratch))


@contextmanager
def _by_value(module: ModuleType) -> Iterator[None]:
    """Within it, a pickle takes the classes of a module along, so that the model is read where the project is not."""
    import cloudpickle

    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _plot(project: Project, use_case: UseCase, trials: list[dict[str, Any]], metric: str) -> Path:
    file = project.output / "reports" / use_case.name / "study.png"
    with files.replacing(file) as temporary:
        draw(trials, metric).savefig(temporary, dpi=110, metadata={"Software": None})
    return file


def draw(trials: list[dict[str, Any]], metric: str) -> Figure:
    """A line for each value of the first parameter, over the last one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    first, *_, last = [*trials[0]["parameters"]] * 2
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name in dict.fromkeys(trial["parameters"][first] for trial in trials):
        line = [trial for trial in trials if trial["parameters"][first] == name]
        axes.plot([item["parameters"][last] for item in line], [item["metrics"][metric] for item in line], "o-", label=name)
    axes.set(xlabel=last, ylabel=metric)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, title=first)
    return figure
