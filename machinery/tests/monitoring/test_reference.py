"""The reference profile: small, the same for the same rows, and exact enough."""

import json

import numpy as np
import pandas as pd
import pytest
import traffic
from hypothesis import given
from hypothesis import strategies as st

from mlops.training import reference


def test_the_same_rows_give_the_same_profile_in_any_order() -> None:
    rows = traffic.rows(1000, 3)
    one, two = (
        reference.profile(each[traffic.COLUMNS], traffic.predictions(each), False) for each in (rows, rows.sample(frac=1))
    )
    for profile in (one, two):  # the last digit of a mean hangs on the order of the sum
        for column in (*profile["features"].values(), profile["outputs"]):
            for key in ("mean", "deviation"):
                column.update({key: pytest.approx(column[key])} if key in column else {})
    assert one == two


def test_a_profile_of_many_rows_is_small() -> None:
    rows = traffic.rows(50_000, 3)
    assert len(json.dumps(reference.profile(rows[traffic.COLUMNS], traffic.predictions(rows), False))) < 30_000


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=1500))
def test_shares_are_off_by_no_more_than_one_point(values: list[float]) -> None:
    column = reference.of_column(pd.Series(values + [0.1] * 0, dtype=float))
    if column["kind"] == "category":
        assert sum(column["counts"].values()) == len(values)
        return
    kept, ordered = np.array(column["values"]), np.sort(values)
    assert (column["lowest"], column["highest"]) == (ordered[0], ordered[-1])
    for at in np.quantile(ordered, [0.1, 0.5, 0.9], method="inverted_cdf"):
        exact = np.mean(ordered <= at)
        assert abs(np.mean(kept <= at) - exact) <= 1 / reference.POINTS + 1e-9


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.0, 1.0] * 50, "category"),
        (list(range(7)) * 30, "category"),
        (list(range(100)), "number"),
        ([True, False] * 3, "category"),
        (["a", "b", None], "category"),
        (pd.date_range("2026-01-01", periods=50), "number"),
        ([np.nan] * 5, "number"),
    ],
)
def test_few_values_that_come_again_are_categories(values: list, kind: str) -> None:
    assert reference.of_column(pd.Series(values))["kind"] == kind


@pytest.mark.parametrize(("value", "name"), [(1, "1"), (1.0, "1"), (True, "1"), (0.5, "0.5"), ("x", "x"), (np.int64(3), "3")])
def test_a_category_has_one_name_however_it_is_written(value: object, name: str) -> None:
    assert reference.as_category(value) == name


def test_rare_categories_are_counted_together() -> None:
    column = reference.of_column(pd.Series([f"c{index:04}" for index in range(300)] + ["often"] * 5))
    assert (len(column["counts"]), column["rarer"], next(iter(column["counts"]))) == (200, 101, "often")
