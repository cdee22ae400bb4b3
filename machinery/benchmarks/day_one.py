"""From a table to an answer of the server, each in a new project: seconds, lines written, and what the report says.

Seconds are given as they passed, and of processor time, which other work on the machine changes less.

python -m benchmarks.day_one [diabetes wine churn sales wide million] [--keep DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops.console import table
from mlops.project import answers, new

GIT = {f"GIT_{who}_{what}": "day-one@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def diabetes() -> tuple[pd.DataFrame, list[str]]:
    """Disease progression of 442 patients, from scikit-learn."""
    from sklearn.datasets import load_diabetes

    rows = load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": "progression"})
    return rows, ["--target", "progression"]


def wine() -> tuple[pd.DataFrame, list[str]]:
    """The cultivar of 178 wines, from scikit-learn."""
    from sklearn.datasets import load_wine

    data = load_wine(as_frame=True)
    rows = data.data.assign(cultivar=np.array(data.target_names)[data.target])
    return rows, ["--target", "cultivar"]


def churn(count: int = 5000, seed: int = 8) -> tuple[pd.DataFrame, list[str]]:
    """Customers in 40 columns with gaps, categories and dates, of whom about 8 % leave."""
    chance = np.random.default_rng(seed)
    columns: dict[str, Any] = {"customer_id": [f"C{number:06}" for number in range(count)]}
    columns |= {f"usage_{place:02}": chance.gamma(2, 3, count).round(2) for place in range(20)}
    plans = ["basic", "family", "large", "none"]
    columns |= {f"plan_{place}": chance.choice(plans[: 2 + place % 3], count) for place in range(10)}
    for place in range(3):
        days = pd.to_timedelta(chance.integers(0, 1500, count), unit="D")
        columns[f"since_{place}"] = (pd.Timestamp("2020-01-01") + days).strftime("%Y-%m-%d")
    columns["region"] = chance.choice([f"R{number:02}" for number in range(60)], count)
    columns |= {"contract": chance.choice([True, False], count), "calls": chance.integers(0, 20, count)}
    columns |= {"age": chance.integers(18, 90, count), "income": chance.normal(50_000, 15_000, count).round()}
    rows = pd.DataFrame(columns)
    strength = 0.5 * rows["usage_00"] - 0.45 * rows["usage_01"] + 1.2 * (rows["plan_0"] == "basic")
    strength += 0.2 * rows["calls"] - 7.35
    rows["churned"] = np.where(chance.random(count) < 1 / (1 + np.exp(-strength)), "yes", "no")
    for name in ("usage_02", "usage_03", "plan_1", "since_1", "income", "age"):
        rows[name] = rows[name].where(chance.random(count) >= 0.1)
    return rows, ["--target", "churned"]


def sales(seed: int = 8) -> tuple[pd.DataFrame, list[str]]:
    """Two years of the daily sales of twelve stores."""
    chance, days, parts = np.random.default_rng(seed), pd.date_range("2023-01-01", periods=730), []
    season = np.sin(2 * np.pi * days.dayofyear / 365)
    for store in range(12):
        promo = chance.choice([0, 1], len(days), p=[0.8, 0.2])
        level = chance.normal(100, 20) + 20 * season + 10 * (days.dayofweek >= 5) + 15 * promo
        rows = {"store": f"S{store:02}", "day": days.strftime("%Y-%m-%d"), "promo": promo}
        rows["temperature"] = (10 + 10 * season + chance.normal(0, 2, len(days))).round(1)
        parts.append(pd.DataFrame({**rows, "sales": (level + chance.normal(0, 5, len(days))).round(1)}))
    return pd.concat(parts), ["--target", "sales", "--time", "day", "--key", "store,day"]


def wide(count: int = 2000, columns: int = 300, seed: int = 8) -> tuple[pd.DataFrame, list[str]]:
    """A table of 300 columns, of which one decides and one helps."""
    chance = np.random.default_rng(seed)
    rows = pd.DataFrame({f"value_{place:03}": chance.normal(size=count).round(4) for place in range(columns - 2)})
    rows.insert(0, "number", [f"N{number:07}" for number in range(count)])
    strength = 2 * rows["value_000"] + rows["value_001"] + chance.normal(size=count)
    return rows.assign(answer=np.where(strength > 1, "yes", "no")), ["--target", "answer"]


def million() -> tuple[pd.DataFrame, list[str]]:
    """A million rows of ten columns."""
    return wide(1_000_000, 10)


HEAD = ("table", "add", "run", "serve", "lines", "report", "prediction")
TABLES = {"diabetes": diabetes, "wine": wine, "churn": churn, "sales": sales, "wide": wide, "million": million}


def day_one(name: str, folder: Path) -> tuple[Any, ...]:
    """Make a project, and go from a table to an answer of its server; as a row of the result."""
    root, (rows, options) = folder / name, TABLES[name]()
    rows.to_csv(folder / f"{name}.csv", index=False)
    new.create(root, answers.Answers(name=f"{name}-models", use_case="none"), new.own_wheel())
    _run(root, "git", "init", "--quiet", "--initial-branch=main")
    _run(root, "make", "setup")
    _commit(root, "A new project")
    source = str(folder / f"{name}.csv")
    _, added = _timed(lambda: _run(root, ".venv/bin/mlops", "add", name, "--from", source, *options))
    _commit(root, f"Add {name}")
    lines = _lines(root)
    _, ran = _timed(lambda: _run(root, ".venv/bin/mlops", "run", name))
    prediction, served = _timed(lambda: _served(root, name))
    return name, added, ran, served, lines, _verdict(root, name), prediction


def _timed(step: Callable[[], Any]) -> tuple[Any, str]:
    """What a step returns, with its seconds and, behind a slash, those of processor time."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    value, after = step(), resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return value, f"{time.perf_counter() - began:.0f} / {spent:.0f}"


def _run(root: Path, *command: str) -> str:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("VIRTUAL_ENV", "MAKE", "MLOPS", "MLFLOW"))}
    done = subprocess.run(command, cwd=root, env={**kept, **GIT}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{root}: {' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _commit(root: Path, message: str) -> None:
    _run(root, "git", "add", "--all")
    _run(root, "git", "commit", "--quiet", "--message", message)


def _lines(root: Path) -> int:
    """Lines of Python and YAML that the last commit wrote, notebooks and their exports left out."""
    shown = _run(root, "git", "show", "--numstat", "--format=", "HEAD", "--", "*.py", "*.yaml", ":!notebooks")
    return sum(int(line.split("\t")[0]) for line in shown.splitlines())


def _verdict(root: Path, name: str) -> str:
    """What the newest report says of the gate, and of the primary metric."""
    newest = max(root.glob(f"output/**/{name}/**/report.md"), key=lambda file: file.stat().st_mtime)
    lines = [re.sub(r"[#*]", "", line).strip() for line in newest.read_text(encoding="utf-8").splitlines()]
    return next((line for line in lines if "passes" in line or "refused" in line), "?")


def _served(root: Path, name: str) -> Any:
    """The first prediction of the champion's server, for the example of its own page."""
    command = [".venv/bin/mlops", "serve", name, "--port", "0"]
    server = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert server.stderr is not None
        address = next(match[1] for line in server.stderr if (match := re.search(r"listening on (\S+)", line)))
        page = json.loads(_answer(f"{address}/openapi.json"))
        body = page["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["example"]
        return json.loads(_answer(f"{address}/predict", json.dumps(body).encode()))["predictions"][0]
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def _answer(address: str, body: bytes | None = None) -> bytes:
    """What a server answers, once it is ready."""
    request = urllib.request.Request(address, body, {"content-type": "application/json"})
    for _ in range(300):
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                content: bytes = reply.read()
                return content
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise SystemExit(f"{address}: {error.code} {error.read().decode()[:300]}") from None
        time.sleep(0.1)
    raise SystemExit(f"{address} is not ready")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*TABLES, []], help="which of them; default: all")
    parser.add_argument("--keep", type=Path, help="folder for the projects; default: a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.names or TABLES:
            table("Day one: from a table to an answer, in seconds / of processor time", HEAD, [day_one(name, folder)])


if __name__ == "__main__":
    main()
