"""Why a ride is on the list: which of its facts are surprising, and how many known rides are like it in that."""

import numpy as np
import pandas as pd

from .data import INPUTS
from .model import LONG, Surprise


def ranked(model: Surprise, rides: pd.DataFrame, known: pd.DataFrame, top: int = 20) -> pd.DataFrame:
    """The most surprising rides first, each with its bits and its reasons: the facts with at least one bit.

    known: the rides that the reasons count. The bits of the facts add up to those of the ride.
    """
    bits = model.bits(rides[INPUTS])
    total = bits.sum(axis=1).to_numpy()
    order = np.argsort(-total, kind="stable")[:top]
    reasons = [_reasons(rides.iloc[place], bits.iloc[place], known) for place in order]
    return rides.iloc[order].assign(bits=total[order].round(1), reasons=reasons).reset_index(drop=True)


def _reasons(ride: pd.Series, bits: pd.Series, known: pd.DataFrame) -> str:
    facts = bits[bits >= 1].sort_values(ascending=False)
    return "; ".join(f"{_reason(ride, str(name), known)}, {value:.1f} bits" for name, value in facts.items())


def _reason(ride: pd.Series, name: str, known: pd.DataFrame) -> str:
    """A fact, and how many of the known rides like it share it; a distance is shared by what is within 10 % of it."""
    if name == "distance":
        alike, kind = known[known["local"] == ride["local"]], "local" if ride["local"] == "yes" else "other"
        near = alike[name].between(0.9 * ride[name], 1.1 * ride[name]).sum()
        return f"{ride[name]:.1f} miles ({near} of {len(alike)} {kind} rides are about as long)"
    if name == "hour":
        long = ride["distance"] >= LONG
        alike = known[(known["distance"] >= LONG) == long]
        same, kind = (alike[name] == ride[name]).sum(), "long" if long else "short"
        return f"hour {ride[name]:.0f} ({same} of {len(alike)} {kind} rides)"
    return f"{ride[name]} ({(known[name] == ride[name]).sum()} of {len(known)} rides)"
