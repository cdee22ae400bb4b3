"""What changed is said in words that a person uses, with the rows in which alone it changed."""

import numpy as np
import pandas as pd
import pytest
import traffic

from mlops.config.operations import Monitor
from mlops.monitoring import drift, words
from mlops.monitoring.log import TIME


@pytest.fixture(scope="module")
def profile() -> dict:
    """What the made-up training rows look like."""
    return traffic.profile()


def described(profile: dict, rows: pd.DataFrame, plain: pd.DataFrame) -> dict[str, drift.Finding]:
    table = traffic.logged(rows, traffic.predictions(plain))
    if TIME in rows:
        table[TIME] = rows[TIME].to_numpy()
    findings = drift.check(profile, table, Monitor())
    return {item.name: item for item in words.described(findings, profile, table, Monitor())}


CHANGES = {
    "the median rose from 69.67 to 84": ("weight", lambda rows: rows["weight"] + 15),
    "the middle half spans": ("weight", lambda rows: 70 + (rows["weight"] - 70) * 3),
    "every value is 70": ("weight", lambda rows: 70.0),
    "lie above all that was seen in training": ("income", lambda rows: rows["income"] * 1000),
    "33% have no value, 0% had none": ("weight", lambda rows: rows["weight"].where(np.arange(len(rows)) % 3 > 0)),
    "33% are no number": ("weight", lambda rows: rows["weight"].astype(object).where(np.arange(len(rows)) % 3 > 0, "n/a")),
    "'mauve' was never seen and is": ("colour", lambda rows: rows["colour"].replace("grey", "mauve")),
    "'blue' rose from 1": ("colour", lambda rows: rows["colour"].mask(np.arange(len(rows)) % 2 == 0, "blue")),
}


@pytest.mark.parametrize("text", CHANGES)
def test_a_change_is_reported(profile: dict, text: str) -> None:
    column, change = CHANGES[text]
    plain = traffic.rows(600, 5)
    finding = described(profile, plain.assign(**{column: change(plain)}), plain)[column]
    assert finding.verdict == "drift" and text in finding.words, finding.words
    assert finding.where == ""


def test_a_large_number_is_written_out() -> None:
    known, now = pd.Series([14_000.0, 15_000, 16_800]), pd.Series([16_800.0, 18_250, 20_000])
    before = {"values": known, "highest": 16_800, "lowest": 14_000}
    assert words.change_of_numbers(before, now)[0] == "the median rose from 15000 to 18250"
    assert [words.short(value) for value in (0.00012345, 69.666, -1234567.0, 1e20)] == [
        "0.0001234",
        "69.67",
        "-1235000",
        "1e+20",
    ]


def test_the_slice_in_which_alone_a_column_changed_is_named(profile: dict) -> None:
    plain = traffic.rows(1200, 5)
    members = plain.assign(weight=plain["weight"] + np.where(plain["member"], 25, 0))
    assert described(profile, members, plain)["weight"].where.startswith("where member is 1 (")
    times = pd.date_range("2026-05-01", periods=1200, freq="5min", tz="UTC")
    later = plain.assign(**{TIME: times, "weight": plain["weight"] + np.where(times >= "2026-05-03", 15, 0)})
    assert described(profile, later, plain)["weight"].where.startswith("since 2026-05-03 (")


def test_rows_without_drift_get_no_words(profile: dict) -> None:
    plain = traffic.rows(600, 5)
    assert {item.words + item.where for item in described(profile, plain, plain).values()} == {""}


def test_faults_of_rows_are_counted_once_a_row_and_name_their_columns(profile: dict) -> None:
    rows = traffic.rows(100, 5)
    rows.loc[:9, "weight"], rows.loc[5:14, "weekday"], rows.loc[:2, "colour"] = None, None, "mauve"
    rows.loc[20:21, "weight"] = 1e6
    faults = {item.fault: item for item in words.row_faults(profile, traffic.logged(rows))}
    assert (faults["missing"].rows, faults["missing"].columns) == (15, ("weekday", "weight"))
    assert (faults["unseen category"].rows, faults["unseen category"].columns) == (3, ("colour",))
    assert faults["out of range"].rows >= 2 and faults["out of range"].columns[0] == "weight"
    # The training rows lack an income now and then, which is no fault.
    assert "income" not in faults["missing"].columns
