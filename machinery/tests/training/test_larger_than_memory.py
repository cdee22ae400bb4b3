"""The example of docs/large-training.md, as it stands there: twenty million rows in less memory than they take."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

PAGE = Path(__file__).parents[2] / "docs" / "large-training.md"


def write(folder: Path, count: int, files: int, columns: int) -> None:
    """Files of rows whose class depends on three of their columns, with noise that leaves some of them unknowable."""
    folder.mkdir()
    chance = np.random.default_rng(0)
    for number in range(files):
        start, size = number * count // files, count // files
        values = chance.normal(size=(columns, size))
        labels = (values[:3].sum(axis=0) + chance.normal(size=size) > 0).astype(int)
        named = {f"x{place:02d}": column for place, column in enumerate(values)}
        table = pa.table({"id": np.arange(start, start + size), **named, "y": labels})
        parquet.write_table(table, folder / f"{number:02d}.parquet", row_group_size=100_000)


def run(folder: Path, place: Path) -> tuple[dict[str, float], int]:
    """What the example prints, and its largest memory in MB."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    (place / "streamed.py").write_text(code, encoding="utf-8")
    with (place / "out").open("w+") as out:
        running = subprocess.Popen([sys.executable, str(place / "streamed.py"), str(folder)], stdout=out)
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
        assert running.returncode == 0
        out.seek(0)
        lines = out.read()
    print(lines, usage.ru_maxrss // 1024, "MB", usage.ru_utime + usage.ru_stime, "s of processor time")
    return {name: float(value) for name, value in re.findall(r"^(.*): (0\.\d+) of", lines, re.M)}, usage.ru_maxrss // 1024


def test_the_example_learns_from_every_row_and_from_a_sample(tmp_path: Path) -> None:
    write(tmp_path / "rows", 60_000, 3, 4)
    scores, _ = run(tmp_path / "rows", tmp_path)
    # With noise of variance 1 on a sum of variance 3, no rule is right more often than 1 - arctan(1 / √3) / π = 0.833.
    assert 0.82 < scores["all rows"] < 0.845 and 0.75 < scores["a sample of 1 in 100"] < 0.845


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_twenty_million_rows_take_less_than_4_gb(tmp_path: Path) -> None:
    write(tmp_path / "rows", 20_000_000, 20, 30)
    scores, memory = run(tmp_path / "rows", tmp_path)
    assert memory < 4_000 < 20_000_000 * 31 * 8 / 1e6
    assert 0.825 < scores["all rows"] < 0.84
