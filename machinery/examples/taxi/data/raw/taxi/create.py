"""Writes planted.csv: real rides of rides.csv with one fact of each changed, so that it is known which rides are unusual.

python data/raw/taxi/create.py
"""

from pathlib import Path

import numpy as np
import pandas as pd

SEED, EACH = 23, 40
FOLDER = Path(__file__).parent


def create() -> pd.DataFrame:
    """Three kinds of rides that a meter, or a clerk, may have written wrong; each from other real rides."""
    rides = pd.read_csv(FOLDER / "rides.csv")
    chance = np.random.default_rng(SEED)
    far, near = rides[rides["distance"] > 12], rides[(rides["distance"] > 1) & (rides["distance"] < 4)]
    kinds = {
        # A long ride that is recorded as ending in the area where it began.
        "local_and_far": far[far["local"] == "no"].assign(local="yes"),
        # A decimal point that slipped.
        "ten_times": near.assign(distance=(near["distance"] * 10).round(2)),
        # A long ride at an hour when hardly anybody drives.
        "far_at_night": far.assign(hour=chance.integers(1, 5, len(far))),
    }
    parts, taken = [], set()
    for kind, rows in kinds.items():
        chosen = rows[~rows["ride"].isin(taken)].sample(EACH, random_state=SEED)
        taken |= set(chosen["ride"])
        parts.append(chosen.assign(planted=kind))
    planted = pd.concat(parts, ignore_index=True)
    return planted.assign(ride=np.arange(len(rides) + 1, len(rides) + len(planted) + 1))


if __name__ == "__main__":
    create().to_csv(FOLDER / "planted.csv", index=False, lineterminator="\n")
