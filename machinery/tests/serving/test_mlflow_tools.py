"""MLflow's own ways to serve work on what the project registers."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest

from mlops import pipeline
from mlops.config import load_project
from mlops.training.train import train
from mlops.use_case import load_use_case

COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """A store with a champion of iris: its tracking URI, and the rows and predictions of its holdout."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("STORE", "OUTPUT"):
            patch.setenv(f"MLOPS__PROJECT__{name}", str(folder / name.lower()))
        project = load_project()
        use_case = load_use_case(project, "iris")
        outcome = pipeline.run(project, use_case, "champion", "a test")
        holdout = train(project, use_case)[0].holdout()
    assert outcome.version is not None
    yield f"sqlite:///{folder}/store/mlflow.db", holdout[COLUMNS], holdout["__prediction__"].tolist()


def mlflow(uri, *arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "MLOPS_"))}
    environment |= {"MLFLOW_TRACKING_URI": uri, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
    return subprocess.Popen(
        [sys.executable, "-m", "mlflow", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def answers(address, rows, seconds):
    """The predictions of a server that may still be starting."""
    body = json.dumps({"dataframe_split": {"columns": list(rows), "data": rows.to_numpy().tolist()}}).encode()
    request = urllib.request.Request(f"{address}/invocations", body, {"content-type": "application/json"})
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)["predictions"]
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


@contextmanager
def stopping(process):
    try:
        yield process
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


@pytest.mark.servers
def test_mlflow_models_serve_answers_from_the_alias(registered):
    uri, rows, predictions = registered
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    serve = ("models", "serve", "-m", "models:/iris@champion", "--env-manager", "local", "-p", str(port))
    with stopping(mlflow(uri, *serve)):
        assert answers(f"http://127.0.0.1:{port}", rows, 120) == predictions


@pytest.mark.long
@pytest.mark.docker
@pytest.mark.timeout(1200)
def test_mlflow_models_build_docker_makes_an_image_that_answers(registered):
    uri, rows, predictions = registered
    python = ".".join(map(str, sys.version_info[:3]))
    # The base image that MLflow names is the one of this Python to the last number; where only its minor is here, that one.
    minor = f"python:{sys.version_info[0]}.{sys.version_info[1]}-slim"
    subprocess.run(["docker", "tag", minor, f"python:{python}-slim"], capture_output=True)
    image = ("-m", "models:/iris@champion", "-n", "mlops-test-mlflow", "--env-manager", "local")
    build = mlflow(uri, "models", "build-docker", *image)
    said_by_build, _ = build.communicate(timeout=1000)
    assert build.returncode == 0, said_by_build[-3000:]
    run = ["docker", "run", "--detach", "--rm", "--publish", "127.0.0.1::8080", "mlops-test-mlflow"]
    name = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    try:
        port = subprocess.run(["docker", "port", name, "8080/tcp"], capture_output=True, text=True, check=True).stdout
        assert answers(f"http://{port.splitlines()[0]}", rows, 120) == predictions
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True)
        subprocess.run(["docker", "rmi", "--force", "mlops-test-mlflow"], capture_output=True)
