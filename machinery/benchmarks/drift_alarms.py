"""How often chance alone raises an alarm on fresh rows, and how large a move is found, beside Evidently's defaults.

    python -m benchmarks.drift_alarms [--windows 100] [--name iris] [--json]

The rows of a use case are dealt out at random, anew for each window: a part is the reference, and the window is drawn from the
others, so that no row is in both and every alarm is false. Then one column of the window is moved by a share of its standard
deviation. Evidently (`pip install '.[benchmarks]'`) judges the same windows by its preset's defaults: any column, and its
verdict on the whole data set; where it is not installed its columns are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Iterator
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


def theirs(known: pd.DataFrame, window: pd.DataFrame) -> tuple[bool, bool]:
    """Whether Evidently's defaults find drift in any column, and in the data set."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    metrics = json.loads(Report([DataDriftPreset()]).run(window, known).json())["metrics"]
    counted = next(item["value"] for item in metrics if item["metric_name"].startswith("DriftedColumnsCount"))
    return counted["count"] > 0, counted["share"] >= 0.5


def judged(case: Case, rows: pd.DataFrame, windows: int, share: float, beside: bool) -> dict[str, Any]:
    """How many of so many windows each of them calls drift; share: how far one column was moved, 0 for not at all."""
    alarms = {"ours": 0, "ours, with warnings": 0, "evidently, any column": 0, "evidently, data set": 0}
    for known, window in _windows(case, rows, windows, share):
        verdict = ours(known, window)
        alarms["ours"] += verdict == "drift"
        alarms["ours, with warnings"] += verdict != "ok"
        if beside:
            column, whole = theirs(known, window)
            alarms["evidently, any column"] += column
            alarms["evidently, data set"] += whole
    kept = {name: value for name, value in alarms.items() if beside or name.startswith("ours")}
    size = len(rows) - case.reference if case.window is None else case.window
    facts = {"use case": case.use_case, "reference": case.reference, "window": size, "moved by std": share}
    return {**facts, "windows": windows, **kept}


def _windows(case: Case, rows: pd.DataFrame, windows: int, share: float) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    for seed in range(windows):
        known, window = dealt(rows, case, seed)
        yield known, moved(window, rows, share, seed) if share else window


def measure(windows: int, only: str = "", cases: tuple[Case, ...] = CASES, moves: tuple[float, ...] = MOVES) -> list[dict]:
    """One row a case and move; moved windows are a fifth as many as those without a move."""
    project = load_project()
    beside = importlib.util.find_spec("evidently") is not None
    shares = []
    for case in (case for case in cases if only in ("", case.use_case)):
        rows = inputs_of(load_use_case(project, case.use_case))
        shares.append(judged(case, rows, windows, 0.0, beside))
        shares += [judged(case, rows, max(1, windows // 5), share, beside) for share in moves]
    return shares


def main() -> None:
    """Print the table as Markdown, or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=100, help="windows without a move for each case")
    parser.add_argument("--name", default="", help="this use case alone")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    rows = measure(arguments.windows, arguments.name)
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print("| " + " | ".join(rows[0]) + " |")
    print("|:--|" + "--:|" * (len(rows[0]) - 1))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")


if __name__ == "__main__":
    main()
