"""A use case as its team writes it: plain functions in `use_cases.<name>` and a configuration."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.config import Project, UseCaseConfig, load_use_case_config, nearest
from mlops.errors import ConfigError, UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from pandera.pandas import DataFrameSchema
    from sklearn.base import BaseEstimator


@dataclass(frozen=True)
class UseCase:
    """The functions of a use case, bound to its configuration.

    load: the raw files, one frame → interim rows.
    schema: stage (`raw`, `interim`, `processed`) → the schema of its rows.
    features: interim rows → processed rows: key, inputs and target. Row-wise, or looking backward only.
    build: the parameters of the configuration and `seed` → an unfitted scikit-learn estimator.
    baseline: training rows, holdout rows → what the simplest honest rule predicts for the holdout rows.
    evaluate: holdout target, predictions → metrics of its own, or None.
    """

    name: str
    config: UseCaseConfig
    package: Path
    load: Callable[[pd.DataFrame], pd.DataFrame]
    schema: Callable[[str], DataFrameSchema]
    features: Callable[[pd.DataFrame], pd.DataFrame]
    build: Callable[..., BaseEstimator]
    baseline: Callable[[pd.DataFrame, pd.DataFrame], np.ndarray]
    evaluate: Callable[[np.ndarray, np.ndarray], dict[str, float]] | None = None

    def inputs(self, processed: pd.DataFrame) -> list[str]:
        """The columns that the model sees: all but the key and the target."""
        hidden = {*self.config.key, self.config.target.column}
        return [column for column in processed.columns if column not in hidden]

    def estimator(self) -> BaseEstimator:
        """A new, unfitted estimator as the configuration describes it."""
        return self.build(**self.config.parameters, seed=self.config.seed)


FUNCTIONS = ("load", "schema", "features", "build", "baseline")


def load_use_case(project: Project, name: str | None = None, overrides: tuple[str, ...] = ()) -> UseCase:
    """The use case of that name, or the project's default one.

    Raises UserError for an unknown name or a missing function, ConfigError for a parameter that `build` does not take.
    """
    name = name or project.default_use_case
    config = load_use_case_config(project, name, overrides)
    try:
        module = importlib.import_module(f"use_cases.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"use_cases.{name}":
            raise
        raise UserError(f"config/{name}.yaml has no code: src/use_cases/{name}/ is missing") from None
    missing = [function for function in FUNCTIONS if not callable(getattr(module, function, None))]
    if missing:
        raise UserError(f"src/use_cases/{name}/__init__.py: function {missing[0]} is missing")
    functions: dict[str, Any] = {function: getattr(module, function) for function in FUNCTIONS}
    _check_parameters(project, name, config, functions["build"])
    package = Path(str(module.__file__)).parent
    return UseCase(name=name, config=config, package=package, evaluate=getattr(module, "evaluate", None), **functions)


def _check_parameters(project: Project, name: str, config: UseCaseConfig, build: Callable[..., Any]) -> None:
    from pydantic import TypeAdapter, ValidationError

    known = {key: value for key, value in inspect.signature(build, eval_str=True).parameters.items() if key != "seed"}
    where = project.root / "config" / f"{name}.yaml"
    for key, value in config.parameters.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key parameters.{key}{nearest(key, known)}")
        try:
            TypeAdapter(known[key].annotation).validate_python(value)
        except ValidationError as error:
            raise ConfigError(f"{where}: parameters.{key}: {error.errors()[0]['msg']}") from None
    absent = [key for key, value in known.items() if value.default is value.empty and key not in config.parameters]
    if absent:
        raise ConfigError(f"{where}: key parameters.{absent[0]} is missing")
