"""Silence is not taken for health: logs that say nothing, and labels that do not speak of the model."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from test_monitor import many, monitor

from mlops.config import Project
from mlops.monitoring import log


def line(**other: object) -> str:
    """A line of a prediction log, of this moment."""
    now = datetime.now(UTC).isoformat()
    record = {"time": now, "version": "1.0.0", "request": "r", "row": 0, "inputs": {}, "prediction": "setosa"}
    return json.dumps(record | other) + "\n"


FUTURE = (datetime.now(UTC) + timedelta(days=400)).isoformat()
SILENT = {
    "the log is empty": "",
    "120 of 120 lines cannot be read": "not a line\n" * 120,
    "120 rows lie in the future and none in the window, the newest is of": line(time=FUTURE) * 120,
    "no row came since": line(time="2020-01-01T00:00:00+00:00") * 120,
}


@pytest.mark.parametrize("why", SILENT)
def test_silence_is_not_taken_for_health_and_asks_no_store(project: Project, tmp_path: Path, why: str) -> None:
    (tmp_path / "iris.jsonl").write_text(SILENT[why])
    done = monitor(tmp_path)
    assert (done.code, done.value["verdict"], why in done.value["fault"]) == (1, "blind", True), done.value["fault"]
    assert why.lower() in Path(done.value["report"]).with_name("report.md").read_text().lower()
    assert not project.store.exists()


def test_a_few_rows_of_now_among_many_of_the_future_are_a_wrong_clock(tmp_path: Path) -> None:
    (tmp_path / "iris.jsonl").write_text(line() * 3 + "\n \n" * 200 + line(time=FUTURE) * 400)
    now = datetime.now(UTC)
    read = log.read(tmp_path, "iris", "", now - timedelta(days=7), now)
    assert read.fault.startswith("400 rows lie in the future and 3 in the window") and read.malformed == 0


def test_a_log_of_which_most_lines_cannot_be_read_is_not_judged_by_the_rest(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path]
) -> None:
    log = answer(many(flowers, 150))
    with (log / "iris.jsonl").open("a") as file:
        file.write("half a line\n" * 151)
    done = monitor(log)
    assert (done.code, done.value["verdict"]) == (1, "blind")
    assert "151 of 301 lines cannot be read" in done.value["fault"]


def label(log: Path, tmp_path: Path, species: pd.Series, prefix: str = "q") -> Any:
    """The check with labels of the requests <prefix>-0, <prefix>-1, …"""
    known = pd.DataFrame({"request": [f"{prefix}-{index}" for index in range(len(species))], "species": species})
    known.to_csv(tmp_path / "labels.csv", index=False)
    return monitor(log, "--set", f"monitor.labels={tmp_path / 'labels.csv'}")


def test_labels_of_which_none_joins_are_reported(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path], tmp_path: Path
) -> None:
    rows = many(flowers)
    done = label(answer(rows), tmp_path, rows["species"], prefix="other")
    assert (done.code, done.value["verdict"], done.value["versions"][0]["labelled"]) == (0, "warn", 0)
    assert "none of the 300 labels" in done.value["versions"][0]["notes"][0]
    assert "none of the 300 labels" in Path(done.value["report"]).read_text()


def test_labels_of_unknown_classes_are_named_and_not_taken_for_errors_of_the_model(
    registered: Project, flowers: pd.DataFrame, answer: Callable[..., Path], tmp_path: Path
) -> None:
    rows = many(flowers)
    done = label(answer(rows), tmp_path, rows["species"].str.capitalize())
    (version,) = done.value["versions"]
    assert (done.code, done.value["verdict"], version["quality"]) == (0, "warn", [])
    assert "300 of 300 labels are none of the model's classes: `" in version["notes"][0]
    some = label(tmp_path / "log", tmp_path, rows["species"].mask(rows.index % 3 == 0, "lily"))
    (version,) = some.value["versions"]
    assert "100 of 300 labels are none of the model's classes: `lily` (100)" in version["notes"][0]
    assert some.code == 1 and "accuracy" in version["drifted"]
