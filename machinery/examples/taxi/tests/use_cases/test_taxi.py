"""Taxi: no label is learnt from, bits add up to the ride's, and what is rare among its kind is on top with its reason."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from use_cases import taxi
from use_cases.taxi.data import INPUTS
from use_cases.taxi.reasons import ranked

FOLDER = Path(__file__).parents[2] / "data/raw/taxi"
RAW = pd.concat([pd.read_csv(FOLDER / name) for name in ("rides.csv", "planted.csv")], ignore_index=True)
ROWS = taxi.features(taxi.load(RAW))
MODEL = taxi.build(smoothing=1.0, seed=3).fit(ROWS[INPUTS], ROWS["unusual"])


def test_the_script_beside_the_data_writes_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "create", raising=False)
    from create import create

    assert create().to_csv(index=False, lineterminator="\n") == (FOLDER / "planted.csv").read_text(encoding="utf-8")


def test_a_planted_ride_is_a_real_one_with_one_fact_changed() -> None:
    real, facts = RAW[RAW["planted"] == "real"], ["distance", "company", "local", "tip", "dow", "month", "hour"]
    for kind, fact in (("local_and_far", "local"), ("ten_times", "distance"), ("far_at_night", "hour")):
        planted, others = RAW[RAW["planted"] == kind], [name for name in facts if name != fact]
        assert len(planted) == 40
        assert len(planted.merge(real[others].drop_duplicates(), on=others)) == 40


def test_it_learns_from_no_label() -> None:
    shuffled = ROWS["unusual"].sample(frac=1, random_state=1).to_numpy()
    other = taxi.build(smoothing=1.0, seed=3).fit(ROWS[INPUTS], shuffled)
    np.testing.assert_array_equal(other.predict_proba(ROWS[INPUTS]), MODEL.predict_proba(ROWS[INPUTS]))


def test_probability_is_the_share_of_less_surprising_rides() -> None:
    total = MODEL.bits(ROWS[INPUTS]).sum(axis=1).to_numpy()
    share = MODEL.predict_proba(ROWS[INPUTS])[:, 1]
    for place in (0, 17, 4000):
        assert share[place] == (total < total[place]).mean()


def test_a_long_ride_that_ends_where_it_began_is_unusual_by_its_distance() -> None:
    ride = pd.DataFrame({"ride": [1], "distance": [35.0], "hour": [15.0], "local": ["yes"], "day": ["Thu"]})
    (row,) = ranked(MODEL, ride, ROWS).to_dict("records")
    assert MODEL.predict_proba(ride[INPUTS])[0, 1] > 0.99
    assert row["reasons"].startswith("35.0 miles (") and "local rides" in row["reasons"] and "hour" not in row["reasons"]


def test_reasons_are_the_facts_with_at_least_a_bit_the_largest_first() -> None:
    listed = ranked(MODEL, ROWS, ROWS, top=50)
    assert (listed["bits"].diff().dropna() <= 0).all()
    for reasons in listed["reasons"]:
        bits = [float(part.rsplit(", ", 1)[1].removesuffix(" bits")) for part in reasons.split("; ")]
        assert bits == sorted(bits, reverse=True) and min(bits) >= 1


def test_a_day_that_is_none_is_the_most_surprising_one() -> None:
    rides = ROWS[INPUTS].head(8).assign(day=["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Someday"])
    assert MODEL.bits(rides)["day"].idxmax() == rides.index[-1]
