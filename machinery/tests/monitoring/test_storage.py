"""A prediction log in S3, read through the same commands."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command import mlops

from mlops.config import Project

pytestmark = pytest.mark.services


@pytest.fixture
def s3(environment: None) -> Iterator[Any]:
    """A client of an S3 server with a bucket `logs`, whose settings stand in the environment."""
    pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    # An empty region is what a workflow hands on where nobody has set the variable.
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": ""}
    os.environ |= {"MLFLOW_S3_ENDPOINT_URL": address, **keys}
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(address, timeout=2).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.3)
        client = boto3.client(
            "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        client.create_bucket(Bucket="logs")
        yield client
    finally:
        process.terminate()
        process.wait(30)


def test_a_rotated_log_and_labels_in_s3(
    registered: Project, s3: Any, flowers: pd.DataFrame, answer: Callable[..., Path], tmp_path: Path
) -> None:
    rows = flowers.sample(240, replace=True, random_state=3, ignore_index=True)
    lines = (answer(rows) / "iris.jsonl").read_text().splitlines(keepends=True)
    s3.put_object(Bucket="logs", Key="served/one/iris.jsonl.1", Body="".join(lines[:100]).encode())
    s3.put_object(Bucket="logs", Key="served/one/iris.jsonl", Body="".join(lines[100:]).encode())
    labels = pd.DataFrame({"request": [f"q-{index}" for index in range(240)], "species": rows["species"]})
    s3.put_object(Bucket="logs", Key="labels/late.csv", Body=labels.head(90).to_csv(index=False).encode())
    done = mlops("monitor", "iris", "--log", "s3://logs/served", "--set", "monitor.labels=s3://logs/labels", "--json")
    assert done.code == 0, done.err
    assert (done.value["log"]["rows"], done.value["log"]["files"]) == (240, 2)
    assert done.value["versions"][0]["labelled"] == 90


def test_what_is_not_there_or_does_not_answer_is_reported(registered: Project, s3: Any) -> None:
    missing = mlops("monitor", "iris", "--log", "s3://logs/nothing")
    assert missing.code == 2 and "s3://logs/nothing: cannot be read" in missing.error
    nowhere = mlops("monitor", "iris", "--log", "s3://no-such-bucket/x")
    assert nowhere.code == 2 and "s3://no-such-bucket/x: cannot be read" in nowhere.error
    os.environ["MLFLOW_S3_ENDPOINT_URL"] = "http://127.0.0.1:9"
    os.environ["AWS_MAX_ATTEMPTS"] = "1"
    gone = mlops("monitor", "iris", "--log", "s3://logs/served")
    assert gone.code == 3 and "s3://logs/served: " in gone.error and "Could not connect" in gone.error
