"""Tuning splits as the gate does: no group on both sides, nothing later fitted on, the gap in days left out."""

import numpy as np
import pandas as pd
import pytest

from mlops.config import Split
from mlops.errors import DataError
from mlops.training.folds import folds

SHUFFLED = np.random.default_rng(0).permutation(400)
ROWS = pd.DataFrame(
    {
        "day": (pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(400) // 4, unit="D"))[SHUFFLED],
        "group": (np.arange(400) // 10)[SHUFFLED],
        "label": np.where(np.arange(400) % 4 == 0, "a", "b"),
    }
)


def test_by_time_what_is_judged_is_later_by_more_than_the_gap_in_days() -> None:
    parts = list(folds(ROWS, Split(method="time", column="day", holdout=5, gap=7), None, 4, 0))
    assert len(parts) == 4
    for fitted, judged in parts:
        apart = ROWS["day"].iloc[judged].min() - ROWS["day"].iloc[fitted].max()
        assert apart > pd.Timedelta(days=7)
    together = pd.concat([ROWS["day"].iloc[judged] for _, judged in parts])
    assert not together.index.duplicated().any() and len(together) == 320


def test_a_group_is_on_one_side() -> None:
    parts = list(folds(ROWS, Split(method="group", column="group", holdout=0.2), "label", 4, 0))
    assert sorted(np.concatenate([judged for _, judged in parts])) == list(range(400))
    for fitted, judged in parts:
        assert not set(ROWS["group"].iloc[fitted]) & set(ROWS["group"].iloc[judged])


def test_classes_keep_their_share() -> None:
    for _, judged in folds(ROWS, Split(method="hash", holdout=0.2), "label", 4, 0):
        assert (ROWS["label"].iloc[judged] == "a").mean() == 0.25


@pytest.mark.parametrize(
    "rule", [Split(method="time", column="day", holdout=5, gap=500), Split(method="group", column="label", holdout=0.2)]
)
def test_too_few_times_or_groups_are_one_line(rule: Split) -> None:
    with pytest.raises(DataError, match="lower tune.folds"):
        list(folds(ROWS, rule, None, 4, 0))
