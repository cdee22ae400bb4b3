"""What the training rows hold: ranges of numbers and times, values of texts, and which rows go beyond them."""

import pandas as pd

from mlops.training.ranges import MOST, outside, ranges_of

ROWS = pd.DataFrame(
    {
        "size": [1.5, None, 3.0],
        "count": [1, 2, 3],
        "day": pd.to_datetime(["2024-01-01", "2024-03-01", "2024-02-01"]),
        "kind": ["b", "a", None],
        "open": [True, False, True],
        "empty": [None, None, None],
    }
)


def test_each_kind_of_column_is_described_in_its_own_way() -> None:
    assert ranges_of(ROWS) == {
        "size": {"missing": 1, "low": 1.5, "high": 3.0},
        "count": {"missing": 0, "low": 1.0, "high": 3.0},
        "day": {"missing": 0, "low": "2024-01-01T00:00:00", "high": "2024-03-01T00:00:00"},
        "kind": {"missing": 1, "values": ["a", "b"]},
        "open": {"missing": 0, "values": ["False", "True"]},
        "empty": {"missing": 3},
    }


def test_a_text_of_many_values_is_counted_and_personal_columns_are_left_out() -> None:
    rows = pd.DataFrame({"name": [f"n{index}" for index in range(MOST + 1)], "mail": "a@b.c"})
    assert ranges_of(rows, ("mail",)) == {"name": {"missing": 0, "distinct": MOST + 1}}


def test_rows_beyond_the_ranges_are_counted_and_missing_values_are_not() -> None:
    later = pd.DataFrame(
        {
            "size": [1.4, None, 2.0],
            "count": [3, 4, 5],
            "day": pd.to_datetime(["2024-03-01", "2024-03-02", "2023-01-01"]),
            "kind": ["c", None, "a"],
            "open": [True, False, False],
            "empty": ["x", None, None],
            "new": [1, 2, 3],
        }
    )
    assert outside(later, ranges_of(ROWS)) == {"size": 1, "count": 2, "day": 2, "kind": 1}
    assert outside(ROWS, ranges_of(ROWS)) == {}
