"""The estimator, and the rule that it has to beat. It learns from no label: what is unusual is what is rare."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin

from .data import DAYS

# From how many miles on a ride is long: airports begin there.
LONG = 8.0
# Distances are counted in cells of equal width on the scale of log(1 + miles), up to 200 miles.
WIDTH, CELLS = 0.15, 36
HOURS = 24
# A day that is none of the seven has a cell of its own, in which nothing is counted.
PLACES = {day: place for place, day in enumerate(DAYS)}


class Surprise(ClassifierMixin, BaseEstimator):
    """How surprising the facts of a ride are, in bits: the rarer a fact among rides like it, the more; facts add up.

    distance    among the rides that are local as this one is
    hour        among the rides that are long, or short, as this one is
    day         among all rides

    A fact that is as rare as facts of its kind are on average has 0 bits. `predict_proba` gives in its second column the share
    of the training rides that are less surprising: a rank, and no chance of anything.
    """

    def __init__(self, smoothing: float = 1.0) -> None:
        self.smoothing = smoothing

    def fit(self, inputs: pd.DataFrame, target: pd.Series) -> "Surprise":
        """Count the rides; of the target it takes the names of the two classes alone."""
        self.classes_ = np.unique(target)
        groups, cells = _places(inputs)
        self.distance_ = self._bits(groups["local"], cells["distance"], CELLS, circular=False)
        self.hour_ = self._bits(groups["long"], cells["hour"], HOURS, circular=True)
        self.day_ = self._bits(np.zeros(len(inputs), dtype=int), cells["day"], len(DAYS) + 1, circular=False, near=0.0)
        self.known_ = np.sort(self.bits(inputs).sum(axis=1).to_numpy())
        return self

    def bits(self, inputs: pd.DataFrame) -> pd.DataFrame:
        """The bits of each fact of each ride; their sum is how surprising the ride is."""
        groups, cells = _places(inputs)
        facts = {
            "distance": self.distance_[groups["local"], cells["distance"]],
            "hour": self.hour_[groups["long"], cells["hour"]],
            "day": self.day_[0, cells["day"]],
        }
        return pd.DataFrame(facts, index=inputs.index)

    def predict_proba(self, inputs: pd.DataFrame) -> np.ndarray:
        """The share of the training rides that are at least as surprising, and of those that are less."""
        share = np.searchsorted(self.known_, self.bits(inputs).sum(axis=1).to_numpy()) / len(self.known_)
        return np.column_stack([1 - share, share])

    def predict(self, inputs: pd.DataFrame) -> np.ndarray:
        """The second class for the more surprising half; the threshold of the configuration stands above this."""
        return self.classes_[(self.predict_proba(inputs)[:, 1] > 0.5).astype(int)]

    def _bits(self, group: np.ndarray, cell: np.ndarray, size: int, circular: bool, near: float = 0.25) -> np.ndarray:
        """Bits of each cell [groups, cells], less the mean of the group; a share of each count goes to both neighbours."""
        counts = np.zeros((group.max(initial=0) + 1 if near == 0 else 2, size))
        np.add.at(counts, (group, cell), 1)
        shifted = [np.roll(counts, step, axis=1) for step in (-1, 1)]
        if not circular:
            shifted[0][:, -1], shifted[1][:, 0] = counts[:, -1], counts[:, 0]
        smooth = (1 - 2 * near) * counts + near * (shifted[0] + shifted[1]) + self.smoothing
        chance = smooth / smooth.sum(axis=1, keepdims=True)
        return -np.log2(chance) + (chance * np.log2(chance)).sum(axis=1, keepdims=True)


def _places(inputs: pd.DataFrame) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The group and the cell that each ride is counted in."""
    distance = inputs["distance"].to_numpy(dtype=float)
    groups = {"local": (inputs["local"] == "yes").to_numpy(dtype=int), "long": (distance >= LONG).astype(int)}
    cells = {
        "distance": np.clip((np.log1p(distance) / WIDTH).astype(int), 0, CELLS - 1),
        "hour": np.clip(inputs["hour"].to_numpy(dtype=float).astype(int), 0, HOURS - 1),
        "day": inputs["day"].map(PLACES).fillna(len(DAYS)).to_numpy(dtype=int),
    }
    return groups, cells


def build(smoothing: float, seed: int) -> Surprise:
    """Counts of rides, each cell with `smoothing` rides more; nothing is drawn, so that the seed has no say."""
    return Surprise(smoothing=smoothing)


def baseline(train: pd.DataFrame, holdout: pd.DataFrame) -> np.ndarray:
    """Unusual is what is longer than 98 % of the training rides."""
    return np.where(holdout["distance"] > train["distance"].quantile(0.98), "yes", "no").astype(object)
