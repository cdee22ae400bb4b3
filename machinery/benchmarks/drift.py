"""A drift report in two minutes: serve a model for real, send normal rows, then drifted ones, and check both logs.

    python -m benchmarks.drift [NAME] [--out output/drift]

The rows are drawn from those that the version's reference is of: all that there are, or with a split by time the holdout. (A
small holdout alone, drawn again and again, differs from the training rows as its few rows do by chance.) The drifted ones have
the first half of their numbers a third larger. They are sent within seconds, so the times in the log are then moved back, as
if they had come over two weeks.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd

from mlops.config import load_project
from mlops.data import stages
from mlops.errors import MlopsError
from mlops.registry import versions
from mlops.scoring import registered
from mlops.use_case import load_use_case

DAYS, ROWS = 14, 60
FACTOR = 4 / 3


def main() -> None:
    """Both scenes, and where their reports lie."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", default="", help="use case; default: the project's default one")
    parser.add_argument("--out", type=Path, default=None, help="default: output/drift")
    arguments = parser.parse_args()
    project = load_project()
    name = arguments.name or project.default_use_case
    out = (arguments.out or project.output / "drift").resolve()
    bundle = registered.bundle(project, name, None, None, None)
    columns = [column.name for column in bundle.signature.columns]
    use_case = load_use_case(project, name)
    if use_case.config.split.method == "time":
        with tempfile.TemporaryDirectory() as scratch:
            rows = versions.fetch(project, versions.resolve(project, name), Path(scratch)).holdout()[columns]
    else:
        rows = stages.read_processed(project, use_case)[0][columns]
    for scene, first in (("normal", DAYS), ("drifted", DAYS // 2)):
        shutil.rmtree(out / scene, ignore_errors=True)
        days = [draw(rows, day, drifted=day >= first) for day in range(DAYS)]
        serve(bundle.folder, out / scene / "log", days)
        spread(out / scene / "log" / f"{name}.jsonl")
        print(f"\n{scene}: {DAYS * ROWS} rows" + (f", drifted from day {first + 1} of {DAYS} on" if first < DAYS else ""))
        command = [sys.executable, "-m", "mlops", "-C", str(project.root), "monitor", name]
        subprocess.run([*command, "--log", str(out / scene / "log"), "--days", str(DAYS + 1), "--out", str(out / scene)])


def draw(rows: pd.DataFrame, day: int, drifted: bool) -> pd.DataFrame:
    """A day's rows."""
    drawn = rows.sample(ROWS, replace=True, random_state=day)
    numbers = [name for name in drawn if pd.api.types.is_float_dtype(drawn[name]) and drawn[name].nunique() > 10]
    changed = numbers[: -(-len(numbers) // 2)] if drifted else []
    return drawn.assign(**{name: drawn[name] * FACTOR for name in changed})


def serve(bundle: Path, log: Path, days: list[pd.DataFrame]) -> None:
    """Start the server with its prediction log, send each day's rows as one request, and stop it."""
    settings = {"PORT": "0", "DRAIN": "0", "PREDICTION_LOG": str(log), "ACCESS_LOG": "false"}
    environment = os.environ | {f"MLOPS_SERVE_{key}": value for key, value in settings.items()}
    command = [sys.executable, "-m", "mlops.serving.run", str(bundle)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        address = process.stderr.readline().removeprefix("listening on ").strip()
        wait(address)
        for day, rows in enumerate(days):
            body = json.dumps({"dataframe_split": {"columns": list(rows), "data": rows.to_numpy().tolist()}})
            head = {"content-type": "application/json", "x-request-id": f"day-{day:02}"}
            urllib.request.urlopen(urllib.request.Request(f"{address}/invocations", body.encode(), head)).read()
    finally:
        process.terminate()
        process.wait(30)


def wait(address: str) -> None:
    """Until the server is ready."""
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{address}/ping").read()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{address} does not answer")


def spread(log: Path) -> None:
    """Move the times back: one request a day, the last one now, its rows a minute apart."""
    lines = []
    for text in log.read_text(encoding="utf-8").splitlines():
        record = json.loads(text)
        back = timedelta(days=DAYS - 1 - int(record["request"].removeprefix("day-")), minutes=ROWS - record["row"])
        record["time"] = (datetime.fromisoformat(record["time"]) - back).isoformat(timespec="milliseconds")
        lines.append(json.dumps(record))
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except MlopsError as error:
        sys.exit(f"error: {error}")
