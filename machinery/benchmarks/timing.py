"""Timing of whole processes, side by side: the runs of what is compared alternate, so that a slow minute hits both."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One process: wall and processor time in seconds, and the peak of its resident memory in MB."""

    wall: float
    cpu: float
    memory: float


def once(command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> Figure:
    """Run a command to its end; raises RuntimeError with its last lines when it fails."""
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **(env or {})}, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {output.read()[-2000:]}")
    return Figure(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def in_turn(runs: Mapping[str, Callable[[], Figure]], rounds: int) -> dict[str, list[Figure]]:
    """Each run `rounds` times, in turn, after one round that does not count."""
    for run in runs.values():
        run()
    figures: dict[str, list[Figure]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            figures[name].append(run())
    return figures


def median(figures: Sequence[Figure], what: str = "wall") -> float:
    """The median of one figure."""
    return statistics.median(getattr(figure, what) for figure in figures)


def paired(ours: Sequence[Figure], theirs: Sequence[Figure], what: str = "wall") -> float:
    """The median of the ratios of runs that stood side by side."""
    return statistics.median(getattr(a, what) / getattr(b, what) for a, b in zip(ours, theirs, strict=True))
