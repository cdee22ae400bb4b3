"""What the configuration is: the project, and each use case with target, split, parameters, metrics."""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from mlops.config.base import Frozen
from mlops.config.checks import Acknowledgement, Checks
from mlops.config.decisions import Bootstrap, Costs, Coverage, SliceLimit, Target, Threshold
from mlops.config.decisions import check as check_decisions
from mlops.config.decisions import is_unset
from mlops.config.operations import Environment, Monitor, Serving
from mlops.config.reading import Data

# The value of an argument of `build`, as YAML has it; keys of a mapping may be class labels.
Parameter = bool | int | float | str | list[Any] | dict[bool | int | float | str, Any] | None


class Large(Frozen):
    """Raw files that are held with DVC: from which size on, and where their content goes (a folder, `s3://bucket/path`)."""

    megabytes: float = Field(default=50, gt=0)
    remote: str = ""


class Project(Frozen):
    """The project's configuration, with its folders as absolute paths."""

    root: Path
    name: str = Field(min_length=1)
    default_use_case: str
    namespace: str = Field(default="", pattern=r"^[A-Za-z0-9_.-]*$")
    data: Path = Path("data")
    store: Path = Path("models")
    output: Path = Path("output")
    aliases: dict[str, str] = {"*": "challenger"}
    template: str = Field(default="", pattern=r"^([\w.-]+/[\w.-]+)?$")
    large: Large = Large()
    deploy: dict[str, Environment] = {"staging": Environment(), "production": Environment()}

    @model_validator(mode="before")
    @classmethod
    def _absolute(cls, values: dict[str, Any]) -> dict[str, Any]:
        root = Path(values["root"])
        folders = {key: values.get(key, default) for key, default in FOLDERS.items()}
        for key, folder in folders.items():
            if not isinstance(folder, str | Path) or not str(folder):
                raise ValueError(f"{key}: a folder is expected, found {type(folder).__name__}")
        return {**values, **{key: root / folder for key, folder in folders.items()}}

    @property
    def tracking_uri(self) -> str | None:
        """The configured tracking server, or None for the embedded store.

        What MLflow takes for itself where nothing is configured, and sets in what `mlflow run` starts, counts as none.
        """
        uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        file = Path(uri.removeprefix("sqlite:///")).absolute()
        unset = uri.startswith("sqlite:///") and file in (self.root / "mlflow.db", self.store / "mlflow.db")
        return None if unset else uri or None

    @property
    def use_cases(self) -> list[str]:
        """The names of the use cases that have a configuration, sorted."""
        return sorted(file.stem for file in (self.root / "config").glob("*.yaml") if file.stem != "project")

    def alias_of(self, branch: str) -> str:
        """The alias that a registration on this branch moves: the first pattern that fits, else `challenger`."""
        return next((alias for pattern, alias in self.aliases.items() if fnmatch.fnmatch(branch, pattern)), "challenger")


FOLDERS = {"data": "data", "store": "models", "output": "output"}


class Split(Frozen):
    """How rows are held out.

    `hash` and `group`: a share of the keys, or of the values of `column`; `stratified`: a share of the keys,
    each class on both sides; `time`: the last `holdout` days of `column`, with `gap` days between them and the training rows.
    """

    method: Literal["hash", "group", "stratified", "time"]
    holdout: float = Field(gt=0)
    column: str | None = None
    gap: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _complete(self) -> Split:
        if self.method in ("time", "group") and not self.column:
            raise ValueError(f"method {self.method} needs a column")
        if self.method != "time" and self.holdout >= 1:
            raise ValueError(f"holdout is a share below 1 for method {self.method}")
        return self


class Metric(Frozen):
    """The rule of one metric: `limit` and `tolerance` are in the metric's own unit.

    at: the precision of `recall_at_precision`, the recall of `precision_at_recall`.
    """

    direction: Literal["lower", "higher", "zero"]
    limit: float | None = Field(default=None, allow_inf_nan=False)
    tolerance: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    primary: bool = False
    at: float | None = Field(default=None, gt=0, le=1, exclude_if=is_unset)

    @model_validator(mode="after")
    def _limit_of_distance(self) -> Metric:
        if self.direction == "zero" and self.limit is not None and self.limit < 0:
            raise ValueError("limit is a distance from zero for direction zero, so it is not below 0")
        return self


class Range(Frozen):
    """The values that a search may try: numbers from `low` to `high`, or `choices`."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Parameter, ...] = ()

    @model_validator(mode="after")
    def _one_kind(self) -> Range:
        if bool(self.choices) == (self.low is not None and self.high is not None):
            raise ValueError("either choices, or low and high")
        return self


class Tune(Frozen):
    """The search for better parameters, by cross validation on the training rows."""

    trials: int = Field(default=20, ge=1)
    folds: int = Field(default=4, ge=2)
    parameters: dict[str, Range] = Field(min_length=1)


class UseCaseConfig(Frozen):
    """The configuration of one use case.

    expect: `refused` where the honest result is that no model beats the baseline, which then is the champion; such a
    refusal is green, and a model that passes is refused until the key is removed.
    slices: columns by which a version's card judges the holdout in parts, beside class, month and weekday.
    """

    description: str = Field(min_length=1)
    task: Literal["regression", "classification"]
    target: Target
    key: tuple[str, ...] = Field(min_length=1)
    split: Split
    seed: int = Field(default=0, ge=0)
    parameters: dict[str, Parameter] = {}
    metrics: dict[str, Metric] = Field(min_length=1)
    data: Data = Data()
    threshold: Threshold | None = Field(default=None, exclude_if=is_unset)
    costs: Costs = Field(default={}, exclude_if=is_unset)
    coverage: Coverage | None = Field(default=None, exclude_if=is_unset)
    slice_limits: dict[str, SliceLimit] = Field(default={}, exclude_if=is_unset)
    bootstrap: Bootstrap = Bootstrap()
    checks: Checks = Checks()
    expect: Literal["refused"] | None = Field(default=None, exclude_if=is_unset)
    acknowledge: tuple[Acknowledgement, ...] = ()
    tune: Tune | None = None
    serving: Serving = Serving()
    slices: tuple[str, ...] = ()
    monitor: Monitor = Monitor()

    @model_validator(mode="after")
    def _keys_go_together(self) -> UseCaseConfig:
        check_decisions(self.task, self.target, self.threshold, self.costs)
        if self.target.column in self.key:
            raise ValueError(f"target.column {self.target.column} is in key: what is predicted cannot identify a row")
        return self

    @model_validator(mode="after")
    def _one_primary(self) -> UseCaseConfig:
        if sum(metric.primary for metric in self.metrics.values()) != 1:
            raise ValueError("exactly one of the metrics is marked primary: true")
        return self

    @property
    def primary(self) -> str:
        """The name of the metric that decides between two models."""
        return next(name for name, metric in self.metrics.items() if metric.primary)
