"""Twelve awkward files: each trains to a gated version, or is refused in one line with reason and way out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tables import Trained, people

from mlops.config import Project
from mlops.errors import DataError
from mlops.scaffold.add import add
from mlops.scaffold.understand import Wishes


def test_semicolons_and_decimal_commas(trained: Trained, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    people().assign(income=lambda rows: rows["age"] * 1234.5).to_csv(file, sep=";", decimal=",", index=False)
    added, outcome = trained(file, "left")
    assert (added.table.read.separator, added.table.read.decimal) == (";", ",")
    assert added.table.rows["score"].sum() == pytest.approx(people()["score"].sum())
    assert outcome.version is not None and outcome.version.number == "1.0.0"


def test_latin_1(trained: Trained, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(people().to_csv(index=False).encode("latin-1"))
    added, outcome = trained(file, "left")
    assert set(added.table.rows["city"]) == {"Köln", "Bonn", "Trier"}
    assert outcome.passed


def test_dates_in_three_formats(trained: Trained, tmp_path: Path) -> None:
    file, rows = tmp_path / "people.csv", people()
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(len(rows)) % 300, unit="D")
    forms = ["%Y-%m-%d", "%d.%m.%Y", "%d %b %Y"]
    rows["since"] = [day.strftime(forms[number % 3]) for number, day in enumerate(days)]
    rows.to_csv(file, index=False)
    added, outcome = trained(file, "left")
    assert added.table.kinds["since"].kind == "date"
    assert (added.table.rows["since"].to_numpy() == days.to_numpy()).all()
    assert outcome.passed


def test_identifiers_that_look_like_numbers_keep_their_leading_zeros(trained: Trained, own: Project, tmp_path: Path) -> None:
    file, rows = tmp_path / "people.csv", people()
    rows["customer"] = [f"{number:06}" for number in range(len(rows))]
    rows.to_csv(file, index=False)
    added, outcome = trained(file, "left")
    assert added.table.key == ("customer",)
    assert outcome.passed
    from mlops.training import candidate

    assert candidate.newest(own, "mine").holdout()["customer"].str.fullmatch(r"\d{6}").all()


def test_target_with_missing_values(trained: Trained, tmp_path: Path) -> None:
    file, rows = tmp_path / "people.csv", people()
    rows.loc[::7, "left"] = None
    rows.to_csv(file, index=False)
    added, outcome = trained(file, "left")
    assert any(f"{rows['left'].isna().sum()} rows have no left" in note for note in added.table.notes)
    assert outcome.passed


@pytest.mark.parametrize(
    ("rows", "reason", "way"),
    [
        (people().assign(left="nein"), "one class only ('nein')", "choose another --target"),
        (people().head(5), "5 rows have a value", "bring more rows"),
    ],
)
def test_one_class_and_five_rows_are_refused_and_nothing_is_written(
    own: Project, tmp_path: Path, rows: pd.DataFrame, reason: str, way: str
) -> None:
    file = tmp_path / "people.csv"
    rows.to_csv(file, index=False)
    before = sorted(own.root.rglob("*"))
    with pytest.raises(DataError) as refused:
        add(own, "mine", str(file), Wishes("left"))
    assert reason in str(refused.value) and way in str(refused.value) and "\n" not in str(refused.value)
    assert sorted(own.root.rglob("*")) == before


@pytest.mark.long
def test_a_million_rows(trained: Trained, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    people(1_000_000).to_csv(file, index=False)
    _, outcome = trained(file, "left")
    assert outcome.passed


@pytest.mark.long
def test_three_hundred_columns(trained: Trained, tmp_path: Path) -> None:
    file, rows = tmp_path / "people.csv", people(2000)
    random = np.random.default_rng(1)
    more = pd.DataFrame({f"value_{number}": random.normal(size=len(rows)).round(4) for number in range(295)})
    pd.concat([rows, more], axis=1).to_csv(file, index=False)
    _, outcome = trained(file, "left")
    assert outcome.passed


def test_free_text(trained: Trained, tmp_path: Path) -> None:
    file, rows = tmp_path / "people.csv", people()
    random = np.random.default_rng(2)
    words = np.array("the service was slow kind quick and nobody ever answered my question again".split())
    mood = np.where(rows["left"] == "ja", "awful, never again", "very pleased, thank you")
    rows["comment"] = [f"{' '.join(random.choice(words, 6))}\n{end if random.random() < 0.8 else ''}" for end in mood]
    rows.to_csv(file, index=False)
    added, outcome = trained(file, "left")
    assert added.table.kinds["comment"].kind == "text"
    assert outcome.passed


def test_mixed_types_in_one_column(trained: Trained, tmp_path: Path) -> None:
    file, rows = tmp_path / "people.csv", people()
    rows["age"] = rows["age"].astype(object)
    rows.loc[::9, "age"] = "unbekannt"
    rows["room"] = [number if number % 2 else f"{number}b" for number in np.arange(len(rows)) % 12]
    rows.to_csv(file, index=False)
    added, outcome = trained(file, "left")
    assert (added.table.kinds["age"].kind, added.table.kinds["room"].kind) == ("number", "category")
    assert "unbekannt" in added.table.read.missing
    assert outcome.passed


def test_empty_columns(trained: Trained, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    people().assign(fax=None, **{"": ""}).to_csv(file, index=False)
    added, outcome = trained(file, "left")
    assert added.table.left_out["fax"] == "constant: no value at all"
    assert outcome.passed


def test_duplicate_column_names_are_refused(own: Project, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    rows = people()
    rows.columns = pd.Index(["customer", "score", "city", "score", "left"])
    rows.to_csv(file, index=False)
    with pytest.raises(DataError, match=r"'score' is there 2 times; give each column a name of its own"):
        add(own, "mine", str(file), Wishes("left"))
    assert not (own.root / "config" / "mine.yaml").exists()


def test_column_that_reproduces_the_target_is_left_out_visibly(trained: Trained, own: Project, tmp_path: Path) -> None:
    file, rows = tmp_path / "people.csv", people()
    rows["cancelled_on"] = np.where(rows["left"] == "ja", "2024-05-01", "")
    rows["flag"] = (rows["left"] == "ja").astype(int)
    rows.to_csv(file, index=False)
    added, outcome = trained(file, "left")
    assert {"cancelled_on", "flag"} <= set(added.table.left_out)
    assert "cancelled_on, flag" in (own.root / "docs" / "mine.md").read_text(encoding="utf-8")
    assert outcome.passed
