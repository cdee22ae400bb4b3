"""How a new service answers logged requests, beside the one that answers now; `mlops monitor` judges both once labels come."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from mlops.deploy.contract import LIMIT, Asker, Broken, same
from mlops.deploy.targets import DeployFailed
from mlops.serving.probes import is_probe

LEVEL = 0.95


class Pair(NamedTuple):
    """One logged request as both answer it now: its line in the prediction log, and the predictions for its row."""

    record: dict[str, Any]
    old: Any
    new: Any
    old_seconds: float
    new_seconds: float

    @property
    def differs(self) -> bool:
        """Whether the two predictions are not the same."""
        return not same([self.old], [self.new])


class Comparison(NamedTuple):
    """What asking logged requests again has shown, with intervals of 95 %; times are medians in milliseconds.

    moved: the mean of new minus old with its interval, None where predictions are no numbers.
    """

    requests: int
    differ: int
    low: float
    high: float
    old_ms: float
    new_ms: float
    moved: tuple[float, float, float] | None = None

    def __str__(self) -> str:
        share = f"{self.differ} of {self.requests} logged requests are answered differently"
        share += f" ({self.low:.1%} to {self.high:.1%} of all, by a 95 % interval)"
        if self.moved and self.differ:
            share += "; on average {:+.4g} ({:+.4g} to {:+.4g})".format(*self.moved)
        return f"{share}; median {self.old_ms:.1f} ms before, {self.new_ms:.1f} ms now"


def logged(lines: str) -> list[dict[str, Any]]:
    """Return the records of a prediction log that clients asked for; the log may be cut at its ends."""
    records = []
    for line in lines.splitlines():
        try:
            record = json.loads(line)
            if isinstance(record["inputs"], dict) and not is_probe(str(record.get("request", ""))):
                records.append(record)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return records


def ask(old: str, new: str, records: Iterable[dict[str, Any]], token: str) -> list[Pair]:
    """Ask both services for logged rows; what the old one cannot answer, as its log leaves columns out, is left out.

    Raises DeployFailed where the new one does not answer what the old one does.
    """
    ask_old, ask_new = Asker(old, LIMIT, token), Asker(new, LIMIT, token)
    pairs = []
    for record in records:
        before, seconds = _timed(ask_old, record["inputs"])
        if before is None:
            continue
        after, new_seconds = _timed(ask_new, record["inputs"])
        if after is None:
            raise DeployFailed("the new service does not answer a logged request that the old one answers")
        pairs.append(Pair(record, before[0], after[0], seconds, new_seconds))
    return pairs


def compare(pairs: list[Pair]) -> Comparison:
    """Return how often the answers of at least one pair differ, and by how much."""
    different = sum(pair.differs for pair in pairs)
    low, high = wilson(different, len(pairs))
    old_ms, new_ms = (
        1000 * statistics.median(times)
        for times in zip(*((pair.old_seconds, pair.new_seconds) for pair in pairs), strict=True)
    )
    return Comparison(len(pairs), different, low, high, old_ms, new_ms, _moved(pairs))


def check(comparison: Comparison, differ: float) -> None:
    """Raise DeployFailed where more than the share `differ` of the answers are not the same."""
    if comparison.differ > differ * comparison.requests:
        raise DeployFailed(f"{comparison}, more than the {differ:.0%} that are allowed")


def lines(pairs: list[Pair], old: str, new: str) -> str:
    """The pairs as JSON lines of a shadow log: those of the prediction log, with both versions and what each predicts."""
    keys = ("time", "request", "row", "inputs")
    both = ((pair, {key: pair.record[key] for key in keys if key in pair.record}) for pair in pairs)
    contents = (
        known | {"version": old, "prediction": pair.old, "shadow_version": new, "shadow": pair.new} for pair, known in both
    )
    return "".join(f"{json.dumps(content)}\n" for content in contents)


def wilson(count: int, total: int, level: float = LEVEL) -> tuple[float, float]:
    """The interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22), between 0 and 1."""
    z = statistics.NormalDist().inv_cdf((1 + level) / 2)
    share, spread = count / total, z * z / total
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def _moved(pairs: list[Pair]) -> tuple[float, float, float] | None:
    numbers = [value for pair in pairs for value in (pair.old, pair.new)]
    if len(pairs) < 2 or any(isinstance(value, bool) or not isinstance(value, int | float) for value in numbers):
        return None
    moves = [pair.new - pair.old for pair in pairs]
    mean = statistics.fmean(moves)
    half = statistics.NormalDist().inv_cdf((1 + LEVEL) / 2) * statistics.stdev(moves) / math.sqrt(len(moves))
    return mean, mean - half, mean + half


def _timed(ask: Asker, row: dict[str, Any]) -> tuple[Any, float]:
    """Return the predictions for a row and the seconds; None where it is not answered."""
    began = time.perf_counter()
    try:
        answer = ask("/predict", {"rows": [row]})
    except Broken:
        return None, 0.0
    content = answer.json() if answer.status_code == 200 else {}
    predictions = content.get("predictions")
    return predictions if isinstance(predictions, list) and predictions else None, time.perf_counter() - began
