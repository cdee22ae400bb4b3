"""Evidently's verdicts on pairs of tables: run by benchmarks.drift_alarms, by an interpreter that has Evidently and no more.

PYTHON evidently_verdicts.py FOLDER      # N-known.parquet, N-window.parquet → [[any column, the data set], …]
"""

import json
import sys
from pathlib import Path

import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset


def verdict(known: pd.DataFrame, window: pd.DataFrame) -> tuple[bool, bool]:
    """Whether the preset's defaults find drift in any column, and in the data set: half of the columns."""
    metrics = json.loads(Report([DataDriftPreset()]).run(window, known).json())["metrics"]
    counted = next(item["value"] for item in metrics if item["metric_name"].startswith("DriftedColumnsCount"))
    return counted["count"] > 0, counted["share"] >= 0.5


def main() -> None:
    """Print a pair of verdicts for each pair of tables, in their order, as one line of JSON."""
    folder = Path(sys.argv[1])
    pairs = range(len(list(folder.glob("*-known.parquet"))))
    tables = (
        (pd.read_parquet(folder / f"{at}-known.parquet"), pd.read_parquet(folder / f"{at}-window.parquet")) for at in pairs
    )
    print(json.dumps([verdict(known, window) for known, window in tables]))


if __name__ == "__main__":
    main()
