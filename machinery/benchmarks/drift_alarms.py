"""How often chance alone raises an alarm, and how large a move is found: `python -m benchmarks.drift_alarms [--seeds 500]`.

Rows are drawn from the rows that the reference profile was made of, so that every alarm is a false one; then one column is
moved by shares of its standard deviation. Nothing but a candidate is needed: it is trained if it is not there.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from mlops.config import load_project
from mlops.data import stages
from mlops.monitoring import drift
from mlops.monitoring.log import SAID
from mlops.training import reference
from mlops.training.split import split
from mlops.use_case import UseCase, load_use_case

SIZES = (100, 300, 1000)
MOVES = (0.25, 0.5, 0.75, 1.0)


def known_rows(use_case: UseCase, rows: pd.DataFrame) -> pd.DataFrame:
    """The inputs that the profile is made of."""
    config = use_case.config
    training, holdout = split(rows, config.split, config.key, config.target.column, config.seed)
    return (holdout if config.split.method == "time" else training)[use_case.inputs(rows)]


def verdict(profile: dict, rows: pd.DataFrame, use_case: UseCase) -> str:
    """The worst verdict over all inputs; the outputs stay what they were."""
    table = rows.assign(**{SAID: np.zeros(len(rows))})
    settings = use_case.config.monitor.model_copy(update={"features": {drift.OUTPUT: drift.FeatureMonitor(ignore=True)}})
    return drift.worst([item.verdict for item in drift.check(profile, table, settings)])


def main() -> None:
    """The share of checks with a warning or an alarm, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=500)
    seeds = parser.parse_args().seeds
    project = load_project()
    print("| use case | rows | false warnings | false alarms | " + " | ".join(f"moved by {move} std" for move in MOVES) + " |")
    print("|:--|--:|--:|--:|" + "--:|" * len(MOVES))
    for name in project.use_cases:
        use_case = load_use_case(project, name)
        known = known_rows(use_case, stages.read_processed(project, use_case)[0])
        profile = reference.profile(known, np.zeros(len(known)), False)
        numbers = [column for column in known if profile["features"][column]["kind"] == "number"]
        for size in SIZES:
            plain = [verdict(profile, known.sample(size, replace=True, random_state=seed), use_case) for seed in range(seeds)]
            found = []
            for move in MOVES:
                hits = 0
                for seed in range(seeds // 10):
                    rows = known.sample(size, replace=True, random_state=seed)
                    column = numbers[seed % len(numbers)]
                    moved = rows.assign(**{column: rows[column] + move * known[column].std()})
                    hits += verdict(profile, moved, use_case) == "drift"
                found.append(f"{hits / (seeds // 10):.0%}")
            shares = [sum(each in levels for each in plain) / seeds for levels in (("warn", "drift"), ("drift",))]
            print(f"| {name} | {size} | {shares[0]:.1%} | {shares[1]:.1%} | " + " | ".join(found) + " |", flush=True)


if __name__ == "__main__":
    main()
