"""What protects a server, each read from an environment variable so that a container needs no file."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mlops.errors import ConfigError

PREFIX = "MLOPS_SERVE_"
NUMBERS: dict[str, tuple[float, float]] = {
    "port": (0, 65_535),
    "max_rows": (1, math.inf),
    "concurrency": (1, math.inf),
    "connections": (1, math.inf),
    "threads": (0, 1_024),
    "prediction_sample": (0, 1),
    "prediction_files": (1, math.inf),
}  # the smallest and the largest; 0 or more for all others


@dataclass(frozen=True)
class Settings:
    """A server's settings; each field is MLOPS_SERVE_<NAME> in the environment."""

    host: str = "127.0.0.1"
    port: int = 8080
    max_body_mb: float = 32.0  # a larger body is answered with 413
    max_rows: int = 100_000  # more rows in one request are answered with 413
    concurrency: int = 64  # scoring requests in work at once; one more is answered with 429
    connections: int = 1_000  # open connections; one more is closed
    timeout: float = 30.0  # seconds for a prediction, then 504
    read_timeout: float = 10.0  # seconds for a request's head, and for its body, then 408
    keep_alive: float = 15.0  # seconds that an idle connection is kept
    drain: float = 1.0  # seconds between SIGTERM and the closed port, in which requests are still taken
    threads: int = 0  # of ONNX Runtime and for large requests; 0: the processors that this process may use
    token: str = ""  # bearer token; empty: none is asked for
    token_file: str = ""  # a file with the token, for a mounted secret
    access_log: bool = True  # one JSON line a request on standard output, never with a payload
    prediction_log: str = ""  # folder for rows and outputs; empty: off
    prediction_sample: float = 1.0  # share of the requests that are logged
    prediction_file_mb: float = 64.0  # size at which a prediction log file is rotated
    prediction_files: int = 10  # rotated files that are kept
    trust: str = ""  # types, modules and packages that a model may bring beside scikit-learn's, with spaces between them
    allow_pickle: bool = False  # whether a model may run code of its own when it is loaded
    allow_code: bool = False  # whether a bundle may bring code of its use case, which makes features of raw rows

    @property
    def trusted(self) -> tuple[str, ...]:
        """The names of `trust`."""
        return tuple(self.trust.split())

    @property
    def secret(self) -> bytes:
        """The bearer token's bytes, empty where none is asked for. Raises ConfigError for an unreadable token file."""
        if not self.token_file:
            return self.token.encode()
        try:
            secret = Path(self.token_file).read_text(encoding="utf-8").strip().encode()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ConfigError(f"the token file {self.token_file} cannot be read: {why}") from None
        if not secret:
            raise ConfigError(f"the token file {self.token_file} is empty: write the token into it")
        return secret


def from_environment(**given: Any) -> Settings:
    """Settings from the environment, under those given (None: not given). Raises ConfigError naming the variable."""
    values: dict[str, Any] = {}
    for field in fields(Settings):
        text = os.environ.get(PREFIX + field.name.upper())
        if text is not None:
            values[field.name] = _parse(field.name, text, type(getattr(Settings, field.name)))
    known = {PREFIX + field.name.upper() for field in fields(Settings)}
    for name in os.environ:
        if name.startswith(PREFIX) and name not in known:
            raise ConfigError(f"unknown variable {name}; known are {', '.join(sorted(known))}")
    return Settings(**values | {name: value for name, value in given.items() if value is not None})


def _parse(name: str, text: str, kind: type) -> Any:
    try:
        if kind is bool:
            return {"1": True, "true": True, "0": False, "false": False}[text.lower()]
        value = kind(text)
    except (ValueError, KeyError):
        raise ConfigError(f"{PREFIX}{name.upper()} is not a {kind.__name__}: {text!r}") from None
    if kind in (int, float):
        low, high = NUMBERS.get(name, (0, math.inf))
        if not low <= value <= high or value == math.inf:
            span = f"{low} or more" if high == math.inf else f"from {low} to {high}"
            raise ConfigError(f"{PREFIX}{name.upper()} must be {span}: {text!r}")
    return value


def processors() -> int:
    """Processors that this process may use: the smaller of its affinity and its control group's quota, at least 1."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, round(int(quota) / int(period)))
    except (OSError, ValueError):
        pass
    return max(1, count)
