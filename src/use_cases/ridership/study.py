"""Prophet, by dates alone, beside the model of this use case, fold after fold: which knows more?

`mlops study ridership` logs it; it needs the package prophet.
"""

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel
from pandas.tseries.holiday import USFederalHolidayCalendar

from .features import HORIZON
from .model import build

# Days: of the first fold, between two folds, ahead. The ones of Prophet's own example of cross validation.
INITIAL, PERIOD, AHEAD = 730, 180, 365
# RMSE is that of the days from the last bound, which is left out, to this one.
HORIZONS = (HORIZON, 30, 90, 180, AHEAD)
# How often the rides are to lie within the interval of a forecast.
WIDTH = 0.9
HOLIDAYS = USFederalHolidayCalendar().holidays(pd.Timestamp("1995-01-01"), pd.Timestamp("2040-12-31"))


class ProphetForecaster(PythonModel):
    """Takes `periods`, the days to look ahead; answers those that it has learnt from and those, in order of time."""

    requires = ("prophet",)

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.fitted = ""

    def fit(self, rows: pd.DataFrame) -> "ProphetForecaster":
        """Learn from the columns `date` and `rides`; what it has learnt is kept as text."""
        logging.getLogger("prophet.plot").setLevel(logging.CRITICAL)  # of plots that nobody asks it for
        from prophet import Prophet
        from prophet.serialize import model_to_json

        logging.getLogger("cmdstanpy").setLevel(logging.WARNING)
        holidays = pd.DataFrame({"holiday": "federal", "ds": HOLIDAYS})
        model = Prophet(interval_width=WIDTH, daily_seasonality=False, holidays=holidays)
        model.fit(rows[["date", "rides"]].set_axis(["ds", "y"], axis=1), seed=self.seed)
        self.fitted = model_to_json(model)
        return self

    def predict(self, context: object, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """A row a day: `date`, `forecast` and the interval from `low` to `high`, in thousands of rides."""
        from prophet.serialize import model_from_json

        model = model_from_json(self.fitted)
        np.random.seed(self.seed)  # it draws the intervals from numpy's global generator
        days = model.predict(model.make_future_dataframe(int(model_input["periods"].iloc[0])))
        names = {"ds": "date", "yhat": "forecast", "yhat_lower": "low", "yhat_upper": "high"}
        return days[list(names)].rename(columns=names)


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
