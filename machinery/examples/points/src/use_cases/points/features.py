"""The inputs of the model: the scaler is fitted, so it lives in the model itself, and a model never meets another one's."""

import pandas as pd


def features(rows: pd.DataFrame) -> pd.DataFrame:
    """The two coordinates as they are, with key, day and colour."""
    return rows
