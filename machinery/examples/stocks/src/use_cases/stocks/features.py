"""The inputs of the model: what is known when the markets close, five trading days before the day that is predicted."""

import pandas as pd

# Trading days between the forecast and the day it is for: nothing younger may be an input.
HORIZON = 5
GAINS = [1, 5, 20, 60]
OWN = [*(f"gain_{days}" for days in GAINS), "volatility_20", "above_mean_50", "volume_ratio"]
INPUTS = [*OWN, "index_gain_5", "index_gain_20", "index_volatility_20"]


def features(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a share and day: the inputs of five trading days before, and whether its price is higher than it was then."""
    parts = [_of_one(part.set_index("date")) for _, part in rows.groupby("symbol", sort=True)]
    table = pd.concat(parts)
    index = table.loc[table["symbol"] == "SP500", ["gain_5", "gain_20", "volatility_20"]].add_prefix("index_")
    joined = table.join(index).dropna().reset_index().sort_values(["date", "symbol"], ignore_index=True)
    return joined[["date", "symbol", *INPUTS, "up"]].astype({"up": "int64"})


def _of_one(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of one share, whose days follow each other."""
    price = rows["price"]
    gains = pd.DataFrame({f"gain_{days}": price / price.shift(days) - 1 for days in GAINS})
    known = gains.assign(
        volatility_20=gains["gain_1"].rolling(20).std(),
        above_mean_50=price / price.rolling(50).mean() - 1,
        volume_ratio=rows["volume"] / rows["volume"].rolling(20).mean(),
    )
    return known.shift(HORIZON).assign(symbol=rows["symbol"], up=(price > price.shift(HORIZON)).astype(float))
