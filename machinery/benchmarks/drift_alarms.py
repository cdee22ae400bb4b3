"""How often chance alone raises an alarm on fresh rows, and how large a move is found, beside Evidently's defaults.

    python -m benchmarks.drift_alarms [--windows 100] [--name iris] [--evidently] [--json]

The rows of a use case are dealt out at random, anew for each window: a part is the reference, and the window is drawn from
the others, so that no row is in both and every alarm is false. Then one column of the window is moved by a share of its
standard deviation. With --evidently the same windows are judged by Evidently, in an environment of its own that is removed
again: by its preset's defaults, any column, and by its verdict on the whole data set.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mlops.config import load_project
from mlops.config.operations import FeatureMonitor, Monitor
from mlops.data import stages
from mlops.monitoring import drift
from mlops.monitoring.log import PREDICTION
from mlops.training import reference
from mlops.use_case import UseCase, load_use_case

MOVES = (0.25, 0.5, 1.0)
EVIDENTLY = ("evidently==0.7.23", "pandas<3", "pyarrow")  # it imports what pandas 3.1 no longer has


class Case(NamedTuple):
    """How many rows the reference has, and how many the window; None takes all that are left."""

    use_case: str
    reference: int
    window: int | None


# With a window of 51 rows: what the holdout of iris is to its training rows.
CASES = (
    Case("iris", 99, 51),
    Case("ridership", 51, 300),
    Case("ridership", 365, 100),
    Case("ridership", 365, 300),
    Case("ridership", 2800, 1000),
)


def inputs_of(use_case: UseCase) -> pd.DataFrame:
    """The inputs of every row that there is, those that are not watched left out."""
    rows = stages.read_processed(load_project(), use_case)[0]
    ignored = {name for name, own in use_case.config.monitor.features.items() if own.ignore}
    return rows[[name for name in use_case.inputs(rows) if name not in ignored]]


def dealt(rows: pd.DataFrame, case: Case, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A reference and a window that share no row."""
    mixed = rows.sample(frac=1, random_state=seed, ignore_index=True)
    rest = mixed.iloc[case.reference :]
    return mixed.iloc[: case.reference], rest if case.window is None else rest.iloc[: case.window]


def moved(window: pd.DataFrame, known: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """The window with one column of numbers moved by a share of its standard deviation."""
    numbers = [name for name in window if known[name].nunique() > 10 and pd.api.types.is_float_dtype(known[name])]
    column = numbers[seed % len(numbers)]
    return window.assign(**{column: window[column] + share * known[column].std()})


def ours(known: pd.DataFrame, window: pd.DataFrame) -> str:
    """The worst verdict of `mlops monitor` over all inputs."""
    profile = reference.profile(known, np.zeros(len(known)), False)
    settings = Monitor(features={drift.OUTPUT: FeatureMonitor(ignore=True)})
    findings = drift.check(profile, window.reset_index(drop=True).assign(**{PREDICTION: np.zeros(len(window))}), settings)
    return drift.worst([item.verdict for item in findings])


@contextmanager
def evidently() -> Iterator[Path]:
    """The interpreter of an environment that holds Evidently; none of it reaches the project's."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *EVIDENTLY], check=True)
        yield python


def theirs(python: Path, windows: list[tuple[pd.DataFrame, pd.DataFrame]]) -> list[tuple[bool, bool]]:
    """Whether Evidently's defaults find drift in any column, and in the data set, window by window."""
    with tempfile.TemporaryDirectory() as folder:
        for number, (known, window) in enumerate(windows):
            known.to_parquet(Path(folder) / f"{number}-known.parquet")
            window.to_parquet(Path(folder) / f"{number}-window.parquet")
        script = Path(__file__).with_name("evidently_verdicts.py")
        done = subprocess.run(
            [str(python), "-I", "-W", "ignore", str(script), folder], check=True, stdout=subprocess.PIPE, text=True
        )
    return [(column, whole) for column, whole in json.loads(done.stdout.splitlines()[-1])]


def judged(case: Case, rows: pd.DataFrame, moves: list[tuple[float, int]], beside: Path | None) -> Iterator[dict[str, Any]]:
    """How many windows each of them calls drift; moves: how far one column is moved, 0 for not at all, and in how many."""
    drawn = [list(_windows(case, rows, windows, share)) for share, windows in moves]
    # Evidently takes longer to be imported than to judge some windows: it is asked once for all.
    known = theirs(beside, [pair for pairs in drawn for pair in pairs]) if beside else []
    for (share, windows), pairs in zip(moves, drawn, strict=True):
        verdicts = [ours(*pair) for pair in pairs]
        alarms = {"ours": verdicts.count("drift"), "ours, with warnings": sum(verdict != "ok" for verdict in verdicts)}
        if beside:
            of_move, known = known[:windows], known[windows:]
            alarms |= {"Evidently, any column": sum(column for column, _ in of_move)}
            alarms |= {"Evidently, data set": sum(whole for _, whole in of_move)}
        size = len(rows) - case.reference if case.window is None else case.window
        facts = {"use case": case.use_case, "reference": case.reference, "window": size, "moved by std": share}
        yield {**facts, "windows": windows, "alarms": alarms}


def _windows(case: Case, rows: pd.DataFrame, windows: int, share: float) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    for seed in range(windows):
        known, window = dealt(rows, case, seed)
        yield known, moved(window, rows, share, seed) if share else window


def measure(
    windows: int, only: str = "", beside: Path | None = None, cases: tuple[Case, ...] = CASES, moves: tuple[float, ...] = MOVES
) -> list[dict[str, Any]]:
    """One row a case and move; moved windows are a fifth as many as those without a move."""
    project = load_project()
    shares = []
    for case in (case for case in cases if only in ("", case.use_case)):
        rows = inputs_of(load_use_case(project, case.use_case))
        counts = [(0.0, windows), *((share, max(1, windows // 5)) for share in moves)]
        shares += judged(case, rows, counts, beside)
    return shares


def as_table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The lines of a Markdown table: a case and who judged it a line, the moves in columns."""
    moves = sorted({row["moved by std"] for row in rows})
    heads = ["false alarms" if not move else f"moved by {move:g} std: seen" for move in moves]
    yield f"| use case | reference | window | verdict of | {' | '.join(heads)} |"
    yield "|:--|--:|--:|:--|" + "--:|" * len(moves)
    for at in range(0, len(rows), len(moves)):
        of_case = rows[at : at + len(moves)]
        for who in of_case[0]["alarms"]:
            cells = [f"{row['alarms'][who]} of {row['windows']}" for row in of_case]
            facts = [of_case[0]["use case"], f"{of_case[0]['reference']:,}", f"{of_case[0]['window']:,}", who]
            yield f"| {' | '.join([*facts, *cells])} |"


def main() -> None:
    """Print the table as Markdown, or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=100, help="windows without a move for each case")
    parser.add_argument("--name", default="", help="this use case alone")
    parser.add_argument(
        "--evidently", action="store_true", help="judge the same windows by Evidently, in an environment of its own"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    if arguments.evidently:
        with evidently() as python:
            rows = measure(arguments.windows, arguments.name, python)
    else:
        rows = measure(arguments.windows, arguments.name)
    print(json.dumps(rows, indent=2) if arguments.json else "\n".join(as_table(rows)))


if __name__ == "__main__":
    main()
