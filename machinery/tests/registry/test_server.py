"""A real MLflow server: nothing but MLFLOW_TRACKING_URI is set, and no lock keeps two registrations apart."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops import pipeline, tracking
from mlops.config import Project
from mlops.registry import versions
from mlops.use_case import load_use_case

pytestmark = pytest.mark.servers

OTHER = ("parameters.regularisation=1.5",)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server with an empty store."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "artifacts")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "MLOPS_"))}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
    try:
        yield wait_for(f"http://127.0.0.1:{port}", process, folder / "log")
    finally:
        process.terminate()
        process.wait(30)


def wait_for(address: str, process: subprocess.Popen, log: Path) -> str:
    """The address, as soon as the server there answers."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return address
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"the server did not start: {log.read_text()}")


def test_the_whole_run_works_with_nothing_but_the_address(
    project: Project, server: str, command, load, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    result = command("run", "iris", "--json")
    assert result.code == 0, result.err
    (outcome,) = json.loads(result.out)
    assert (outcome["number"], outcome["created"]) == ("1.0.0", True)
    assert load(project, versions.resolve(project, "iris", "champion")) == 51
    assert "nothing to register" in command("run", "iris").err
    assert not project.store.exists()


def test_registrations_that_race_on_a_server_get_numbers_of_their_own_and_a_key_one_version(
    project: Project, server: str, load, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setenv("MLOPS__PROJECT__NAMESPACE", "race-")
    monkeypatch.setenv("MLOPS_PROJECT", str(project.root))
    apart = project.model_copy(update={"namespace": "race-"})
    for overrides in ((), OTHER):
        pipeline.try_out(apart, load_use_case(apart, "iris", overrides))
    run = [sys.executable, "-m", "mlops", "run", "iris", "--json"]
    racers = [
        subprocess.Popen(
            [*run, *(f"--set={pair}" for pair in overrides)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for overrides in ((), OTHER, OTHER)
    ]
    replies = [(*racer.communicate(), racer.returncode) for racer in racers]
    assert [code for _, _, code in replies] == [0, 0, 0], replies
    outcomes = [json.loads(reply)[0] for reply, _, _ in replies]
    with tracking.open_store(apart) as client:
        known = versions.all_of(client, "race-iris")
        assert len(client.search_model_versions("name = 'race-iris'")) == 2
    assert {version.number for version in known} == {"1.0.0", "1.0.1"}
    assert len({version.tags["key"] for version in known}) == 2
    assert {outcome["number"] for outcome in outcomes} == {"1.0.0", "1.0.1"}
    assert [load(apart, version) for version in known] == [51, 51]


def test_the_pages_of_a_server_can_be_reached_by_name_and_by_number(server: str):
    port = server.rsplit(":", 1)[1]
    for host in ("127.0.0.1", "localhost"):
        with urllib.request.urlopen(f"http://{host}:{port}/", timeout=10) as page:
            assert page.status == 200
