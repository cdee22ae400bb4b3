"""From the raw files to tidy rows, and what must hold of them. Prices in US dollars, the index in points."""

import pandas as pd
from pandera.pandas import Check, Column, DataFrameSchema

from .features import INPUTS

SHARES, INDEX = ["AAPL", "GOOG", "IBM", "MSFT"], "SP500"
PRICES = ["close", "adj_close"]


def load(raw: pd.DataFrame) -> pd.DataFrame:
    """One row a share and trading day, in order of time; `price` is adjusted for splits and dividends."""
    rows = raw[["date", "symbol", "adj_close", "volume"]].rename(columns={"adj_close": "price"})
    return rows.sort_values(["date", "symbol"], ignore_index=True)


def schema(stage: str) -> DataFrameSchema:
    """What holds of the rows of a stage."""
    price = Column(float, Check.in_range(0, 10_000, include_min=False))
    known = {"date": Column("datetime64[ns]"), "symbol": Column(str, Check.isin([*SHARES, INDEX]))}
    if stage == "processed":
        return DataFrameSchema({**known, **{name: Column(float) for name in INPUTS}, "up": Column(int, Check.isin([0, 1]))})
    prices = dict.fromkeys(PRICES if stage == "raw" else ["price"], price)
    return DataFrameSchema({**known, **prices, "volume": Column(int, Check.gt(0))})
