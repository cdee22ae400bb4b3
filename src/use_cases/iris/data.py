"""From the raw file to tidy rows, and what must hold of them."""

import pandas as pd
from pandera.pandas import Check, Column, DataFrameSchema

SPECIES = ["setosa", "versicolor", "virginica"]
LENGTHS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


def load(raw: pd.DataFrame) -> pd.DataFrame:
    """One row a flower: its number, four lengths in cm, its species."""
    return raw[["flower", *LENGTHS, "species"]].sort_values("flower", ignore_index=True)


def schema(stage: str) -> DataFrameSchema:
    """What holds of the rows of a stage; the three are alike, as the raw file is tidy already."""
    lengths = {name: Column(float, Check.in_range(0.05, 20)) for name in LENGTHS}
    return DataFrameSchema({"flower": Column(int, Check.ge(1)), **lengths, "species": Column(str, Check.isin(SPECIES))})
