"""What is applied to a cluster: valid for three versions of Kubernetes, and safe by rules of which each can fail."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from mlops.config.operations import Kubernetes
from mlops.deploy.kubernetes import Cluster, Object, proof_of
from mlops.deploy.targets import Service
from mlops.serving.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
PLACE = ROOT / "machinery/src/mlops/deploy/manifests"
OVERLAYS = sorted(path.name for path in (PLACE / "overlays").iterdir())
# The oldest that clouds still run, one between, and the newest that the schemas are there for.
VERSIONS = ("1.33", "1.35", "1.37")
SERVICE = Service("taxi_trips", "1.2.3", f"registry.example/taxi@sha256:{'a' * 64}", "b" * 64)

pytestmark = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="no kubectl here, whose kustomize renders the overlays"
)


@pytest.fixture(scope="module", params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[Object]:
    """What is applied in an environment, and the pod that proves a new image there."""
    rendered = Cluster(Kubernetes(), PLACE / "overlays" / request.param).render(SERVICE)
    return [*rendered, proof_of(rendered, "taxi-trips-serving")]


def kserve() -> Object:
    return dict(yaml.safe_load((PLACE / "kserve" / "inferenceservice.yaml").read_text()))


def one(objects: list[Object], kind: str) -> Object:
    return next(item for item in objects if item["kind"] == kind)


def pods(objects: list[Object]) -> list[Object]:
    """The specification of every pod."""
    return [item["spec"]["template"]["spec"] for item in objects if item["kind"] == "Deployment"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_in_three_versions_of_kubernetes(objects: list[Object], version: str) -> None:
    for item in objects:
        kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_misspelt_field_is_found(objects: list[Object], version: str) -> None:
    wrong = copy.deepcopy(one(objects, "Deployment"))
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(wrong, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_pod_of_kserve_is_a_valid_pod(version: str) -> None:
    predictor = kserve()["spec"]["predictor"]
    spec = {key: value for key, value in predictor.items() if key not in KSERVE}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
    kubernetes_validate.validate(pod, version, strict=True)


# What an InferenceService's predictor has beside the fields of a pod.
KSERVE = ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget")


def container(spec: Object) -> Object:
    (only,) = spec["containers"]
    return dict(only)


def allowed(spec: Object) -> Object:
    return dict(container(spec)["securityContext"])


# Each rule takes the specification of a pod and says whether it is kept; beside it a change that has to break it.
RULES: dict[str, tuple[Callable[[Object], bool], Callable[[Object], Any]]] = {
    "not root": (
        lambda spec: spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 10_000,
        lambda spec: spec["securityContext"].update(runAsUser=0),
    ),
    "system calls are filtered": (
        lambda spec: spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"},
        lambda spec: spec["securityContext"].update(seccompProfile={"type": "Unconfined"}),
    ),
    "no new privileges": (
        lambda spec: allowed(spec)["allowPrivilegeEscalation"] is False and allowed(spec)["privileged"] is False,
        lambda spec: spec["containers"][0]["securityContext"].update(allowPrivilegeEscalation=True),
    ),
    "no capabilities": (
        lambda spec: allowed(spec)["capabilities"] == {"drop": ["ALL"]},
        lambda spec: spec["containers"][0]["securityContext"].update(capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]}),
    ),
    "the image cannot be written to": (
        lambda spec: allowed(spec)["readOnlyRootFilesystem"] is True,
        lambda spec: spec["containers"][0]["securityContext"].update(readOnlyRootFilesystem=False),
    ),
    "what can be written to is small and goes with the pod": (
        lambda spec: all("sizeLimit" in volume.get("emptyDir", {}) for volume in spec["volumes"]),
        lambda spec: spec["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
    ),
    "nothing of the node is shared": (
        lambda spec: not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
        and not any("hostPort" in port for port in container(spec)["ports"]),
        lambda spec: spec.update(hostNetwork=True),
    ),
    "no token": (
        lambda spec: spec["automountServiceAccountToken"] is False,
        lambda spec: spec.update(automountServiceAccountToken=True),
    ),
    "no variables of other services, which the server would refuse": (
        lambda spec: spec["enableServiceLinks"] is False,
        lambda spec: spec.update(enableServiceLinks=True),
    ),
    "bounded processor, memory and disk": (
        lambda spec: all(
            {"cpu", "memory", "ephemeral-storage"} <= set(container(spec)["resources"][part])
            for part in ("requests", "limits")
        ),
        lambda spec: spec["containers"][0]["resources"]["limits"].pop("memory"),
    ),
    "ready only when the model is loaded, alive as long as it answers": (
        lambda spec: [container(spec)[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")]
        == ["/v2/health/ready", "/v2/health/ready", "/v2/health/live"],
        lambda spec: spec["containers"][0].pop("livenessProbe"),
    ),
    "a stop ends no request": (lambda spec: _grace(spec) > 0, lambda spec: spec.update(terminationGracePeriodSeconds=30)),
    "requests are still taken until every node knows": (
        lambda spec: _drain(spec) >= 2 * container(spec)["readinessProbe"]["periodSeconds"],
        lambda spec: spec["containers"][0].update(env=[{"name": "MLOPS_SERVE_DRAIN", "value": "1"}]),
    ),
    "no secret in clear text": (
        lambda spec: not any("TOKEN" in item["name"] and "value" in item for item in container(spec)["env"]),
        lambda spec: spec["containers"][0]["env"].append({"name": "MLOPS_SERVE_TOKEN", "value": "s"}),
    ),
}


def _drain(spec: Object) -> float:
    return float(next(item["value"] for item in container(spec)["env"] if item["name"] == "MLOPS_SERVE_DRAIN"))


def _grace(spec: Object) -> float:
    """Seconds that are left when the server has drained and ended its slowest request, see mlops.serving.run."""
    slowest = _drain(spec) + Settings().timeout + Settings().read_timeout + 1
    return float(spec["terminationGracePeriodSeconds"]) - slowest


@pytest.mark.parametrize("rule", RULES)
def test_every_pod_keeps_the_rule_and_a_change_breaks_it(objects: list[Object], rule: str) -> None:
    kept, change = RULES[rule]
    for spec in [*pods(objects), kserve()["spec"]["predictor"]]:
        assert kept(spec)
        changed = copy.deepcopy(spec)
        change(changed)
        assert not _holds(kept, changed)


def _holds(rule: Callable[[Object], bool], spec: Object) -> bool:
    try:
        return rule(spec)
    except KeyError:
        return False


def test_every_image_is_named_by_digest(objects: list[Object]) -> None:
    images = {container(spec)["image"] for spec in pods(objects)}
    assert images == {SERVICE.image}


def test_a_pod_goes_only_when_another_is_ready(objects: list[Object]) -> None:
    spec = one(objects, "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert "replicas" not in spec, "the autoscaler owns the number"
    assert one(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_production_has_pods_on_more_than_one_node() -> None:
    rendered = Cluster(Kubernetes(), PLACE / "overlays" / "production").render(SERVICE)
    assert one(rendered, "HorizontalPodAutoscaler")["spec"]["minReplicas"] >= 2
    keys = {item["topologyKey"] for item in pods(rendered)[0]["topologySpreadConstraints"]}
    assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}


def test_names_labels_and_namespace_are_those_of_the_use_case(objects: list[Object]) -> None:
    for item in objects:
        assert item["metadata"]["name"].startswith("taxi-trips-")
        assert item["metadata"]["namespace"] == "models"
        assert item["metadata"]["labels"]["app.kubernetes.io/name"] == "taxi-trips"
    deployment = one(objects, "Deployment")
    assert "app.kubernetes.io/version" not in deployment["spec"]["selector"]["matchLabels"], "a selector cannot change"
    assert one(objects, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]


def test_service_budget_and_spread_select_the_pods_and_not_the_proof(objects: list[Object]) -> None:
    real, proof = (item for item in objects if item["kind"] == "Deployment")
    labels, other = (item["spec"]["template"]["metadata"]["labels"] for item in (real, proof))
    selectors = [
        real["spec"]["selector"]["matchLabels"],
        one(objects, "Service")["spec"]["selector"],
        one(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        *(item["labelSelector"]["matchLabels"] for item in pods([real])[0]["topologySpreadConstraints"]),
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= other.items()
    assert proof["spec"]["selector"]["matchLabels"].items() <= other.items()


def test_all_traffic_is_denied_but_that_of_clients_to_the_servers_port(objects: list[Object]) -> None:
    policies = {item["metadata"]["name"]: item["spec"] for item in objects if item["kind"] == "NetworkPolicy"}
    deny, clients = policies["taxi-trips-deny"], policies["taxi-trips-clients"]
    assert sorted(deny["policyTypes"]) == ["Egress", "Ingress"] and not {"ingress", "egress"} & set(deny)
    for item in objects:
        if item["kind"] == "Deployment":
            chosen = deny["podSelector"]["matchLabels"]
            assert chosen and chosen.items() <= item["spec"]["template"]["metadata"]["labels"].items()
    (rule,) = clients["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]
    assert clients["policyTypes"] == ["Ingress"] and not any("ipBlock" in source for source in rule["from"])


def test_the_account_has_no_token_and_nothing_else_is_applied(objects: list[Object]) -> None:
    assert one(objects, "ServiceAccount")["automountServiceAccountToken"] is False
    assert {item["kind"] for item in objects} == {
        "ServiceAccount",
        "Service",
        "Deployment",
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "NetworkPolicy",
    }
