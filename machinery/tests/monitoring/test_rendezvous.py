"""A shadow's answers beside those of the version that answered: how often they differ, and which would have been better."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from command import mlops
from scipy.stats import binomtest

from mlops.config import Project
from mlops.deploy import shadow
from mlops.deploy.shadow import Pair
from mlops.monitoring import log, rendezvous
from mlops.monitoring.labels import Labels
from mlops.monitoring.log import PREDICTION, REQUEST, ROW
from mlops.use_case import load_use_case

INPUTS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
ROWS = 300


def wrong(species: pd.Series, every: int) -> list[str]:
    """The species, each so-manieth of them another one."""
    return [
        ("setosa" if name != "setosa" else "virginica") if place % every == 0 else name for place, name in enumerate(species)
    ]


@pytest.fixture
def check(registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path], tmp_path: Path) -> Callable[..., dict]:
    """Monitor a log beside which lies a shadow's; returns the report. Of so many rows the outcome is known."""
    rows = flowers.sample(ROWS, replace=True, random_state=0, ignore_index=True)
    log = answer(rows)

    def run(active: list[str], other: list[str], labelled: int = ROWS) -> dict:
        now = datetime.now(UTC) - timedelta(hours=1)
        records = [
            {"time": now.isoformat(), "version": "1.0.0", "request": f"q-{place}", "row": 0, "inputs": row, "prediction": "x"}
            for place, row in enumerate(rows[INPUTS].to_dict("records"))
        ]
        pairs = [Pair(*each, 0.001, 0.001) for each in zip(records, active, other, strict=True)]
        folder = log / "iris-green-1"
        folder.mkdir(exist_ok=True)
        (folder / "iris.shadow.jsonl").write_text(shadow.lines(pairs, "1.0.0", "1.0.1") + "{half a line\n")
        known = pd.DataFrame({"request": [f"q-{place}" for place in range(ROWS)], "species": rows["species"]}).head(labelled)
        known.to_csv(tmp_path / "labels.csv", index=False)
        labels = f"monitor.labels={tmp_path / 'labels.csv'}"
        done = mlops("monitor", "iris", "--log", log, "--set", labels, "--out", tmp_path / "report", "--json")
        assert "malformed" in done.value["log"] and done.value["log"]["malformed"] == 1
        for name in ("report.md", "report.html"):
            assert "1.0.1 beside 1.0.0 on the same 300 requests" in (tmp_path / "report" / name).read_text()
        (found,) = done.value["shadows"]
        return dict(found)

    run.species = rows["species"]  # type: ignore[attr-defined]
    return run


@pytest.mark.parametrize(
    ("active", "other", "better", "sentence"),
    [
        (5, 1000, "1.0.1", "1.0.1 would have been better"),
        (1000, 5, "1.0.0", "1.0.0 was better"),
        (40, 40, "", "do not show which is better"),
    ],
    ids=["the shadow is better", "the active one is", "they are the same"],
)
def test_which_version_would_have_been_better_is_reported_once_labels_come(
    check: Callable[..., dict], active: int, other: int, better: str, sentence: str
) -> None:
    species = check.species  # type: ignore[attr-defined]
    one, two = wrong(species, active), wrong(species, other)
    shown = check(one, two)
    assert shown["better"] == better and sentence in shown["words"]
    assert shown["rows"] == shown["labelled"] == ROWS
    count = sum(a != b for a, b in zip(one, two, strict=True))
    expected = binomtest(count, ROWS).proportion_ci(0.95, "wilson")
    assert (shown["differ"], shown["low"], shown["high"]) == pytest.approx((count / ROWS, expected.low, expected.high))
    assert shown["gain_low"] <= shown["gain"] <= shown["gain_high"]


def test_before_labels_have_come_only_the_difference_is_reported(check: Callable[..., dict]) -> None:
    species = check.species  # type: ignore[attr-defined]
    shown = check(list(species), wrong(species, 5), labelled=10)
    assert (shown["better"], shown["gain"], shown["differ"]) == ("", None, pytest.approx(0.2))
    assert "The outcome of 10 is known, fewer than the 30 that say which is better" in shown["words"]


def test_more_than_one_value_a_row_is_compared_and_not_judged(project: Project) -> None:
    table = pd.DataFrame({REQUEST: [f"q-{place}" for place in range(40)], ROW: 0})
    table = table.assign(**{PREDICTION: [[1.0, 2.0]] * 40, rendezvous.SHADOW: [[1.0, 2.0]] * 20 + [[1.0, 3.0]] * 20})
    manifest = {"classes": None, "metrics": {}, "problem": {"schema": {}}}
    use_case = load_use_case(project, "ridership")
    known = Labels("request", pd.DataFrame({"request": table[REQUEST], use_case.config.target.column: 1.0}))
    compared = rendezvous.compare(project, use_case, ("1.0.0", "1.0.1"), table, manifest, known)
    assert (compared.differ, compared.gain) == (0.5, None)


def test_a_shadows_log_that_cannot_be_read_says_nothing_of_the_service(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    record = {"time": now.isoformat(), "version": "1.0.0", "request": "r", "row": 0, "inputs": {}, "prediction": "setosa"}
    (tmp_path / "iris.jsonl").write_text(f"{json.dumps(record)}\n" * 50)
    (tmp_path / "iris.shadow.jsonl").write_text("half a line\n\n" * 60)
    read = log.read(tmp_path, "iris", "", now - timedelta(days=1), now)
    assert rendezvous.read(tmp_path, "iris", read) == {}
    assert (read.malformed, read.fault) == (60, "")


def test_a_comparison_names_its_intervals() -> None:
    pairs = [Pair({}, 10.0, 10.0 + (place % 4 == 0), 0.001, 0.002) for place in range(200)]
    compared = shadow.compare(pairs)
    expected = binomtest(50, 200).proportion_ci(0.95, "wilson")
    assert (compared.differ, compared.low, compared.high) == (50, pytest.approx(expected.low), pytest.approx(expected.high))
    assert compared.moved and compared.moved[0] == pytest.approx(0.25) and compared.moved[1] < 0.25 < compared.moved[2]
    assert str(compared).startswith(
        "50 of 200 logged requests are answered differently (19.5% to 31.4% of all, by a 95 % interval)"
    )
    assert shadow.compare([Pair({}, "a", "b", 0.001, 0.001)]).moved is None
    assert [json.loads(line)["shadow"] for line in shadow.lines(pairs[:2], "1", "2").splitlines()] == [11.0, 10.0]
