"""What an evaluation is made of and comes to: the champion to beat, and predictions, verdict and checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.metrics.measures import Predictions
from mlops.training.checks import Check
from mlops.training.gate import Verdict

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Champion:
    """The model to beat: its version number, what brings the folder of its model, and the problem that it was trained for.

    holdout: what brings its holdout rows. spent: the acknowledgements that were used, by digest, with the key of the version.
    recent: number and metrics of the last versions of the same target.
    """

    number: str
    fetch: Callable[[], Path]
    problem: dict[str, Any]
    target_number: int
    manifest: dict[str, Any] = field(default_factory=dict)
    holdout: Callable[[], pd.DataFrame] | None = None
    spent: dict[str, str] = field(default_factory=dict)
    recent: tuple[tuple[str, dict[str, float]], ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """Truth and predictions of the three models on the holdout rows, and the gate's verdict on them."""

    holdout: pd.DataFrame
    truth: np.ndarray
    candidate: Predictions
    baseline: Predictions
    champion: Predictions | None
    classes: np.ndarray | None
    champion_number: str | None
    verdict: Verdict
    threshold: float | None = None
    checks: tuple[Check, ...] = ()
