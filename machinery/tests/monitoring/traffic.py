"""Made-up training rows of every kind of column, and traffic drawn from the same source."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from mlops.monitoring.log import PREDICTION
from mlops.training import reference

COLUMNS = ["weight", "income", "weekday", "colour", "member", "seen"]


def rows(count: int, seed: int) -> pd.DataFrame:
    """Numbers, skewed numbers with gaps, whole numbers, categories, truth values and times."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"weight": random.normal(70, 10, count), "income": random.lognormal(3, 0.8, count)})
    frame["income"] = frame["income"].mask(random.random(count) < 0.05)
    frame["weekday"] = random.integers(0, 7, count).astype(float)
    frame["colour"] = random.choice(["red", "green", "blue", "grey"], count, p=[0.5, 0.3, 0.15, 0.05])
    frame["member"] = random.random(count) < 0.3
    frame["seen"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(random.integers(0, 90 * 86_400, count), unit="s")
    return frame


def predictions(inputs: pd.DataFrame) -> np.ndarray:
    """What a model says of rows."""
    return inputs["weight"].to_numpy() / 10 + inputs["weekday"].to_numpy()


def profile(count: int = 2000, seed: int = 0) -> dict:
    """The reference profile of made-up rows, as it is read back from its file."""
    known = rows(count, seed)
    return json.loads(json.dumps(reference.profile(known[COLUMNS], predictions(known), False)))


def logged(inputs: pd.DataFrame, outputs: np.ndarray | None = None) -> pd.DataFrame:
    """Rows as they come out of the log: times are text, what is missing is None."""
    outputs = predictions(inputs) if outputs is None else outputs
    texts = [None if value is pd.NaT else value.isoformat() for value in inputs["seen"]] if "seen" in inputs else None
    frame = inputs if texts is None else inputs.assign(seen=texts)
    return pd.DataFrame(json.loads(frame.to_json(orient="records", double_precision=15))).assign(**{PREDICTION: outputs})


def write_log(
    folder: Path,
    use_case: str,
    inputs: pd.DataFrame,
    outputs: Sequence,
    version: str = "1.0.0",
    days: float = 3,
    prefix: str = "q",
) -> Path:
    """Add rows to a use case's prediction log, spread over the last days; the request of row i is <prefix>-i."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    with (folder / f"{use_case}.jsonl").open("a", encoding="utf-8") as file:
        for index, (row, value) in enumerate(zip(inputs.to_dict("records"), outputs, strict=True)):
            time = now - timedelta(days=days * (1 - index / len(inputs)), seconds=1)
            record = {"time": time.isoformat(timespec="milliseconds"), "version": version, "request": f"{prefix}-{index}"}
            file.write(json.dumps(record | {"row": 0, "inputs": row, "prediction": value}) + "\n")
    return folder
