"""Notebooks: what a save, an export, a review and a run cost, beside what they are compared with.

Run: python -m benchmarks.notebooks [--repeat 5]. Needs nothing but the environment; takes about five minutes.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import requests
from joblib import cpu_count

from mlops import console
from mlops.notebooks import changes, execute, pages, review
from mlops.notebooks.content import quick_imports

HOOK = {"ServerApp": {"jpserver_extensions": {"mlops.notebooks.savehook": True}}}
FIRST = "import pandas as pd\n\nframe = pd.DataFrame({'n': range(%d)})\nframe.describe()"


def notebook_of(cells: int) -> dict[str, Any]:
    """A notebook as they are: a third text, code with a printed line and a table."""
    content = []
    for number in range(cells):
        if number % 3 == 0:
            source = f"## Part {number}\n\nSome *words*, `code`, and a formula $x_{{{number}}}^2$.\n\n- one\n- two\n"
            content.append({"cell_type": "markdown", "id": f"m{number}", "metadata": {}, "source": source})
            continue
        table = "<table>" + "".join(f"<tr><th>{n}</th><td>{number * n}</td></tr>" for n in range(8)) + "</table>"
        outputs = [
            {"output_type": "stream", "name": "stdout", "text": f"part {number}\n"},
            {"output_type": "display_data", "metadata": {}, "data": {"text/plain": f"table {number}", "text/html": table}},
        ]
        code = {"cell_type": "code", "id": f"c{number}", "metadata": {}, "source": FIRST % number, "outputs": outputs}
        content.append({**code, "execution_count": number})
    language = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": language, "cells": content}


def timed(action: Callable[[], Any], repeat: int) -> float:
    """The median of the seconds that an action takes."""
    seconds = []
    for _ in range(repeat):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def saves(folder: Path, hook: bool, repeat: int) -> tuple[float, float]:
    """Median seconds of a save of 300 cells, and the 95th percentile of /api/status meanwhile."""
    (folder / "root").mkdir(parents=True)
    (folder / "root" / ".ipynb_saveprocess").touch()
    settings = folder / "config" / "jupyter_server_config.d"
    settings.mkdir(parents=True)
    if hook:
        (settings / "hook.json").write_text(json.dumps(HOOK))
    places = {f"JUPYTER_{kind}": str(folder / kind) for kind in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--port={port}", f"--ServerApp.root_dir={folder / 'root'}", "--IdentityProvider.token=t", "--allow-root"]
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyter_server", *options, "--no-browser"],
        env={**os.environ, **places, "JUPYTER_CONFIG_PATH": str(folder / "config")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    session = requests.Session()
    session.headers["Authorization"] = "token t"
    address = f"http://127.0.0.1:{port}/api"
    try:
        _wait(session, f"{address}/status")
        return _measured(session, address, repeat)
    finally:
        process.terminate()
        process.wait(20)


def _measured(session: requests.Session, address: str, repeat: int) -> tuple[float, float]:
    answers: list[float] = []
    stop = threading.Event()

    def ask() -> None:
        with requests.Session() as own:
            own.headers.update(session.headers)
            while not stop.is_set():
                answers.append(timed(lambda: own.get(f"{address}/status", timeout=30), 1))
                time.sleep(0.02)

    def save(number: int) -> float:
        content = notebook_of(300)
        content["cells"][1]["source"] = f"number = {number}"
        body = json.dumps({"type": "notebook", "format": "json", "content": content})
        return timed(lambda: session.put(f"{address}/contents/a.ipynb", data=body, timeout=60).raise_for_status(), 1)

    save(0)
    asker = threading.Thread(target=ask)
    asker.start()
    seconds = []
    for number in range(repeat):
        seconds.append(save(number))
        time.sleep(4)  # a person looks at what was saved; the export of 300 cells takes about as long
    stop.set()
    asker.join()
    return statistics.median(seconds), statistics.quantiles(answers, n=20)[-1]


def _wait(session: requests.Session, address: str) -> None:
    for _ in range(300):
        try:
            if session.get(address, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise SystemExit("the Jupyter server did not start")


def exports(folder: Path, repeat: int) -> list[tuple]:
    """Process start included: a notebook of 60 cells by our command and by nbconvert's, in turn."""
    notebook = folder / "a.ipynb"
    notebook.write_text(json.dumps(notebook_of(60)))
    commands = {
        ".py": ["mlops", "notebooks", "export", "--format", "py", str(notebook)],
        ".html": ["mlops", "notebooks", "export", "--format", "html", str(notebook)],
        ".py beside an unchanged .html, as the save hook does": ["mlops.notebooks.export", str(notebook)],
        "script": ["jupyter", "nbconvert", "--to", "script", str(notebook)],
        "html": ["jupyter", "nbconvert", "--to", "html", str(notebook)],
    }
    seconds: dict[str, list[float]] = {what: [] for what in commands}
    for _ in range(repeat + 1):
        for what, command in commands.items():
            if what in (".py", ".html"):
                (folder / "a" / f"a{what}").unlink(missing_ok=True)
            run = partial(subprocess.run, [sys.executable, "-m", *command], check=True, capture_output=True)
            seconds[what].append(timed(run, 1))
    median = {what: statistics.median(values[1:]) for what, values in seconds.items()}
    rows = []
    for what, theirs in zip(commands, ("script", "html", "script"), strict=False):
        row = (f"export {what}, 60 cells", median[what], f"nbconvert --to {theirs}", median[theirs])
        rows.append((*row, median[theirs] / median[what]))
    return rows


def reviews(folder: Path, cells: int = 1000, changed: int = 20) -> list[tuple]:
    """1,000 cells with 20 changed: comparing, Markdown and page, beside nbdiff on the same files."""
    before = notebook_of(cells)
    after = copy.deepcopy(before)
    for number in range(1, cells, cells // changed):
        after["cells"][number]["source"] += "\n# changed"
    files = [folder / "before.ipynb", folder / "after.ipynb"]
    for file, value in zip(files, (before, after), strict=True):
        file.write_text(json.dumps(value))

    def ours() -> str:
        rows = changes.compare(before, after)
        change = changes.NotebookChange("a.ipynb", "changed", before, after, rows, "a.ipynb")
        review.markdown([change])
        return pages.page([change])

    fast = timed(ours, 3)
    nbdiff = [sys.executable, "-m", "nbdime", "diff", *map(str, files)]
    slow = timed(lambda: subprocess.run(nbdiff, capture_output=True), 2)
    size = len(ours()) / 1e6
    return [
        (f"review, {cells} cells, {changed} changed", fast, "nbdiff", slow, slow / fast),
        ("its page, unchanged cells within (MB)", size, "limit", 4.0, 4.0 / size),
    ]


def runs(folder: Path, notebooks: int = 10) -> list[tuple]:
    """Ten notebooks that import and compute for about a second each: as many at a time as there are cores, and one by one."""
    cell = {"cell_type": "code", "id": "c1", "metadata": {}, "outputs": [], "execution_count": None}
    content = notebook_of(0)
    content["cells"] = [{**cell, "source": "import pandas\n\nsum(n * n for n in range(8_000_000))"}]
    paths = [folder / f"run_{number}.ipynb" for number in range(notebooks)]
    for path in paths:
        path.write_text(json.dumps(content))

    def run(jobs: int) -> None:
        failed = [one.error for one in execute.run(paths, folder / "out", store=False, jobs=jobs) if one.error]
        if failed:
            raise SystemExit(failed[0])

    cores = cpu_count()
    seconds = {jobs: timed(partial(run, jobs), 1) for jobs in (cores, 1)}
    return [
        (f"run {notebooks} notebooks, {cores} at a time", seconds[cores], "--jobs 1", seconds[1], seconds[1] / seconds[cores])
    ]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    quick_imports()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        without, quiet = saves(folder / "without", False, repeat)
        hooked, busy = saves(folder / "with", True, repeat)
        rows = [
            ("save of 300 cells with the hook", hooked, "without", without, hooked / without),
            ("/api/status meanwhile, 95th percentile", busy, "without", quiet, busy / quiet),
            *exports(folder, repeat),
            *reviews(folder),
            *runs(folder),
        ]
    console.table("Notebooks (seconds, medians)", ("what", "ours", "beside", "theirs", "ratio"), rows)


if __name__ == "__main__":
    main()
