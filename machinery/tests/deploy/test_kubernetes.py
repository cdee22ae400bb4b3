"""Kubernetes: a new image takes requests only after it has proved itself, and what ran before goes on where it has not."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command import mlops

from mlops.bundle.build import build
from mlops.config import Project, load_project
from mlops.config.operations import Environment, Kubernetes
from mlops.deploy import kubernetes, targets
from mlops.deploy.kubernetes import Cluster
from mlops.deploy.targets import DeployFailed, Service
from mlops.errors import UserError
from mlops.serving.manifest import Bundle

ROOT = Path(__file__).resolve().parents[3]
OVERLAYS = ROOT / "machinery/src/mlops/deploy/manifests/overlays"
KUBECTL = shutil.which("kubectl")
NAME, PROOF = "deployment/iris-serving", "deployment/iris-serving-proof"

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="no kubectl here, whose kustomize renders the overlays")


def image(letter: str) -> str:
    return f"registry.example/models/iris@sha256:{letter * 64}"


@dataclass
class Fake:
    """The fake cluster: what it holds, what was asked of it, and where it fails."""

    folder: Path

    def read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())

    def fails(self, **by_verb: list[str]) -> None:
        (self.folder / "fails.json").write_text(json.dumps({key.replace("__", " "): value for key, value in by_verb.items()}))

    @property
    def calls(self) -> list[list[str]]:
        return [call for call in self.read("state.json")["calls"] if call[0] not in ("get", "exec", "port-forward")]

    @property
    def objects(self) -> dict[str, Any]:
        return self.read("state.json")["objects"]

    @property
    def image(self) -> str:
        return self.objects[NAME]["spec"]["template"]["spec"]["containers"][0]["image"]


@pytest.fixture(scope="module")
def next_bundle(candidate: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of iris 1.0.1, for which no server runs."""
    return build(
        candidate, tmp_path_factory.mktemp("next") / "iris", "iris", {"number": "1.0.1", "run_id": "x", "commit": "y"}
    )


@pytest.fixture
def fake(tmp_path: Path, bundle: Bundle, next_bundle: Bundle, server: str, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """An empty cluster behind a kubectl that is first on the path.

    Images: a and b keep the contract of iris 1.0.0, c is 1.0.1 and another answers for it, d never gets ready,
    e has a bundle that nobody released.
    """
    port = server.rpartition(":")[2]
    good = {"bundle": str(bundle.folder / "manifest.json"), "port": port, "ready": True}
    images = {"a": good, "b": good, "c": {**good, "bundle": str(next_bundle.folder / "manifest.json")}}
    images |= {"d": {**good, "ready": False}, "e": {**good, "bundle": str(next_bundle.folder / "manifest.json")}}
    cluster = Fake(tmp_path / "cluster")
    cluster.folder.mkdir()
    for name, content in (
        ("state.json", {"objects": {}, "revisions": {}, "calls": []}),
        ("fails.json", {}),
        ("images.json", {image(letter): value for letter, value in images.items()}),
    ):
        (cluster.folder / name).write_text(json.dumps(content))
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -S {Path(__file__).with_name('fake_kubectl.py')} \"$@\"\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_CLUSTER", str(cluster.folder))
    monkeypatch.setenv("REAL_KUBECTL", str(KUBECTL))
    return cluster


@pytest.fixture
def cluster(fake: Fake) -> Cluster:
    return Cluster(Kubernetes(timeout=5), OVERLAYS / "production")


@pytest.fixture(scope="module")
def kept() -> list[str]:
    """The cluster's state after a first deployment, so that it is deployed once for all tests."""
    return []


@pytest.fixture
def live(cluster: Cluster, fake: Fake, bundle: Bundle, kept: list[str]) -> Cluster:
    """A cluster in which image a of iris 1.0.0 answers."""
    if not kept:
        cluster.deploy(service("a", bundle))
        kept.append(json.dumps({**fake.read("state.json"), "calls": []}))
    (fake.folder / "state.json").write_text(kept[0])
    return cluster


def service(letter: str, bundle: Bundle, number: str = "1.0.0") -> Service:
    return Service("iris", number, image(letter), bundle.digest)


def test_first_deployment_proves_a_pod_and_then_lets_it_answer(cluster: Cluster, fake: Fake, bundle: Bundle) -> None:
    assert cluster.running("iris") is None
    assert cluster.deploy(service("a", bundle)) == "http://iris-serving.models.svc"
    assert [call[0] for call in fake.calls] == ["apply", "apply", "rollout", "delete", "apply", "rollout"]
    policies = ["serviceaccount/iris-serving", "networkpolicy/iris-clients", "networkpolicy/iris-deny"]
    assert fake.calls[0][1:] == policies, "the proof pod has an account and is fenced in before it starts"
    assert fake.calls[1:4] == [["apply", PROOF], ["rollout", "status", PROOF], ["delete", PROOF]]
    assert cluster.running("iris") == service("a", bundle)
    assert PROOF not in fake.objects


def test_second_deployment_replaces_the_first_though_an_old_pod_still_leaves(
    live: Cluster, fake: Fake, bundle: Bundle
) -> None:
    live.deploy(service("b", bundle))
    assert fake.image == image("b")
    assert not [call for call in fake.calls if "undo" in call]


@pytest.mark.parametrize(
    ("letter", "number", "message"),
    [
        ("c", "1.0.1", "before the rollout: the contract is broken: version: number is '1.0.0', '1.0.1' is expected"),
        ("d", "1.0.0", "before the rollout: deployment/iris-serving-proof is not ready: CrashLoopBackOff: back-off 10s"),
        ("e", "1.0.0", "before the rollout: the pod holds bundle"),
    ],
)
def test_image_that_does_not_prove_itself_never_takes_a_request(
    live: Cluster, fake: Fake, bundle: Bundle, next_bundle: Bundle, letter: str, number: str, message: str
) -> None:
    before = fake.objects
    with pytest.raises(DeployFailed) as failed:
        live.deploy(service(letter, next_bundle if letter == "c" else bundle, number))
    assert str(failed.value).startswith(message) and "\n" not in str(failed.value)
    untouched = ("Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget")
    assert {name: item for name, item in fake.objects.items() if item["kind"] in untouched} == {
        name: item for name, item in before.items() if item["kind"] in untouched
    }
    assert live.running("iris") == service("a", bundle)


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        ({f"apply__{NAME}": ["error: admission webhook denied it"]}, "kubectl apply failed: admission webhook denied it"),
        (
            {f"rollout status__{NAME}": ["error: deadline exceeded"]},
            f"the rollout: {NAME} is not ready: deadline exceeded",
        ),
        ({"exec": ["", "error: container not found"]}, "kubectl exec failed: container not found"),
        (
            {"port-forward": ["", "error: lost connection to pod"]},
            "port-forward pod/iris-serving-1 failed: lost connection",
        ),
    ],
)
def test_rollout_that_fails_at_any_step_goes_back_to_the_revision_before(
    live: Cluster, fake: Fake, bundle: Bundle, fails: dict[str, list[str]], message: str
) -> None:
    fake.fails(**fails)
    with pytest.raises(DeployFailed, match=message.replace("(", r"\(")):
        live.deploy(service("b", bundle))
    assert fake.image == image("a")
    assert ["rollout", "undo", NAME] in fake.calls
    assert live.running("iris") == service("a", bundle)
    assert PROOF not in fake.objects


def test_same_image_deployed_again_and_failing_does_not_go_back_a_version_too_far(
    live: Cluster, fake: Fake, bundle: Bundle
) -> None:
    live.deploy(service("b", bundle))
    fake.fails(**{f"rollout status__{NAME}": ["error: deadline exceeded"]})
    with pytest.raises(DeployFailed, match="deadline exceeded"):
        live.deploy(service("b", bundle))
    assert fake.image == image("b")


def test_first_deployment_that_fails_leaves_nothing_that_answers(cluster: Cluster, fake: Fake, bundle: Bundle) -> None:
    fake.fails(**{f"rollout status__{NAME}": ["error: deadline exceeded"]})
    with pytest.raises(DeployFailed, match="deadline exceeded"):
        cluster.deploy(service("a", bundle))
    assert fake.objects == {}
    assert cluster.running("iris") is None


def test_rollout_that_cannot_be_taken_back_says_both(live: Cluster, fake: Fake, bundle: Bundle) -> None:
    fake.fails(**{f"rollout status__{NAME}": ["error: deadline exceeded"], "rollout undo": ["error: forbidden"]})
    with pytest.raises(DeployFailed, match="deadline exceeded; it could not be taken back: kubectl rollout failed: forbidden"):
        live.deploy(service("b", bundle))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            "The connection to the server 10.0.0.1:6443 was refused - connection refused",
            "kubectl get failed: .*; look at kubeconfig, the current context",
        ),
        ('Error from server (NotFound): namespaces "models" not found', "; make it with: kubectl create namespace models"),
    ],
)
def test_cluster_that_cannot_be_reached_is_reported_in_one_line(
    cluster: Cluster, fake: Fake, bundle: Bundle, message: str, text: str
) -> None:
    fake.fails(get=[message])
    with pytest.raises(UserError, match=text) as failed:
        cluster.deploy(service("a", bundle))
    assert "\n" not in str(failed.value) and fake.objects == {}


def test_deployment_of_somebody_else_is_not_taken_over_in_silence(live: Cluster, fake: Fake, bundle: Bundle) -> None:
    state = fake.read("state.json")
    del state["objects"][NAME]["spec"]["template"]["metadata"]["annotations"]["mlops/number"]
    (fake.folder / "state.json").write_text(json.dumps(state))
    with pytest.raises(UserError, match="iris-serving in models was not created by mlops deploy"):
        live.running("iris")


@pytest.mark.parametrize("name", ["iris:1.0.0", "registry.example/iris:latest", "registry.example/iris@sha256:abc", ""])
def test_image_that_is_not_named_by_its_digest_is_refused(cluster: Cluster, fake: Fake, bundle: Bundle, name: str) -> None:
    with pytest.raises(UserError, match="by digest"):
        cluster.deploy(service("a", bundle)._replace(image=name))
    assert fake.calls == []


def test_tag_beside_the_digest_is_left_out_and_the_port_of_a_registry_stays(cluster: Cluster, bundle: Bundle) -> None:
    named = service("a", bundle)._replace(image=f"registry.example:5000/models/iris:1.0.0@sha256:{'a' * 64}")
    deployment = next(item for item in cluster.render(named) if item["kind"] == "Deployment")
    used = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert used == f"registry.example:5000/models/iris@sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("kind", "message"),
    [("Deployment", "kubectl kustomize failed: .*serving"), ("Service", "the overlay has no Service serving")],
)
def test_overlay_that_drops_what_the_base_has_is_refused(
    fake: Fake, bundle: Bundle, tmp_path: Path, kind: str, message: str
) -> None:
    group = {"Deployment": "apps/v1", "Service": "v1"}[kind]
    dropped = f"{{apiVersion: {group}, kind: {kind}, metadata: {{name: serving}}, $patch: delete}}"
    base = os.path.relpath(OVERLAYS.parent / "base", tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(f"resources: [{base}]\npatches: [{{patch: '{dropped}'}}]\n")
    with pytest.raises(UserError, match=message) as failed:
        Cluster(Kubernetes(), tmp_path).render(service("a", bundle))
    assert "\n" not in str(failed.value)


def test_overlay_that_is_not_there_is_named(project: Project) -> None:
    environment = Environment(target="kubernetes", kubernetes=Kubernetes(overlay="deploy/nowhere"))
    with pytest.raises(UserError, match=r"deploy/nowhere: no kustomization.yaml; .*deploy.staging.kubernetes.overlay"):
        kubernetes.target(project, "staging", environment)


def test_missing_kubectl_is_reported(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(OVERLAYS.parent, project.root / "deploy" / "kubernetes")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="kubectl is not installed"):
        kubernetes.target(project, "staging", Environment(target="kubernetes"))


def test_dry_run_renders_says_each_step_and_asks_no_cluster(project: Project, fake: Fake, bundle: Bundle) -> None:
    shutil.copytree(OVERLAYS.parent, project.root / "deploy" / "kubernetes")
    configure(project, "{target: kubernetes, kubernetes: {namespace: shop, context: west}}")
    deployment = targets.of(load_project(), "production")
    assert isinstance(deployment, Cluster)
    steps = deployment.plan(service("a", bundle))
    assert "in shop of west" in steps[0] and "Deployment iris-serving" in steps[2]
    assert fake.read("state.json")["calls"] == []


def test_release_goes_to_the_cluster_by_the_command_and_into_the_log(two: Project, fake: Fake, bundle: Bundle) -> None:
    shutil.copytree(OVERLAYS.parent, two.root / "deploy" / "kubernetes")
    configure(two, "{target: kubernetes, kubernetes: {timeout: 5}}")
    for letter, number in (("a", "1.0.0"), ("d", "1.0.1")):
        models = {"iris": {"number": number, "image": image(letter), "bundle": bundle.digest}}
        (two.root / f"{letter}.json").write_text(json.dumps({"tag": f"v{number}", "models": models}))
    done = mlops("deploy", "--manifest", two.root / "a.json", "--to", "production", "--reason", "first", "--json")
    assert (done.code, done.value[0]["result"], done.value[0]["address"]) == (0, "deployed", "http://iris-serving.models.svc")
    worse = mlops("deploy", "--manifest", two.root / "d.json", "--to", "production", "--reason", "next", "--json")
    assert (worse.code, worse.value[0]["result"]) == (1, "returned to the old one")
    assert "CrashLoopBackOff" in worse.error and "1.0.0 still answers" in worse.error
    assert fake.image == image("a")


def configure(project: Project, environment: str) -> None:
    file = project.root / "config" / "project.yaml"
    text = file.read_text()
    assert "  production: {target: none}" in text
    file.write_text(text.replace("  production: {target: none}", f"  production: {environment}"))
