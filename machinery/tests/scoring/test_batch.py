"""Files of any size are scored in parts: the answers of the whole file, none twice and none lost, whatever happens."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from command import mlops
from pyarrow import ipc

from mlops.config import Project

COUNT = 10_000


def flowers(count: int = COUNT, seed: int = 3) -> pd.DataFrame:
    """Flowers that nobody has measured."""
    chance = np.random.default_rng(seed)
    names = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    lengths = chance.uniform(0.1, 8, size=(count, 4)).round(2)
    return pd.DataFrame(lengths, columns=names).assign(flower=np.arange(1, count + 1))


def predictions(folder: Path) -> pd.DataFrame:
    """What a batch wrote, read as one set and in order of the key."""
    return pd.read_parquet(folder / "predictions").sort_values("flower", ignore_index=True)


@pytest.fixture
def whole(registered: Project, tmp_path: Path) -> pd.DataFrame:
    """What one file, read at once, is answered with."""
    flowers().to_parquet(tmp_path / "whole.parquet")
    done = mlops("score", "iris", tmp_path / "whole.parquet", tmp_path / "whole-scored.parquet")
    assert done.code == 0, done.err
    return pd.read_parquet(tmp_path / "whole-scored.parquet").sort_values("flower", ignore_index=True)


def split(folder: Path, rows: pd.DataFrame) -> Path:
    """The rows in files of each kind."""
    folder.mkdir()
    size = len(rows) // 4
    rows[:size].to_csv(folder / "a.csv", index=False)
    rows[size : 2 * size].to_parquet(folder / "b.parquet", row_group_size=333)
    table = pa.Table.from_pandas(rows[2 * size : 3 * size])
    with ipc.new_file(folder / "c.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=777)
    rows[3 * size :].to_csv(folder / "d.csv.gz", index=False)
    return folder


@pytest.mark.parametrize("pattern", ["", "/*"])
def test_parts_give_the_answers_of_the_whole_file(whole: pd.DataFrame, tmp_path: Path, pattern: str) -> None:
    source = split(tmp_path / "many", flowers())
    done = mlops("score", "iris", f"{source}{pattern}", tmp_path / "scored", "--part-rows", 700, "--json")
    assert done.code == 0, done.err
    pd.testing.assert_frame_equal(predictions(tmp_path / "scored"), whole)
    manifest = json.loads((tmp_path / "scored" / "manifest.json").read_text())
    assert manifest == done.value
    assert [manifest[key] for key in ("rows", "predictions", "rejects", "unanswered")] == [COUNT, COUNT, 0, 0]
    assert len(manifest["parts"]) == 16 and manifest["version"] == "1.0.0"
    assert {part["sha256"] for part in manifest["parts"]} == {sha256(file) for file in source.iterdir()}


def sha256(file: Path) -> str:
    return subprocess.run(["sha256sum", file], check=True, capture_output=True, text=True).stdout.split()[0]


def test_a_second_run_scores_only_what_is_new_or_has_changed(registered: Project, tmp_path: Path) -> None:
    source, output = split(tmp_path / "many", flowers(2_000)), tmp_path / "scored"
    assert mlops("score", "iris", source, output, "--part-rows", 200).code == 0
    before = written(output)
    again = mlops("score", "iris", source, output, "--part-rows", 200)
    assert again.code == 0 and "12 of 12 parts were there already" in again.err
    assert written(output) == before
    flowers(300, seed=4).to_parquet(source / "b.parquet")
    assert mlops("score", "iris", source, output, "--part-rows", 200).code == 0
    changed = {name for name, moment in written(output).items() if before.get(name) != moment}
    assert changed == {"part-00001-00000", "part-00001-00001"}
    assert len(written(output)) == 11 and len(predictions(output)) == 1_800
    pd.DataFrame().to_parquet(output / "predictions" / "part-00000-00000.parquet")
    assert mlops("score", "iris", source, output, "--part-rows", 200).code == 0
    assert len(predictions(output)) == 1_800


def written(output: Path) -> dict[str, int]:
    """When each part was written."""
    return {file.stem: file.stat().st_mtime_ns for file in (output / "predictions").glob("part-*.parquet")}


@pytest.mark.servers
@pytest.mark.parametrize("parts", [1, 20, *(pytest.param(moment, marks=pytest.mark.long) for moment in (0, 5, 38))])
def test_a_killed_run_goes_on_where_it_was(registered: Project, tmp_path: Path, parts: int) -> None:
    source, output = split(tmp_path / "many", flowers(8_000)), tmp_path / "scored"
    assert mlops("score", "iris", source, tmp_path / "undisturbed", "--part-rows", 200).code == 0
    command = [sys.executable, "-m", "mlops", "score", "iris", str(source), str(output), "--part-rows", "200"]
    running = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    while running.poll() is None and (not output.is_dir() or len(written(output)) < parts):
        time.sleep(0.001)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not (output / "manifest.json").exists()
    before = written(output)
    assert parts <= len(before) < 40
    done = mlops("score", "iris", source, output, "--part-rows", 200)
    assert done.code == 0, done.err
    assert before.items() <= written(output).items()
    assert contents(output) == contents(tmp_path / "undisturbed")


def contents(output: Path) -> dict[str, bytes]:
    """The bytes of all files of a batch."""
    return {file.relative_to(output).as_posix(): file.read_bytes() for file in output.rglob("*") if file.is_file()}


def test_rows_that_cannot_be_scored_are_put_aside_with_row_and_reason(whole: pd.DataFrame, tmp_path: Path) -> None:
    lines = flowers().to_csv(index=False).splitlines()
    lines[17] = lines[17].replace(",", ",wide,", 1)  # a value too many
    lines[4_002] = "wide" + lines[4_002][lines[4_002].index(",") :]
    lines[9_003] = lines[9_003][lines[9_003].index(",") :]  # no length: the model takes none
    (tmp_path / "new.csv").write_text("\n".join(lines))
    stopped = mlops("score", "iris", tmp_path / "new.csv", tmp_path / "scored", "--part-rows", 1_000)
    assert stopped.code == 2
    assert stopped.error.startswith(f"{tmp_path}/new.csv: row 18: rule 5 values, as many as there are columns, found 6")
    done = mlops("score", "iris", tmp_path / "new.csv", tmp_path / "scored", "--part-rows", 1_000, "--on-error", "quarantine")
    assert done.code == 0, done.err
    rejects = pd.concat(pd.read_csv(file) for file in sorted((tmp_path / "scored" / "rejects").iterdir()))
    assert rejects["row"].tolist() == [18, 4_003, 9_004]
    assert "found 6" in rejects["reason"].iloc[0]
    assert rejects["reason"].iloc[1] == "column sepal_length: 'wide' is no float64"
    assert "NaN" in rejects["reason"].iloc[2]
    expected = whole[~whole["flower"].isin([17, 4_002, 9_003])].reset_index(drop=True)
    pd.testing.assert_frame_equal(predictions(tmp_path / "scored"), expected)
    manifest = json.loads((tmp_path / "scored" / "manifest.json").read_text())
    assert [manifest[key] for key in ("rows", "predictions", "rejects")] == [COUNT, COUNT - 3, 3]
    stopped = mlops("score", "iris", tmp_path / "new.csv", tmp_path / "scored", "--part-rows", 1_000)
    assert stopped.code == 2 and "row 18" in stopped.error
    assert not (tmp_path / "scored" / "manifest.json").exists()


def test_many_wrong_rows_do_not_make_a_use_case_one_of_more_rows(registered: Project, tmp_path: Path) -> None:
    lines = flowers(1_000).to_csv(index=False).splitlines()
    lines[1::50] = [f"wide{line[line.index(',') :]}" for line in lines[1::50]]
    lines[20::100] = [f"{line},more" for line in lines[20::100]]
    (tmp_path / "new.csv").write_text("\n".join(lines))
    done = mlops("score", "iris", tmp_path / "new.csv", tmp_path / "scored", "--on-error", "quarantine", "--json")
    assert done.code == 0, done.err
    assert [done.value[key] for key in ("rows", "predictions", "rejects")] == [1_000, 970, 30]


@pytest.mark.parametrize("form", [ipc.new_file, ipc.new_stream])
def test_a_file_or_stream_of_arrow_is_scored_into_one_file_and_in_parts(whole: pd.DataFrame, tmp_path: Path, form) -> None:
    table = pa.Table.from_pandas(flowers())
    with form(tmp_path / "new.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=3_000)
    assert mlops("score", "iris", tmp_path / "new.arrow", tmp_path / "one.parquet").code == 0
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "one.parquet"), whole)
    assert mlops("score", "iris", tmp_path / "new.arrow", tmp_path / "scored", "--part-rows", 800).code == 0
    pd.testing.assert_frame_equal(predictions(tmp_path / "scored"), whole)
    (tmp_path / "new.arrow").write_bytes(b"ARROW1 and no more")
    done = mlops("score", "iris", tmp_path / "new.arrow")
    assert done.code == 2 and done.error.startswith(f"{tmp_path}/new.arrow: cannot be read")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_first_wrong_row_stops_the_run(registered: Project, tmp_path: Path, kind: str) -> None:
    rows = flowers(500).astype({"petal_width": object})
    rows.loc[[321, 400], "petal_width"] = "wide"
    rows = rows.astype({"petal_width": str})
    rows.to_csv(tmp_path / "new.csv", index=False) if kind == "csv" else rows.to_parquet(tmp_path / "new.parquet")
    done = mlops("score", "iris", tmp_path / f"new.{kind}", tmp_path / "scored", "--part-rows", 100)
    row = 323 if kind == "csv" else 322
    assert done.code == 2
    assert done.error.startswith(f"{tmp_path}/new.{kind}: row {row}: column petal_width: 'wide' is no float64; ")
    there = set(written(tmp_path / "scored"))
    assert {"part-00000-00000", "part-00000-00001", "part-00000-00002"} <= there and "part-00000-00003" not in there


def drifted(file: Path) -> str:
    flowers(100).rename(columns={"petal_width": "width"}).to_parquet(file)
    return "column petal_width is missing as in b.parquet"


def retyped(file: Path) -> str:
    flowers(100).astype({"petal_width": str}).to_parquet(file)
    return "column petal_width holds text, not numbers as in b.parquet"


def corrupt(file: Path) -> str:
    flowers(100).to_parquet(file)
    file.write_bytes(file.read_bytes()[:-50])
    return "cannot be read"


def damaged_inside(file: Path) -> str:
    flowers(5_000).to_parquet(file, compression="gzip")
    content = bytearray(file.read_bytes())
    content[2_000:3_000] = bytes(1_000)
    file.write_bytes(content)
    return "cannot be read"


@pytest.mark.parametrize("spoil", [drifted, retyped, corrupt, damaged_inside])
def test_a_part_that_drifted_or_is_corrupt_is_named(registered: Project, tmp_path: Path, spoil) -> None:
    source = split(tmp_path / "many", flowers(1_000))
    (source / "a.csv").unlink()
    reason = spoil(source / "bad.parquet")
    done = mlops("score", "iris", source, tmp_path / "scored")
    assert done.code == 2
    assert done.error.startswith(f"{source}/bad.parquet: {reason}")
    done = mlops("score", "iris", source, tmp_path / "scored", "--on-error", "quarantine")
    assert done.code == 0 and f"left out: {source}/bad.parquet: {reason}" in done.err
    manifest = json.loads((tmp_path / "scored" / "manifest.json").read_text())
    assert list(manifest["refused"]) == [str(source / "bad.parquet")] and manifest["predictions"] == 750


def test_features_that_look_back_are_scored_whole_and_processed_rows_as_they_are(project: Project, tmp_path: Path) -> None:
    assert mlops("run", "ridership").code == 0
    rides = project.data / "raw" / "ridership" / "ridership.csv"
    assert mlops("score", "ridership", rides, tmp_path / "whole.parquet").code == 0
    done = mlops("score", "ridership", rides, tmp_path / "scored", "--part-rows", 500)
    assert done.code == 0, done.err
    assert "ridership: its features need more than one row, so all rows are scored at once, in memory" in done.err
    whole = pd.read_parquet(tmp_path / "whole.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "scored" / "predictions"), whole)
    (rows,) = (project.data / "processed" / "ridership").glob("*.parquet")
    done = mlops("score", "ridership", rows, tmp_path / "processed", "--part-rows", 500, "--json")
    assert done.code == 0, done.err
    assert len(done.value["parts"]) > 5 and done.value["parts"][0]["stage"] == "processed"
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "processed" / "predictions"), whole)


def test_a_folder_of_something_else_or_of_another_version_stays_as_it_is(registered: Project, tmp_path: Path) -> None:
    flowers(100).to_parquet(tmp_path / "new.parquet")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    done = mlops("score", "iris", tmp_path / "new.parquet", tmp_path / "mine")
    assert done.code == 2 and "holds thesis.txt, which is no part of a batch" in done.error
    assert mlops("score", "iris", tmp_path / "new.parquet", tmp_path / "scored").code == 0
    assert mlops("run", "iris", "--set", "parameters.degree=2", "--set", "target.number=2").code in (0, 1)
    done = mlops("score", "iris", tmp_path / "new.parquet", tmp_path / "scored", "--ref", "2.0.0")
    assert done.code == 2 and "holds predictions of iris 1.0.0, not of iris 2.0.0" in done.error


@pytest.mark.long
def test_memory_does_not_grow_with_the_input(registered: Project, tmp_path: Path) -> None:
    peaks = []
    for kind in ("parquet", "csv"):
        for count in (50_000, 1_000_000):
            file = tmp_path / f"{count}.{kind}"
            rows = flowers(count)
            rows.to_csv(file, index=False) if kind == "csv" else rows.to_parquet(file)
            del rows
            peaks.append(peak(str(file), str(tmp_path / f"{count}-{kind}")))
    print(peaks)
    assert peaks[1] < 1.3 * peaks[0] and peaks[3] < 1.3 * peaks[2], peaks


def peak(source: str, output: str) -> int:
    """The largest memory of a run, in kB."""
    command = [sys.executable, "-m", "mlops", "score", "iris", source, output, "--part-rows", "20000"]
    running = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(running.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return usage.ru_maxrss


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_fifty_kills_at_any_moment_leave_the_bytes_of_an_undisturbed_run(registered: Project, tmp_path: Path) -> None:
    source, output, kills, rounds = split(tmp_path / "many", flowers(60_000)), tmp_path / "scored", 50, 0
    command = [sys.executable, "-m", "mlops", "score", "iris", str(source), str(output), "--part-rows", "300"]
    chance, begun = np.random.default_rng(0), time.monotonic()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*command[:-3], str(tmp_path / "undisturbed"), *command[-2:]], env=environment, check=True)
    seconds = time.monotonic() - begun
    expected, left = contents(tmp_path / "undisturbed"), []
    while kills:
        running = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        try:
            # Importing takes the first seconds, in which nothing is written.
            assert running.wait(chance.uniform(0.3, 1.1) * seconds) == 0
            assert contents(output) == expected
            shutil.rmtree(output)
            rounds += 1
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
            assert running.wait() == -signal.SIGKILL
            kills -= 1
            left.append(len(written(output)) if output.is_dir() else 0)
    done = mlops("score", "iris", source, output, "--part-rows", 300)
    assert done.code == 0, done.err
    assert contents(output) == expected
    print(f"50 kills, {rounds} runs to the end between them, parts left: {left}, {time.monotonic() - begun:.0f} s")
    assert len(set(left)) > 10, "the kills came at no other moments"


def test_one_corrupt_part_among_a_hundred_is_put_aside_and_scored_when_it_is_restored(
    registered: Project, tmp_path: Path
) -> None:
    source, rows = tmp_path / "many", flowers(2_000)
    source.mkdir()
    for number in range(100):
        rows[20 * number : 20 * number + 20].to_parquet(source / f"{number:03d}.parquet")
    whole = (source / "042.parquet").read_bytes()
    (source / "042.parquet").write_bytes(whole[:-9])
    done = mlops("score", "iris", source, tmp_path / "scored")
    assert done.code == 2 and done.error.startswith(f"{source}/042.parquet: cannot be read")
    done = mlops("score", "iris", source, tmp_path / "scored", "--on-error", "quarantine")
    assert done.code == 0 and len(predictions(tmp_path / "scored")) == 1_980
    (source / "042.parquet").write_bytes(whole)
    done = mlops("score", "iris", source, tmp_path / "scored", "--json")
    assert done.code == 0 and (done.value["predictions"], done.value["refused"]) == (2_000, {})
    assert predictions(tmp_path / "scored")["flower"].tolist() == list(range(1, 2_001))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_disk_that_is_full_ends_in_one_line_and_the_run_goes_on_when_there_is_room(
    registered: Project, tmp_path: Path, kind: str
) -> None:
    rows = flowers(120_000)
    rows.to_csv(tmp_path / "new.csv", index=False) if kind == "csv" else rows.to_parquet(tmp_path / "new.parquet")
    command = ("score", "iris", tmp_path / f"new.{kind}", tmp_path / "scored", "--part-rows", 60_000)
    assert mlops("score", "iris", tmp_path / f"new.{kind}", tmp_path / "first", "--part-rows", 60_000).code == 0
    limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))  # more than the store is, less than a part or its rows
    try:
        done = mlops(*command)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    assert done.code == 2 and "cannot be written (" in done.error and "File too large" in done.error
    assert not (tmp_path / "scored" / "manifest.json").exists()
    assert [item.name for item in (tmp_path / "scored").iterdir() if item.name.startswith(".")] == []
    done = mlops(*command)
    assert done.code == 0, done.err
    assert contents(tmp_path / "scored") == contents(tmp_path / "first")
