"""The prediction log: sampled rows and outputs as JSON lines in rotated files, for monitoring.

Off unless MLOPS_SERVE_PREDICTION_LOG names a folder. Columns marked personal are left out. Writing happens in its own thread;
when that cannot keep up, or the files cannot be written, records are dropped and counted: answering comes first.
"""

from __future__ import annotations

import json
import logging
import queue
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from logging.handlers import QueueListener, RotatingFileHandler
from pathlib import Path
from typing import Any

import numpy as np

from mlops.errors import ConfigError
from mlops.serving import extras
from mlops.serving.manifest import Bundle
from mlops.serving.model import Outputs
from mlops.serving.settings import Settings
from mlops.serving.signature import INTEGERS, Rows

BACKLOG = 1_000
Write = Callable[[str, Rows, Outputs, extras.Extras], None]


class _Files(RotatingFileHandler):
    """The files; what they cannot take is counted, and never shown: it holds a client's values."""

    lines: Callable[[Any], str]
    dropped: Callable[[], None]
    failed = False

    def format(self, record: logging.LogRecord) -> str:
        return self.lines(record.args)

    def handleError(self, record: logging.LogRecord) -> None:
        self.dropped()
        if not self.failed:
            error = sys.exc_info()[1]
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            message = f"the prediction log {self.baseFilename} cannot be written: {why}; rows are lost"
            print(message, file=sys.stderr, flush=True)
        self.failed = True


class _Listener(QueueListener):
    """The thread that writes."""

    def enqueue_sentinel(self) -> None:
        """Let the thread end when all that waits is written; the mark waits for a place where the backlog is full."""
        self.queue.put(None)  # type: ignore[attr-defined]


def open_log(bundle: Bundle, settings: Settings, dropped: Callable[[], None]) -> tuple[Write, Callable[[], None]]:
    """A function that takes a request's id, rows and outputs, and one that closes the log.

    `dropped` is called for each request that the log could not take. The file is <folder>/<use case>.jsonl, then .1, .2 … as
    it is rotated. Raises ConfigError where it cannot be written.
    """
    path = Path(settings.prediction_log) / f"{bundle.name}.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = max(1, int(settings.prediction_file_mb * 1e6))
        files = _Files(path, maxBytes=size, backupCount=settings.prediction_files, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the prediction log {path} cannot be written: {error.strerror}") from None
    shown = [
        (place, column.name, column.type in INTEGERS)
        for place, column in enumerate(bundle.inputs.columns)
        if column.name not in bundle.content["personal"]
    ]
    waiting: queue.Queue[Any] = queue.Queue(BACKLOG)
    files.lines, files.dropped = partial(_lines, bundle.number, shown), dropped
    listener = _Listener(waiting, files)
    listener.start()
    chance, content = random.Random(), bundle.content

    def write(request: str, rows: Rows, outputs: Outputs, included: extras.Extras) -> None:
        if settings.prediction_sample < 1 and chance.random() >= settings.prediction_sample:
            return
        record = logging.LogRecord("predictions", logging.INFO, "", 0, "", None, None)
        record.args = (
            datetime.now(UTC).isoformat(timespec="milliseconds"),
            request,
            rows,
            outputs,
            extras.as_json(included, content),
        )
        try:
            waiting.put_nowait(record)
        except queue.Full:
            dropped()

    def close() -> None:
        listener.stop()
        with suppress(OSError):
            files.close()

    return write, close


def _lines(number: str, shown: list[tuple[int, str, bool]], record: Any) -> str:
    """One JSON object a row: time, version, request, row, inputs, prediction."""
    time, request, rows, outputs, included = record
    lines = []
    for row in range(rows.count):
        inputs = {name: _plain(rows.column(place)[row], whole) for place, name, whole in shown}
        answer = {name: values[row] for name, values in outputs.items()} if isinstance(outputs, dict) else outputs[row]
        content = {"time": time, "version": number, "request": request, "row": row, "inputs": inputs, "prediction": answer}
        content |= {name: values[row] for name, values in included.items()}
        lines.append(json.dumps(content, default=_default))
    return "\n".join(lines)


def _plain(value: Any, whole: bool) -> Any:
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return bool(value)
    return (int(value) if whole else float(value)) if np.isfinite(value) else None


def _default(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
