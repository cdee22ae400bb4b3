"""From the raw file to tidy rows, and what must hold of them. Rides are counted in thousands a day."""

import pandas as pd
from pandera.pandas import Check, Column, DataFrameSchema

from .features import HORIZON, LAGS

# Other stations' rides. The source gives them as they were 14 days before the row's date.
STATIONS = [
    "Austin",
    "Quincy_Wells",
    "Belmont",
    "Archer_35th",
    "Oak_Park",
    "Western",
    "Clinton",
    "Merchandise_Mart",
    "Washington_Wells",
    "Monroe",
    "Addison",
    "Jefferson_Park",
]
GAMES = ["Blackhawks_Home", "Bulls_Home", "Bears_Home"]
# Weather of the day itself: raw, and never an input, as nobody knows it 14 days ahead.
WEATHER = ["temp", "percip"]


def load(raw: pd.DataFrame) -> pd.DataFrame:
    """One row a day in order of time, columns named after what they hold; the day's own weather is left behind."""
    lagged = {station: f"{station.lower()}_lag_{HORIZON}" for station in STATIONS}
    games = {game: game.lower() for game in GAMES}
    names = {"date": "date", "ridership": "rides", **lagged, **games}
    rows = raw[list(names)].rename(columns=names).sort_values("date", ignore_index=True)
    return rows.astype({game: "float64" for game in games.values()})


def schema(stage: str) -> DataFrameSchema:
    """What holds of the rows of a stage."""
    rides = Column(float, Check.in_range(0, 60))
    date = Column("datetime64[ns]")
    yes_or_no = Column(float, Check.isin([0, 1]))
    if stage == "raw":
        stations = {name: rides for name in STATIONS}
        weather = {"temp": Column(float, Check.in_range(-40, 120)), "percip": Column(float, Check.ge(0))}
        return DataFrameSchema(
            {"date": date, "ridership": rides, **stations, **weather, **{name: yes_or_no for name in GAMES}}
        )
    stations = {f"{name.lower()}_lag_{HORIZON}": rides for name in STATIONS}
    games = {name.lower(): yes_or_no for name in GAMES}
    if stage == "interim":
        return DataFrameSchema({"date": date, "rides": rides, **stations, **games})
    lags = {f"rides_lag_{lag}": rides for lag in LAGS}
    means = {name: rides for name in ("rides_same_weekday", "rides_last_4_weeks")}
    calendar = {
        "day_of_week": Column(float, Check.in_range(0, 6)),
        "day_of_year": Column(float, Check.in_range(1, 366)),
        "year": Column(float, Check.in_range(1990, 2100)),
        **{name: yes_or_no for name in ("holiday", "holiday_neighbour", "holiday_at_lag")},
    }
    target = Column(float, Check.in_range(0, 60), title="rides (thousands)")  # the title stands beside the axes of plots
    return DataFrameSchema({"date": date, **lags, **means, **stations, **calendar, **games, "rides": target})
