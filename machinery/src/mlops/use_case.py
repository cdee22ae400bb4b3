"""A use case as its team writes it: plain functions in `use_cases.<name>` and a configuration."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mlops import use_case_code
from mlops.config import Project, UseCaseConfig, load_use_case_config, nearest, place_of
from mlops.errors import ConfigError, MlopsError, UserError

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
    evaluate: holdout labels, predicted labels, probabilities where it takes them → metrics of its own, or None.
    """

    name: str
    config: UseCaseConfig
    package: Path
    load: Callable[[pd.DataFrame], pd.DataFrame]
    schema: Callable[[str], DataFrameSchema]
    features: Callable[[pd.DataFrame], pd.DataFrame]
    build: Callable[..., BaseEstimator]
    baseline: Callable[[pd.DataFrame, pd.DataFrame], np.ndarray]
    evaluate: Callable[..., dict[str, float]] | None = None

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

    Raises UserError for an unknown name, a missing function, an import that the key does not cover or code that cannot be
    imported, ConfigError for a parameter that `build` does not take.
    """
    name = name or project.default_use_case
    config = load_use_case_config(project, name, overrides)
    module, package = _imported(project, name)
    missing = [function for function in FUNCTIONS if not callable(getattr(module, function, None))]
    if missing:
        raise UserError(f"src/use_cases/{name}/__init__.py: function {missing[0]} is missing")
    functions: dict[str, Any] = {function: getattr(module, function) for function in FUNCTIONS}
    evaluate = getattr(module, "evaluate", None)
    where = partial(place_of, project, name, overrides=overrides)
    _check_parameters(where, config, functions["build"])
    _check_metrics(where, config, own=evaluate is not None)
    return bound(name, config, package, functions | {"evaluate": evaluate})


def bound(name: str, config: UseCaseConfig, package: Path, functions: dict[str, Any]) -> UseCase:
    """A use case of its functions; with `data.engine: spark`, its stages run there and take and return rows as any other's."""
    if config.data.engine == "spark":
        from mlops.spark.frames import on_spark

        functions |= {stage: on_spark(name, config.key, functions[stage]) for stage in ("load", "features")}
    return UseCase(name=name, config=config, package=package, **functions)


def _imported(project: Project, name: str) -> tuple[ModuleType, Path]:
    """The package of a use case and its folder."""
    spec = importlib.util.find_spec(f"{use_case_code.PACKAGE}.{name}")
    own = project.root / "src" / use_case_code.PACKAGE / name / "__init__.py"
    if own.is_file() and (spec is None or spec.origin is None or not own.samefile(spec.origin)):
        raise UserError(f"{own.parent}: this environment has the code of another project; run {project.root}/.venv/bin/mlops")
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        raise UserError(f"config/{name}.yaml has no code: src/use_cases/{name}/__init__.py is missing")
    package = Path(spec.origin).parent
    try:
        use_case_code.refuse_foreign_imports(package, project.root / "src")
        return importlib.import_module(spec.name), package
    except MlopsError:
        raise
    except Exception as error:  # the code is the user's: importing it raises whatever stands there
        message = str(getattr(error, "msg", None) or error).partition("\n")[0]
        raise UserError(f"{_origin(error, name)}: {type(error).__name__}: {message}; fix it, --debug shows more") from error


def call(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of a use case returns; raises UserError naming file, line and what is wrong for whatever it raises.

    A column that is not there is answered with the one of the first argument that resembles it.
    """
    try:
        return function(*arguments)
    except MlopsError:
        raise
    except Exception as error:  # the code is the user's: it raises whatever stands there
        reason = f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no reason given'])[0]}"
        if isinstance(error, KeyError) and arguments and hasattr(arguments[0], "columns"):
            names = [str(column) for column in arguments[0].columns]
            wanted = re.search(r"'([^']+)'", str(error))
            like = nearest(wanted[1], names) if wanted else ""
            reason = f"no such column {str(error.args[0])[:80]}{like}; there are: {', '.join(names[:15])}"
        raise UserError(f"{_origin(error, name)}: {function.__name__}: {reason}; fix it, --debug shows more") from error


def _origin(error: Exception, name: str) -> str:
    """File and line of a use case's code that an error comes from."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "use_cases" in Path(frame.filename).parts]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else f"src/use_cases/{name}"


def _check_parameters(where: Callable[[tuple[str, ...]], str], config: UseCaseConfig, build: Callable[..., Any]) -> None:
    """Strictly, as the value goes to `build` as it stands: "200" is no int, though 1 is a float."""
    from pydantic import ValidationError

    known = dict(inspect.signature(build, eval_str=True).parameters)
    if known.pop("seed", None) is None:
        raise UserError(f"{inspect.getsourcefile(build)}: build takes no seed; without one, training cannot be repeated")
    for key, value in config.parameters.items():
        place = where(("parameters", key))
        if key not in known:
            raise ConfigError(f"{place}: unknown key parameters.{key}{nearest(key, known)}")
        kind = known[key].annotation
        try:
            _check_type(Any if kind is inspect.Parameter.empty else kind, value)
        except ValidationError as error:
            raise ConfigError(f"{place}: parameters.{key}: {error.errors()[0]['msg']}") from None
    absent = [key for key, value in known.items() if value.default is value.empty and key not in config.parameters]
    if absent:
        raise ConfigError(f"{where(('parameters',))}: key parameters.{absent[0]} is missing")


def _check_type(kind: Any, value: Any) -> None:
    """Raise ValidationError for a value of another type; what YAML writes as a list may be a tuple or a set."""
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        if not isinstance(value, list | dict):
            raise
        TypeAdapter(kind).validate_json(json.dumps(value), strict=True)


def _check_metrics(where: Callable[[tuple[str, ...]], str], config: UseCaseConfig, own: bool) -> None:
    """own: whether the use case brings metrics of its own, which are known only once it has evaluated."""
    from mlops.metrics.probabilities import directions, faults

    known = directions(config.task)
    for name, rule in config.metrics.items():
        if name not in known and not own:
            hint = f"there are: {', '.join(known)}"
            raise ConfigError(
                f"{where(('metrics', name))}: metrics.{name}: no metric for {config.task}{nearest(name, known)}; {hint}"
            )
        if name in known and rule.direction != known[name]:
            raise ConfigError(
                f"{where(('metrics', name, 'direction'))}: metrics.{name}.direction is {rule.direction}, "
                f"but of {name} {known[name]} is better"
            )
    for path, fault in faults(config):
        raise ConfigError(f"{where(path)}: {fault}")
