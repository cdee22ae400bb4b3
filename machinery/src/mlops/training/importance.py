"""Which inputs a model relies on: what the primary metric loses where one is shuffled, and what a linear model adds up.

Source: Breiman 2001, Random forests, with the rows drawn anew for each shuffle, so that the interval knows of both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlops.metrics.measures import Predictions, resampled
from mlops.training.gate import goodness

if TYPE_CHECKING:
    import pandas as pd

    from mlops.metrics.measures import Measure
    from mlops.use_case import UseCase

REPEATS = 10
STUDENT = 2.262  # of 9 degrees of freedom, for an interval of 95 %
# Rows of a shuffle, and cells in all, so that a wide table does not take minutes.
ROWS, CELLS = 500, 50_000


def of_inputs(
    use_case: UseCase,
    model: Any,
    rows: pd.DataFrame,
    truth: np.ndarray,
    classes: np.ndarray | None,
    measure: Measure,
) -> list[dict[str, Any]]:
    """Input, `loss` of the primary metric in its own unit, and the ends of its 95 % interval; the largest loss first.

    rows: inputs of the holdout. A loss whose interval holds 0 is none that these rows can tell.
    """
    from mlops.training.fitting import predict

    config, names = use_case.config, list(rows)
    size = min(len(rows), ROWS, max(50, CELLS // max(1, len(names))))
    draws = np.stack([draw[:size] for draw in resampled(len(rows), REPEATS, config.bootstrap.block, config.seed)])
    direction = config.metrics[config.primary].direction
    known = predict(model, rows, classes)
    before = [goodness(direction, measure(truth[draw], known.take(draw))) for draw in draws]
    chance = np.random.default_rng(config.seed)
    entries = []
    for name in names:
        shuffled = np.stack([chance.permutation(draw) for draw in draws])
        tried = rows.iloc[draws.ravel()].reset_index(drop=True)
        tried[name] = rows[name].iloc[shuffled.ravel()].reset_index(drop=True)
        predictions = predict(model, tried, classes)
        losses = [before[turn] - _good(predictions, truth[draw], turn, direction, measure) for turn, draw in enumerate(draws)]
        entries.append({"input": str(name), **_interval(np.array(losses))})
    return sorted(entries, key=lambda item: -item["loss"])


def _good(predictions: Predictions, truth: np.ndarray, turn: int, direction: str, measure: Measure) -> float:
    size = len(truth)
    return goodness(direction, measure(truth, predictions.take(np.arange(turn * size, (turn + 1) * size))))


def _interval(losses: np.ndarray) -> dict[str, float]:
    losses = losses[np.isfinite(losses)]
    if len(losses) < 2:
        return {"loss": 0.0, "low": 0.0, "high": 0.0}
    mean, spread = float(losses.mean()), float(losses.std(ddof=1)) * STUDENT
    return {"loss": mean, "low": mean - spread, "high": mean + spread}


def contributions(model: Any, rows: pd.DataFrame, target: str) -> dict[str, Any]:
    """Base, and mean and coefficient of each input, of a model that adds them up; empty for any other.

    Whether it does is tried on the rows: base + sum of coefficient × (value - mean) is what the model says, for a classifier
    of two classes the log-odds of the second. target: the word for what is added up.
    """
    import pandas as pd

    answer = getattr(model, "decision_function", None) if hasattr(model, "classes_") else getattr(model, "predict", None)
    numeric = all(pd.api.types.is_float_dtype(rows[name]) for name in rows) and not rows.isna().to_numpy().any()
    if answer is None or not numeric or rows.empty:
        return {}
    values = rows.to_numpy(dtype=float)
    mean, spread = values.mean(axis=0), np.where(values.std(axis=0) > 0, values.std(axis=0), 1.0)
    around = pd.DataFrame(mean + np.vstack([np.zeros(len(mean)), np.diag(spread)]), columns=rows.columns)
    try:
        steps, answers = np.asarray(answer(around), dtype=float), np.asarray(answer(rows), dtype=float)
    except (ValueError, TypeError):
        return {}
    if steps.ndim != 1:
        return {}
    slopes = (steps[1:] - steps[0]) / spread
    added = steps[0] + (values - mean) @ slopes
    if not np.allclose(added, answers, rtol=1e-8, atol=1e-8 * max(1.0, float(np.abs(answers).max()))):
        return {}
    inputs = {str(name): {"mean": float(mean[place]), "coefficient": float(slopes[place])} for place, name in enumerate(rows)}
    return {"of": target, "base": float(steps[0]), "inputs": inputs}


def table(entries: list[dict[str, Any]], metric: str) -> list[str]:
    """A Markdown table of the inputs, at most twenty; no lines where nothing is known."""
    if not entries:
        return []
    head = [f"| input | loss of {metric} | 95 % interval |", "|:--|--:|:--|"]
    lines = [
        f"| {item['input'].replace('|', chr(92) + '|')} | {item['loss']:z.4f} | {item['low']:z.4f} to {item['high']:z.4f} |"
        for item in entries[:20]
    ]
    return [*head, *lines]
