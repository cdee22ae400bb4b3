"""What the gate checks beside the metrics, and what a team acknowledges: parts of a use case's configuration."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mlops.config.base import Frozen


class Checks(Frozen):
    """The margins of the gate's checks; each stands for what chance explains.

    holdout_rows: fewer rows in the holdout are refused. versions: among how many of the last ones the best is looked up.
    duplicates: the share of the holdout rows whose inputs may stand in the training rows beyond what the frequencies of the
    values explain. single_input: an input that alone removes this share of the baseline's error nearly determines the target.
    """

    holdout_rows: int = Field(default=30, ge=1)
    versions: int = Field(default=10, ge=0)
    duplicates: float = Field(default=0.05, ge=0, le=1)
    single_input: float = Field(default=0.95, gt=0, le=1)


class Acknowledgement(Frozen):
    """A finding or a changed rule that is meant, by its name, with the old and the new value where it has them, and why."""

    rule: str = Field(min_length=1)
    old: Any = None
    new: Any = None
    reason: str = Field(min_length=1)
