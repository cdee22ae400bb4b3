"""Rules and models, each trained on what lay before a year and judged on it, year after year: `mlops study stocks` logs it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from .features import INPUTS
from .model import build, evaluate
from .rules import RULES, RandomPredictor

YEARS = range(2007, 2013)
# Calendar days between training rows and the year: a label takes five trading days to be known.
GAP = pd.Timedelta(days=14)
RESAMPLES, BLOCK = 300, 10


def study(training: pd.DataFrame, holdout: pd.DataFrame, parameters: dict[str, Any], seed: int) -> Iterator[dict[str, Any]]:
    """Of each rule and year the accuracy with its 95 % interval, and how many days it predicts to be up."""
    rows = pd.concat([training, holdout]).sort_values(["date", "symbol"], ignore_index=True)
    for year in YEARS:
        first = pd.Timestamp(year=year, month=1, day=1)
        known, asked = rows[rows["date"] < first - GAP], rows[rows["date"].dt.year == year]
        coin = RandomPredictor(seed)
        yield _trial("random", year, asked, coin.predict(None, asked[INPUTS]), seed, coin)
        for name, rule in RULES.items():
            yield _trial(name, year, asked, rule(known, asked), seed)
        for kind in ("logistic", "forest"):
            model = build(**{**parameters, "kind": kind}, seed=seed).fit(known[INPUTS], known["up"])
            yield _trial(kind, year, asked, model.predict(asked[INPUTS]), seed, model)


def _trial(name: str, year: int, rows: pd.DataFrame, predictions: np.ndarray, seed: int, model: Any = None) -> dict[str, Any]:
    right = pd.Series(predictions == rows["up"].to_numpy(), index=rows["date"]).groupby(level=0).mean()
    low, high = interval(right.to_numpy(), seed)
    metrics = {"accuracy": float(np.mean(predictions == rows["up"])), "accuracy_low": low, "accuracy_high": high}
    days = evaluate(rows["up"].to_numpy(), predictions)
    example = rows[INPUTS].head(3)
    return {"parameters": {"rule": name, "year": year}, "metrics": {**metrics, **days}, "model": model, "example": example}


def interval(days: np.ndarray, seed: int) -> tuple[float, float]:
    """The 95 % interval of a mean over days; neighbouring ones are drawn together, as their labels overlap (Künsch 1989)."""
    chance = np.random.default_rng(seed)
    count = -(-len(days) // BLOCK)
    starts = chance.integers(0, len(days) - BLOCK + 1, (RESAMPLES, count))
    drawn = days[(starts[:, :, None] + np.arange(BLOCK)).reshape(RESAMPLES, -1)[:, : len(days)]]
    low, high = np.quantile(drawn.mean(axis=1), [0.025, 0.975])
    return float(low), float(high)
