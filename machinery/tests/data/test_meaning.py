"""What a file says comes in as it was meant: local days stay days, long whole numbers beside gaps keep their last digit."""

from pathlib import Path

import pandas as pd
import pytest
from pandera.pandas import Column, DataFrameSchema

from mlops.config.reading import Read
from mlops.data import columns, datasets, schemas
from mlops.errors import DataError

DAYS = DataFrameSchema({"day": columns.date(), "x": columns.number()}, coerce=True)
BIG = 2**60 + 1


def read(file: Path, schema: DataFrameSchema, how: Read | None = None) -> pd.DataFrame:
    return schemas.validate(datasets.rows_of(file, schema, how), schema, file)


@pytest.mark.parametrize("how", [None, Read()])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Sao_Paulo", "UTC"])
def test_local_midnights_of_a_year_stay_midnights_one_day_apart(tmp_path: Path, zone: str, how: Read | None) -> None:
    days = pd.date_range("2023-01-01", "2023-12-31", tz=zone)
    pd.DataFrame({"day": days, "x": 1.0}).to_parquet(tmp_path / "days.parquet")
    rows = read(tmp_path / "days.parquet", DAYS, how)
    assert rows["day"].tolist() == list(pd.date_range("2023-01-01", "2023-12-31"))
    yesterday = rows["day"] - pd.Timedelta(days=1)
    assert yesterday.isin(rows["day"]).sum() == 364, "each day but the first finds the one before it"


def test_an_hour_that_the_clocks_show_twice_is_refused_by_name(tmp_path: Path) -> None:
    hours = pd.date_range("2023-10-28 22:00", periods=6, freq="h", tz="UTC").tz_convert("Europe/Berlin")
    pd.DataFrame({"day": hours, "x": 1.0}).to_parquet(tmp_path / "hours.parquet")
    with pytest.raises(DataError, match="column day: clocks in Europe/Berlin show 2023-10-29 02:00:00 twice.*in UTC"):
        read(tmp_path / "hours.parquet", DAYS)


def test_a_schema_with_a_zone_keeps_the_moments(tmp_path: Path) -> None:
    days = pd.date_range("2023-03-25", periods=3, tz="Europe/Berlin")
    pd.DataFrame({"day": days}).to_parquet(tmp_path / "days.parquet")
    schema = DataFrameSchema({"day": Column("datetime64[ns, Europe/Berlin]")}, coerce=True)
    assert read(tmp_path / "days.parquet", schema)["day"].tolist() == list(days)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_long_whole_number_beside_a_gap_keeps_its_last_digit(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"ids{suffix}"
    rows = pd.DataFrame({"id": pd.array([BIG, None, 7], dtype="Int64"), "x": [0.5, 1.5, 2.5]})
    rows.to_csv(file, index=False) if suffix == ".csv" else rows.to_parquet(file)
    schema = DataFrameSchema({"id": Column("Int64", nullable=True), "x": columns.number()}, coerce=True)
    assert read(file, schema)["id"].tolist() == [BIG, pd.NA, 7]


def test_small_numbers_beside_gaps_are_decimals_as_ever(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,x\n1,2\n,3\n")
    assert datasets.rows_of(tmp_path / "a.csv", DataFrameSchema({}))["id"].dtype == "float64"
