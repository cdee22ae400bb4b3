"""What tells that a file is as it was; found out beside other work, as a large file takes seconds."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from mlops import digests
from mlops.scoring.remote import Place


def of(file: Place) -> dict[str, Any]:
    """The digest of a file; in storage size and time, for which it need not be brought."""
    if isinstance(file, Path):
        return {"sha256": digests.of_file(file)}
    return {"size": file.size, "modified": file.modified}


class Ahead:
    """The identities of files: of the first one from now on, of each other one from when the one before it is taken."""

    def __init__(self, files: Sequence[Place]) -> None:
        self._started = {str(file): _start(file) for file in files[:1]}

    def take(self, files: Sequence[Place], place: int) -> dict[str, Any]:
        """The identity of one of some files."""
        for file in files[place : place + 2]:
            if str(file) not in self._started:
                self._started[str(file)] = _start(file)
        return self._started.pop(str(files[place])).result()


def _start(file: Place) -> Future[dict[str, Any]]:
    """The identity of a file, computed in a thread that nothing has to wait for when the process ends."""
    future: Future[dict[str, Any]] = Future()

    def run() -> None:
        try:
            future.set_result(of(file))
        except Exception as error:  # raised where the identity is needed
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
