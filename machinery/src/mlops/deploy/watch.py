"""The watch over a new service while it answers requests, by its own counts."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from mlops.deploy.contract import LIMIT, Asker, Broken, counters
from mlops.deploy.targets import DeployFailed

SCORED = re.compile(r'mlops_requests_total\{path="(?:/invocations|/predict|/v2/[^"]*/infer)",status="(\d+)"\}')
POLL = 0.5  # seconds between two looks


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
    samples = [(match[1], value) for name, value in counters(answer.text).items() if (match := SCORED.fullmatch(name))]
    return int(sum(value for _, value in samples)), int(sum(value for status, value in samples if status.startswith("5")))
