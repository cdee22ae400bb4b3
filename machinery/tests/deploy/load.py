"""A load generator: so many requests a second over kept connections; every answer that is not 200, and every broken
connection, is counted."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

WORKERS = 10


@dataclass
class Load:
    """Requests to /predict while the block runs; `answers` counts them by version, `errors` by what went wrong."""

    url: str
    row: dict
    rate: float = 200.0
    answers: Counter = field(default_factory=Counter)
    errors: Counter = field(default_factory=Counter)
    slowest: float = 0.0

    def __enter__(self) -> Load:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._began = time.perf_counter()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(WORKERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.seconds = time.perf_counter() - self._began

    @property
    def reached(self) -> float:
        """Requests a second that were really made."""
        return (sum(self.answers.values()) + sum(self.errors.values())) / self.seconds

    def versions(self) -> set[str]:
        """The versions that have answered so far; the count begins anew."""
        with self._lock:
            seen = set(self.answers)
            self.answers = Counter()
        return seen

    def _work(self, number: int) -> None:
        place, body = urlsplit(self.url).netloc, json.dumps({"rows": [self.row]})
        connection = http.client.HTTPConnection(place, timeout=10)
        due = time.perf_counter() + number / self.rate
        while not self._stop.is_set():
            time.sleep(max(0.0, due - time.perf_counter()))
            due += WORKERS / self.rate
            began = time.perf_counter()
            try:
                connection.request("POST", "/predict", body, {"content-type": "application/json"})
                answer = connection.getresponse()
                content = answer.read()
                with self._lock:
                    if answer.status == 200:
                        self.answers[json.loads(content)["version"]] += 1
                    else:
                        self.errors[str(answer.status)] += 1
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.errors[f"{type(error).__name__}: {error}"] += 1
                connection.close()
            with self._lock:
                self.slowest = max(self.slowest, time.perf_counter() - began)
        connection.close()
