"""The main job against a bare script, the start of the command line, and a fresh clone.

python -m benchmarks.main_job [--rounds 5] [--fresh]
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.timing import Figure, in_turn, median, once, paired
from mlops.console import table

ROOT = Path(__file__).resolve().parents[2]
MLOPS = [sys.executable, "-m", "mlops"]


def against_a_bare_script(rounds: int) -> list[tuple]:
    """`mlops run iris`, trained anew each time, beside the bare script; both on stores that are there already."""
    seeds = itertools.count(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        env = {"MLOPS__PROJECT__STORE": f"{place}/store", "MLOPS__PROJECT__OUTPUT": f"{place}/output"}
        csv = str(ROOT / "data/raw/iris/iris.csv")

        def ours() -> Figure:
            return once([*MLOPS, "run", "iris", "--set", f"seed={next(seeds)}"], ROOT, env)

        def bare() -> Figure:
            return once(
                [sys.executable, str(ROOT / "machinery/benchmarks/bare_iris.py"), csv, f"sqlite:///{place}/bare.db"], folder
            )

        times = in_turn({"ours": ours, "bare": bare}, rounds)
    return [
        ("mlops run iris (validate, train, gate, register, plots, report)", median(times["ours"]), "s"),
        ("bare script (fit, log_model, register)", median(times["bare"]), "s"),
        ("ratio, goal ≤ 0.75", paired(times["ours"], times["bare"]), "×"),
    ]


def start(rounds: int) -> list[tuple]:
    """`mlops --help` beside an interpreter that does nothing, and an import of mlflow."""
    runs = {
        "help": lambda: once([*MLOPS, "--help"], ROOT),
        "nothing": lambda: once([sys.executable, "-c", "pass"], ROOT),
        "mlflow": lambda: once([sys.executable, "-c", "import mlflow"], ROOT),
    }
    times = in_turn(runs, rounds)
    return [
        ("mlops --help, goal ≤ 0.35", median(times["help"]), "s"),
        ("python -c pass", median(times["nothing"]), "s"),
        ("python -c 'import mlflow'", median(times["mlflow"]), "s"),
    ]


def memory() -> list[tuple]:
    """The peak of a whole ridership run, and its time, trained anew."""
    with tempfile.TemporaryDirectory() as place:
        env = {"MLOPS__PROJECT__STORE": f"{place}/store", "MLOPS__PROJECT__OUTPUT": f"{place}/output"}
        figure = once([*MLOPS, "run", "ridership"], ROOT, env)
    return [
        ("mlops run ridership, first run, store made", figure.wall, "s"),
        ("mlops run ridership, peak of resident memory", figure.memory, "MB"),
    ]


def fresh_clone() -> list[tuple]:
    """`make run` in a new clone with the package cache warm, again, and the command that it calls alone."""
    with tempfile.TemporaryDirectory() as place:
        clone = Path(place) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        env = {name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "MAKE"))}
        first = once(["make", "run"], clone, env)
        runs = {
            "make": lambda: once(["make", "run"], clone, env),
            "alone": lambda: once([str(clone / ".venv/bin/mlops"), "run"], clone, env),
        }
        times = in_turn(runs, 3)
        shutil.rmtree(clone / ".venv")
    return [
        ("make run in a fresh clone, warm package cache, goal ≤ 90", first.wall, "s"),
        ("make run again", median(times["make"]), "s"),
        ("make run again / the command alone, goal ≤ 1.2", paired(times["make"], times["alone"]), "×"),
    ]


def main() -> None:
    """Print the figures as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fresh", action="store_true", help="also measure a fresh clone (needs the packages' index)")
    options = parser.parse_args()
    rows = [*against_a_bare_script(options.rounds), *start(options.rounds), *memory()]
    rows += fresh_clone() if options.fresh else []
    table("Main job (medians)", ("what", "figure", "unit"), [(what, round(value, 2), unit) for what, value, unit in rows])


if __name__ == "__main__":
    main()
