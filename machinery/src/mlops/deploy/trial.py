"""How a new service proves itself beside the old one: logged requests asked again, and its own counts watched."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from mlops.deploy.contract import LIMIT, Asker, Broken, counters, same
from mlops.deploy.targets import DeployFailed

SCORED = re.compile(r'mlops_requests_total\{path="(?:/invocations|/predict|/v2/[^"]*/infer)",status="(\d+)"\}')
POLL = 0.5  # seconds between two looks


class Shadowed(NamedTuple):
    """What asking logged requests again has shown; times are medians in milliseconds."""

    asked: int
    differ: int
    old_ms: float
    new_ms: float

    def __str__(self) -> str:
        share = f"{self.differ} of {self.asked} logged requests are answered differently"
        return f"{share}; median {self.old_ms:.1f} ms before, {self.new_ms:.1f} ms now"


def logged(lines: str) -> list[dict[str, Any]]:
    """Return the rows of a prediction log, whole or cut at its ends."""
    rows = []
    for line in lines.splitlines():
        try:
            rows.append(json.loads(line)["inputs"])
        except (ValueError, KeyError, TypeError):
            continue
    return [row for row in rows if isinstance(row, dict)]


def shadow(old: str, new: str, rows: list[dict[str, Any]], differ: float, token: str) -> Shadowed | None:
    """Ask both services for logged rows and compare; None where the old one cannot answer what its log holds.

    Raises DeployFailed where the new one does not answer what the old one does, or more than `differ` of the answers differ.
    """
    ask_old, ask_new = Asker(old, LIMIT, token), Asker(new, LIMIT, token)
    asked, different, times_old, times_new = 0, 0, [], []
    for row in rows:
        before, seconds = _timed(ask_old, row)
        if before is None:
            continue
        after, new_seconds = _timed(ask_new, row)
        if after is None:
            raise DeployFailed("the new service does not answer a logged request that the old one answers")
        asked += 1
        different += not same(before, after)
        times_old.append(seconds)
        times_new.append(new_seconds)
    if not asked:
        return None
    found = Shadowed(asked, different, 1000 * statistics.median(times_old), 1000 * statistics.median(times_new))
    if different > differ * asked:
        raise DeployFailed(f"{found}, more than the {differ:.0%} that are allowed")
    return found


def _timed(ask: Asker, row: dict[str, Any]) -> tuple[Any, float]:
    """Return the predictions for a row and the seconds; None where it is not answered."""
    began = time.perf_counter()
    try:
        answer = ask("/predict", {"rows": [row]})
    except Broken:
        return None, 0.0
    content = answer.json() if answer.status_code == 200 else {}
    return content.get("predictions"), time.perf_counter() - began


def watch(url: str, seconds: float, errors: float, token: str, alive: Callable[[], str]) -> int:
    """Look at a service's counts for `seconds` and return how many requests it answered meanwhile.

    errors: share of its requests that it may answer with 5xx. Raises DeployFailed as soon as there are more, when it does not
    answer, or when `alive` says why it does not run.
    """
    ask = Asker(url, LIMIT, token)
    first = last = _answered(ask, alive)
    deadline = time.monotonic() + seconds
    while True:
        total, failed = last[0] - first[0], last[1] - first[1]
        if failed > errors * total:
            raise DeployFailed(f"{failed} of {total} requests failed, more than {errors:.1%}")
        if gone := alive():
            raise DeployFailed(gone)
        left = deadline - time.monotonic()
        if left <= 0:
            return total
        time.sleep(min(POLL, left))
        last = _answered(ask, alive)


def _answered(ask: Asker, alive: Callable[[], str]) -> tuple[int, int]:
    """Return how many scoring requests a service has answered, and how many of them with 5xx."""
    try:
        answer = ask("/metrics")
    except Broken as broken:
        raise DeployFailed(alive() or f"/metrics of the new service: {broken}") from None
    if answer.status_code != 200:
        raise DeployFailed(f"/metrics of the new service answers {answer.status_code}")
    found = [(match[1], value) for name, value in counters(answer.text).items() if (match := SCORED.fullmatch(name))]
    return int(sum(value for _, value in found)), int(sum(value for status, value in found if status.startswith("5")))
