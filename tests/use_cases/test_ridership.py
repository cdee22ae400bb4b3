"""Ridership: nothing that is younger than the forecast is an input, and the baseline is what it says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from use_cases import ridership
from use_cases.ridership.data import WEATHER
from use_cases.ridership.features import HORIZON, LAGS

RAW = Path(__file__).parents[2] / "data/raw/ridership/ridership.csv"
ROWS = ridership.load(pd.read_csv(RAW, parse_dates=["date"]).head(500))
FEATURES = ridership.features(ROWS)


@settings(deadline=None, max_examples=25)
@given(st.integers(380, 499), st.integers(0, 99))
def test_features_of_a_day_do_not_know_what_comes_after_it(day, seed):
    """Whatever is done to rides from a day on, nothing changes in the inputs until 14 days later."""
    first = ROWS["date"].iloc[day]
    changed = ROWS.copy()
    changed.loc[day:, "rides"] = np.random.default_rng(seed).uniform(0, 50, len(ROWS) - day)
    known = ["rides"]
    until = FEATURES["date"] < first + pd.Timedelta(days=HORIZON)
    after = ridership.features(changed)
    pd.testing.assert_frame_equal(after[until].drop(columns=known), FEATURES[until].drop(columns=known))


def test_a_change_of_rides_is_seen_fourteen_days_later_and_no_earlier():
    changed = ROWS.copy()
    changed.loc[400, "rides"] += 10
    after = ridership.features(changed)
    columns = [name for name in FEATURES if name not in ("rides", "date")]
    differs = FEATURES["date"][(after[columns] != FEATURES[columns]).any(axis=1)]
    assert differs.min() == ROWS["date"][400] + pd.Timedelta(days=14)


def test_features_do_not_depend_on_the_rows_that_follow():
    pd.testing.assert_frame_equal(ridership.features(ROWS.head(450)), FEATURES[FEATURES["date"] <= ROWS["date"][449]])


def test_lags_are_what_they_are_called():
    rides = ROWS.set_index("date")["rides"]
    for lag in LAGS:
        assert lag >= HORIZON == 14
        earlier = rides.reindex(FEATURES["date"] - pd.Timedelta(days=lag)).to_numpy()
        np.testing.assert_array_equal(FEATURES[f"rides_lag_{lag}"], earlier)
    mean = [rides[day - pd.Timedelta(days=41) : day - pd.Timedelta(days=14)].mean() for day in FEATURES["date"]]
    np.testing.assert_allclose(FEATURES["rides_last_4_weeks"], mean, rtol=1e-9)


def test_lag_counts_days_and_not_rows_where_days_are_missing():
    gone = ROWS.drop(index=range(390, 400)).reset_index(drop=True)
    lags = ridership.features(gone)
    assert len(lags) < len(FEATURES)
    same = FEATURES[FEATURES["date"].isin(lags["date"])].reset_index(drop=True)
    pd.testing.assert_series_equal(lags["rides_lag_14"], same["rides_lag_14"])


def test_the_days_own_weather_is_never_an_input():
    assert set(WEATHER) <= set(ridership.schema("raw").columns)
    assert not {*WEATHER, "ridership"} & {*ROWS, *FEATURES}


def test_other_stations_rides_are_those_of_fourteen_days_before():
    """The source gives them so: they follow this station's own rides of that time, not of the day."""
    monroe, rides = FEATURES["monroe_lag_14"], FEATURES["rides"]
    usual = FEATURES.groupby("day_of_week")
    left = monroe - usual["monroe_lag_14"].transform("mean")
    then = FEATURES["rides_lag_14"] - usual["rides_lag_14"].transform("mean")
    assert left.corr(then) > 0.8 > 0.5 > left.corr(rides - usual["rides"].transform("mean"))


def test_baseline_is_the_same_weekday_fourteen_days_before():
    rides = ROWS.set_index("date")["rides"]
    holdout = FEATURES.tail(30)
    expected = rides[holdout["date"] - pd.Timedelta(days=14)].to_numpy()
    np.testing.assert_array_equal(ridership.baseline(FEATURES.head(50), holdout), expected)


@pytest.mark.parametrize("day, name", [("2001-12-25", "holiday"), ("2002-01-02", "holiday_neighbour")])
def test_holidays_are_in_the_calendar(day, name):
    from use_cases.ridership.features import calendar

    assert calendar(pd.DatetimeIndex([day]))[name].tolist() == [1.0]
