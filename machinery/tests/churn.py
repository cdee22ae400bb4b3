"""A use case with few positives: 5,000 generated customers, of whom about 8 % leave. What is true of each is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from pandera.pandas import Column, DataFrameSchema
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlops.config import Project, load_use_case_config
from mlops.use_case import UseCase

NUMBERS = ["age", "calls", "months", "price"]
PLANS = ["basic", "family", "large"]
CONFIG: dict[str, Any] = {
    "description": "Which customer leaves",
    "task": "classification",
    "target": {"column": "left", "positive": "yes"},
    "key": ["customer"],
    "split": {"method": "stratified", "holdout": 0.3},
    "seed": 5,
    "threshold": {"rule": "cost"},
    "costs": {"yes": {"no": 10}, "no": {"yes": 1}},
    "metrics": {
        "average_precision": {"direction": "higher", "limit": 0.3, "tolerance": 0.02, "primary": True},
        "roc_auc": {"direction": "higher", "limit": 0.8},
        "brier": {"direction": "lower", "limit": 0.07},
        "log_loss": {"direction": "lower", "limit": 0.3},
        "recall_at_precision": {"direction": "higher", "at": 0.5, "limit": 0.2},
        "precision_at_recall": {"direction": "higher", "at": 0.5, "limit": 0.3},
        "expected_cost": {"direction": "lower", "limit": 0.5},
        "calibration_error": {"direction": "lower", "limit": 0.03},
        "recall": {"direction": "higher", "limit": 0.5},
    },
    "bootstrap": {"resamples": 100},
}


def customers(count: int = 5000, seed: int = 8) -> pd.DataFrame:
    """Customers with what is known of them, and whether they left."""
    chance = np.random.default_rng(seed)
    rows = pd.DataFrame({name: chance.normal(size=count) for name in NUMBERS})
    rows["plan"] = chance.choice(PLANS, count)
    strength = 1.6 * rows["calls"] - 1.2 * rows["months"] + 0.5 * (rows["plan"] == "large") - 3.75
    left = chance.random(count) < 1 / (1 + np.exp(-strength))
    return rows.assign(customer=np.arange(count), left=np.where(left, "yes", "no"))


def build(regularisation: float = 1.0, seed: int = 0) -> Any:
    columns = make_column_transformer((StandardScaler(), NUMBERS), (OneHotEncoder(handle_unknown="ignore"), ["plan"]))
    return make_pipeline(columns, LogisticRegression(C=1 / regularisation, random_state=seed))


def schema(stage: str) -> DataFrameSchema:
    numbers = {name: Column(float) for name in NUMBERS}
    return DataFrameSchema({"customer": Column(int), **numbers, "plan": Column(str), "left": Column(str)})


def make(project: Project, rows: pd.DataFrame | None = None, **config: Any) -> UseCase:
    """The use case in a project: raw data and configuration are written, its functions are the ones above."""
    raw = project.data / "raw" / "churn"
    raw.mkdir(parents=True, exist_ok=True)
    (customers() if rows is None else rows).to_csv(raw / "churn.csv", index=False)
    (project.root / "config" / "churn.yaml").write_text(yaml.safe_dump({**CONFIG, **config}))
    order = ["customer", *NUMBERS, "plan", "left"]
    package = project.root / "code" / "use_cases" / "churn"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    (package.parent / "__init__.py").write_text("")
    return UseCase(
        name="churn",
        config=load_use_case_config(project, "churn"),
        package=Path(package),
        load=lambda rows: rows[order],
        schema=schema,
        features=lambda rows: rows,
        build=build,
        baseline=lambda train, holdout: np.full(len(holdout), "no", dtype=object),
    )
