"""Rules that look at no more than one number, or at none: what a model of prices has to beat."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel


class RandomPredictor(PythonModel):
    """A coin: 0 or 1 for each row, whatever stands in it; `seed` among the parameters throws it anew."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def predict(self, context: object, model_input: pd.DataFrame, params: dict[str, int] | None = None) -> np.ndarray:
        """One value a row, 1 for up."""
        chance = np.random.default_rng((params or {}).get("seed", self.seed))
        return chance.integers(0, 2, len(model_input))


# Up where it was up: the naive rule takes the five days before, the other one the mean of fifty.
RULES: dict[str, Callable[[pd.DataFrame, pd.DataFrame], np.ndarray]] = {
    "always": lambda train, rows: np.full(len(rows), train["up"].mode()[0]),
    "naive": lambda train, rows: (rows["gain_5"] > 0).astype(int).to_numpy(),
    "moving average": lambda train, rows: (rows["above_mean_50"] > 0).astype(int).to_numpy(),
}
