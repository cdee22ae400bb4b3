"""SageMaker, Azure ML and Databricks as targets, by MLflow's deployment clients: what differs between them stands in CLIENTS.

They build their own server around the registered model: what is deployed is a version of the registry, not our image. It is
asked, once it is there, for the predictions that training recorded for rows of its holdout.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mlops import folders, tracking, tracking_uri
from mlops.config import Project
from mlops.config.operations import Environment
from mlops.console import step
from mlops.deploy.targets import DeployFailed, Service
from mlops.errors import UserError, first_line
from mlops.registry import deployment_log, versions
from mlops.registry.versions import Version
from mlops.training.candidate import PREDICTION

ROWS = 5
# What a service's own server may add to a number on its way through JSON.
TOLERANCE = 1e-6


def target(project: Project, environment: str, chosen: Environment) -> Remote:
    """Return the cloud of an environment; raise UserError for an address of another cloud."""
    kind = chosen.target
    uri = chosen.cloud.uri or kind
    if uri.partition(":")[0] != kind or (kind != "databricks" and ":" not in uri):
        raise UserError(
            f"config/project.yaml: deploy.{environment}.cloud.uri is {chosen.cloud.uri!r}; "
            f"{kind} takes {CLIENTS[kind].address}"
        )
    return Remote(project, environment, chosen, uri)


@dataclass(frozen=True)
class Step:
    """One call of the client: the method and its arguments; `files` are options that the client reads from a file of JSON."""

    method: str
    arguments: dict[str, Any]
    files: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The call as Python would have it."""
        return f"{self.method}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


@dataclass(frozen=True)
class DeploymentRequest:
    """What a cloud is to run: endpoint, version and model URI, and the options of the configuration."""

    endpoint: str
    version: Version
    model_uri: str
    options: dict[str, Any]

    @property
    def deployment(self) -> str:
        """The name of this version within the endpoint: letters, digits and dashes."""
        return f"v{self.version.number.replace('.', '-')}"


def _sagemaker(request: DeploymentRequest, exists: bool) -> list[Step]:
    """A new endpoint, or a new variant that SageMaker puts in the old one's place when it is in service."""
    arguments: dict[str, Any] = {"name": request.endpoint, "model_uri": request.model_uri, "config": dict(request.options)}
    if exists:
        arguments["config"]["mode"] = "replace"
    return [Step("update_deployment" if exists else "create_deployment", arguments)]


def _azureml(request: DeploymentRequest, exists: bool) -> list[Step]:
    """A deployment of its own for the version beside the old one, then all of the traffic."""
    create = [] if exists else [Step("create_endpoint", {"name": request.endpoint})]
    deployment = {"name": request.deployment, "model_uri": request.model_uri, "endpoint": request.endpoint}
    return [
        *create,
        Step("create_deployment", {**deployment, "config": {"deploy-config-file": request.options}}, ("deploy-config-file",)),
        Step(
            "update_endpoint",
            {"endpoint": request.endpoint, "config": {"endpoint-config-file": {"traffic": {request.deployment: 100}}}},
            ("endpoint-config-file",),
        ),
    ]


def _databricks(request: DeploymentRequest, exists: bool) -> list[Step]:
    """A serving endpoint of one entity; Databricks keeps the old one answering until the new one is ready."""
    entity = {"name": request.deployment, "entity_name": request.version.name, "entity_version": request.version.version}
    config = {"served_entities": [{"workload_size": "Small", "scale_to_zero_enabled": True, **request.options, **entity}]}
    if exists:
        return [Step("update_endpoint_config", {"endpoint": request.endpoint, "config": config})]
    return [Step("create_endpoint", {"config": {"name": request.endpoint, "config": config}})]


def _named(endpoints: Sequence[Any], endpoint: str) -> bool:
    return any(dict(item).get("name") == endpoint for item in endpoints)


def _sagemaker_has(client: Any, endpoint: str) -> bool:
    """SageMaker lists ten endpoints at a time, so the one is asked for by its name."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_deployment(endpoint)
    except MlflowException as error:
        if "could not find endpoint" in str(error).lower():
            return False
        raise
    return True


class Client(NamedTuple):
    """What differs between the clouds: its address, what to install, the calls, and how it is asked for predictions."""

    address: str
    install: str
    own_registry: bool
    steps: Callable[[DeploymentRequest, bool], list[Step]]
    has: Callable[[Any, str], bool]
    predict: Callable[[Any, DeploymentRequest, Any], Any]


CLIENTS = {
    "sagemaker": Client(
        "sagemaker:/REGION or sagemaker:/REGION/arn:aws:…:role/NAME",
        "boto3",
        False,
        _sagemaker,
        _sagemaker_has,
        lambda client, request, rows: client.predict(request.endpoint, rows),
    ),
    "azureml": Client(
        "azureml://REGION.api.azureml.ms/mlflow/v1.0/subscriptions/…",
        "azureml-mlflow",
        True,
        _azureml,
        lambda client, name: _named(client.list_endpoints(), name),
        lambda client, request, rows: client.predict(request.deployment, rows, request.endpoint),
    ),
    "databricks": Client(
        "databricks or databricks://PROFILE",
        "databricks-sdk",
        True,
        _databricks,
        lambda client, name: _named(client.list_endpoints(), name),
        lambda client, request, rows: client.predict(
            endpoint=request.endpoint, inputs={"dataframe_split": json.loads(rows.to_json(orient="split", index=False))}
        ),
    ),
}


@dataclass(frozen=True)
class Remote:
    """An environment whose services a cloud runs."""

    project: Project
    environment: str
    chosen: Environment
    uri: str

    def deploy(self, service: Service) -> str:
        """Deploy the registered version, return where it answers; raise DeployFailed where it does not answer as trained."""
        self._check()
        before = self.running(service.use_case)
        request = self._request(service.use_case, service.number)
        with tracking.open_store(self.project):
            client = self._client()
            self._call(client, self._kind.steps(request, self._has(client, request)))
            try:
                self._hold(client, request)
            except DeployFailed:
                self._take_back(client, service, before)
                raise
        return f"{self.uri} {request.endpoint}"

    def running(self, use_case: str) -> Service | None:
        """Return what was deployed last, by the deployment log: the clouds do not know our version numbers."""
        live = [
            item
            for item in deployment_log.history(self.project, use_case, self.environment)
            if item.result == deployment_log.DEPLOYED
        ]
        return Service(use_case, live[0].number, live[0].image, live[0].bundle) if live else None

    def check(self, use_case: str) -> list[str]:
        """Return what is wrong with the endpoint: that it is not there, or that it does not answer as trained."""
        running = self.running(use_case)
        if running is None:
            return []
        request = self._request(use_case, running.number)
        again = f'mlops deploy {use_case} {running.number} --to {self.environment} --reason "…" brings it back'
        with tracking.open_store(self.project):
            client = self._client()
            if not self._has(client, request):
                return [f"the endpoint {request.endpoint} is not there, {running.number} was deployed; {again}"]
            try:
                self._hold(client, request)
            except DeployFailed as failed:
                return [f"{failed}; {again}"]
        return []

    def plan(self, service: Service) -> list[str]:
        """Return the calls that `deploy` would make, one a line; the cloud is not asked, so that no credentials are needed."""
        request = self._request(service.use_case, service.number)
        first, later = (self._kind.steps(request, exists) for exists in (False, True))
        lines = [f"get_deploy_client({self.uri!r})"]
        lines += [f"{call}" for call in later] if first == later else []
        if first != later:
            lines += [f"where {request.endpoint} is not there yet: {'; '.join(map(str, first))}"]
            lines += [f"where it is there: {'; '.join(map(str, later))}"]
        return [*lines, f"ask it for {ROWS} rows of the holdout and compare with what training recorded"]

    @property
    def _kind(self) -> Client:
        return CLIENTS[self.chosen.target]

    def _request(self, use_case: str, number: str) -> DeploymentRequest:
        """What is asked for; raise UserError where the cloud cannot read the store that the version is in."""
        kind, place = self.chosen.target, tracking.uri(self.project)
        tracking_uri.check(place)
        if self._kind.own_registry and place.partition(":")[0] != kind:
            raise UserError(
                f"{kind} serves models of its own registry only, and the store is {tracking.shown(self.project)}: "
                f"set MLFLOW_TRACKING_URI={self.uri}"
            )
        version = versions.resolve(self.project, use_case, number)
        endpoint = self.chosen.cloud.endpoint.replace("{use_case}", use_case.replace("_", "-"))
        return DeploymentRequest(endpoint, version, f"models:/{version.name}/{version.version}", self.chosen.cloud.options)

    def _check(self) -> None:
        """Raise UserError naming the first variable that the configuration requires and nobody has set."""
        if missing := next((name for name in self.chosen.cloud.require if not os.environ.get(name)), None):
            raise UserError(f"{self.chosen.target}: {missing} is not set; it is required by deploy.{self.environment}.cloud")

    def _client(self) -> Any:
        """MLflow's client; raise UserError naming what to install where there is none."""
        from mlflow.deployments import get_deploy_client
        from mlflow.exceptions import MlflowException

        try:
            return get_deploy_client(self.uri)
        except (MlflowException, RuntimeError, ImportError) as error:
            if isinstance(error, MlflowException) and "No plugin found" not in str(error):
                raise UserError(f"{self.uri}: {first_line(error)}") from None
            raise UserError(f"no deployment client for {self.uri}: pip install {self._kind.install}") from None

    def _has(self, client: Any, request: DeploymentRequest) -> bool:
        try:
            return self._kind.has(client, request.endpoint)
        except Exception as error:
            raise UserError(self._failure("cannot be asked", error)) from error

    def _call(self, client: Any, steps: Sequence[Step]) -> None:
        """Make the calls; raise DeployFailed with the first line of what the cloud says."""
        for call in steps:
            with step(f"{self.chosen.target}: {call.method}"), folders.work_folder() as folder:
                try:
                    getattr(client, call.method)(**_with_files(call, folder))
                except Exception as error:
                    raise DeployFailed(self._failure(f"{call.method} failed", error)) from error

    def _failure(self, what: str, error: Exception) -> str:
        hint = "" if type(error).__name__ not in ("NoCredentialsError", "ClientAuthenticationError") else "; log in first"
        missing = f"; pip install {self._kind.install}" if isinstance(error, ImportError) else ""
        return f"{self.chosen.target}: {what}: {first_line(error)}{hint}{missing}"

    def _hold(self, client: Any, request: DeploymentRequest) -> None:
        """Compare what the endpoint answers for rows of the holdout with what training recorded for them."""
        with folders.work_folder() as folder:
            candidate = versions.fetch(self.project, request.version, folder)
            rows = candidate.holdout().head(ROWS)
            inputs = rows[list(candidate.manifest["problem"]["schema"])]
        try:
            answered = answers(self._kind.predict(client, request, inputs))
        except Exception as error:
            raise DeployFailed(self._failure(f"{request.endpoint} does not answer", error)) from error
        expected = rows[PREDICTION].tolist()
        if len(answered) != len(expected) or not all(map(_same, expected, answered)):
            raise DeployFailed(f"{request.endpoint} predicts {answered}, the model {expected}")

    def _take_back(self, client: Any, service: Service, before: Service | None) -> None:
        """Deploy again what was there before; where there was nothing, the endpoint stays for a person to look at."""
        if before and before.number != service.number:
            old = self._request(before.use_case, before.number)
            calls = self._kind.steps(old, True)
            # On Azure ML the old deployment is still there: only the traffic goes back.
            self._call(client, [call for call in calls if call.method != "create_deployment"])


def answers(reply: Any) -> list[Any]:
    """Return the predictions in an answer: a frame, an array, or what the scoring protocol answers."""
    if hasattr(reply, "get_predictions"):
        reply = reply.get_predictions()
    if isinstance(reply, str):
        reply = json.loads(reply)
    if isinstance(reply, dict):
        reply = reply["predictions"]
    if hasattr(reply, "iloc"):
        reply = reply.iloc[:, 0]
    return list(reply.tolist() if hasattr(reply, "tolist") else reply)


def _with_files(call: Step, folder: Path) -> dict[str, Any]:
    """Return a call's arguments with the options that the client wants in a file written there, and their paths instead."""
    if not call.files:
        return call.arguments
    config = dict(call.arguments["config"])
    for name in call.files:
        (folder / f"{name}.json").write_text(json.dumps(config[name]), encoding="utf-8")
        config[name] = str(folder / f"{name}.json")
    return {**call.arguments, "config": config}


def _same(expected: Any, got: Any) -> bool:
    if isinstance(expected, float) and isinstance(got, int | float):
        return math.isclose(expected, got, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(expected == got)
