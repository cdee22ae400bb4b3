"""From the raw files to tidy rows, and what must hold of them. Distances in miles."""

import pandas as pd
from pandera.pandas import Check, Column, DataFrameSchema

COMPANIES = [
    "Chicago Independents",
    "City Service",
    "Flash Cab",
    "Sun Taxi",
    "Taxi Affiliation Services",
    "Taxicab Insurance Agency Llc",
    "other",
]
DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
KINDS = ["real", "local_and_far", "ten_times", "far_at_night"]
# What a ride is judged by: who drove, and whether a tip was paid, say nothing of the ride.
INPUTS = ["distance", "hour", "local", "day"]


def load(raw: pd.DataFrame) -> pd.DataFrame:
    """One row a ride, in order of their numbers; `planted` says which rides are real and what was changed in the others."""
    rows = raw.rename(columns={"dow": "day"}).sort_values("ride", ignore_index=True)
    return rows[["ride", *INPUTS, "company", "tip", "planted"]].astype({"hour": float})


def schema(stage: str) -> DataFrameSchema:
    """What holds of the rows of a stage."""
    ride = {"ride": Column(int, Check.ge(1))}
    numbers = {"distance": Column(float, Check.in_range(0, 200)), "hour": Column(float, Check.in_range(0, 23))}
    yes_or_no, days = Column(str, Check.isin(["yes", "no"])), Column(str, Check.isin(DAYS))
    if stage == "processed":
        return DataFrameSchema({**ride, **numbers, "local": yes_or_no, "day": days, "unusual": yes_or_no})
    beside = {"company": Column(str, Check.isin(COMPANIES)), "tip": yes_or_no, "planted": Column(str, Check.isin(KINDS))}
    if stage == "interim":
        return DataFrameSchema({**ride, **numbers, "local": yes_or_no, "day": days, **beside})
    months = Column(str, Check.isin(["Jan", "Feb", "Mar", "Apr"]))
    return DataFrameSchema({**ride, **numbers, "local": yes_or_no, "dow": days, "month": months, **beside})
