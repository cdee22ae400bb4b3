"""The prediction log: sampled rows and outputs as JSON lines in rotated files, for monitoring.

Off unless MLOPS_SERVE_PREDICTION_LOG names a folder. Columns marked personal are left out. Writing happens in its own thread;
when that cannot keep up, records are dropped and counted: answering comes first.
"""

from __future__ import annotations

import json
import logging
import queue
import random
from collections.abc import Callable
from datetime import UTC, datetime
from logging.handlers import QueueListener, RotatingFileHandler
from pathlib import Path
from typing import Any

import numpy as np

from mlops.errors import ConfigError
from mlops.serving.manifest import Bundle
from mlops.serving.model import Outputs
from mlops.serving.settings import Settings
from mlops.serving.signature import INTEGERS, Rows

BACKLOG = 1_000
Write = Callable[[str, Rows, Outputs], bool]


def open_log(bundle: Bundle, settings: Settings) -> tuple[Write, Callable[[], None]]:
    """A function that takes a request's id, rows and outputs (False: dropped), and one that closes the log.

    The file is <folder>/<use case>.jsonl, then .1, .2 … as it is rotated. Raises ConfigError where it cannot be written.
    """
    path = Path(settings.prediction_log) / f"{bundle.name}.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = max(1, int(settings.prediction_file_mb * 1e6))
        files = RotatingFileHandler(path, maxBytes=size, backupCount=settings.prediction_files, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"the prediction log {path} cannot be written: {error.strerror}") from None
    shown = [
        (place, column.name, column.type in INTEGERS)
        for place, column in enumerate(bundle.signature.columns)
        if column.name not in bundle.content["personal"]
    ]
    waiting: queue.Queue[Any] = queue.Queue(BACKLOG)
    files.format = lambda record: _lines(bundle.number, shown, record.args)  # type: ignore[method-assign]
    listener = QueueListener(waiting, files)
    listener.start()
    chance = random.Random()

    def write(request: str, rows: Rows, outputs: Outputs) -> bool:
        if settings.prediction_sample < 1 and chance.random() >= settings.prediction_sample:
            return True
        record = logging.LogRecord("predictions", logging.INFO, "", 0, "", None, None)
        record.args = (datetime.now(UTC).isoformat(timespec="milliseconds"), request, rows, outputs)
        try:
            waiting.put_nowait(record)
        except queue.Full:
            return False
        return True

    def close() -> None:
        listener.stop()
        files.close()

    return write, close


def _lines(number: str, shown: list[tuple[int, str, bool]], record: Any) -> str:
    """One JSON object a row: time, version, request, row, inputs, prediction."""
    time, request, rows, outputs = record
    lines = []
    for row in range(rows.count):
        inputs = {name: _plain(rows.column(place)[row], whole) for place, name, whole in shown}
        answer = {name: values[row] for name, values in outputs.items()} if isinstance(outputs, dict) else outputs[row]
        content = {"time": time, "version": number, "request": request, "row": row, "inputs": inputs, "prediction": answer}
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
