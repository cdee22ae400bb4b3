"""The inputs of the model: all that is known 14 days before the day that is predicted."""

import pandas as pd
from pandas.tseries.holiday import USFederalHolidayCalendar

# Days between the forecast and the day it is for: nothing younger may be an input.
HORIZON = 14
LAGS = [14, 21, 28, 35, 42, 364, 371]


def features(rows: pd.DataFrame) -> pd.DataFrame:
    """Lags, means and calendar of each day; the first year has no complete lags and is left out."""
    rides = rows.set_index("date")["rides"]
    days = pd.DatetimeIndex(rides.index)
    inputs = pd.DataFrame({f"rides_lag_{lag}": rides.shift(lag, freq="D").reindex(days) for lag in LAGS})
    inputs["rides_same_weekday"] = inputs[[f"rides_lag_{lag}" for lag in (14, 21, 28, 35)]].mean(axis=1)
    inputs["rides_last_4_weeks"] = rides.rolling("28D").mean().shift(HORIZON, freq="D").reindex(days)
    known = rows.set_index("date").drop(columns="rides")
    processed = inputs.join(calendar(days)).join(known).assign(rides=rides)
    complete = processed.dropna(subset=inputs.columns.tolist())
    ordered = [*inputs, *known.filter(like="_lag_"), *calendar(days[:0]), *known.filter(like="_home"), "rides"]
    return complete[ordered].reset_index()


def calendar(days: pd.DatetimeIndex) -> pd.DataFrame:
    """What the calendar says of each day: weekday from 0 for Monday, day of the year, United States federal holidays."""
    first, last = (days.min(), days.max()) if len(days) else (pd.Timestamp("2000-01-01"),) * 2
    around = pd.Timedelta(days=HORIZON + 1)
    holidays = USFederalHolidayCalendar().holidays(first - around, last + around)
    day = pd.Timedelta(days=1)
    return pd.DataFrame(
        {
            "day_of_week": days.dayofweek.astype("float64"),
            "day_of_year": days.dayofyear.astype("float64"),
            "year": days.year.astype("float64"),
            "holiday": days.isin(holidays).astype("float64"),
            "holiday_neighbour": ((days - day).isin(holidays) | (days + day).isin(holidays)).astype("float64"),
            "holiday_at_lag": (days - HORIZON * day).isin(holidays).astype("float64"),
        },
        index=days,
    )
