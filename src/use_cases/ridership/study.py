"""Prophet beside the model of this use case, fold after fold: which knows more? `mlops study ridership` logs it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from .features import HORIZON
from .forecast import ProphetForecaster
from .model import build

# Days: of the first fold, between two folds, ahead. The ones of Prophet's own example of cross validation.
INITIAL, PERIOD, AHEAD = 730, 180, 365
# RMSE is that of the days from the last bound, which is left out, to this one.
HORIZONS = (HORIZON, 30, 90, 180, AHEAD)


def study(training: pd.DataFrame, holdout: pd.DataFrame, parameters: dict[str, Any], seed: int) -> Iterator[dict[str, Any]]:
    """RMSE of Prophet by horizon, with the coverage of its intervals, and of model and baseline on the first 14 days."""
    rows = pd.concat([training, holdout]).sort_values("date", ignore_index=True)
    forecasts, last = forecast(rows, parameters, seed)
    example = pd.DataFrame({"periods": [HORIZON]})
    for before, horizon in zip((0, *HORIZONS), HORIZONS):
        part = forecasts[(forecasts["ahead"] > before) & (forecasts["ahead"] <= horizon)]
        kept = {"model": last, "example": example} if horizon == AHEAD else {}
        metrics = {"rmse": _rmse(part, "prophet"), "coverage": float(part["rides"].between(part["low"], part["high"]).mean())}
        yield _trial("prophet", horizon, metrics, part, **kept)
    first = forecasts[forecasts["ahead"] <= HORIZON]
    for name in ("boosting", "same_weekday"):
        yield _trial(name, HORIZON, {"rmse": _rmse(first, name)}, first)


def cutoffs(days: pd.Series) -> list[pd.Timestamp]:
    """The last day of each fold, by Prophet's rule: back from the end, as long as `INITIAL` days lie before."""
    last, first = days.max() - pd.Timedelta(days=AHEAD), days.min() + pd.Timedelta(days=INITIAL)
    return list(pd.date_range(last, first, freq=f"-{PERIOD}D"))[::-1]


def forecast(rows: pd.DataFrame, parameters: dict[str, Any], seed: int) -> tuple[pd.DataFrame, ProphetForecaster]:
    """A row a fold and day ahead with what was and what each predicted, and Prophet of the last fold.

    What learns has the days up to the fold's cutoff. The model of this use case predicts 14 days ahead, the inputs of which
    are known at the cutoff.
    """
    parts, model = list[pd.DataFrame](), ProphetForecaster(seed)
    inputs = [name for name in rows if name not in ("date", "rides")]
    for cutoff in cutoffs(rows["date"]):
        ahead = (rows["date"] - cutoff).dt.days
        known, asked, near = rows[ahead <= 0], rows[ahead.between(1, AHEAD)], rows[ahead.between(1, HORIZON)]
        model = ProphetForecaster(seed).fit(known)
        # The split leaves days out, so that the last known day may lie before the cutoff.
        periods = AHEAD + (cutoff - known["date"].max()).days
        days = model.predict(None, pd.DataFrame({"periods": [periods]})).rename(columns={"forecast": "prophet"})
        part = asked[["date", "rides"]].merge(days, on="date").assign(cutoff=cutoff)
        boosting = build(**parameters, seed=seed).fit(known[inputs], known["rides"]).predict(near[inputs])
        simple = near[f"rides_lag_{HORIZON}"].to_numpy()
        beside = pd.DataFrame({"date": near["date"], "boosting": boosting, "same_weekday": simple})
        parts.append(part.merge(beside, on="date", how="left"))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(ahead=(table["date"] - table["cutoff"]).dt.days), model


def _rmse(rows: pd.DataFrame, name: str) -> float:
    return float(np.sqrt(np.mean((rows["rides"] - rows[name]) ** 2)))


def _trial(name: str, horizon: int, metrics: dict[str, float], rows: pd.DataFrame, **kept: Any) -> dict[str, Any]:
    return {"parameters": {"model": name, "days ahead": horizon}, "metrics": metrics, "rows": rows, **kept}
