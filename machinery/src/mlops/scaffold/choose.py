"""Which estimator: of three, the one that does best under cross validation; and from where the metrics' limits start."""

from __future__ import annotations

import importlib.util
import sys
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mlops import folders
from mlops.config import UseCaseConfig
from mlops.errors import DataError, first_line
from mlops.metrics.measures import Predictions, encode
from mlops.metrics.probabilities import directions, measures_of, values_of
from mlops.scaffold.understand import Table
from mlops.training import thresholds
from mlops.training.fitting import one_hot, predict
from mlops.training.folds import OutOfFold
from mlops.training.gate import goodness

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Rows that are cross-validated, seconds after which no other candidate begins, and rows above which no forest is tried.
SAMPLE, SECONDS, FOREST_ROWS, FOLDS = 8_000, 40, 100_000, 3
# The metrics by the kind of problem: the first decides, the others are reported and limited.
METRICS = {
    "regression": ("mae", "rmse"),
    "classification": ("macro_f1", "accuracy"),
    "imbalanced": ("average_precision", "roc_auc", "brier"),
}
# Below this share of the rarer of two classes accuracy says little: probabilities are judged, and labels go by a threshold.
IMBALANCE = 0.2
# Where each metric is best.
WAYS = directions("regression") | directions("classification")


@dataclass(frozen=True)
class Candidate:
    """An estimator that may be written: its name, what `build` says, and its parameters with their values and ranges."""

    name: str
    words: str
    scaled: bool
    imputed: bool
    classifier: str
    regressor: str
    parameters: Mapping[str, tuple[Any, str]]


LINEAR = Candidate(
    "linear", "a linear model", True, True,
    "LogisticRegression(C=1 / regularisation, max_iter=1000, random_state=seed)",
    "Ridge(alpha=regularisation, random_state=seed)",
    {"regularisation": (1.0, "{low: 0.01, high: 100, log: true}")},
)  # fmt: skip
FOREST = Candidate(
    "forest", "a random forest", False, True,
    "RandomForestClassifier(n_estimators=n_estimators, min_samples_leaf=min_samples_leaf, random_state=seed)",
    "RandomForestRegressor(n_estimators=n_estimators, min_samples_leaf=min_samples_leaf, random_state=seed)",
    {"n_estimators": (150, "{low: 50, high: 300}"), "min_samples_leaf": (3, "{low: 1, high: 20}")},
)  # fmt: skip
BOOSTING = Candidate(
    "boosting", "gradient-boosted trees", False, False,
    "HistGradientBoostingClassifier(max_iter=max_iter, learning_rate=learning_rate, random_state=seed)",
    "HistGradientBoostingRegressor(max_iter=max_iter, learning_rate=learning_rate, random_state=seed)",
    {"max_iter": (100, "{low: 50, high: 400}"), "learning_rate": (0.1, "{low: 0.02, high: 0.3, log: true}")},
)  # fmt: skip
CANDIDATES = (LINEAR, FOREST, BOOSTING)


@dataclass(frozen=True)
class Choice:
    """The chosen candidate, the mean of each metric over the folds for all of them and the baseline, and what was measured.

    scores: name → metric → mean. deviation: of the primary metric over the folds, for the chosen one. threshold: the mean over
    the folds of the one with the best F1, where one of two classes is rare.
    """

    candidate: Candidate
    scores: dict[str, dict[str, float]]
    deviation: float
    rows: int
    seconds: float
    passed_over: dict[str, str]
    threshold: float | None = None

    @property
    def better(self) -> bool:
        """Whether the chosen one beats the baseline in the primary metric."""
        primary = next(iter(self.scores["baseline"]))
        way = WAYS[primary]
        return goodness(way, self.scores[self.candidate.name][primary]) > goodness(way, self.scores["baseline"][primary])


@dataclass(frozen=True)
class Measured:
    """The mean of each metric over the folds, the deviation of the first, and the mean threshold with the best F1."""

    means: dict[str, float]
    deviation: float
    threshold: float | None


def is_imbalanced(table: Table) -> bool:
    """Whether one of two classes is rare."""
    return table.positive is not None and float((table.rows[table.target] == table.positive).mean()) < IMBALANCE


def metrics_of(table: Table) -> tuple[str, ...]:
    """The metrics that fit the problem, the primary one first."""
    return METRICS["imbalanced" if is_imbalanced(table) else table.task]


@contextmanager
def imported(files: Mapping[str, str]) -> Iterator[ModuleType]:
    """The package that these files make, under a name of its own; it is forgotten afterwards."""
    name = f"_scaffold_{uuid.uuid4().hex}"
    with folders.work_folder() as scratch:
        for file, text in files.items():
            Path(scratch, file).write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(
            name, Path(scratch, "__init__.py"), submodule_search_locations=[str(scratch)]
        )
        assert spec is not None and spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
            yield module
        finally:
            for loaded in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
                del sys.modules[loaded]


def choose(table: Table, packages: Mapping[str, Mapping[str, str]], raw: pd.DataFrame) -> Choice:
    """Cross-validate what `packages` builds, candidate → the files that would be written, on the processed rows of `raw`.

    Raises DataError where none of them can be trained.
    """
    started, names = time.monotonic(), metrics_of(table)
    scores: dict[str, dict[str, float]] = {}
    measured: dict[str, Measured] = {}
    passed_over: dict[str, str] = {}
    for candidate in CANDIDATES:
        if candidate is FOREST and len(raw) > FOREST_ROWS:
            passed_over[candidate.name] = f"not tried on more than {FOREST_ROWS} rows"
            continue
        if scores and time.monotonic() - started > SECONDS:
            passed_over[candidate.name] = f"not tried: {SECONDS} seconds were over"
            continue
        with imported(packages[candidate.name]) as module:
            sample = _processed(module, table, raw)
            if not scores:
                scores["baseline"] = _measure(table, sample, names, module, None).means
            try:
                measured[candidate.name] = _measure(table, sample, names, module, candidate)
                scores[candidate.name] = measured[candidate.name].means
            except (ValueError, TypeError) as error:
                passed_over[candidate.name] = first_line(error)[:200]
    fitted = [candidate for candidate in CANDIDATES if candidate.name in measured]
    if not fitted:
        raise DataError(
            f"{table.file}: no estimator can be trained ({'; '.join(passed_over.values())[:300]}); look at the columns"
        )
    way = WAYS[names[0]]
    best = max(fitted, key=lambda candidate: goodness(way, scores[candidate.name][names[0]]))
    chosen, seconds = measured[best.name], time.monotonic() - started
    return Choice(best, scores, chosen.deviation, len(sample), seconds, passed_over, chosen.threshold)


def _processed(module: ModuleType, table: Table, raw: pd.DataFrame) -> pd.DataFrame:
    """The processed rows, of a large table a sample: the last ones of a series, of others every n-th."""
    rows: pd.DataFrame = module.features(module.load(raw))
    if len(rows) <= SAMPLE:
        return rows.sort_values(table.time, ignore_index=True) if table.split == "time" else rows
    if table.split == "time":
        return rows.sort_values(table.time).tail(SAMPLE).reset_index(drop=True)
    return rows.sample(SAMPLE, random_state=0).reset_index(drop=True)


def _measure(
    table: Table, rows: pd.DataFrame, names: Sequence[str], module: ModuleType, candidate: Candidate | None
) -> Measured:
    """What the folds show of a candidate; no candidate measures the baseline."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    inputs = [name for name in rows if name not in (*table.key, table.target)]
    classes = np.unique(rows[table.target].to_numpy()) if table.classes else None
    config = _problem(table, names)
    measures = measures_of(config, classes)
    folds, cuts = [], []
    for training, holdout in _folds(table, rows):
        train, held = rows.iloc[training], rows.iloc[holdout]
        if candidate is None:
            values = np.asarray(module.baseline(train, held))
            codes = values if classes is None else encode(values, classes)
            predictions = (
                Predictions(codes.astype(float)) if classes is None else Predictions(codes, one_hot(codes, len(classes)))
            )
        else:
            parameters = {name: value for name, (value, _) in candidate.parameters.items()}
            # On so few rows threads wait for each other longer than they work.
            with warnings.catch_warnings(), threadpool_limits(1):
                warnings.simplefilter("ignore")
                model = module.build(**parameters, seed=0).fit(train[inputs], train[table.target])
                predictions = predict(model, held[inputs], classes)
        truth = held[table.target].to_numpy()
        codes = truth.astype(float) if classes is None else encode(truth, classes)
        folds.append(values_of(measures, names, codes, predictions))
        if candidate is not None and config.threshold and len(np.unique(codes)) == 2:
            cuts.append(thresholds.choose(config, codes, OutOfFold(np.arange(len(held)), predictions), classes)["value"])
    means = {name: float(np.nanmean([fold[name] for fold in folds])) for name in names}
    return Measured(means, float(np.nanstd([fold[names[0]] for fold in folds])), float(np.mean(cuts)) if cuts else None)


def _problem(table: Table, names: Sequence[str]) -> UseCaseConfig:
    """What the measures need to know of the configuration that will be written."""
    target: dict[str, Any] = {"column": table.target}
    rare: dict[str, Any] = {"threshold": {"rule": "f1"}} if is_imbalanced(table) else {}
    if table.positive is not None:
        target["positive"] = table.positive
    metrics = {name: {"direction": WAYS[name], "primary": name == names[0]} for name in names}
    value = {"description": "-", "task": table.task, "target": target, "key": table.key, "metrics": metrics, **rare}
    return UseCaseConfig.model_validate({**value, "split": {"method": "hash", "holdout": 0.2}})


def _folds(table: Table, rows: pd.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

    if table.split == "time":
        yield from TimeSeriesSplit(FOLDS).split(rows)
    elif table.split == "group":
        yield from GroupKFold(FOLDS).split(rows, groups=rows[table.group])
    elif table.classes:
        yield from StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(rows, rows[table.target])
    else:
        yield from KFold(FOLDS, shuffle=True, random_state=0).split(rows)
