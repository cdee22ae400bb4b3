"""Deploys a version or a whole release to an environment, and goes back; what came of it goes to the log."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops import console, tracking
from mlops.config import Project, load_use_case_config
from mlops.deploy import contract, docker, targets
from mlops.deploy.contract import Check
from mlops.deploy.targets import DeployFailed, Service, Target
from mlops.errors import UserError
from mlops.registry import aliases, deployment_log, versions
from mlops.registry.deployment_log import DEPLOYED, MOVED, REFUSED, RETURNED, VERIFIED, Deployment, Step

if TYPE_CHECKING:
    from mlops.serving.manifest import Bundle

DIGEST = re.compile(r"[0-9a-f]{64}")


class DeploymentRequest(NamedTuple):
    """What is to be deployed and why: the services, the environment, and the tag of the release.

    digest: what the image of the one service has to be, where the log has recorded it; "" takes what the name stands for.
    """

    services: list[Service]
    environment: str
    tag: str
    why: str
    action: str = "deploy"
    digest: str = ""


def verify(image: str, service: Service | None = None, limit: float = contract.LIMIT) -> list[Check]:
    """Start an image on this machine, hold it to the contract of the bundle in it and remove it.

    Raises DeployFailed where the contract is broken or the image holds another bundle than `service` says.
    """
    here = docker.Docker()
    docker.ensure_image(here, image)
    manifest = docker.manifest_of(here, image)
    if service:
        docker.check_bundle(service, manifest)
    with console.step(f"verifying {image}"), docker.running(image) as url:
        return contract.hold(url, manifest, limit)


def of_release(file: Path, only: str = "") -> tuple[list[Service], str]:
    """Return the services and the tag of a release manifest, of one use case where it is named.

    Raises UserError for a file that is not one, naming the key.
    """
    content = deployment_log.read_json(file)
    models = content.get("models")
    if not isinstance(models, dict) or not models:
        raise UserError(f"{file}: key models is missing: a release manifest names each use case with its image")
    if only and only not in models:
        raise UserError(f"{file}: no use case {only!r} in this release; there are: {', '.join(sorted(models))}")
    services = [_released(file, name, models[name]) for name in sorted(models) if only in ("", name)]
    return services, str(content.get("tag") or "")


def _released(file: Path, name: str, model: Any) -> Service:
    for key in ("number", "image", "bundle"):
        if not isinstance(model, dict) or not isinstance(model.get(key), str) or not model[key]:
            raise UserError(f"{file}: key models.{name}.{key} is missing")
    if not DIGEST.fullmatch(model["bundle"]):
        raise UserError(f"{file}: models.{name}.bundle is no SHA-256 digest")
    return Service(name, model["number"], model["image"], model["bundle"])


def of_version(
    project: Project, use_case: str, ref: str | None, environment: str, image: str = "", make: bool = True
) -> Service:
    """Return the service of a registered version with its image, which is built here where it is not there yet (`make`).

    Docker is asked only where an image is built, or where `image` names one that is there: its bundle says what it serves.
    A cloud's service has no image.
    """
    if image:
        return _of_image(project, use_case, image)
    from mlops.scoring import registered

    bundle = registered.bundle(project, use_case, ref, None, None)
    kind = targets.environment_of(project, environment).target
    if kind in targets.CLOUDS:
        return Service(bundle.name, bundle.number, "", bundle.digest)
    tag = f"{bundle.name}:{bundle.number}"
    # Kubernetes takes images by digest, so one that only this machine has would be refused.
    if make and kind != "kubernetes":
        _ensure_built(project, bundle, tag)
    return Service(bundle.name, bundle.number, tag, bundle.digest)


def _of_image(project: Project, use_case: str, image: str) -> Service:
    here = docker.Docker()
    docker.ensure_image(here, image)
    service = docker.service_of(here, image)
    if use_case and service.use_case != use_case:
        raise UserError(f"{image} serves {service.use_case} {service.number}, not {use_case}")
    load_use_case_config(project, service.use_case)
    return service


def _ensure_built(project: Project, bundle: Bundle, tag: str) -> None:
    from mlops.bundle.image import build

    image = docker.Docker().inspect(tag, "image")
    labels = (image or {}).get("Config", {}).get("Labels") or {}
    if labels.get("io.mlops.bundle.sha256") != bundle.digest:
        with console.step(f"building the image of {bundle.name} {bundle.number}"):
            build(project.root, bundle, tag)


def plan(project: Project, request: DeploymentRequest) -> dict[str, list[str]]:
    """Return use case → what `deploy` would do, without doing it."""
    target = targets.of(project, request.environment)
    return {service.use_case: target.plan(service) if target else _plan_of_none(service) for service in request.services}


def _plan_of_none(service: Service) -> list[str]:
    return [
        f"start {service.image} on this machine",
        f"hold it to the contract of {service.use_case} {service.number}",
        f"remove it; no target is configured, the result is: {VERIFIED}",
    ]


def deploy(project: Project, request: DeploymentRequest) -> list[Deployment]:
    """Deploy one service after the other and return what came of each; the first that fails ends it.

    Raises UserError before anything is started for an environment that is not configured.
    """
    target = targets.of(project, request.environment)
    # What the target did by itself meanwhile is written first: the log has to explain what runs.
    own = [own_return(target, service.use_case, request.environment) for service in request.services]
    outcomes: list[Deployment] = [item for item in own if item]
    for service in request.services:
        outcomes.append(deploy_one(target, service, request))
        if not outcomes[-1].ok:
            break
    return outcomes


def deploy_one(target: Target | None, service: Service, request: DeploymentRequest) -> Deployment:
    """Deploy one service and return the entry of the log; without a target it is verified on this machine."""
    before = target.running(service.use_case) if target else None
    began, address, message, digest = time.monotonic(), "", "", ""
    try:
        if target:
            digest = _digest(target, service, request.digest)
            address, result = target.deploy(service), DEPLOYED
        else:
            verify(service.image, service)
            result = VERIFIED
    except DeployFailed as failed:
        result, message = RETURNED if before else REFUSED, str(failed)
    alias = request.environment if result == DEPLOYED else ""
    return Deployment(
        use_case=service.use_case,
        environment=request.environment,
        action=request.action,
        result=result,
        number=service.number,
        image=service.image,
        bundle=service.bundle,
        tag=request.tag,
        before=before.number if before else None,
        who=aliases.who(),
        why=request.why,
        address=address,
        message=message[: deployment_log.LONGEST],
        alias=alias,
        seconds=round(time.monotonic() - began, 2),
        digest=digest,
    )


def _digest(target: Target, service: Service, recorded: str) -> str:
    """Return the digest of a service's image where the target knows one; raise DeployFailed where another one is recorded."""
    digest = target.digest(service) if isinstance(target, targets.Identifies) else ""
    if digest and recorded and digest != recorded:
        raise DeployFailed(
            f"{service.image} is no longer the image that was deployed: the deployment log recorded {recorded[:19]}, it is "
            f"{digest[:19]} now; bring the recorded one back, or deploy this one with mlops deploy"
        )
    return digest


def recorded_digest(project: Project, service: Service) -> str:
    """Return the digest of a service's image as it was deployed last, "" where the log has none."""
    entries = deployment_log.history(project, service.use_case)
    known = (item for item in entries if item.digest and item.result == DEPLOYED and item.number == service.number)
    return next((item.digest for item in known if item.image == service.image), "")


def own_return(target: Target | None, use_case: str, environment: str) -> Deployment | None:
    """Return the entry for the return that a target made by itself since the last deployment; the same at each call."""
    returned = target.own_return(use_case) if isinstance(target, targets.Repairable) else None
    if returned is None:
        return None
    return Deployment(
        use_case=use_case,
        environment=environment,
        action="return",
        result=DEPLOYED,
        number=returned.service.number,
        image=returned.service.image,
        bundle=returned.service.bundle,
        tag="",
        before=returned.left,
        who="the proxy",
        why=f"{returned.left} failed after its deployment: {returned.reason}",
        alias=environment,
        stamp=returned.moment * 10**9,
        when=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(returned.moment)),
    )


def record_returns(project: Project, use_case: str, environment: str = "") -> list[Deployment]:
    """Write what the targets did by themselves into the log, and return what it did not hold yet."""
    names = [environment] if environment else sorted(project.deploy)
    returns = [own_return(targets.of(project, name), use_case, name) for name in names]
    return deployment_log.record(project, [item for item in returns if item])


def check(project: Project, use_case: str, environment: str = "") -> dict[str, list[str]]:
    """Return environment → what is wrong with what runs there, of one environment or of all that have a target."""
    targets_by_name = {name: targets.of(project, name) for name in ([environment] if environment else sorted(project.deploy))}
    return {name: target.check(use_case) for name, target in targets_by_name.items() if target}


def repair(project: Project, use_case: str, environment: str) -> str:
    """Bring back what stands before a service, and return its address; raise UserError for a target that has no such thing."""
    if not environment:
        raise UserError("--repair works on one environment: name it with --to")
    target = targets.of(project, environment)
    if not isinstance(target, targets.Repairable):
        raise UserError(f"{environment} has no proxy of ours, so there is nothing to repair; mlops deploy replaces what runs")
    return target.repair(use_case)


def rollback_target(project: Project, use_case: str, environment: str, number: str = "") -> Service:
    """Return what a rollback in an environment with a target deploys: the version before, or `number`, with its image.

    What runs is the target's word; the log explains how it came there. Raises UserError where there is nothing to go back to,
    and where the rollback would change nothing.
    """
    entries = deployment_log.history(project, use_case)
    live = [item for item in entries if item.environment == environment and item.result == DEPLOYED]
    target = targets.of(project, environment)
    running = target.running(use_case) if target else None
    now = running.number if running else (live[0].number if live else "")
    back = number or deployment_log.before(reversed(live), now)
    if back is None:
        raise UserError(_nothing_before(use_case, environment, now))
    imageless = targets.environment_of(project, environment).target in targets.CLOUDS
    # The image that ran here is taken before one that was only verified or ran elsewhere.
    known = [item for item in [*live, *entries] if item.image or imageless]
    possible = sorted({item.number for item in known} - {now}) or ["–"]
    if running and back == now:
        raise UserError(
            f"{use_case} {now} is what runs in {environment}, going back to it changes nothing; "
            f"--to NUMBER chooses another version, there are: {', '.join(possible)}"
        )
    chosen = next((item for item in known if item.number == back), None)
    if chosen is None:
        raise UserError(
            f"{use_case} {back} has no image in the deployment log, {now or 'nothing'} runs in {environment}; "
            f"--to NUMBER chooses another version, there are: {', '.join(possible)}"
        )
    if running and now not in {item.number for item in live}:
        console.note(f"{use_case} {now} runs in {environment} and is not in the deployment log; going back to {back}")
    return Service(use_case, back, chosen.image, chosen.bundle)


def _nothing_before(use_case: str, environment: str, now: str) -> str:
    if not now:
        return f"{use_case}: nothing was ever deployed to {environment}, so there is nothing to go back to"
    return (
        f"{use_case} {now} is the first that was deployed to {environment}, there is nothing before it; "
        "--to NUMBER chooses another version that has an image in the log"
    )


def rollback_alias(project: Project, use_case: str, alias: str, number: str, why: str) -> Deployment:
    """Return the move of a registry alias to the version before, or to `number`; `deployment_log.record` makes it.

    Raises UserError where the alias does not exist or never pointed elsewhere.
    """
    with tracking.open_store(project, make=False) as client:
        name = versions.qualified(project, use_case)
        known = versions.all_of(client, name)
        moves = [move for move in aliases.log(client, name) if move.alias == alias] if known else []
    now = versions.by_alias(known, alias)
    if now is None:
        raise UserError(
            f"{use_case}: nothing is deployed and there is no alias {alias!r}; --alias champion moves the registry's champion"
        )
    back = number or deployment_log.before(reversed([Step(move.before, move.after) for move in moves]), now.number)
    if back is None:
        raise UserError(
            f"{use_case} {now.number} is the first {alias}, there is nothing before it; --to NUMBER chooses another"
        )
    to = versions.choose(use_case, known, back)
    if "archived" in to.tags:
        raise UserError(f"{use_case} {to.number} is archived ({to.tags['archived']}); choose another version with --to")
    if to.number == now.number:
        raise UserError(f"{use_case}: {alias} points at {to.number} already")
    return Deployment(
        use_case=use_case,
        environment="",
        action="rollback",
        result=MOVED,
        number=to.number,
        image="",
        bundle="",
        tag="",
        before=now.number,
        who=aliases.who(),
        why=why,
        alias=alias,
    )


def finish(
    project: Project,
    outcomes: Sequence[Deployment],
    keep: bool,
    file: Path | None,
    say: Callable[[Sequence[Deployment]], None],
) -> None:
    """Write the result and the log, say what came of it, and raise DeployFailed where one did not prove itself."""
    if file:
        deployment_log.write_result(file, outcomes)
    if keep:
        deployment_log.record(project, outcomes)
    say(outcomes)
    for failed in (item for item in outcomes if not item.ok):
        still = f"{failed.before} still answers" if failed.before else "nothing was deployed"
        raise DeployFailed(f"{failed.use_case} {failed.number} to {failed.environment}: {failed.message}; {still}")
