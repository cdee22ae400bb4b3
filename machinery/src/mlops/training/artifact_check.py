"""The saved model, loaded again: it predicts what training recorded, twice, in any order and one row at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlops.errors import first_line
from mlops.metrics.measures import Predictions
from mlops.training.findings import Finding

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Two numbers are the same where they differ by no more than this share of the larger one.
SAME = 1e-9
# So many rows are predicted one at a time, evenly spread over the holdout.
SINGLE_ROWS = 40

Predict = Callable[["pd.DataFrame"], Predictions]


def check(predict: Predict, inputs: pd.DataFrame, recorded: Predictions) -> list[Finding]:
    """A finding for each way of asking in which the loaded model does not predict what training recorded."""
    import numpy as np

    size = len(inputs)
    order = np.random.default_rng(0).permutation(size)
    few = np.unique(np.linspace(0, size - 1, min(size, SINGLE_ROWS)).astype(int))
    every = np.arange(size)
    ways: dict[str, tuple[np.ndarray, Callable[[], Predictions]]] = {
        "loaded again": (every, lambda: predict(inputs)),
        "asked twice": (every, lambda: predict(inputs)),
        "in another order of rows": (order, lambda: predict(inputs.iloc[order])),
        "one row at a time": (few, lambda: _one_by_one(predict, inputs, few)),
    }
    findings = []
    for way, (rows, request) in ways.items():
        try:
            difference = _difference(request(), recorded.take(rows))
        except Exception as error:  # the model is the user's: it raises whatever it likes
            difference = f"it cannot predict ({first_line(error)})"
        if difference:
            name = way.replace(" ", "_")
            findings.append(Finding(f"artifact.{name}", f"the saved model, {way}, is not what was trained: {difference}"))
            break
    return findings


def _one_by_one(predict: Predict, inputs: pd.DataFrame, rows: np.ndarray) -> Predictions:
    import numpy as np

    parts = [predict(inputs.iloc[[row]]) for row in rows]
    values = np.concatenate([part.values for part in parts])
    if parts[0].probabilities is None:
        return Predictions(values)
    return Predictions(values, np.concatenate([part.probabilities for part in parts if part.probabilities is not None]))


def _difference(ours: Predictions, recorded: Predictions) -> str:
    """Where two predictions of the same rows differ, in words; "" where they do not."""
    import numpy as np

    labels = recorded.probabilities is not None
    if labels and (other := int((ours.values != recorded.values).sum())):
        return f"another label in {other} of {len(recorded.values)} rows"
    one, two = (ours.probabilities, recorded.probabilities) if labels else (ours.values, recorded.values)
    assert one is not None and two is not None
    scale = np.maximum(np.maximum(abs(one), abs(two)), 1e-6 * np.nanstd(two) + 1e-300)
    with np.errstate(invalid="ignore"):
        apart = np.where(np.isnan(one) & np.isnan(two), 0.0, abs(one - two) / scale)
    largest = float(np.nanmax(np.where(np.isnan(apart), np.inf, apart)))
    return f"a relative difference of {largest:.1e}, {SAME:.0e} is allowed" if largest > SAME else ""
