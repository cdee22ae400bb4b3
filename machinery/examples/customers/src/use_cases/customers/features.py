"""The inputs of the model, row by row, all of them numbers: each adds its part to the answer, and the parts can be shown."""

import numpy as np
import pandas as pd

from .data import GRADES, INPUTS, TERMS, YEARS


def features(rows: pd.DataFrame) -> pd.DataFrame:
    """The numbers as they are, the income on a logarithmic scale, and the texts as numbers."""
    years = rows["emp_length"].map(YEARS)
    numbers = rows.assign(
        income_log=np.log10(rows["annual_inc"] + 1000),
        months=rows["term"].map(TERMS),
        grade=rows["sub_grade"].map({grade: float(place) for place, grade in enumerate(GRADES, 1)}),
        years_employed=years.clip(lower=0),
        employment_unknown=(years < 0).astype(float),
        income_verified=(rows["verification_status"] != "Not_Verified").astype(float),
    )
    return numbers[["loan", *INPUTS, "class"]]
