"""Clouds by configuration: exactly these calls of MLflow's deployment clients, and one line where something is missing.

The client is a plugin that notes each call, registered as MLflow's plugins are.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mlflow.deployments import BaseDeploymentClient
from mlflow.deployments.interface import plugin_store

from mlops import tracking
from mlops.config import Project
from mlops.config.operations import Cloud, Environment
from mlops.deploy import cloud
from mlops.deploy.cloud import Remote
from mlops.deploy.targets import DeployFailed, Service
from mlops.errors import ConfigError, UserError
from mlops.registry import deployment_log, versions
from mlops.registry.deployment_log import DEPLOYED, Deployment

ADDRESS = {"sagemaker": "sagemaker:/eu-west-1", "azureml": "azureml://west.example/workspace", "databricks": "databricks"}
CALLS: list[tuple[str, dict[str, Any]]] = []
STATE: dict[str, Any] = {}


class Client(BaseDeploymentClient):
    """Notes each call; endpoints, answers and a failure are in STATE."""

    def _note(self, method: str, **arguments: Any) -> Any:
        config = arguments.get("config") or {}
        for name in ("deploy-config-file", "endpoint-config-file"):
            if name in config:
                config = {**config, name: json.loads(Path(config[name]).read_text())}
                arguments["config"] = config
        CALLS.append((method, arguments))
        if method == STATE.get("fails"):
            raise RuntimeError("quota exceeded\nmore")
        return {}

    def create_deployment(self, name, model_uri, flavor=None, config=None, endpoint=None):
        return self._note("create_deployment", name=name, model_uri=model_uri, config=config, endpoint=endpoint)

    def update_deployment(self, name, model_uri=None, flavor=None, config=None, endpoint=None):
        return self._note("update_deployment", name=name, model_uri=model_uri, config=config, endpoint=endpoint)

    def create_endpoint(self, name=None, config=None):
        return self._note("create_endpoint", name=name, config=config)

    def update_endpoint(self, endpoint, config=None):
        return self._note("update_endpoint", endpoint=endpoint, config=config)

    def update_endpoint_config(self, endpoint, config):
        return self._note("update_endpoint_config", endpoint=endpoint, config=config)

    def list_endpoints(self):
        return [{"name": name} for name in STATE["endpoints"]]

    def get_deployment(self, name, endpoint=None):
        from mlflow.exceptions import MlflowException

        if name not in STATE["endpoints"]:
            raise MlflowException(f"There was an error: Could not find endpoint {name}")
        return {"name": name}

    def predict(self, deployment_name=None, inputs=None, endpoint=None):
        CALLS.append(("predict", {"deployment_name": deployment_name, "endpoint": endpoint}))
        return STATE["answer"]

    def delete_deployment(self, name, config=None, endpoint=None):
        raise AssertionError("nothing is deleted")

    def list_deployments(self, endpoint=None):
        raise AssertionError("ten at a time: the one is asked for by its name")


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client stands for all three clouds, as an entry point of the group mlflow.deployments."""
    module = ModuleType("fake_cloud")
    module.Client = Client  # type: ignore[attr-defined]
    module.run_local = module.target_help = lambda *given: ""  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fake_cloud", module)
    kept = dict(plugin_store.registry)
    for name in ADDRESS:
        plugin_store.register(name, "fake_cloud")
    CALLS.clear()
    STATE.clear()
    yield
    plugin_store.registry.clear()
    plugin_store.registry.update(kept)


def remote(project: Project, kind: str, **settings: Any) -> Remote:
    chosen = Environment(target=kind, cloud=Cloud(uri=ADDRESS[kind], **settings))  # type: ignore[arg-type]
    return cloud.target(project, "production", chosen)


@pytest.fixture
def predicted(two: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What 1.0.1 says of the first rows of its holdout; and the embedded store passes for the cloud's own registry."""
    version = versions.resolve(two, "iris", "1.0.1")
    predictions = versions.fetch(two, version, tmp_path / "held").holdout()["__prediction__"].head(cloud.ROWS)
    known = {kind: each._replace(own_registry=False) for kind, each in cloud.CLIENTS.items()}
    monkeypatch.setattr(cloud, "CLIENTS", known)
    return predictions.tolist()


SERVICE = Service("iris", "1.0.1", "registry.example/iris@sha256:aa", "b" * 64)
OPTIONS = {"instance_type": "small"}
EXPECTED: dict[tuple[str, bool], list[tuple[str, dict[str, Any]]]] = {
    ("sagemaker", False): [
        ("create_deployment", {"name": "iris", "model_uri": "models:/iris/2", "config": OPTIONS, "endpoint": None}),
        ("predict", {"deployment_name": "iris", "endpoint": None}),
    ],
    ("sagemaker", True): [
        (
            "update_deployment",
            {"name": "iris", "model_uri": "models:/iris/2", "config": {**OPTIONS, "mode": "replace"}, "endpoint": None},
        ),
        ("predict", {"deployment_name": "iris", "endpoint": None}),
    ],
    ("azureml", False): [
        ("create_endpoint", {"name": "iris", "config": None}),
        (
            "create_deployment",
            {"name": "v1-0-1", "model_uri": "models:/iris/2", "config": {"deploy-config-file": OPTIONS}, "endpoint": "iris"},
        ),
        ("update_endpoint", {"endpoint": "iris", "config": {"endpoint-config-file": {"traffic": {"v1-0-1": 100}}}}),
        ("predict", {"deployment_name": "v1-0-1", "endpoint": "iris"}),
    ],
}
ENTITY = {"workload_size": "Small", "scale_to_zero_enabled": True, **OPTIONS, "name": "v1-0-1"}
ENTITIES = {"served_entities": [{**ENTITY, "entity_name": "iris", "entity_version": "2"}]}
EXPECTED["azureml", True] = EXPECTED["azureml", False][1:]
ASKED = ("predict", {"deployment_name": None, "endpoint": "iris"})
EXPECTED["databricks", False] = [("create_endpoint", {"name": None, "config": {"name": "iris", "config": ENTITIES}}), ASKED]
EXPECTED["databricks", True] = [("update_endpoint_config", {"endpoint": "iris", "config": ENTITIES}), ASKED]


@pytest.mark.parametrize(("kind", "exists"), EXPECTED)
def test_deployment_makes_exactly_these_calls(two: Project, plugin: None, predicted: list, kind: str, exists: bool) -> None:
    STATE.update(endpoints=["iris"] if exists else ["other"], answer={"predictions": predicted})
    assert remote(two, kind, options=OPTIONS).deploy(SERVICE) == f"{ADDRESS[kind]} iris"
    assert CALLS == EXPECTED[kind, exists]


@pytest.mark.parametrize("kind", ADDRESS)
def test_dry_run_names_the_calls_and_asks_nobody(two: Project, predicted: list, kind: str) -> None:
    steps = "\n".join(remote(two, kind, options=OPTIONS).plan(SERVICE))
    for exists in (False, True):
        assert all(f"{method}(" in steps for method, _ in EXPECTED[kind, exists] if method != "predict")
    assert "instance_type" in steps


def test_wrong_answers_are_found_and_the_version_before_goes_back(two: Project, plugin: None, predicted: list) -> None:
    entry = ("iris", "production", "deploy", DEPLOYED, "1.0.0", "", "", "", None, "ann", "first")
    deployment_log.record(two, [Deployment(*entry)])
    STATE.update(endpoints=["iris"], answer={"predictions": ["wrong", *predicted[1:]]})
    with pytest.raises(DeployFailed, match="iris predicts .'wrong'"):
        remote(two, "azureml").deploy(SERVICE)
    traffic = [arguments["config"] for method, arguments in CALLS if method == "update_endpoint"]
    assert [config["endpoint-config-file"]["traffic"] for config in traffic] == [{"v1-0-1": 100}, {"v1-0-0": 100}]


@pytest.mark.parametrize(("kind", "method"), [("sagemaker", "create_deployment"), ("databricks", "create_endpoint")])
def test_call_that_fails_is_one_line(two: Project, plugin: None, predicted: list, kind: str, method: str) -> None:
    STATE.update(endpoints=[], fails=method)
    with pytest.raises(DeployFailed, match=f"^{kind}: {method} failed: quota exceeded$"):
        remote(two, kind).deploy(SERVICE)


def test_missing_plugin_names_what_to_install(two: Project, predicted: list) -> None:
    plugin_store.registry.pop("azureml", None)
    with pytest.raises(UserError, match="no deployment client for azureml:.*: pip install azureml-mlflow"):
        remote(two, "azureml").deploy(SERVICE)


def test_missing_credentials_are_named_before_anything_is_called(two: Project, plugin: None) -> None:
    with pytest.raises(UserError, match="AWS_ROLE_OF_NOBODY is not set; it is required by deploy.production.cloud"):
        remote(two, "sagemaker", require=("AWS_ROLE_OF_NOBODY",)).deploy(SERVICE)
    assert CALLS == []


@pytest.mark.parametrize("kind", ["azureml", "databricks"])
def test_cloud_that_cannot_read_the_store_is_refused(two: Project, plugin: None, kind: str) -> None:
    assert tracking.is_embedded(two)
    with pytest.raises(UserError, match=f"{kind} serves models of its own registry only.*set MLFLOW_TRACKING_URI={kind}"):
        remote(two, kind).plan(SERVICE)


def test_tracking_uri_that_cannot_be_is_named_without_its_password(two: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:s3cret@[mlflow")  # pragma: allowlist secret
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI: its host or port is none") as error:
        remote(two, "databricks").plan(SERVICE)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(("kind", "uri"), [("sagemaker", ""), ("sagemaker", "azureml://x"), ("databricks", "sagemaker:/x")])
def test_address_of_another_cloud_is_refused(two: Project, kind: str, uri: str) -> None:
    with pytest.raises(UserError, match=f"deploy.production.cloud.uri is '{uri}'; {kind} takes {kind}"):
        cloud.target(two, "production", Environment(target=kind, cloud=Cloud(uri=uri)))  # type: ignore[arg-type]
