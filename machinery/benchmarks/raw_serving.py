"""A server of raw rows beside a server of features, of one registered version: milliseconds a request, megabytes, seconds.

python -m benchmarks.raw_serving NAME [--requests 200], in a project with a champion of NAME and its raw data
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlops.config import load_project
from mlops.console import table
from mlops.scoring import registered
from mlops.serving.manifest import Bundle

SIZES = (1, 100)


def built(name: str, kind: str) -> Bundle:
    """The champion's bundle that takes raw rows or features."""
    os.environ[f"MLOPS__{name.upper()}__SERVING__INPUT"] = kind
    project = load_project()
    return registered.bundle(project, name, None, project.output / "benchmarks" / kind / name, None)


@contextmanager
def serving(bundle: Bundle) -> Iterator[tuple[http.client.HTTPConnection, int, float]]:
    """A connection to a server on a bundle, its process, and the seconds until it was ready."""
    began = time.perf_counter()
    env = {**os.environ, "MLOPS_SERVE_PORT": "0", "MLOPS_SERVE_ALLOW_CODE": "true", "MLOPS_SERVE_ACCESS_LOG": "false"}
    server = subprocess.Popen(
        [sys.executable, "-m", "mlops.serving.run", str(bundle.folder)], env=env, stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stderr is not None
        address = re.search(r"http://(\S+)", server.stderr.readline())
        assert address is not None
        connection = http.client.HTTPConnection(address[1])
        while _ask(connection, "GET", "/ping")[0] != 200:
            time.sleep(0.01)
        yield connection, server.pid, time.perf_counter() - began
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def _ask(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection.request(method, path, body, {"content-type": "application/json"})
    reply = connection.getresponse()
    return reply.status, reply.read()


def measured(bundle: Bundle, requests: int) -> list[float]:
    """Seconds to the first answer, resident megabytes, and the median milliseconds of a request of each size."""
    with serving(bundle) as (connection, pid, ready):
        times = []
        for size in SIZES:
            body = json.dumps({"rows": [bundle.example] * size}).encode()
            spent = []
            for _ in range(requests):
                began = time.perf_counter()
                status, content = _ask(connection, "POST", "/predict", body)
                spent.append(time.perf_counter() - began)
                assert status == 200, content
            times.append(1000 * statistics.median(spent))
        memory = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        assert memory is not None
        return [ready, int(memory[1]) / 1000, *times]


def main() -> None:
    """Print the figures as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--requests", type=int, default=200)
    options = parser.parse_args()
    figures: dict[str, Any] = {kind: measured(built(options.name, kind), options.requests) for kind in ("features", "raw")}
    rows = ["start to ready (s)", "resident memory (MB)", *(f"p50, {size} rows a request (ms)" for size in SIZES)]
    lines = [
        (row, f"{ours:.2f}", f"{raw:.2f}", f"{raw / ours:.1f} ×")
        for row, ours, raw in zip(rows, figures["features"], figures["raw"], strict=True)
    ]
    table(f"{options.name}: raw rows against features", ("", "features", "raw rows", "ratio"), lines)


if __name__ == "__main__":
    main()
