"""Kubernetes as a target, by kubectl: what is applied are kustomize overlays, with name, image and version laid over them.

apply account and policies → start one pod of the new image beside the old → contract → apply the rest → rollout → contract
                                       └ broken: it is removed, nothing else was touched        └ broken: rollout undo

The pods that answer are replaced only after a pod of the same image has kept the contract in this cluster.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlops import folders
from mlops.config import Project
from mlops.config.operations import Environment, Kubernetes
from mlops.console import step
from mlops.deploy import contract
from mlops.deploy.contract import MANIFEST, Manifest, explained, wait_ready
from mlops.deploy.targets import DeployFailed, Service
from mlops.errors import UserError

OVERLAYS = Path("deploy") / "kubernetes" / "overlays"
# What the base calls its Deployment, and the image that stands for the real one.
BASE = "serving"
PROOF = "proof"
NUMBER, DIGEST, USE_CASE = "mlops/number", "mlops/bundle", "mlops/use-case"
BY_DIGEST = re.compile(r"(?P<name>[^@]+)@(?P<digest>sha256:[0-9a-f]{64})")
FORWARDED = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
UNREACHABLE = (
    "connection refused",
    "no such host",
    "i/o timeout",
    "unable to connect",
    "context was not found",
    "does not exist",
)

Object = dict[str, Any]


def target(project: Project, environment: str, chosen: Environment) -> Cluster:
    """Return the cluster of an environment; raise UserError where the overlay or kubectl is missing."""
    settings = chosen.kubernetes
    overlay = project.root / (settings.overlay or OVERLAYS / environment)
    if not (overlay / "kustomization.yaml").is_file():
        raise UserError(
            f"{overlay}: no kustomization.yaml; copy one from {OVERLAYS}, or correct deploy.{environment}.kubernetes.overlay"
        )
    if shutil.which("kubectl") is None:
        raise UserError("kubectl is not installed: install Kubernetes' command line in a version near the cluster's")
    return Cluster(settings, overlay)


@dataclass(frozen=True)
class Cluster:
    """A namespace of a cluster and the overlay that is applied to it."""

    settings: Kubernetes
    overlay: Path

    def deploy(self, service: Service) -> str:
        """Replace what runs, without a refused request, and return the service's address in the cluster.

        Raises DeployFailed where the new image does not keep its contract: before it takes requests, or after, in which case
        the Deployment is taken back. Raises UserError where the cluster cannot be reached or refuses what is applied.
        """
        objects = self.render(service)
        name = f"deployment/{name_of(service.use_case)}"
        revision = revision_of(self._get(name))
        self._prove(service, objects)
        try:
            with explained("the rollout"):
                self._apply(objects)
                self._settle(name, service_of(objects)["spec"]["selector"])
                self._hold(service, service_of(objects)["spec"]["selector"])
        except (DeployFailed, UserError) as failed:
            try:
                self._take_back(name, objects, revision)
            except UserError as error:
                raise DeployFailed(f"{failed}; it could not be taken back: {error}") from None
            raise DeployFailed(str(failed)) from None
        return f"http://{name_of(service.use_case)}.{self.settings.namespace}.svc"

    def running(self, use_case: str) -> Service | None:
        """Return what the Deployment of a use case runs, None where there is none."""
        deployment = self._get(f"deployment/{name_of(use_case)}")
        if deployment is None:
            return None
        template = deployment["spec"]["template"]
        notes = template["metadata"].get("annotations", {})
        if not {NUMBER, DIGEST} <= set(notes):
            raise UserError(
                f"deployment {name_of(use_case)} in {self.settings.namespace} was not created by mlops deploy; "
                "give one of the two another name or namespace"
            )
        return Service(use_case, notes[NUMBER], template["spec"]["containers"][0]["image"], notes[DIGEST])

    def check(self, use_case: str) -> list[str]:
        """Return what is wrong with the Deployment: no pod of it is ready."""
        name = name_of(use_case)
        deployment = self._get(f"deployment/{name}")
        if deployment is None or deployment.get("status", {}).get("readyReplicas", 0):
            return []
        why = self._why(deployment["spec"]["selector"]["matchLabels"]) or "no reason is known"
        return [f"no pod of {name} in {self.settings.namespace} is ready: {why}; mlops rollback {use_case} goes back"]

    def plan(self, service: Service) -> list[str]:
        """Return what `deploy` would do, one line each; the overlay is rendered, the cluster is not asked."""
        objects = self.render(service)
        name, where = (
            name_of(service.use_case),
            f"{self.settings.namespace} of {self.settings.context or 'the current context'}",
        )
        kinds = [f"{item['kind']} {item['metadata']['name']}" for item in objects]
        return [
            f"start one pod of {service.image} in {where}, hold it to the contract of {service.use_case} {service.number}",
            f"remove it; where the contract is broken, nothing else was touched: {name} goes on",
            f"apply {', '.join(kinds)}",
            f"wait for the rollout of {name}, {self.settings.timeout} s at most, hold the service to the contract",
            f"where that fails: kubectl rollout undo deployment/{name}, to the revision of before",
        ]

    def render(self, service: Service) -> list[Object]:
        """Return the objects of the overlay with name, namespace, version and image of a service, by kubectl's kustomize.

        Raises UserError for an image that is not named by its digest, and for an overlay without the base's Deployment.
        """
        # kustomize takes only relative paths to its resources, from a folder that is not reached by a link.
        with folders.work_folder() as folder:
            place = folder.resolve()
            layer = layer_of(service, self.settings.namespace, os.path.relpath(self.overlay.resolve(), place))
            (place / "kustomization.yaml").write_text(yaml.safe_dump(layer, sort_keys=False), encoding="utf-8")
            rendered = self._run(["kubectl", "kustomize", str(place)])
        objects = [item for item in yaml.safe_load_all(rendered) if item]
        for kind in ("Deployment", "Service"):
            if not any(is_a(kind, item, name_of(service.use_case)) for item in objects):
                raise UserError(f"{self.overlay}: the overlay has no {kind} {BASE}; it has to keep the one of the base")
        return objects

    def _prove(self, service: Service, objects: Sequence[Object]) -> None:
        """Let one pod of the new image, which takes no requests, keep the contract; it is removed in any case."""
        proof = proof_of(objects, name_of(service.use_case))
        name = f"deployment/{proof['metadata']['name']}"
        selector = proof["spec"]["selector"]["matchLabels"]
        self._apply([item for item in objects if item["kind"] in ("ServiceAccount", "NetworkPolicy")])
        try:
            with explained("before the rollout"):
                self._apply([proof])
                self._settle(name, selector)
                self._hold(service, selector)
        finally:
            # The error that is on its way says more than one of tidying up.
            with suppress(UserError):
                self._kubectl("delete", name, "--ignore-not-found", "--wait=false")

    def _settle(self, name: str, selector: dict[str, str]) -> None:
        """Wait until every pod is of the new image and ready; raise DeployFailed with what a pod says where it is not."""
        with step(f"waiting for {name}"):
            done = subprocess.run(
                self._command("rollout", "status", name, f"--timeout={self.settings.timeout}s"), capture_output=True, text=True
            )
        if done.returncode:
            raise DeployFailed(f"{name} is not ready: {self._why(selector) or last_line(done.stderr)}")

    def _why(self, selector: dict[str, str]) -> str:
        """Return the reason for which a pod waits or has ended, "" where none is known."""
        for pod in self._pods(selector):
            for held in pod.get("status", {}).get("containerStatuses", []):
                state = held.get("state", {})
                if cause := state.get("waiting") or state.get("terminated"):
                    return f"{cause.get('reason', '')}: {cause.get('message', '')}".strip(": ").split("\n")[0]
        return ""

    def _pods(self, selector: dict[str, str]) -> list[Object]:
        """Return the pods that a selector finds and that are not on their way out."""
        labels = ",".join(f"{key}={value}" for key, value in selector.items())
        pods = json.loads(self._kubectl("get", "pods", f"--selector={labels}", "--output=json"))["items"]
        return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]

    def _get(self, name: str) -> Object | None:
        """Return an object of the cluster, None where it does not exist."""
        output = self._kubectl("get", name, "--output=json", "--ignore-not-found")
        return dict(json.loads(output)) if output else None

    def _hold(self, service: Service, selector: dict[str, str]) -> None:
        """Hold a pod that a selector finds to the contract of the bundle that it should have.

        kubectl by itself could choose an old pod that still ends its requests.
        """
        new = [pod for pod in self._pods(selector) if pod["metadata"].get("annotations", {}).get(DIGEST) == service.bundle]
        if not new:
            raise DeployFailed(f"no pod with bundle {service.bundle[:12]} is selected")
        name = f"pod/{new[0]['metadata']['name']}"
        manifest = self._manifest(service, name)
        with self._forwarded(name) as url:
            wait_ready(url, self.settings.timeout)
            contract.hold(url, manifest, token=os.environ.get("MLOPS_SERVE_TOKEN", ""))

    def _manifest(self, service: Service, name: str) -> Manifest:
        """Read what the image promises from a pod; its digest, which the release names, says whether it can be believed."""
        manifest = Manifest.parse(self._kubectl("exec", name, "--", "cat", MANIFEST, strip=False).encode())
        if manifest.digest != service.bundle:
            raise DeployFailed(f"the pod holds bundle {manifest.digest[:12]}, {service.bundle[:12]} was to be deployed")
        return manifest

    @contextmanager
    def _forwarded(self, name: str) -> Iterator[str]:
        """An address on a free port of this machine that leads to a pod."""
        command = self._command("port-forward", "--address=127.0.0.1", name, ":8080")
        with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as failed:
            process = subprocess.Popen(command, stdout=stdout, stderr=failed, text=True)
            try:
                yield f"http://127.0.0.1:{self._port(process, stdout, failed, name)}"
            finally:
                process.terminate()
                process.wait()

    def _port(self, process: subprocess.Popen[str], stdout: Any, failed: Any, name: str) -> int:
        deadline = time.monotonic() + self.settings.timeout
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            if match := FORWARDED.search(_content(stdout)):
                return int(match[1])
            if ended:
                break
            time.sleep(0.02)
        raise UserError(f"kubectl port-forward {name} failed: {last_line(_content(failed)) or 'it named no port'}")

    def _take_back(self, name: str, objects: Sequence[Object], revision: str) -> None:
        """Go back to a revision; where nothing ran before, remove what was applied.

        The revision is named: without, a Deployment whose pods had not changed would go back one version too far.
        """
        if not revision:
            self._kubectl("delete", "--filename=-", "--ignore-not-found", "--wait=false", stdin=_as_list(objects))
            return
        self._kubectl("rollout", "undo", name, f"--to-revision={revision}")
        self._kubectl("rollout", "status", name, f"--timeout={self.settings.timeout}s")

    def _apply(self, objects: Sequence[Object]) -> None:
        self._kubectl("apply", "--filename=-", stdin=_as_list(objects))

    def _kubectl(self, *arguments: str, stdin: str | None = None, strip: bool = True) -> str:
        output = self._run(self._command(*arguments), stdin)
        return output.strip() if strip else output

    def _command(self, *arguments: str) -> list[str]:
        context = [f"--context={self.settings.context}"] if self.settings.context else []
        return ["kubectl", *context, f"--namespace={self.settings.namespace}", *arguments]

    def _run(self, command: list[str], stdin: str | None = None) -> str:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True)
        if done.returncode:
            verb = next(part for part in command[1:] if not part.startswith("--"))
            raise UserError(f"kubectl {verb} failed: {last_line(done.stderr)}{self._hint(done.stderr)}")
        return done.stdout

    def _hint(self, message: str) -> str:
        if "namespaces" in message and "not found" in message:
            return f"; make it with: kubectl create namespace {self.settings.namespace}"
        if any(words in message.lower() for words in UNREACHABLE):
            shown = shlex.quote(self.settings.context) if self.settings.context else "the current context"
            return f"; look at kubeconfig, {shown}"
        return ""


def name_of(use_case: str) -> str:
    """Return the name of a use case's Deployment and Service: a DNS label."""
    return f"{prefix_of(use_case)}{BASE}"


def prefix_of(use_case: str) -> str:
    """Return what stands before the names of the base."""
    return f"{use_case.lower().replace('_', '-')}-"


def layer_of(service: Service, namespace: str, overlay: str) -> Object:
    """Return the kustomization that lays a service over an overlay.

    Raises UserError for an image without its digest: a tag may point elsewhere when a pod starts on another node.
    """
    image = BY_DIGEST.fullmatch(service.image)
    if image is None:
        raise UserError(f"{service.image}: Kubernetes is given images by digest (NAME@sha256:…): push it to a registry first")
    name = re.sub(r":[^:/]+$", "", image["name"])
    notes = {USE_CASE: service.use_case, NUMBER: service.number, DIGEST: service.bundle}
    # In the pods' template, so that `rollout undo` takes them back together with the image.
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": BASE},
        "spec": {"template": {"metadata": {"annotations": notes}}},
    }
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [overlay],
        "namespace": namespace,
        "namePrefix": prefix_of(service.use_case),
        "labels": [
            {"pairs": {"app.kubernetes.io/name": prefix_of(service.use_case)[:-1]}, "includeSelectors": True},
            {"pairs": {"app.kubernetes.io/version": service.number}, "includeTemplates": True},
        ],
        "images": [{"name": BASE, "newName": name, "digest": image["digest"]}],
        "patches": [{"patch": yaml.safe_dump(patch)}],
    }


def is_a(kind: str, item: Object, name: str) -> bool:
    """Whether an object is the one of that kind and name."""
    return bool(item["kind"] == kind and item["metadata"]["name"] == name)


def service_of(objects: Sequence[Object]) -> Object:
    """Return the Service among the rendered objects."""
    return next(item for item in objects if item["kind"] == "Service")


def revision_of(deployment: Object | None) -> str:
    """Return the revision that a Deployment has now, "" for none."""
    notes = (deployment or {}).get("metadata", {}).get("annotations", {})
    return str(notes.get("deployment.kubernetes.io/revision", ""))


def proof_of(objects: Sequence[Object], name: str) -> Object:
    """Return the Deployment of one pod that takes no requests: no Service, budget or autoscaler selects it."""
    proof = copy.deepcopy(next(item for item in objects if is_a("Deployment", item, name)))
    proof["metadata"]["name"] = f"{name}-{PROOF}"
    proof["spec"]["replicas"] = 1
    for labels in (
        proof["metadata"]["labels"],
        proof["spec"]["selector"]["matchLabels"],
        proof["spec"]["template"]["metadata"]["labels"],
    ):
        labels["app.kubernetes.io/component"] = PROOF
    proof["spec"]["template"]["spec"].pop("topologySpreadConstraints", None)
    return proof


def last_line(text: str) -> str:
    """Return the last line that says something, without kubectl's own word for an error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ").removeprefix("Error: ") if lines else ""


def _as_list(objects: Sequence[Object]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def _content(file: Any) -> str:
    """Everything that a process has written to a file so far; where it writes next stays where it was."""
    return os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace")
