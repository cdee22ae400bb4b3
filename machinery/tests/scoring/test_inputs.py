"""Blocks of a file hold its records as they are written there, each once and in order."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from mlops.config.reading import Read
from mlops.errors import DataError
from mlops.scoring import inputs


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_records_that_span_lines_are_not_torn(tmp_path: Path, size: int, end: str) -> None:
    texts = ["plain", "two\nlines", 'a "quoted" word', "three\n\nlines; one empty", "", "ü"]
    rows = pd.DataFrame({"number": range(6), "text": texts})
    file = tmp_path / "rows.csv"
    rows.to_csv(file, index=False, sep=";", encoding="utf-16", lineterminator=end)
    read = Read(separator=";", encoding="utf-16")
    blocks = list(inputs.blocks(file, size, read))
    options = {"sep": ";", "encoding": "utf-16", "keep_default_na": False}
    parts = [
        pd.read_csv(block.write(tmp_path / "part", 0, len(block)), **options) for block in blocks if make(tmp_path / "part")
    ]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), pd.read_csv(file, **options))
    assert [block.last for block in blocks] == [False] * (len(blocks) - 1) + [True]
    assert [block.row(0) for block in blocks] == list(range(2, 8, size))


def make(folder: Path) -> bool:
    folder.mkdir(exist_ok=True)
    return True


def test_a_quotation_mark_that_nobody_closes_does_not_take_in_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a,b\n1,2\n" + '3,"4\n' + "5,6\n" * 50_000)
    with pytest.raises(DataError, match=r"rows.csv: row 3: rule a quotation mark is closed"):
        list(inputs.blocks(file, 100, None))


def test_files_of_a_folder_are_those_that_hold_rows(tmp_path: Path) -> None:
    for name in ("b.csv", "a/c.parquet", "_old/d.csv", ".hidden.csv", "b.csv.schema.json", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert inputs.files_of(str(tmp_path)) == [tmp_path / "a" / "c.parquet", tmp_path / "b.csv"]
    assert inputs.files_of(f"{tmp_path}/*.csv") == [tmp_path / "b.csv"]


@pytest.mark.parametrize("group", [7, 100, 1_000])
def test_a_file_of_parquet_is_read_from_any_block_on(tmp_path: Path, group: int) -> None:
    file = tmp_path / "rows.parquet"
    pd.DataFrame({"row": range(1_000)}).to_parquet(file, row_group_size=group)
    blocks = list(inputs.blocks(file, 130, None))
    assert inputs.count_blocks(file, 130) == len(blocks) == 8
    for first in range(8):
        rest = list(inputs.blocks(file, 130, None, first))
        assert [(block.start, len(block), block.last) for block in rest] == [
            (block.start, len(block), block.last) for block in blocks[first:]
        ]
        assert [block.content for block in rest] == [block.content for block in blocks[first:]]


def test_what_has_been_read_of_a_file_with_many_row_groups_is_let_go(tmp_path: Path) -> None:
    table = pa.table({f"x{number}": np.random.default_rng(number).normal(size=200_000) for number in range(10)})
    parquet.write_table(table, tmp_path / "new.parquet", row_group_size=2_000)
    del table
    before, held = pa.total_allocated_bytes(), []
    for block in inputs.blocks(tmp_path / "new.parquet", 2_000, None):
        del block
        held.append(pa.total_allocated_bytes() - before)
    assert len(held) == 100
    assert max(held) < 10 * 2_000 * 10 * 8, f"{max(held):,} bytes of {200_000 * 10 * 8:,} were held at once"


@pytest.mark.parametrize(
    ("kind", "count", "rows"), [("numbers", 5, 100_000), ("numbers", 31, 64_000), ("text", 40, 16_000), ("", 9_000, 1_000)]
)
def test_a_part_has_fewer_rows_the_wider_they_are(kind: str, count: int, rows: int) -> None:
    assert inputs.rows_of_a_part({f"c{number}": kind for number in range(count)}) == rows
