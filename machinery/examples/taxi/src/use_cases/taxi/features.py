"""The inputs of the model, row by row: the facts of a ride as they are."""

import numpy as np
import pandas as pd

from .data import INPUTS


def features(rows: pd.DataFrame) -> pd.DataFrame:
    """The facts, and as target whether the ride was planted. Of a real ride nobody knows, so that it counts as usual."""
    unusual = np.where(rows["planted"] == "real", "no", "yes")
    return rows[["ride", *INPUTS]].assign(unusual=unusual.astype(object))
