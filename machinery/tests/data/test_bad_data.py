"""Bad data end in one line that says where and which rule, exit code 2, and leave everything as it was."""

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from command import mlops

from mlops import digests
from mlops.config import Project

CSV = "data/raw/iris/iris.csv"


def tree(root: Path) -> dict[str, str]:
    """Every file of a project by its content, but git's own, which it rewrites when asked."""
    files = [file for file in root.rglob("*") if file.is_file() and ".git" not in file.parts]
    return {str(file.relative_to(root)): digests.of_file(file) for file in files}


def lines(*changed: tuple[int, str]) -> bytes:
    """The iris file with other text in some of its rows, row 1 being the names."""
    text = (Path(__file__).parents[3] / CSV).read_text().splitlines()
    for row, line in changed:
        text[row - 1] = line
    return ("\n".join(text) + "\n").encode()


def dropped(column: str) -> bytes:
    """The iris file without a column."""
    return pd.read_csv(Path(__file__).parents[3] / CSV).drop(columns=column).to_csv(index=False).encode()


BAD_CSV = {
    "wrong type": (lines((4, "3,abc,3.2,1.3,0.2,setosa")), "column sepal_length, row 4: rule type('float64'), found 'abc'"),
    "no integer": (lines((4, "3.5,4.7,3.2,1.3,0.2,setosa")), "column flower, row 4: rule type('int64'), found 3.5"),
    "missing column": (dropped("petal_width"), "column petal_width is missing"),
    "duplicate key": (lines((4, "2,4.7,3.2,1.3,0.2,setosa")), "column flower, row 4: duplicate key 2, as in row 3"),
    "out of range": (lines((4, "3,99,3.2,1.3,0.2,setosa")), "column sepal_length, row 4: rule in_range(0.05, 20), found 99.0"),
    "unknown class": (lines((4, "3,4.7,3.2,1.3,0.2,rose")), "column species, row 4: rule isin(['setosa', 'versicolor',"),
    "no number": (lines((4, "3,,3.2,1.3,0.2,setosa")), "column sepal_length, row 4: rule a value is required, found nothing"),
    "no class": (lines((4, "3,4.7,3.2,1.3,0.2,")), "column species, row 4: rule a value is required, found nothing"),
    "no key": (lines((4, ",4.7,3.2,1.3,0.2,setosa")), "column flower, row 4: rule a value is required, found nothing"),
    "infinity": (lines((4, "3,inf,3.2,1.3,0.2,setosa")), "column sepal_length, row 4: rule in_range(0.05, 20), found inf"),
    "empty": (b"", "the file is empty"),
    "blank lines": (b"\n\n\n", "cannot be read as CSV"),
    "header only": (lines().split(b"\n")[0] + b"\n", "there are no rows"),
    "cut off": (lines()[:1000], "column petal_length, row 38: rule a value is required"),
    "too many values": (
        lines((4, "3,4.7,3.2,1.3,0.2,setosa,7")),
        "row 4: rule 6 values, as many as there are columns, found 7",
    ),
    "too many everywhere": (
        lines().replace(b"a\n", b"a,7\n").replace(b"r\n", b"r,7\n"),
        "row 2: rule 6 values, as many as there are columns, found 7",
    ),
    "open quotation": (lines((4, '3,4.7,3.2,1.3,0.2,"setosa')), "row 4: rule a quotation mark is closed"),
    "not UTF-8": (
        lines((4, "3,4.7,3.2,1.3,0.2,ros@")).replace(b"@", b"\xe9"),
        "column species, row 4: rule UTF-8, found byte 0xe9",
    ),
    "UTF-16": (lines().decode().encode("utf-16"), "row 1: rule UTF-8, found byte 0xff"),
    "name twice": (
        lines((1, "flower,sepal_length,sepal_length,petal_length,petal_width,species")),
        "column sepal_length, row 1",
    ),
    "other separator": (lines().replace(b",", b";"), "column flower is missing, there are: flower;sepal_length;"),
    "zero bytes": (lines()[:1000] + b"\0" * 500, "column petal_length, row 38: rule a value is required"),
}


@pytest.mark.parametrize("name", BAD_CSV)
def test_bad_csv_is_refused_in_one_line_and_nothing_is_written(project: Project, name: str) -> None:
    content, message = BAD_CSV[name]
    file = project.root / CSV
    file.write_bytes(content)
    file.with_name("iris.csv.schema.json").unlink()
    before = tree(project.root)
    done = mlops("data", "processed", "iris")
    assert (done.code, done.out) == (2, "")
    assert done.error.startswith(f"{file}: {message}")
    assert tree(project.root) == before


@pytest.mark.parametrize("name", BAD_CSV)
def test_bad_file_is_not_added(project: Project, tmp_path: Path, name: str) -> None:
    content, message = BAD_CSV[name]
    file = tmp_path / "more.csv"
    file.write_bytes(content)
    before = tree(project.root)
    done = mlops("data", "add", "iris", file, "--source", "here", "--licence", "CC0")
    assert done.code == 2
    assert done.error.startswith(f"{file}: {message}")
    assert tree(project.root) == before


def test_error_counts_the_rows_that_break_the_same_rule(project: Project) -> None:
    file = project.root / CSV
    file.write_bytes(lines((4, "3,99,3.2,1.3,0.2,setosa"), (5, "4,98,3.1,1.5,0.2,setosa"), (6, "5,5,-1,1.4,0.2,setosa")))
    file.with_name("iris.csv.schema.json").unlink()
    assert "found 99.0 (and 1 more); correct the data" in mlops("data", "raw", "iris").error


def test_two_spellings_of_a_date_are_one_key(project: Project, tmp_path: Path) -> None:
    rows = pd.read_csv(project.root / "data/raw/ridership/ridership.csv").head(1).assign(date="01/22/2001")
    rows.to_csv(tmp_path / "more.csv", index=False)
    done = mlops("data", "add", "ridership", tmp_path / "more.csv", "--source", "here", "--licence", "CC0")
    assert "column date, row 2: duplicate key 2001-01-22 00:00:00, as in ridership.csv row 2" in done.error


def test_dates_that_are_not_written_alike_are_refused(project: Project, tmp_path: Path) -> None:
    """What is the month in one row may be the day in the next."""
    rows = pd.read_csv(project.root / "data/raw/ridership/ridership.csv").head(2).assign(date=["2020-01-01", "1/2/2020"])
    rows.to_csv(tmp_path / "more.csv", index=False)
    done = mlops("data", "add", "ridership", tmp_path / "more.csv", "--source", "here", "--licence", "CC0")
    assert "column date: rule type('datetime64[ns]'), found values that are not written alike" in done.error


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def noise(data: bytes) -> bytes:
    return random.Random(1).randbytes(len(data))


def zeroed(data: bytes) -> bytes:
    return data[:200] + bytes(400) + data[600:]


@pytest.mark.parametrize("damage", [cut, noise, zeroed, lambda data: b""])
def test_damaged_parquet_is_refused(project: Project, damage: Callable[[bytes], bytes]) -> None:
    folder = project.root / "data/raw/iris"
    rows = pd.read_csv(folder / "iris.csv")
    for old in folder.glob("iris.csv*"):
        old.unlink()
    file = folder / "iris.parquet"
    rows.to_parquet(file)
    file.write_bytes(damage(file.read_bytes()))
    before = tree(project.root)
    done = mlops("data", "processed", "iris")
    assert done.code == 2
    assert done.error.startswith(f"{file}: ")
    assert tree(project.root) == before


def test_row_of_a_parquet_file_counts_from_one(project: Project) -> None:
    folder = project.root / "data/raw/iris"
    rows = pd.read_csv(folder / "iris.csv")
    for old in folder.glob("iris.csv*"):
        old.unlink()
    rows.loc[0, "sepal_width"] = 99
    rows.set_index("flower").to_parquet(folder / "iris.parquet")
    assert "column sepal_width, row 1: rule in_range(0.05, 20), found 99.0" in mlops("data", "raw", "iris").error


def test_cut_off_archive_is_refused(project: Project) -> None:
    folder = project.root / "data/raw/iris"
    packed = gzip.compress((folder / "iris.csv").read_bytes())
    for old in folder.glob("iris.csv*"):
        old.unlink()
    (folder / "iris.csv.gz").write_bytes(packed[:-300])
    done = mlops("data", "raw", "iris")
    assert done.code == 2
    assert "iris.csv.gz: cannot be read as CSV" in done.error


def test_changed_raw_file_is_refused(project: Project) -> None:
    file = project.root / CSV
    file.write_bytes(lines((4, "3,4.8,3.2,1.3,0.2,setosa")))
    before = tree(project.root)
    done = mlops("run", "iris")
    assert done.code == 2
    assert done.error.startswith(f"{file}: differs from the content recorded in iris.csv.schema.json")
    assert "git checkout" in done.error and "mlops data add" in done.error
    assert tree(project.root) == before


DAMAGED = {"{": ":1: not JSON", "[]": ": key sha256", '{"sha256": "0"}': ": key rows", "\xff": ": not UTF-8"}


@pytest.mark.parametrize("text", DAMAGED)
def test_damaged_schema_beside_raw_data_is_refused_with_the_way_to_restore_it(project: Project, text: str) -> None:
    beside = project.root / f"{CSV}.schema.json"
    beside.write_bytes(text.encode("latin-1"))
    before = tree(project.root)
    done = mlops("data", "processed", "iris")
    assert done.code == 2
    assert done.error.startswith(f"{beside}{DAMAGED[text]}")
    assert done.error.endswith("restore the file and its schema: git checkout")
    assert tree(project.root) == before


def test_no_raw_data_names_the_command_that_adds_some(project: Project) -> None:
    for file in (project.root / "data/raw/iris").glob("iris*"):
        file.unlink()
    done = mlops("data", "raw", "iris")
    assert (done.code, "mlops data add iris FILE" in done.error) == (2, True)


def test_link_to_nowhere_is_not_passed_over(project: Project) -> None:
    (project.root / "data/raw/iris/more.csv").symlink_to("gone.csv")
    done = mlops("data", "raw", "iris")
    assert (done.code, "more.csv: is not a file" in done.error) == (2, True)


def second_file(project: Project) -> Path:
    """A raw file beside the first, with a key of it in its third row."""
    head, *rows = lines().decode().splitlines()
    file = project.root / "data/raw/iris/more.csv"
    file.write_text("\n".join([head, "151" + rows[0][1:], rows[6]]) + "\n")
    return file


def test_key_that_two_raw_files_share_is_named_with_both_rows(project: Project) -> None:
    file = second_file(project)
    before = tree(project.root)
    done = mlops("data", "raw", "iris")
    assert done.code == 2
    assert done.error.startswith(f"{file}: column flower, row 3: duplicate key 7, as in iris.csv row 8")
    assert tree(project.root) == before


def test_key_that_two_recorded_raw_files_share_is_found_when_they_are_read(project: Project) -> None:
    """Two branches may each add a file that is right by itself."""
    second_file(project)
    first = project.root / CSV
    beside = first.with_name("iris.csv.schema.json")
    kept = first.read_bytes(), beside.read_bytes()
    first.unlink(), beside.unlink()
    assert mlops("data", "raw", "iris").code == 0
    first.write_bytes(kept[0]), beside.write_bytes(kept[1])
    before = tree(project.root)
    done = mlops("data", "interim", "iris")
    assert (done.code, "more.csv: column flower, row 3: duplicate key 7" in done.error) == (2, True)
    assert tree(project.root) == before


def test_key_that_is_there_already_is_not_added(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "more.csv"
    file.write_text("\n".join(lines().decode().splitlines()[:3]))
    before = tree(project.root)
    done = mlops("data", "add", "iris", file, "--source", "here", "--licence", "CC0")
    assert done.code == 2
    assert done.error.startswith(f"{file}: column flower, row 2: duplicate key 1, as in iris.csv row 2")
    assert tree(project.root) == before


def test_a_long_list_of_columns_ends_after_a_whole_name(project: Project) -> None:
    names = [f"length_of_part_{number}" for number in range(40)]
    file = project.root / CSV
    file.write_text(f"{','.join(names)}\n{','.join('1' * len(names))}\n")
    file.with_name("iris.csv.schema.json").unlink()
    message = mlops("data", "raw", "iris").error
    listed = message.partition("there are: ")[2].partition(";")[0].split(", ")
    assert listed[-1] == "…" and listed[:-1] == names[: len(listed) - 1] and len(listed) > 5
