"""Seeds: a fit that ignores the seed gives another model each time, so that no version can be trained again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.training.findings import Finding

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mlops.use_case import UseCase

ROWS = 300


def check(use_case: UseCase, training: pd.DataFrame, inputs: list[str]) -> list[Finding]:
    """A finding where two fits on the same small sample, with the same seed, do not predict the same."""
    import numpy as np

    sample = _sample(training, training[use_case.config.target.column] if use_case.config.task == "classification" else None)
    try:
        one, other = (_outputs(use_case, sample, inputs) for _ in range(2))
    except Exception:  # what cannot be fitted on a sample may be fitted on all rows; there its error is named
        return []
    if np.allclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True):
        return []
    return [Finding("checks.seed", "two fits with the same seed do not predict the same: give the seed to every random part")]


def _outputs(use_case: UseCase, sample: pd.DataFrame, inputs: list[str]) -> np.ndarray:
    import numpy as np

    model = use_case.estimator().fit(sample[inputs], sample[use_case.config.target.column])
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(sample[inputs]), dtype=float)
    outputs = np.asarray(model.predict(sample[inputs]))
    return np.unique(outputs, return_inverse=True)[1] if outputs.dtype.kind in "OUS" else outputs.astype(float)


def _sample(training: pd.DataFrame, target: pd.Series | None) -> pd.DataFrame:
    """Rows spread evenly over the training rows, of each class its share and at least some."""
    import numpy as np

    def spread(count: int, most: int) -> np.ndarray:
        return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))

    if target is None:
        return training.iloc[spread(len(training), ROWS)]
    groups = [np.asarray(rows) for rows in target.groupby(target).indices.values()]
    chosen = [rows[spread(len(rows), max(10, ROWS * len(rows) // len(target)))] for rows in groups]
    return training.iloc[np.sort(np.concatenate(chosen))]
