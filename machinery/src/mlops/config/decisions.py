"""The configuration of the target and of what is done with probabilities: threshold, costs, coverage.

Keys of this file that a configuration leaves out leave no trace in what is recorded of it, so that a use case which needs none
of them keeps its digest.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from mlops.config.base import Frozen

Label = bool | int | float | str
Costs = dict[Label, dict[Label, float]]


def is_unset(value: Any) -> bool:
    """Whether a key was left out: None, or an empty mapping."""
    return value is None or value == {}


class Target(Frozen):
    """What is predicted; `number` is the first part of a version and rises when the question changes.

    positive: the class that is looked for; metrics such as `roc_auc` and the threshold are those of its probability.
    """

    column: str
    number: int = Field(default=1, ge=1)
    positive: Label | None = Field(default=None, exclude_if=is_unset)


class Threshold(Frozen):
    """From which probability on a row counts as positive: a fixed `value`, or one that a `rule` chooses on training rows.

    rule: `f1`; `recall` and `precision`, which reach `at_least` and give up as little as possible of the other; `cost`.
    """

    value: float | None = Field(default=None, gt=0, lt=1)
    rule: Literal["f1", "recall", "precision", "cost"] | None = None
    at_least: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _number_is_a_value(cls, given: Any) -> Any:
        return {"value": given} if isinstance(given, int | float) and not isinstance(given, bool) else given

    @model_validator(mode="after")
    def _one_way(self) -> Threshold:
        if (self.value is None) == (self.rule is None):
            raise ValueError("either a number, or a rule")
        if (self.rule in ("recall", "precision")) != (self.at_least is not None):
            raise ValueError("at_least belongs to the rules recall and precision, which need it")
        return self


class Coverage(Frozen):
    """Prediction intervals, or sets of classes, that hold the truth with probability `level`.

    within: how far the coverage of the holdout may be from `level`.
    """

    level: float = Field(default=0.9, gt=0, lt=1)
    within: float = Field(default=0.02, gt=0, lt=1)


class Bootstrap(Frozen):
    """The paired bootstrap: how many resamples, and how many neighbouring rows are drawn together."""

    resamples: int = Field(default=1000, ge=100)
    block: int = Field(default=1, ge=1)


class SliceLimit(Frozen):
    """The limit of the primary metric where a column has one value, for values with `rows` holdout rows or more."""

    limit: float = Field(allow_inf_nan=False)
    rows: int = Field(default=30, ge=1)


def check(task: str, target: Target, threshold: Threshold | None, costs: Costs) -> None:
    """Raise ValueError where two keys do not go together."""
    given = {"target.positive": target.positive, "threshold": threshold, "costs": costs}
    for key, value in given.items():
        if task != "classification" and not is_unset(value):
            raise ValueError(f"{key} is for task classification")
    if threshold is not None and target.positive is None:
        raise ValueError("threshold needs target.positive, the class that is looked for")
    if threshold is not None and threshold.rule == "cost" and not costs:
        raise ValueError("threshold.rule cost needs costs")
