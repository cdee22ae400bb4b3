"""The estimator, and the rule that it has to beat, which knows nothing of a price."""

from typing import Literal

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler


def build(kind: Literal["forest", "logistic"], trees: int, leaf: int, seed: int) -> Pipeline:
    """Scale, then a forest whose leaves have `leaf` rows or more, or a weighted sum, which ignores the other two."""
    if kind == "forest":
        classifier = RandomForestClassifier(n_estimators=trees, min_samples_leaf=leaf, random_state=seed)
    else:
        classifier = LogisticRegression(max_iter=1000, random_state=seed)
    return Pipeline([("scale", StandardScaler()), ("classify", classifier)])


def baseline(train: pd.DataFrame, holdout: pd.DataFrame) -> np.ndarray:
    """What happened more often in the training rows, each day: up."""
    return np.full(len(holdout), train["up"].mode()[0])


def evaluate(y_true: np.ndarray, y_pred: np.ndarray) -> dict[str, float]:
    """How many days the model predicts to be up, of all shares together."""
    return {"days_up": float(np.sum(np.asarray(y_pred) == 1))}
