"""Jupyter server extension: each save of a notebook in a marked folder exports it, and no save ever waits or fails for it.

The server's event loop only puts the path on a list. One thread takes what has come in, starts one detached process for it and
notes how it ended; saves that come meanwhile are exported together afterwards, so twenty saves are two or three exports.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from mlops.notebooks import content

MODULE = "mlops.notebooks.savehook"
TIMEOUT = 600  # seconds for one batch; a page of 1,000 cells takes about ten
LOG_LIMIT = 1_000_000  # bytes

_log = logging.getLogger("mlops.notebooks")
_wanted: dict[str, None] = {}
_news = threading.Condition()
_worker: list[threading.Thread] = []


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """Tell the Jupyter server which module the extension is."""
    return [{"module": MODULE}]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    """Register the hook; the Jupyter server calls this when it starts."""
    serverapp.contents_manager.register_post_save_hook(after_save)
    serverapp.log.info("Notebooks in folders with %s are exported at each save.", content.MARKERS[0])


def after_save(model: dict[str, Any], os_path: str, **_: Any) -> None:
    """Ask for an export of a saved notebook; returns at once and never raises."""
    try:
        path = Path(os_path)
        if model.get("type") == "notebook" and path.parent.name != ".ipynb_checkpoints" and content.is_marked(path.parent):
            _ask(str(path))
    except BaseException as error:  # anything that leaves this function would answer the save with HTTP 500
        _log.warning("The export of %s was not started: %s", os_path, error)


def log_file() -> Path:
    """Return where the exports of saves are logged, one JSON object a line: in Jupyter's runtime folder of this user."""
    from jupyter_core.paths import jupyter_runtime_dir

    return Path(jupyter_runtime_dir()) / "mlops-exports.jsonl"


def last_results() -> dict[str, dict[str, Any]]:
    """Return the last result of each notebook exported by a save: `{path: {"notebook", "error", "at"}}`."""
    results = {}
    try:
        lines = log_file().read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            entry = json.loads(line)
            results[entry["notebook"]] = entry
        except (ValueError, KeyError, TypeError):
            continue
    return results


def _ask(path: str) -> None:
    with _news:
        _wanted[path] = None
        if not _worker or not _worker[0].is_alive():
            _worker[:] = [threading.Thread(target=_work, name="notebook-exports", daemon=True)]
            _worker[0].start()
        _news.notify()


def _work() -> None:
    while True:
        with _news:
            while not _wanted:
                _news.wait()
            batch = list(_wanted)
            _wanted.clear()
        try:
            _note(_run(batch))
        except BaseException as error:
            _log.warning("The exports of %s were not noted: %s", ", ".join(batch), error)


def _run(batch: list[str]) -> list[dict[str, Any]]:
    """Export a batch in a process of its own and return its results; what it did not report has failed."""
    command = [sys.executable, "-m", "mlops.notebooks.export", *batch]
    ending = "was stopped"
    output = ""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            start_new_session=True,
            check=False,
        )
        output, ending = done.stdout, f"ended with code {done.returncode}"
    except subprocess.TimeoutExpired:
        ending = f"took longer than {TIMEOUT} s and was stopped"
    except OSError as error:
        ending = f"could not be started ({error.strerror})"
    reported = {entry["notebook"]: entry for entry in _entries(output)}
    last_line = (output.strip().splitlines() or [""])[-1][:500]
    missing = {"error": f"the exporter {ending} {last_line}".strip()}
    return [reported.get(path, {"notebook": path, **missing}) for path in batch]


def _entries(output: str) -> list[dict[str, Any]]:
    entries = []
    for line in output.splitlines():
        if line.startswith('{"notebook"'):
            entries.append(json.loads(line))
    return entries


def _note(results: list[dict[str, Any]]) -> None:
    for entry in results:
        if entry["error"]:
            _log.warning("%s was saved but not exported: %s", entry["notebook"], entry["error"])
    path = log_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.stat().st_size > LOG_LIMIT:
        path.write_text("", encoding="utf-8")
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps({"at": stamp, **entry}) + "\n" for entry in results)
