"""scikit-learn beside ONNX Runtime on the rows of one part, by kind of estimator; batches take the faster one by this file.

python -m benchmarks.runners [--rows 50000] [--repeat 5] [--kinds RandomForestClassifier …] [--write]

30 features, one thread each, as a batch scores as many parts at a time as there are processors: rows a second of processor
time, label and probabilities together. Runs alternate; the fastest counts. `--write` keeps the table in the package.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np
import onnx
import pandas as pd
from sklearn import ensemble, linear_model, naive_bayes, neighbors, neural_network, svm, tree
from sklearn.base import is_classifier

from mlops.bundle import onnx_form
from mlops.bundle.proof import NotConverted
from mlops.console import note, table
from mlops.scoring import frames, runners
from mlops.serving.signature import Column, Signature

NAMES = [f"x{number:02d}" for number in range(30)]
TRAIN = 5_000
ESTIMATORS: dict[str, Callable[[], Any]] = {
    "LogisticRegression": lambda: linear_model.LogisticRegression(max_iter=1000),
    "RandomForestClassifier": lambda: ensemble.RandomForestClassifier(random_state=0),
    "ExtraTreesClassifier": lambda: ensemble.ExtraTreesClassifier(random_state=0),
    "GradientBoostingClassifier": lambda: ensemble.GradientBoostingClassifier(random_state=0),
    "HistGradientBoostingClassifier": lambda: ensemble.HistGradientBoostingClassifier(random_state=0),
    "DecisionTreeClassifier": lambda: tree.DecisionTreeClassifier(random_state=0),
    "MLPClassifier": lambda: neural_network.MLPClassifier(max_iter=30, random_state=0),
    "GaussianNB": naive_bayes.GaussianNB,
    "SVC": lambda: svm.SVC(probability=True, random_state=0),
    "KNeighborsClassifier": neighbors.KNeighborsClassifier,
    "LinearRegression": linear_model.LinearRegression,
    "RandomForestRegressor": lambda: ensemble.RandomForestRegressor(random_state=0),
    "GradientBoostingRegressor": lambda: ensemble.GradientBoostingRegressor(random_state=0),
    "HistGradientBoostingRegressor": lambda: ensemble.HistGradientBoostingRegressor(random_state=0),
    "MLPRegressor": lambda: neural_network.MLPRegressor(max_iter=30, random_state=0),
}


def rows_of(count: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows, and a number that they decide, with noise."""
    chance = np.random.default_rng(seed)
    values = chance.normal(size=(count, len(NAMES)))
    return pd.DataFrame(values, columns=NAMES), values[:, :6].sum(axis=1) + chance.normal(size=count)


def measure(kind: str, count: int, repeat: int) -> dict[str, float]:
    """Rows a second of processor time for each runner; ONNX Runtime is missing where a model has no such form."""
    train, number = rows_of(TRAIN, 0)
    estimator = ESTIMATORS[kind]()
    labels = np.where(number > 0, "yes", "no") if is_classifier(estimator) else number
    model = estimator.fit(train, labels)
    rows, _ = rows_of(count, 1)
    classes = model.classes_ if is_classifier(model) else None
    ways: dict[str, Any] = {"scikit-learn": model}
    try:
        inputs = Signature(tuple(Column(name, "double") for name in NAMES))
        raw, output = onnx_form.convert(model, inputs, "matrix")
        layout = {"output": output, "dtype": "object" if is_classifier(model) else "float64"}
        layout["scores"] = onnx.load_from_string(raw).graph.output[-1].name
        ways["onnx"] = runners.OnnxModel(raw, layout, inputs, model)
    except NotConverted as error:
        note(f"{kind}: no ONNX form ({error})")
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, way in ways.items():
            started = time.process_time()
            frames.predict_once(way, rows, classes)
            seconds[name].append(time.process_time() - started)
    return {name: float(f"{count / min(taken):.3g}") for name, taken in seconds.items()}


def main() -> None:
    """Print the table, and keep it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--kinds", nargs="*", choices=ESTIMATORS, default=list(ESTIMATORS))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    speeds = {}
    for kind in options.kinds:
        few = kind in ("SVC", "KNeighborsClassifier")  # seconds a thousand rows
        speeds[kind] = measure(kind, min(options.rows, 2_000) if few else options.rows, options.repeat)
    columns = ("estimator", "scikit-learn", "ONNX Runtime", "ratio")
    lines = [
        (kind, f"{found['scikit-learn']:,.0f}", f"{found['onnx']:,.0f}", f"{found['onnx'] / found['scikit-learn']:.2f} ×")
        for kind, found in speeds.items()
        if "onnx" in found
    ]
    table("rows a second of one processor", columns, lines)
    if options.write:
        versions = {name: metadata.version(name) for name in ("scikit-learn", "onnxruntime")}
        content = {"rows": options.rows, "features": len(NAMES), "versions": versions, "rows_per_second": speeds}
        runners.FILE.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
