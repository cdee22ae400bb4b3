"""Stocks: nothing younger than five days is an input, the split leaves a gap, and an honest refusal is what comes out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlops import Project, load_use_case, train

from use_cases import stocks
from use_cases.stocks.features import HORIZON, INPUTS
from use_cases.stocks.rules import RULES, RandomPredictor
from use_cases.stocks.study import GAP, YEARS, interval, study

FOLDER = Path(__file__).parents[2] / "data/raw/stocks"
RAW = pd.concat([pd.read_csv(FOLDER / f"{name}.csv", parse_dates=["date"]) for name in ("shares", "index")])
INTERIM = stocks.load(RAW)
ROWS = stocks.features(INTERIM)
PARAMETERS = {"kind": "forest", "trees": 5, "leaf": 200}


def test_up_is_a_price_above_that_of_five_trading_days_before() -> None:
    ibm = INTERIM[INTERIM["symbol"] == "IBM"].set_index("date")["price"]
    asked = ROWS[ROWS["symbol"] == "IBM"].set_index("date")
    for date in asked.index[::300]:
        place = ibm.index.get_loc(date)
        assert asked.loc[date, "up"] == int(ibm.iloc[place] > ibm.iloc[place - HORIZON])
        assert asked.loc[date, "gain_20"] == ibm.iloc[place - HORIZON] / ibm.iloc[place - HORIZON - 20] - 1


def test_the_last_five_days_of_prices_change_no_input() -> None:
    last = INTERIM["date"].drop_duplicates().nlargest(HORIZON)
    other = INTERIM.assign(price=INTERIM["price"].where(~INTERIM["date"].isin(last), 1.0))
    pd.testing.assert_frame_equal(stocks.features(other)[INPUTS], ROWS[INPUTS])


def test_a_split_of_a_share_is_no_gain() -> None:
    days = RAW[(RAW["symbol"] == "AAPL") & (RAW["date"] >= "2005-02-25") & (RAW["date"] <= "2005-02-28")]
    assert days["close"].iloc[1] < 0.6 * days["close"].iloc[0]
    prices = INTERIM[(INTERIM["symbol"] == "AAPL") & INTERIM["date"].isin(days["date"])]["price"]
    assert abs(prices.iloc[1] / prices.iloc[0] - 1) < 0.05


def test_a_coin_gives_one_0_or_1_a_row_and_the_same_ones_for_a_seed() -> None:
    coin, rows = RandomPredictor(), ROWS[INPUTS].head(1000)
    tosses = coin.predict(None, rows)
    assert tosses.shape == (1000,) and set(tosses) == {0, 1} and abs(tosses.mean() - 0.5) < 0.06
    assert (coin.predict(None, rows) == tosses).all() and (coin.predict(None, rows, {"seed": 1}) != tosses).any()


def test_rules_look_at_the_past_alone() -> None:
    train_rows = pd.DataFrame({"up": [1, 1, 0]})
    rows = pd.DataFrame({"gain_5": [0.1, -0.1], "above_mean_50": [-0.1, 0.1]})
    assert {name: rule(train_rows, rows).tolist() for name, rule in RULES.items()} == {
        "always": [1, 1],
        "naive": [1, 0],
        "moving average": [0, 1],
    }
    assert stocks.baseline(train_rows, rows).tolist() == [1, 1]


def test_with_shuffled_directions_nothing_is_learnt() -> None:
    known, asked = ROWS[ROWS["date"] < "2010"], ROWS[ROWS["date"] > "2010-02"]
    shuffled = np.random.default_rng(3).permutation(known["up"])
    chance = stocks.build("forest", 20, 200, 1).fit(known[INPUTS], shuffled).predict_proba(asked[INPUTS])[:, 1]
    ranks, up = pd.Series(chance).rank().to_numpy(), (asked["up"] == 1).to_numpy()
    area = (ranks[up].mean() - (up.sum() + 1) / 2) / (~up).sum()
    assert area == pytest.approx(0.5, abs=0.04)


def test_the_study_trains_each_year_on_what_was_known_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[pd.Timestamp] = []
    monkeypatch.setitem(RULES, "always", lambda known, asked: seen.append(known["date"].max()) or np.ones(len(asked), int))
    half = ROWS["date"] < "2011"
    trials = list(study(ROWS[half], ROWS[~half], PARAMETERS, 1))
    assert len(trials) == 6 * len(YEARS)
    assert all(last < pd.Timestamp(year, 1, 1) - GAP for last, year in zip(seen, YEARS, strict=True))
    for trial in trials:
        metrics = trial["metrics"]
        assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]
    always = next(trial for trial in trials if trial["parameters"] == {"rule": "always", "year": 2012})
    year = ROWS[ROWS["date"].dt.year == 2012]
    assert always["metrics"]["days_up"] == len(year) and always["metrics"]["accuracy"] == year["up"].mean()


def test_intervals_hold_the_mean_of_dependent_days_nine_times_in_ten_or_more() -> None:
    chance, held = np.random.default_rng(0), 0
    for number in range(100):
        days = np.convolve(chance.normal(size=254), np.ones(5) / 5, "valid")
        low, high = interval(days, number)
        held += low <= 0 <= high
    assert held >= 88


def test_the_model_is_refused_as_expected_and_the_gap_is_kept(project: Project) -> None:
    use_case = load_use_case(project, "stocks")
    assert use_case.config.expect == "refused"
    candidate, _ = train(project, use_case)
    holdout, last = candidate.holdout(), pd.Timestamp(candidate.manifest["ranges"]["date"]["high"])
    assert holdout["date"].min() - last > pd.Timedelta(days=14)
    assert candidate.manifest["metrics"]["days_up"] == (holdout["__prediction__"] == 1).sum()
    assert not [item for item in candidate.manifest["checks"] if item["blocks"]]
