"""What a thousand versions in the store cost: run, history, push and pull, beside a store of one.

python -m benchmarks.versions [--versions 1000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks.timing import Figure, in_turn, median, once, paired
from mlops.console import table

ROOT = Path(__file__).resolve().parents[2]
MLOPS = [sys.executable, "-m", "mlops"]
TABLES = ("runs", "tags", "metrics", "latest_metrics", "params", "model_versions", "model_version_tags")


def checkout(place: Path, name: str) -> Path:
    """A clone with an origin of its own, whose store holds one version of iris."""
    for source, target, *options in ((ROOT, place / f"{name}.git", "--bare"), (place / f"{name}.git", place / name)):
        subprocess.run(["git", "clone", "--quiet", *options, str(source), str(target)], check=True)
    once([*MLOPS, "run", "iris"], place / name)
    return place / name


def multiply(store: Path, count: int) -> None:
    """Write the one version of a store `count` times, each with a run, an artifact folder, a key and a number of its own."""
    with closing(sqlite3.connect(store / "mlflow.db")) as connection, connection:
        connection.row_factory = sqlite3.Row
        query = "SELECT run_uuid, artifact_uri FROM runs JOIN model_versions ON run_uuid = run_id"
        run, folder = connection.execute(query).fetchone()
        copies = {i: (f"{i:032x}", folder.replace(run, f"{i:032x}")) for i in range(2, count + 1)}
        for name in TABLES:
            column, value = ("version", 1) if name.startswith("model") else ("run_uuid", run)
            for row in map(dict, connection.execute(f"SELECT * FROM {name} WHERE {column} = ?", (value,)).fetchall()):
                marks = ", ".join("?" * len(row))
                rows = [_changed(row, i, *copy) for i, copy in copies.items()]
                connection.executemany(f"INSERT INTO {name} ({', '.join(row)}) VALUES ({marks})", rows)
    original = Path(folder.removeprefix("file://"))
    for _, copy in copies.values():
        if original.is_dir():
            shutil.copytree(original, copy.removeprefix("file://"))


def _changed(row: dict, i: int, run: str, folder: str) -> list:
    own = {"run_uuid": run, "run_id": run, "version": i, "artifact_uri": folder}
    tags = {"number": f"1.0.{i}", "key": f"{i:064x}"}
    changed = {name: own.get(name, value) for name, value in row.items()}
    if "version" in row and row.get("key") in tags:
        changed["value"] = tags[row["key"]]
    return list(changed.values())


def figures(one: Path, many: Path, rounds: int) -> list[tuple]:
    """Wall and processor seconds of each command in both, in turn, and how much they grow."""
    seeds = itertools.count(1)

    def run(folder: Path) -> Figure:
        return once([*MLOPS, "run", "iris", "--set", f"seed={next(seeds)}"], folder)

    def command(*arguments: str) -> Callable[[Path], Figure]:
        return lambda folder: once([*MLOPS, *arguments], folder)

    rows = []
    for title, act in (
        ("mlops run, goal ≤ 1.5", run),
        ("mlops history", command("history", "iris")),
        ("mlops store push", command("store", "push", "--message", "benchmark")),
        ("mlops store pull", command("store", "pull", "--force")),
    ):
        times = in_turn({"one": partial(act, one), "many": partial(act, many)}, rounds)
        rows.append(row(title, times["one"], times["many"]))
        print(*rows[-1], file=sys.stderr)
    return rows


def row(title: str, one: Sequence[Figure], many: Sequence[Figure]) -> tuple:
    """A line of the table."""
    pairs = [(median(one, what), median(many, what), paired(many, one, what)) for what in ("wall", "cpu")]
    return (title, *(round(value, 2) for triple in pairs for value in triple))


def main() -> None:
    """Print the figures as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--versions", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        one, many = (checkout(Path(folder), name) for name in ("one", "many"))
        multiply(many / "models", options.versions)
        rows = figures(one, many, options.rounds)
    heads = ("command", "1: wall s", f"{options.versions}: wall s", "×", "1: CPU s", f"{options.versions}: CPU s", "×")
    table("One version and many (medians, each command in turn)", heads, rows)


if __name__ == "__main__":
    main()
