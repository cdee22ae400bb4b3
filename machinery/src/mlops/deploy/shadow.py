"""How a new service answers logged requests, beside the one that answers now."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any, NamedTuple

from mlops.deploy.contract import LIMIT, Asker, Broken, same
from mlops.deploy.targets import DeployFailed
from mlops.serving.probes import is_probe


class Comparison(NamedTuple):
    """What asking logged requests again has shown; times are medians in milliseconds."""

    requests: int
    differ: int
    old_ms: float
    new_ms: float

    def __str__(self) -> str:
        share = f"{self.differ} of {self.requests} logged requests are answered differently"
        return f"{share}; median {self.old_ms:.1f} ms before, {self.new_ms:.1f} ms now"


def logged(lines: str) -> list[dict[str, Any]]:
    """Return the rows of a prediction log that clients asked for; the log may be cut at its ends."""
    rows = []
    for line in lines.splitlines():
        try:
            record = json.loads(line)
            if not is_probe(str(record.get("request", ""))):
                rows.append(record["inputs"])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return [row for row in rows if isinstance(row, dict)]


def compare(old: str, new: str, rows: list[dict[str, Any]], differ: float, token: str) -> Comparison | None:
    """Ask both services for logged rows and compare; None where the old one cannot answer what its log holds.

    Raises DeployFailed where the new one does not answer what the old one does, or more than `differ` of the answers differ.
    """
    ask_old, ask_new = Asker(old, LIMIT, token), Asker(new, LIMIT, token)
    requests, different, times_old, times_new = 0, 0, [], []
    for row in rows:
        before, seconds = _timed(ask_old, row)
        if before is None:
            continue
        after, new_seconds = _timed(ask_new, row)
        if after is None:
            raise DeployFailed("the new service does not answer a logged request that the old one answers")
        requests += 1
        different += not same(before, after)
        times_old.append(seconds)
        times_new.append(new_seconds)
    if not requests:
        return None
    comparison = Comparison(requests, different, 1000 * statistics.median(times_old), 1000 * statistics.median(times_new))
    if different > differ * requests:
        raise DeployFailed(f"{comparison}, more than the {differ:.0%} that are allowed")
    return comparison


def _timed(ask: Asker, row: dict[str, Any]) -> tuple[Any, float]:
    """Return the predictions for a row and the seconds; None where it is not answered."""
    began = time.perf_counter()
    try:
        answer = ask("/predict", {"rows": [row]})
    except Broken:
        return None, 0.0
    content = answer.json() if answer.status_code == 200 else {}
    return content.get("predictions"), time.perf_counter() - began
