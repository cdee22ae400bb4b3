"""From the raw file to tidy rows, and what must hold of them."""

import pandas as pd
from pandera.pandas import Check, Column, DataFrameSchema

KINDS = ["ham", "spam"]
# Longer than the longest message that was joined from several.
LONGEST = 2000


def load(raw: pd.DataFrame) -> pd.DataFrame:
    """One row a message, in order of their numbers."""
    return raw.sort_values("message", ignore_index=True)[["message", "text", "kind"]]


def schema(stage: str) -> DataFrameSchema:
    """What holds of the rows, which have the same columns in each stage."""
    text = Column(str, Check.str_length(1, LONGEST))
    return DataFrameSchema({"message": Column(int, Check.ge(1)), "text": text, "kind": Column(str, Check.isin(KINDS))})
