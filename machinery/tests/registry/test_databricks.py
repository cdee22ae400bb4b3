"""Databricks-managed MLflow by configuration alone: what MLflow's own client then asks of a workspace."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlops import tracking
from mlops.config import Project, load_project
from mlops.errors import ConfigError
from mlops.registry import runs, versions

TOKEN = "dapi-of-this-test"


class Workspace(ThreadingHTTPServer):
    """The experiments of a workspace over REST: names are paths, as Databricks has them; every request is kept."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str, dict]] = []
        self.experiments: list[dict] = []


class Handler(BaseHTTPRequestHandler):
    """Answers as the REST interface of MLflow's experiments does."""

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        self.server.requests.append((self.path.partition("?")[0], self.headers.get("Authorization", ""), body))
        code, value = self._of(self.path.partition("?")[0].rpartition("/")[2], body)
        content = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _of(self, method: str, body: dict) -> tuple[int, dict]:
        known = self.server.experiments
        if method == "create":
            if not body["name"].startswith("/"):
                return 400, {"error_code": "INVALID_PARAMETER_VALUE", "message": f"{body['name']} is no absolute path"}
            known.append({"experiment_id": "7", "lifecycle_stage": "active", **body})
            return 200, {"experiment_id": "7"}
        if method == "search":
            return 200, {"experiments": known}
        if known:
            return 200, {"experiment": known[0]}
        return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"}

    do_GET = do_POST = _answer

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def workspace(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace that the environment names, as `.env` or the variables of a repository do."""
    with Workspace() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")
        monkeypatch.setenv("DATABRICKS_HOST", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("DATABRICKS_TOKEN", TOKEN)
        yield server
        server.shutdown()


def created(workspace: Workspace) -> dict:
    """The one experiment that was created, by a request that carried the token."""
    (request,) = [request for request in workspace.requests if request[0].endswith("/experiments/create")]
    assert request[1] == f"Bearer {TOKEN}"
    return request[2]


def test_an_experiment_is_a_path_of_the_workspace_with_its_artifacts_on_dbfs(workspace: Workspace, monkeypatch):
    monkeypatch.setenv("MLOPS_EXPERIMENT_PATH", "/Users/ada@example.org/flowers/")
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", "dbfs:/Volumes/main/models/artifacts")
    project = load_project()
    with tracking.open_store(project) as client:
        assert runs.experiment(client, project, versions.qualified(project, "iris"), "Flowers") == "7"
    experiment = created(workspace)
    assert experiment["name"] == "/Users/ada@example.org/flowers/iris"
    assert experiment["artifact_location"] == "dbfs:/Volumes/main/models/artifacts/iris"
    assert not project.store.exists()


def test_with_the_address_alone_experiments_are_shared_and_databricks_chooses_where_artifacts_go(workspace: Workspace):
    project = load_project()
    with tracking.open_store(project) as client:
        runs.experiment(client, project, versions.qualified(project, "iris"), "Flowers")
    experiment = created(workspace)
    assert experiment["name"] == "/Shared/iris" and not experiment.get("artifact_location")


def test_a_path_that_databricks_would_not_take_is_refused_before_anything_is_sent(workspace: Workspace, monkeypatch):
    monkeypatch.setenv("MLOPS_EXPERIMENT_PATH", "flowers")
    project = load_project()
    with pytest.raises(ConfigError, match="MLOPS_EXPERIMENT_PATH: 'flowers' is no absolute path"):
        versions.experiment_name(project, "iris")
    assert workspace.requests == []


def test_elsewhere_an_experiment_keeps_its_plain_name(project: Project, monkeypatch):
    monkeypatch.setenv("MLOPS_EXPERIMENT_PATH", "/Shared")
    assert versions.experiment_name(project, "iris") == "iris"


def test_models_of_unity_catalog_are_named_by_catalog_and_schema(workspace: Workspace, monkeypatch):
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "databricks-uc")
    monkeypatch.setenv("MLOPS__PROJECT__NAMESPACE", "main.models.")
    project = load_project()
    with tracking.open_store(project) as client:
        assert (client.tracking_uri, client._registry_uri) == ("databricks", "databricks-uc")
    assert versions.qualified(project, "iris") == "main.models.iris"
