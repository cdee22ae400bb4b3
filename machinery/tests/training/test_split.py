"""The split: what it holds out, and that nothing of the holdout can be seen in training."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.config import Split
from mlops.errors import DataError
from mlops.training.split import split

names = st.lists(st.text(max_size=8), min_size=60, max_size=120, unique=True)


def frame(keys: list[str]) -> pd.DataFrame:
    size = len(keys)
    groups = [f"g{index % 17}" for index in range(size)]
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(size), unit="D")
    return pd.DataFrame(
        {"key": keys, "group": groups, "day": days, "class": ["a", "b", "c"] * (size // 3) + ["a"] * (size % 3)}
    )


def sides(rows: pd.DataFrame, rule: Split) -> tuple[set[str], set[str]]:
    """The keys of the training rows and of the holdout rows."""
    train, holdout = split(rows, rule, ["key"], "class")
    return set(train["key"]), set(holdout["key"])


@settings(deadline=None, max_examples=40)
@given(names, st.integers(1, 50), st.randoms())
def test_hash_keeps_each_row_on_its_side_when_data_grow_shrink_or_change_order(keys, fewer, random):
    rule = Split(method="hash", holdout=0.4)
    train, holdout = sides(frame(keys), rule)
    shuffled = keys[:-fewer] + ["a new key", "another one"]
    random.shuffle(shuffled)
    known = set(shuffled) & set(keys)
    if len(shuffled) < 20:
        return
    again = sides(frame(shuffled), rule)
    assert again[0] & known == train & known
    assert again[1] & known == holdout & known


RULES = [
    Split(method="hash", holdout=0.4),
    Split(method="group", holdout=0.4, column="group"),
    Split(method="stratified", holdout=0.4),
    Split(method="time", holdout=20, column="day", gap=7),
]


@settings(deadline=None, max_examples=40)
@given(names, st.sampled_from(RULES))
def test_no_row_is_on_both_sides_or_lost(keys, rule):
    rows = frame(keys)
    train, holdout = sides(rows, rule)
    assert train and holdout and not train & holdout
    if rule.method != "time":
        assert train | holdout == set(keys)


@settings(deadline=None, max_examples=40)
@given(names)
def test_group_is_never_on_both_sides(keys):
    train, holdout = split(frame(keys), RULES[1], ["key"], "class")
    assert not set(train["group"]) & set(holdout["group"])


@settings(deadline=None, max_examples=40)
@given(st.integers(40, 200), st.integers(1, 20), st.integers(0, 10), st.randoms())
def test_no_training_row_lies_within_the_gap_or_after_it(size, days, gap, random):
    rows = frame([str(index) for index in range(size)]).sample(frac=1, random_state=random.randrange(99))
    train, holdout = split(rows, Split(method="time", holdout=days, column="day", gap=gap), ["key"], "class")
    assert holdout["day"].max() == rows["day"].max()
    assert len(holdout) == days
    assert (holdout["day"].min() - train["day"].max()).days == gap + 1


@settings(deadline=None, max_examples=40)
@given(names)
def test_stratified_has_each_class_on_both_sides_and_is_repeatable(keys):
    rows = frame(keys)
    rows.loc[:1, "class"] = "rare"
    train, holdout = split(rows, RULES[2], ["key"], "class")
    assert set(train["class"]) == set(holdout["class"]) == set(rows["class"])
    assert sides(rows, RULES[2]) == sides(rows, RULES[2])


def test_stratified_keeps_each_row_on_its_side_when_data_grow_and_holds_out_the_share_of_each_class():
    rows = frame([str(index) for index in range(30_000)])
    train, holdout = sides(rows, RULES[2])
    for name, size in rows["class"].value_counts().items():
        assert abs((rows[rows["key"].isin(holdout)]["class"] == name).sum() / size - 0.4) < 0.02
    for fewer in (120, 3000, 20_000):
        earlier = sides(rows.head(fewer).sample(frac=1, random_state=1), RULES[2])
        assert earlier[0] <= train and earlier[1] <= holdout


def test_hash_holds_out_the_share_that_is_asked_for():
    _, holdout = sides(frame([str(index) for index in range(20_000)]), Split(method="hash", holdout=0.3))
    assert abs(len(holdout) / 20_000 - 0.3) < 0.01


def test_parts_of_a_key_are_distinguished():
    """("1", "23") is another key than ("12", "3"), though they read alike one after the other."""
    numbers = [str(index) for index in range(100, 200)]
    rows = pd.DataFrame({"a": ["1"] * 100 + [f"1{n}" for n in numbers], "b": [f"{n}3" for n in numbers] + ["3"] * 100})
    _, holdout = split(rows, RULES[0], ["a", "b"], "b")
    short, long = (holdout["a"] == "1").sum(), (holdout["a"] != "1").sum()
    joined = set((holdout["a"] + holdout["b"]))
    assert len(joined) > max(short, long), "keys that read alike always fell on the same side"


@pytest.mark.parametrize("rule", [Split(method="hash", holdout=1e-9), Split(method="hash", holdout=0.999999)])
def test_side_without_rows_is_refused(rule):
    with pytest.raises(DataError, match="training and .* holdout rows of 60; change split.holdout"):
        split(frame([str(index) for index in range(60)]), rule, ["key"], "class")


def test_holdout_longer_than_the_data_is_refused():
    with pytest.raises(DataError, match="split time: 0 training and 60 holdout rows of 60"):
        split(frame([str(index) for index in range(60)]), Split(method="time", holdout=90, column="day"), ["key"], "class")


def test_column_that_is_not_there_is_named():
    with pytest.raises(DataError, match="the split's column when is not in the processed data; there are: key, group"):
        split(frame(["a", "b"]), Split(method="group", holdout=0.5, column="when"), ["key"], "class")


def test_column_that_holds_no_times_cannot_split_by_time():
    with pytest.raises(DataError, match="column key holds object, not times"):
        split(frame(["a", "b"]), Split(method="time", holdout=1, column="key"), ["key"], "class")


def test_class_with_one_row_cannot_be_stratified():
    rows = frame([str(index) for index in range(60)])
    rows.loc[0, "class"] = "rare"
    with pytest.raises(DataError, match="split stratified: .*change split"):
        split(rows, RULES[2], ["key"], "class")
