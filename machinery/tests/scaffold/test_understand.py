"""What is found of a file, written in the ways that files come: how it is read, what each column is, what names a row."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tables import people, workbook

from mlops.data.read import table
from mlops.errors import DataError
from mlops.scaffold.understand import Table, Wishes, understand

ROWS = people(200)


def table_of(file: Path, content: str | bytes, target: str = "left", **wishes: object) -> Table:
    """What is understood of a file with this content."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return understand(file, Wishes(target, **wishes))  # type: ignore[arg-type]


def csv(rows: pd.DataFrame = ROWS, **options: object) -> str:
    return rows.to_csv(index=False, **options)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + csv().encode(),
        csv().encode("utf-16"),
        csv(sep="\t").encode(),
        csv(sep="|").encode(),
        csv().replace("\n", "\r\n").encode(),
        ("exported on 3 May\n\n" + csv()).encode(),
        csv(quoting=1).encode(),
    ],
    ids=["BOM", "UTF-16", "tabs", "pipes", "CRLF", "a title above", "quoted"],
)
def test_the_same_rows_are_found_however_they_are_written(file: Path, content: bytes) -> None:
    understood = table_of(file, content)
    pd.testing.assert_frame_equal(understood.rows.reset_index(drop=True), ROWS.astype({"age": float}), check_dtype=False)
    assert (understood.key, understood.split, understood.classes) == (("customer",), "stratified", ("ja", "nein"))


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1.234,50 €", "12,00 €", "999,99 €"], [1234.5, 12, 999.99]),
        (["1,234.50", "12.00", "999.99"], [1234.5, 12, 999.99]),
        (["12 %", "7 %", "99 %"], [12, 7, 99]),
        (["$1,200", "$80", "$3,000,000"], [1200, 80, 3_000_000]),
        (["1'234.5", "12.25", "7"], [1234.5, 12.25, 7]),
        (["-1,5", "2,25", "n/a"], [-1.5, 2.25, None]),
    ],
)
def test_numbers_are_read_without_unit_and_thousands(file: Path, texts: list[str], values: list[float]) -> None:
    column = [texts[number % 3] for number in range(len(ROWS))]
    expected = pd.Series([values[number % 3] for number in range(len(ROWS))], dtype=float, name="price")
    rows = ROWS.drop(columns="score").assign(price=column)
    understood = table_of(file, csv(rows, sep=";"))
    assert understood.kinds["price"].kind == "number"
    pd.testing.assert_series_equal(understood.rows["price"].reset_index(drop=True), expected)
    again = table(file, understood.read, {"price": "number"})
    pd.testing.assert_series_equal(again["price"], expected)


def test_times_with_a_zone_become_utc(file: Path) -> None:
    rows = ROWS.assign(seen=[f"2024-05-{1 + number % 28:02}T10:00:00+02:00" for number in range(len(ROWS))])
    understood = table_of(file, csv(rows))
    assert understood.kinds["seen"].kind == "date"
    assert understood.rows["seen"].iloc[0] == pd.Timestamp("2024-05-01 08:00")


def test_names_of_columns_may_be_anything(file: Path) -> None:
    rows = ROWS.rename(columns={"score": "class", "city": "Stadt / Ort", "age": "größe", "left": "will leave?"})
    assert table_of(file, csv(rows), "will leave?").inputs == ["class", "Stadt / Ort", "größe"]


def test_an_index_that_was_written_along_names_the_rows_and_is_no_input(file: Path) -> None:
    understood = table_of(file, ROWS.drop(columns="customer").to_csv())
    assert understood.key == ("Unnamed: 0",)
    assert "Unnamed: 0" not in understood.inputs


def test_a_series_of_each_group_is_split_by_time(file: Path) -> None:
    days = pd.date_range("2024-01-01", periods=60)
    rows = pd.DataFrame([(shop, day) for shop in ("A", "B", "C") for day in days], columns=["shop", "day"])
    rows["sales"] = np.random.default_rng(0).normal(100, 10, len(rows)).round(2)
    understood = table_of(file, csv(rows), "sales")
    assert (understood.task, understood.split, understood.time, understood.key) == (
        "regression",
        "time",
        "day",
        ("shop", "day"),
    )


def test_rows_of_one_patient_stay_together(file: Path) -> None:
    rows = ROWS.drop(columns="customer").assign(patient_id=[f"P{number // 4}" for number in range(len(ROWS))])
    understood = table_of(file, csv(rows))
    assert (understood.split, understood.group) == ("group", "patient_id")


@pytest.mark.parametrize(
    ("target", "wishes", "message"),
    [
        ("lft", {}, "did you mean 'left'"),
        ("left", {"key": ("city",)}, "add a column to it"),
        ("left", {"time": "city"}, "choose a column of dates"),
        ("left", {"positive": "yes"}, "there are: ja, nein"),
        ("customer", {}, "no classes"),
    ],
)
def test_a_wish_that_cannot_be_is_one_line_with_the_way_out(file: Path, target: str, wishes: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table_of(file, csv(), target, **wishes)


def test_of_an_excel_file_the_sheet_and_the_line_with_the_target_are_taken(tmp_path: Path) -> None:
    rows = [["Customers of 2024"], [], list(ROWS), *ROWS.values.tolist()]
    file = workbook(tmp_path / "book.xlsx", {"Read me": [["what", "why"], ["a", "b"]], "Data": rows})
    found = understand(file, Wishes("left"))
    assert (found.read.sheet, found.read.header) == ("Data", 3)
    assert found.rows["score"].tolist() == ROWS["score"].tolist()
    kinds = {"score": "number", "age": "number", "left": "text"}
    again = table(file, found.read, kinds)  # type: ignore[arg-type]
    assert again["age"].tolist() == ROWS["age"].tolist() and again["left"].tolist() == ROWS["left"].tolist()


def test_lists_and_objects_in_json_lines_are_left_out_visibly(tmp_path: Path) -> None:
    rows = ROWS.assign(who=[{"name": number} for number in range(len(ROWS))], tags=[["a"], None] * (len(ROWS) // 2))
    found = table_of(tmp_path / "rows.jsonl", rows.to_json(orient="records", lines=True))
    assert {"who", "tags"} <= set(found.left_out) and "who" not in found.inputs
    assert "write each part into a column of its own" in found.left_out["who"]


def test_numbers_with_both_decimal_marks_are_no_names(file: Path) -> None:
    rows = ROWS.assign(income=[f"{number}{',.'[number % 2]}5" for number in range(len(ROWS))])
    found = table_of(file, csv(rows, sep=";"))
    assert found.key == ("customer",)
    assert "write all of them alike" in found.left_out["income"]


def test_the_rarer_of_two_whole_numbers_is_one_of_the_configurations_classes(file: Path) -> None:
    found = table_of(file, csv(ROWS.assign(left=(ROWS["left"] == "ja").astype(int))))
    assert type(found.positive) is int and found.positive in found.classes


@pytest.mark.parametrize("content", ["<!DOCTYPE html>\n<html><body>Sign in, left</body></html>", '<?xml version="1.0"?><a/>'])
def test_a_page_in_place_of_a_table_is_called_one(file: Path, content: str) -> None:
    with pytest.raises(DataError, match="is a page or XML, no table; correct the address"):
        table_of(file, content)


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["k1", "k22", "k3"], "category"),
        (["Ort 1", "Ort 22", "Ort 3"], "category"),
        (["EUR 1.50", "EUR 22.00", "EUR 3.25"], "number"),
        (["1.5 kg", "22.0 kg", "3.2 kg"], "number"),
    ],
)
def test_letters_before_a_number_make_a_name_of_it_but_for_a_currency(file: Path, texts: list[str], kind: str) -> None:
    assert table_of(file, csv(ROWS.assign(extra=texts * 66 + texts[:2]))).kinds["extra"].kind == kind


def test_dates_with_the_name_of_the_month_are_dates_beside_compact_ones(file: Path) -> None:
    days = pd.Timestamp("2023-03-01") + pd.to_timedelta(np.arange(len(ROWS)), unit="D")
    forms = ["%d/%m/%Y", "%Y%m%d", "%B %d, %Y"]
    texts = [day.strftime(forms[place % 3]) for place, day in enumerate(days)]
    understood = table_of(file, csv(ROWS.assign(since=texts)))
    assert understood.kinds["since"].kind == "date"
    assert (understood.rows["since"].to_numpy() == days.to_numpy()).all()


def test_cells_of_lists_objects_and_bytes_are_left_out(tmp_path: Path) -> None:
    parts = {"parts": [[1, 2]] * 200, "more": [{"n": 1}] * 200, "raw": [b"\xff\x97"] * 200}
    ROWS.assign(**parts).to_parquet(tmp_path / "rows.parquet")
    understood = understand(tmp_path / "rows.parquet", Wishes("left"))
    assert parts.keys() <= understood.left_out.keys()
    assert all("lists, objects or bytes" in understood.left_out[name] for name in parts)


def test_a_target_and_a_key_alone_are_refused_with_the_way_out(file: Path) -> None:
    with pytest.raises(DataError, match=r"no column is left to learn from \(.+\); bring others, or --keep one of them"):
        table_of(file, csv(ROWS[["customer", "left"]]))
