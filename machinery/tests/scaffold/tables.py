"""Tables as they come."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from mlops.registry.register import Outcome
from mlops.scaffold.add import Added

Trained = Callable[..., tuple[Added, Outcome]]


def people(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Customers, of whom those with a high score and in Köln tend to leave."""
    random = np.random.default_rng(seed)
    score, city = random.normal(size=rows), random.choice(["Köln", "Bonn", "Trier"], rows)
    leaves = 2 * score + 2 * (city == "Köln") + random.normal(size=rows) > 1
    return pd.DataFrame(
        {
            "customer": [f"K{number:05}" for number in range(rows)],
            "score": score.round(4),
            "city": city,
            "age": random.integers(18, 90, rows),
            "left": np.where(leaves, "ja", "nein"),
        }
    )
