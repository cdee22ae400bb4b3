"""From the raw file to tidy rows, and what must hold of them."""

import pandas as pd
from pandera.pandas import Check, Column, DataFrameSchema

COLOURS = ["blue", "red"]
AXES = ["x", "y"]


def load(raw: pd.DataFrame) -> pd.DataFrame:
    """One row a point: its number, the day that its sample was drawn, two coordinates, its colour."""
    return raw[["point", "day", *AXES, "colour"]].sort_values("point", ignore_index=True)


def schema(stage: str) -> DataFrameSchema:
    """What holds of the rows of a stage; the three are alike, as the raw file is tidy already."""
    axes = {name: Column(float, Check.in_range(-30, 30)) for name in AXES}
    known = {"point": Column(int, Check.ge(1)), "day": Column("datetime64[ns]")}
    return DataFrameSchema({**known, **axes, "colour": Column(str, Check.isin(COLOURS))})
