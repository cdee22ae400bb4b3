"""Candidate folders as training makes them, their bundles, and servers on ports that the system chooses."""

import os
import re
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager

import httpx
import numpy as np
import pandas as pd
import pytest
from checkouts import ROOT, need_examples

from mlops.bundle.build import build

VERSION = {"number": "1.2.3", "run_id": "abc", "commit": "c0ffee", "metrics": {"mae": 0.5}}


def make_candidate(folder, model, frame, target):
    """A folder with the MLflow model, fitted on most rows, and the rest as its holdout."""
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from skops.io import dumps, get_untrusted_types

    cut = len(frame) * 3 // 4
    model.fit(frame[:cut], target[:cut])
    predictions = model.predict(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            model,
            str(folder / "model"),
            signature=infer_signature(frame, predictions),
            serialization_format="skops",
            skops_trusted_types=get_untrusted_types(data=dumps(model)),
            pip_requirements=["scikit-learn"],
        )
    given, answers = as_column(target[cut:]), as_column(predictions[cut:])
    rows = frame[cut:].assign(__target__=given, __prediction__=answers, __baseline__=answers)
    rows.to_parquet(folder / "holdout.parquet")
    return folder


def as_column(values):
    """Values as one column of a table: a list a row where there are several targets."""
    return values if values.ndim == 1 else values.tolist()


def labelled():
    """Flowers, by the raw data of an example."""
    need_examples()
    rows = pd.read_csv(ROOT / "data/raw/iris/iris.csv").sample(frac=1, random_state=0, ignore_index=True)
    return rows[["sepal_length", "sepal_width", "petal_length", "petal_width"]], rows["species"].to_numpy()


def numbered(count=400):
    """Numbers with a whole-number column and gaps, and a target that depends on both."""
    chance = np.random.default_rng(7)
    frame = pd.DataFrame({"size": chance.normal(size=count), "speed": chance.gamma(2, size=count)})
    frame["doors"] = chance.integers(0, 5, size=count)
    target = frame["size"] * 2 + frame["doors"] + chance.normal(size=count) / 10
    return frame.mask(chance.random(frame.shape) < 0.1).assign(doors=frame["doors"]), target.to_numpy()


def flowers_model():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    return make_pipeline(StandardScaler(), PolynomialFeatures(3), LogisticRegression(max_iter=2000))


def numbers_model(**options):
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(max_iter=20, random_state=0, **options)


@pytest.fixture(scope="session")
def flowers(tmp_path_factory):
    return make_candidate(tmp_path_factory.mktemp("flowers"), flowers_model(), *labelled())


@pytest.fixture(scope="session")
def numbers(tmp_path_factory):
    return make_candidate(tmp_path_factory.mktemp("numbers"), numbers_model(), *numbered())


@pytest.fixture(scope="session")
def flowers_bundle(flowers, tmp_path_factory):
    return build(flowers, tmp_path_factory.mktemp("bundles") / "iris", "iris", VERSION)


@pytest.fixture(scope="session")
def numbers_bundle(numbers, tmp_path_factory):
    return build(numbers, tmp_path_factory.mktemp("bundles") / "numbers", "numbers", VERSION, personal=("speed",))


@contextmanager
def serving(folder, **settings):
    """A server process on a bundle, as (address, process); stopped by SIGTERM in the end."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("MLOPS_SERVE_")}
    env |= {f"MLOPS_SERVE_{name.upper()}": str(value) for name, value in {"port": 0, "drain": 0, **settings}.items()}
    command = [sys.executable, "-m", "mlops.serving.run", str(folder)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.lines = []
    try:
        address = re.fullmatch(r"listening on (\S+)\n", process.stderr.readline()).group(1)
        # The log is read all the time, so that the server never waits for its reader.
        process.reader = threading.Thread(target=lambda: process.lines.extend(process.stdout), daemon=True)
        process.reader.start()
        wait_ready(address, process)
        yield address, process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(20)


def wait_ready(address, process):
    for _ in range(400):
        try:
            if httpx.get(f"{address}/v2/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            assert process.poll() is None, process.stderr.read()
        threading.Event().wait(0.02)
    raise AssertionError("the server is not ready")


@pytest.fixture(scope="session")
def flowers_server(flowers_bundle):
    with serving(flowers_bundle.folder) as (address, _):
        yield address


@pytest.fixture(scope="session")
def numbers_server(numbers_bundle):
    with serving(numbers_bundle.folder) as (address, _):
        yield address


@pytest.fixture(scope="session")
def mlflow_server(flowers):
    """MLflow's own scoring server on the trained model, in this process."""
    import mlflow.pyfunc
    from mlflow.pyfunc.scoring_server import init
    from starlette.testclient import TestClient

    with TestClient(init(mlflow.pyfunc.load_model(str(flowers / "model"))), raise_server_exceptions=False) as client:
        yield client
