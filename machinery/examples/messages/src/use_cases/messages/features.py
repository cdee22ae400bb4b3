"""The input of the model: the text as it was sent. Splitting and hashing it is the model's part."""

import pandas as pd


def features(rows: pd.DataFrame) -> pd.DataFrame:
    """Number, text and kind of each message."""
    return rows[["message", "text", "kind"]]
