"""The estimator, and the rule that it has to beat."""

import numpy as np
import pandas as pd
from sklearn.ensemble import GradientBoostingRegressor

from .features import HORIZON


def build(n_estimators: int, learning_rate: float, max_depth: int, subsample: float, seed: int) -> GradientBoostingRegressor:
    """Gradient boosting on trees; no scaling is needed, as trees only compare."""
    return GradientBoostingRegressor(
        n_estimators=n_estimators,
        learning_rate=learning_rate,
        max_depth=max_depth,
        subsample=subsample,
        random_state=seed,
    )


def baseline(train: pd.DataFrame, holdout: pd.DataFrame) -> np.ndarray:
    """The rides of the same weekday 14 days before (thousands)."""
    return holdout[f"rides_lag_{HORIZON}"].to_numpy()
