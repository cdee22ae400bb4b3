"""The samples one by one: what a model that knows one of them makes of the unseen set. `mlops study points` logs it."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from sklearn.metrics import accuracy_score

from .data import AXES
from .model import build

KINDS = ("neighbours", "forest")


def study(training: pd.DataFrame, holdout: pd.DataFrame, parameters: dict[str, Any], seed: int) -> Iterator[dict[str, Any]]:
    """A model of each kind and sample with a scaler of its own, and its accuracy on the unseen set."""
    days = sorted(training["day"].unique())
    for kind in KINDS:
        for number, day in enumerate(days, 1):
            rows = training[training["day"] == day]
            model = build(**{**parameters, "kind": kind}, seed=seed).fit(rows[AXES], rows["colour"])
            accuracy = accuracy_score(holdout["colour"], model.predict(holdout[AXES]))
            yield {"parameters": {"kind": kind, "sample": number}, "metrics": {"accuracy": float(accuracy)}, "model": model}
