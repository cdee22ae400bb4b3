"""Writes points.csv: ten samples of red and blue points whose axes change scale from one to the next, and an unseen set.

python data/raw/points/create.py
"""

from pathlib import Path

import numpy as np
import pandas as pd

SEED = 7
SAMPLES, SIZE, UNSEEN = 10, 300, 1500
# Two clusters of each colour, in the units of the first sample.
CENTRES = {"red": [(-2.0, 0.5), (1.5, 3.0)], "blue": [(2.0, -0.5), (-0.5, -2.5)]}
SPREAD = 1.1


def scale(sample: int) -> tuple[float, float]:
    """What one unit of each axis of the first sample measures in another one: x grows, y shrinks."""
    return 1.0 + 0.15 * (sample - 1), 1.0 / (1.0 + 0.1 * (sample - 1))


def draw(chance: np.random.Generator, sample: int, size: int) -> pd.DataFrame:
    """Points of a sample, half of each colour."""
    colours = np.repeat(["red", "blue"], size // 2)
    chosen = np.array([CENTRES[colour][chance.integers(2)] for colour in colours])
    places = (chosen + chance.normal(0, SPREAD, (len(colours), 2))) * scale(sample)
    return pd.DataFrame({"sample": sample, "x": places[:, 0].round(4), "y": places[:, 1].round(4), "colour": colours})


def create() -> pd.DataFrame:
    """All rows: the samples 1 to 10, then the unseen set, which is sample 11."""
    chance = np.random.default_rng(SEED)
    sizes = {**dict.fromkeys(range(1, SAMPLES + 1), SIZE), SAMPLES + 1: UNSEEN}
    rows = pd.concat([draw(chance, sample, size) for sample, size in sizes.items()], ignore_index=True)
    days = pd.Timestamp("2026-01-01") + pd.to_timedelta(rows["sample"] - 1, unit="D")
    rows.insert(0, "point", np.arange(1, len(rows) + 1))
    rows.insert(1, "day", days.dt.strftime("%Y-%m-%d"))
    return rows.drop(columns="sample")


if __name__ == "__main__":
    create().to_csv(Path(__file__).with_name("points.csv"), index=False, lineterminator="\n")
