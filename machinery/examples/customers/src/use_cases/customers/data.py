"""From the raw file to tidy rows, and what must hold of them. Money in US dollars, rates and shares in per cent."""

import pandas as pd
from pandera.pandas import Check, Column, DataFrameSchema

GRADES = [f"{letter}{number}" for letter in "ABCDEFG" for number in range(1, 6)]
TERMS = {"term_36": 36.0, "term_60": 60.0}
YEARS = {"emp_lt_1": 0.0, **{f"emp_{year}": float(year) for year in range(1, 10)}, "emp_ge_10": 10.0, "emp_unk": -1.0}
VERIFIED = ["Not_Verified", "Source_Verified", "Verified"]
OUTCOMES = ["bad", "good"]
# Amount, rate and income; missed payments, enquiries and new instalment loans of the last months; shares of credit in use.
NUMBERS = {
    "funded_amnt": (500, 100_000),
    "int_rate": (0, 40),
    "annual_inc": (0, 10_000_000),
    "delinq_2yrs": (0, 100),
    "inq_last_6mths": (0, 50),
    "revol_util": (0, 400),
    "open_il_24m": (0, 100),
    "total_bal_il": (0, 10_000_000),
    "all_util": (0, 400),
    "inq_last_12m": (0, 100),
}
INPUTS = [
    *(name for name in NUMBERS if name != "annual_inc"),
    "income_log",
    "months",
    "grade",
    "years_employed",
    "employment_unknown",
    "income_verified",
]


def load(raw: pd.DataFrame) -> pd.DataFrame:
    """One row a loan, in order of their numbers."""
    return raw.sort_values("loan", ignore_index=True)


def schema(stage: str) -> DataFrameSchema:
    """What holds of the rows of a stage."""
    numbers = {name: Column(float, Check.in_range(*limits)) for name, limits in NUMBERS.items()}
    outcome, loan = {"class": Column(str, Check.isin(OUTCOMES))}, {"loan": Column(int, Check.ge(1))}
    if stage == "processed":
        return DataFrameSchema({**loan, **{name: numbers.get(name, Column(float)) for name in INPUTS}, **outcome})
    texts = {
        "term": Column(str, Check.isin(list(TERMS))),
        "sub_grade": Column(str, Check.isin(GRADES)),
        "verification_status": Column(str, Check.isin(VERIFIED)),
        "emp_length": Column(str, Check.isin(list(YEARS))),
    }
    return DataFrameSchema({**loan, **numbers, **texts, **outcome})
