"""PostgreSQL and S3 as a store: behind a server, and written to directly."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from services import free_port, wait_for

from mlops.config import Project, load_project
from mlops.errors import UserError
from mlops.registry import versions

pytestmark = pytest.mark.services

KEEPERS = {
    "through": ["--artifacts-destination", "s3://models/through"],
    "direct": ["--no-serve-artifacts", "--default-artifact-root", "s3://models/direct"],
}


@pytest.fixture(scope="module", params=list(KEEPERS))
def server(request: pytest.FixtureRequest, postgres: str, s3: dict[str, str], tmp_path_factory) -> Iterator[tuple[str, str]]:
    """The address of an MLflow server on both, and whether artifacts go through it or directly to S3."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "MLOPS_"))}
    process = subprocess.Popen(
        [*command, "--backend-store-uri", postgres, *KEEPERS[request.param]],
        cwd=tmp_path_factory.mktemp("server"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**environment, **s3, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process)
        yield f"http://127.0.0.1:{port}", request.param
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def apart(project: Project, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    """Let the project use a store under a namespace of its own, as all tests share one database."""

    def use(address: str, namespace: str, **settings: str) -> Project:
        named = {**s3, "MLFLOW_TRACKING_URI": address, "MLOPS__PROJECT__NAMESPACE": f"{namespace}-", **settings}
        for name, value in named.items():
            monkeypatch.setenv(name, value)
        return load_project()

    return use


def test_a_run_on_a_server_with_postgresql_and_s3(apart, server, command, load):
    address, keeper = server
    project = apart(address, keeper)
    result = command("run", "iris")
    assert result.code == 0, result.err
    assert load(project, versions.resolve(project, "iris", "champion")) == 51
    assert "nothing to register" in command("run", "iris").err
    assert not project.store.exists()


def test_a_run_on_the_database_itself_with_artifacts_in_s3(apart, postgres, s3, command, load, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    project = apart(postgres, "alone", MLFLOW_DEFAULT_ARTIFACT_ROOT="s3://models/alone")
    result = command("run", "iris")
    assert result.code == 0, result.err
    assert load(project, versions.resolve(project, "iris", "champion")) == 51
    assert not (tmp_path / "mlruns").exists()


def test_an_artifact_store_that_is_gone_is_reported_in_one_line(apart, postgres, command):
    gone = {"MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}", "MLFLOW_DEFAULT_ARTIFACT_ROOT": "s3://models/gone"}
    project = apart(postgres, "gone", **gone)
    result = command("run", "iris")
    assert result.code == 3
    assert result.err.splitlines()[-1].startswith("error: the tracking store does not answer as it should")
    with pytest.raises(UserError, match="no version is registered"):
        versions.resolve(project, "iris")
