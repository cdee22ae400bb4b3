"""Whether what was deployed to a host with Docker still answers, and which command repairs what does not."""

from __future__ import annotations

import json
from typing import Any, Protocol

from mlops.deploy import docker, guard, proxy_container
from mlops.deploy.contract import LIMIT, Asker, Broken
from mlops.deploy.proxy import Proxy
from mlops.deploy.targets import Container
from mlops.deploy.tunnel import tunnel
from mlops.errors import UserError


class Host(Protocol):
    """What is asked of an environment on a host with Docker; see mlops.deploy.compose.ComposeTarget."""

    @property
    def environment(self) -> str: ...
    @property
    def docker(self) -> docker.Docker: ...
    def name(self, use_case: str) -> str: ...
    def port(self, use_case: str) -> int: ...
    def address(self, use_case: str) -> str: ...
    def containers(self, use_case: str) -> list[Container]: ...
    def serving(self, use_case: str, known: list[Container]) -> Container | None: ...
    def returned(self, use_case: str) -> guard.Report | None: ...


def check(target: Host, use_case: str) -> list[str]:
    """Return each fault of a use case's service in an environment, with the command that repairs it."""
    known = target.containers(use_case)
    running = target.serving(use_case, known)
    front = target.docker.inspect(f"{target.name(use_case)}-proxy")
    if running is None:
        return [_nothing_runs(target, use_case, known)] if known or front else []
    faults = _of_proxy(target, use_case, running, front)
    if front and front["State"]["Running"] and (returned := target.returned(use_case)):
        failed = next((item.service.number for item in known if item.slot == returned.new), "the new service")
        faults.append(
            f"{use_case} {failed} was left after its deployment, {returned.reason}: {running.service.number} answers again; "
            f"{repair_command(target, use_case)} stops it"
        )
    details = target.docker.inspect(running.id) or {}
    if restarts := details.get("RestartCount", 0):
        how = docker.reason_of_end(details["State"], environment=target.environment)
        faults.append(
            f"{use_case} {running.service.number} in {target.environment} was restarted {restarts} times after it had ended"
            f"{how}; docker logs {running.name} says more, mlops rollback goes back"
        )
    return faults


def repair_command(target: Host, use_case: str) -> str:
    """Return the command that brings the proxy back."""
    return f"mlops deployments {use_case} --to {target.environment} --repair"


def _nothing_runs(target: Host, use_case: str, known: list[Container]) -> str:
    why = docker.why_gone(target.docker, known[0].id) if known else "its container is gone"
    return (
        f"no service of {use_case} runs in {target.environment}, nothing answers at {target.address(use_case)}: {why}; "
        f'mlops deploy {use_case} --to {target.environment} --reason "…" deploys one'
    )


def _of_proxy(target: Host, use_case: str, running: Container, front: dict[str, Any] | None) -> list[str]:
    address, fix = target.address(use_case), repair_command(target, use_case)
    name = f"{target.name(use_case)}-proxy"
    if front is None or not front["State"]["Running"] or front["State"].get("Paused"):
        state = "is gone" if front is None else _halted(front["State"], target.environment)
        return [f"the proxy {name} {state}: nothing answers at {address}, {running.service.number} runs behind it; {fix}"]
    port = proxy_container.published_by(front)[1]
    if port != str(target.port(use_case)):
        return [f"the proxy {name} is published at port {port}, {target.port(use_case)} is configured; {fix}"]
    answers = _answering(Proxy(target.docker, name), "127.0.0.1")
    if answers != running.service.number:
        own = _answering(Proxy(target.docker, name), running.name)
        if own != running.service.number:
            return [silent(target, use_case, running, own)]
        return [f"{address} answers {answers or 'nothing'}, {running.service.number} runs behind it; {fix}"]
    return []


def silent(target: Host, use_case: str, running: Container, answers: str) -> str:
    """Return that a service runs and does not answer as itself, with the commands that help."""
    return (
        f"{use_case} {running.service.number} runs in {target.environment} and does not answer at {target.address(use_case)}: "
        f"{answers}; docker restart {running.name} starts it anew, mlops rollback {use_case} --environment "
        f'{target.environment} --reason "…" goes back'
    )


def _halted(state: dict[str, Any], environment: str) -> str:
    return "is paused" if state.get("Paused") else f"has ended{docker.reason_of_end(state, environment=environment)}"


def _answering(front: Proxy, place: str) -> str:
    """Return the number of the version that answers at a place behind the proxy, what is wrong where none does."""
    try:
        with tunnel(front, place) as url:
            return str(json.loads(Asker(url, LIMIT, "")("/version").text).get("number", ""))
    except (Broken, UserError, ValueError, AttributeError) as error:
        return f"nothing ({error})"
