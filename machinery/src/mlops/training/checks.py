"""What the gate checks beside metrics: the coverage of intervals or sets, and the primary metric in slices of the holdout."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlops.training import conformal
from mlops.training.gate import Verdict, goodness, limit

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mlops.config import UseCaseConfig
    from mlops.metrics.measures import Measure, Predictions


@dataclass(frozen=True)
class Check:
    """One check: what is measured, its value, what it is held to, and whether it keeps that."""

    name: str
    value: float
    limit: str
    passes: bool
    rows: int


def run(
    config: UseCaseConfig,
    manifest: dict[str, Any],
    holdout: pd.DataFrame,
    truth: np.ndarray,
    predictions: Predictions,
    classes: np.ndarray | None,
    primary: Measure,
) -> tuple[Check, ...]:
    """The checks that the configuration asks for, on the holdout."""
    findings = list(_coverage(config, manifest, truth, predictions, classes))
    return tuple([*findings, *_slices(config, holdout, truth, predictions, primary)])


def judged(verdict: Verdict, checks: tuple[Check, ...]) -> Verdict:
    """The verdict with a reason for each check that is not kept."""
    reasons = tuple(f"{check.name} is {check.value:.4f}, not {check.limit}" for check in checks if not check.passes)
    kept = not reasons
    return replace(
        verdict,
        passed=verdict.passed and kept,
        expected=verdict.expected and kept,
        reasons=(*verdict.reasons, *reasons),
    )


def _coverage(
    config: UseCaseConfig, manifest: dict[str, Any], truth: np.ndarray, predictions: Predictions, classes: np.ndarray | None
) -> Iterator[Check]:
    rule, chosen = config.coverage, manifest.get("coverage")
    if rule is None:
        return
    value = float(conformal.covered(chosen, truth, predictions, classes).mean()) if chosen else math.nan
    passes = abs(value - rule.level) <= rule.within
    yield Check("coverage", value, f"{rule.level:g} ± {rule.within:g}", passes, len(truth))


def _slices(
    config: UseCaseConfig, holdout: pd.DataFrame, truth: np.ndarray, predictions: Predictions, primary: Measure
) -> Iterator[Check]:
    """The primary metric where a column has one value, for each value with rows enough."""
    import numpy as np

    from mlops.errors import ConfigError

    metric = config.metrics[config.primary]
    for column, rule in config.slice_limits.items():
        if column not in holdout:
            columns = ", ".join(name for name in map(str, holdout) if not name.startswith("__"))
            raise ConfigError(f"slice_limits.{column}: no such column in the holdout; there are: {columns}")
        held = metric.model_copy(update={"limit": rule.limit})
        for value, places in sorted(holdout.groupby(column).indices.items(), key=lambda pair: str(pair[0])):
            if len(places) < rule.rows:
                continue
            rows = np.asarray(places)
            measured = primary(truth[rows], predictions.take(rows))
            passes = goodness(metric.direction, measured) >= goodness(metric.direction, rule.limit)
            yield Check(f"{config.primary} of {column} {value}", measured, limit(held), passes, len(rows))
