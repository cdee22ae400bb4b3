"""The prediction log: rotated, torn, empty, large, from several versions and time zones."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops.errors import UserError
from mlops.monitoring import log
from mlops.monitoring.log import PREDICTION, REQUEST, TIME

START, END = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 31, tzinfo=UTC)


def line(day: int = 10, version: str = "1.0.0", request: str = "r", row: int = 0, **more: Any) -> str:
    record = {"time": f"2026-05-{day:02}T12:00:00.000+00:00", "version": version, "request": request, "row": row}
    return json.dumps(record | {"inputs": {"x": 1.5}, "prediction": 2.0} | more)


def read(folder: Path, since: datetime = START, until: datetime = END) -> log.Log:
    return log.read(folder, "iris", str(folder), since, until)


def write(file: Path, *lines: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")


BAD = {
    "half a line": '{"time": "2026-05-10T12:0',
    "no object": "[1, 2]",
    "a number": "7",
    "no time": line().replace('"time"', '"when"'),
    "no version": line().replace('"version"', '"model"'),
    "no prediction": line().replace('"prediction"', '"said"'),
    "a time that is none": line(time="yesterday"),
    "a version of two lines": line(version="1.0.0\n::error::"),
    "inputs that are none": line(inputs=[1]),
    "a row that is none": line(row=True),
    "too deep": '{"a":' * 100_000,
    "bytes": "\udcff",
}


@pytest.mark.parametrize("text", BAD.values(), ids=list(BAD))
def test_a_malformed_line_is_counted_and_the_others_are_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "iris.jsonl").write_bytes(
        f"{line(request='a')}\n{text}\n{line(request='b')}\n".encode(errors="surrogateescape")
    )
    traffic = read(tmp_path)
    assert (traffic.malformed, traffic.rows, traffic.files) == (1, 2, 1)


def test_rows_that_only_a_deployment_asked_for_are_no_traffic(tmp_path: Path) -> None:
    write(tmp_path / "iris.jsonl", line(request="mlops-probe-1"), line(request="a"))
    traffic = read(tmp_path)
    assert (traffic.rows, traffic.probes, traffic.malformed, traffic.fault) == (1, 1, 0, "")
    write(tmp_path / "iris.jsonl", line(request="mlops-probe-1"))
    assert read(tmp_path).fault == "nobody but deployments requested predictions"


def test_rotated_files_are_read_the_oldest_first_and_other_use_cases_are_not(tmp_path: Path) -> None:
    write(tmp_path / "iris.jsonl", line(12, request="c"))
    write(tmp_path / "iris.jsonl.1", line(11, request="b"))
    write(tmp_path / "iris.jsonl.10", line(10, request="a"))
    write(tmp_path / "ridership.jsonl", line(request="other"))
    write(tmp_path / "iris.jsonl.bak", line(request="other"))
    assert [file.name for file in log.files_of(tmp_path, "iris")] == ["iris.jsonl.10", "iris.jsonl.1", "iris.jsonl"]
    assert read(tmp_path).versions["1.0.0"].table()[REQUEST].tolist() == ["a", "b", "c"]


def test_replicas_in_folders_below_and_compressed_files_count(tmp_path: Path) -> None:
    write(tmp_path / "one" / "iris.jsonl", line(request="a"))
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "iris.jsonl.1.gz").write_bytes(gzip.compress(f"{line(request='b')}\n".encode()))
    torn = gzip.compress(f"{line(request='c')}\n".encode() * 50)
    (tmp_path / "two" / "iris.jsonl.2.gz").write_bytes(torn[:-20])
    traffic = read(tmp_path)
    assert traffic.files == 3 and traffic.malformed == 1 and traffic.rows >= 2


def test_damaged_compressed_files_are_counted_and_the_others_are_read(tmp_path: Path) -> None:
    write(tmp_path / "iris.jsonl", line(request="a"))
    whole = gzip.compress(f"{line(request='b')}\n".encode())
    for number, content in enumerate((whole[:10] + b"\xff" * 20 + whole[30:], whole[:-8] + b"\0" * 8, b"no gzip"), start=1):
        (tmp_path / f"iris.jsonl.{number}.gz").write_bytes(content)
    traffic = read(tmp_path)
    assert (traffic.files, traffic.malformed) == (4, 3) and traffic.rows >= 1


def test_a_row_that_two_files_hold_counts_once_in_the_table(tmp_path: Path) -> None:
    write(tmp_path / "iris.jsonl", line(request="a"), line(request="a", row=1))
    write(tmp_path / "copy" / "iris.jsonl", line(request="a"), line(request="a", row=1))
    assert len(read(tmp_path).versions["1.0.0"].table()) == 2


def test_an_empty_log_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "iris.jsonl").touch()
    traffic = read(tmp_path)
    assert (traffic.rows, traffic.malformed, traffic.newest, traffic.versions, traffic.serving(10)) == (0, 0, None, {}, [])


def test_no_log_is_an_error_that_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="no prediction log iris.jsonl there; start the server with MLOPS_SERVE_PREDICTION_LOG"
    ):
        read(tmp_path)
    with pytest.raises(UserError, match="nothing is there; correct monitor.log_uri"):
        with log.fetched("nowhere", tmp_path, "monitor.log_uri"):
            pass


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-05-10T12:00:00+00:00", 12),
        ("2026-05-10T12:00:00Z", 12),
        ("2026-05-10T12:00:00", 12),
        ("2026-05-10T12:00:00+02:00", 10),
        ("2026-05-10T12:00:00-11:30", 23),
        ("2026-05-10", 0),
    ],
)
def test_times_are_read_in_utc(text: str, hour: int) -> None:
    assert (log.moment(text).hour, log.moment(text).utcoffset()) == (hour, timedelta(0))


def test_the_window_is_in_utc_whatever_zone_a_row_was_written_in(tmp_path: Path) -> None:
    # Still the 30th of April in UTC, though the first of May where it was written.
    write(tmp_path / "iris.jsonl", line(time="2026-05-01T01:00:00+02:00"), line(time="2026-04-30T23:00:00-02:00"))
    traffic = read(tmp_path)
    assert (traffic.rows, traffic.outside) == (1, 1)
    assert dict(traffic.versions["1.0.0"].days) == {"2026-05-01": 1}


def test_rows_outside_of_the_window_are_counted_and_the_newest_is_known(tmp_path: Path) -> None:
    write(tmp_path / "iris.jsonl", line(1), line(2), line(3))
    traffic = read(tmp_path, since=datetime(2026, 5, 20, tzinfo=UTC))
    assert (traffic.rows, traffic.outside) == (0, 3)
    assert traffic.newest == datetime(2026, 5, 3, 12, tzinfo=UTC)


def test_versions_are_distinguished_and_the_last_rows_say_which_answer_now(tmp_path: Path) -> None:
    old = [line(10, "1.0.0", f"o{index}") for index in range(30)]
    new = [line(11, "1.1.0", f"n{index}") for index in range(20)]
    write(tmp_path / "iris.jsonl", *new)
    write(tmp_path / "iris.jsonl.1", *old)
    log = read(tmp_path)
    assert {name: traffic.rows for name, traffic in log.versions.items()} == {"1.0.0": 30, "1.1.0": 20}
    assert log.serving(20) == ["1.1.0"]
    assert log.serving(21) == ["1.1.0", "1.0.0"]


def test_of_a_huge_log_an_even_sample_is_kept_and_every_row_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "KEPT", 1000)
    traffic = log.Traffic("1.0.0")
    times = [START + timedelta(minutes=index) for index in range(10_000)]
    for index, time in enumerate(times):
        traffic.add(time, {"request": str(index), "row": 0, "inputs": {"x": index}, "prediction": float(index)})
    table = traffic.table()
    assert traffic.rows == sum(traffic.days.values()) == 10_000
    assert 500 <= len(table) <= 1000
    assert np.diff(table[PREDICTION]).tolist() == [traffic.stride] * (len(table) - 1)
    assert (table[TIME].iloc[0], traffic.first, traffic.last) == (times[0], times[0], times[-1])


def test_logged_probabilities_are_kept_where_they_are(tmp_path: Path) -> None:
    write(tmp_path / "iris.jsonl", line(request="a", probabilities={"no": 0.9, "yes": 0.1}), line(request="b"))
    rows = read(tmp_path).versions["1.0.0"].table().set_index(REQUEST)
    assert rows.loc["a", log.PROBABILITIES] == {"no": 0.9, "yes": 0.1} and rows.loc["b", log.PROBABILITIES] != {}
