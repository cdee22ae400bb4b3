"""Prophet's forecast of the rides, by dates alone: a model that MLflow keeps as pyfunc. It needs the package prophet."""

import logging
from typing import Any

import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel
from pandas.tseries.holiday import USFederalHolidayCalendar

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
