"""Deploys to a host with Docker Engine: the new container beside the old one, and a proxy that keeps the port.

    new container → contract → shadow → share of the requests → all of them → watched → the old one is stopped
                       any step fails, or the new one dies: the old one answers again, the new one is removed

What runs is read from the containers, never from a file: the service that has proved itself is the one that Docker restarts
(`unless-stopped`); one on trial, and one that was replaced, are not restarted.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mlops import console
from mlops.config import Project
from mlops.config.operations import Compose, Environment
from mlops.deploy import contract, docker, guard, health, proxy, proxy_container, shadow, watch
from mlops.deploy.docker import HARDENED, Docker
from mlops.deploy.lock import locked
from mlops.deploy.proxy import Proxy, other_than
from mlops.deploy.targets import Container, DeployFailed, Return, Service
from mlops.deploy.tunnel import tunnel
from mlops.errors import UserError
from mlops.registry import aliases

LABEL = "io.mlops."
PROVEN = "unless-stopped"
DRAIN = 40.0  # seconds for requests that are in work when a container is replaced; a prediction takes at most 30
LINGER = 1.0  # seconds for those that a service which failed works on; then the old one is asked for them
LOGS = "/predictions"


def target(project: Project, environment: str, chosen: Environment) -> ComposeTarget:
    """Return the target of an environment that is deployed with Docker."""
    return ComposeTarget(project, environment, chosen.compose)


@dataclass(frozen=True)
class ComposeTarget:
    """An environment on a host with Docker Engine; see mlops.deploy.targets.Target."""

    project: Project
    environment: str
    settings: Compose

    @property
    def docker(self) -> Docker:
        """The host."""
        return Docker(self.settings.host)

    def name(self, use_case: str) -> str:
        """The name that everything of a use case in this environment begins with."""
        return re.sub(r"[^A-Za-z0-9_.-]", "-", f"{self.project.name}-{self.environment}-{use_case}")

    def port(self, use_case: str) -> int:
        """The published port; raises UserError where none is configured."""
        if use_case not in self.settings.ports:
            raise UserError(f"config/project.yaml: deploy.{self.environment}.compose.ports has no port for {use_case}")
        return self.settings.ports[use_case]

    def address(self, use_case: str) -> str:
        """The address that answers, as the host's users see it."""
        host = urlsplit(self.settings.host).hostname if self.settings.host.startswith(("ssh:", "tcp:")) else None
        everywhere = self.settings.bind in ("0.0.0.0", "::", "[::]")
        shown = (host or "127.0.0.1") if everywhere else self._bind()
        return f"http://{shown}:{self.port(use_case)}"

    def running(self, use_case: str) -> Service | None:
        """Return what runs now, None where nothing does."""
        service = self.serving(use_case, self.containers(use_case))
        return service.service if service else None

    def serving(self, use_case: str, known: list[Container]) -> Container | None:
        """Return the container that answers: the one that has proved itself, or the one that the proxy went back to."""
        proven = next((item for item in known if item.runs and item.proven), None)
        beside = [item for item in known if item.runs and item is not proven]
        if proven and beside and (returned := self.returned(use_case)):
            return next((item for item in beside if item.slot == returned.old), proven)
        return proven

    def returned(self, use_case: str) -> guard.Report | None:
        """Return why the proxy went back to the old service by itself, None where it did not."""
        report = guard.report(Proxy(self.docker, f"{self.name(use_case)}-proxy"))
        return report if report and report.state == "returned" else None

    def own_return(self, use_case: str) -> Return | None:
        """Return the return that the proxy made by itself since the last deployment, None where there was none."""
        known = self.containers(use_case)
        returned = self.returned(use_case) if known else None
        if returned is None:
            return None
        left, now = (next((item for item in known if item.slot == slot), None) for slot in (returned.new, returned.old))
        return Return(left.service.number, now.service, returned.reason, returned.moment) if left and now else None

    def plan(self, service: Service) -> list[str]:
        """Return what `deploy` would do, one line each, without doing it."""
        old = self.running(service.use_case)
        configured = self.settings
        steps = [
            f"bring {service.image} to {self.docker.shown}",
            f"start it beside {old.use_case} {old.number}" if old else "start it: nothing runs there yet",
            f"hold it to the contract of {service.use_case} {service.number}",
        ]
        if old and configured.shadow.requests and configured.prediction_log:
            steps.append(f"ask both for the last {configured.shadow.requests} logged requests")
        if old and configured.share.percent:
            steps.append(f"let it answer {configured.share.percent} % of the requests for {configured.share.seconds:g} s")
        steps.append(f"let it answer all requests at {self.address(service.use_case)}")
        if old:
            steps.append(f"watch it for {configured.watch:g} s; if it fails, {old.number} answers again")
            if configured.guard:
                steps.append(
                    f"let the proxy watch it for {configured.guard:g} s more, with {old.number} beside it to go back to"
                )
            steps.append(f"stop {old.number}")
        return steps

    def deploy(self, service: Service) -> str:
        """Replace what runs, with no refused request, and return the address that answers; raise DeployFailed otherwise."""
        host = self.docker
        with self._locked(service.use_case) as wanted:
            docker.ensure_image(host, service.image)
            manifest = docker.manifest_of(host, service.image)
            docker.check_bundle(service, manifest)
            with proxy_container.started(host, wanted) as front:
                old, known, fault = self._settle(front, service.use_case)
                if old and fault:
                    console.note(f"{old.service.number} does not answer, so nothing is compared with it: {fault}")
                # Going back, and away from what does not answer, must be quick: the contract alone has to be kept.
                brief = bool(fault) or _was_here(known, service)
                slot = other_than(old.slot) if old else "blue"
                front.disable(slot)
                with self._probation(front, slot, old) as keep:
                    new = self._start(service, slot, wanted.image)
                    keep(new)
                    self._prove(front, manifest, new, old, brief)
                    # From here on Docker restarts the new service.
                    host("update", "--restart", PROVEN, new)
            self._leave(Proxy(host, wanted.name), slot, old, service.use_case, watched=not brief)
        return self.address(service.use_case)

    def digest(self, service: Service) -> str:
        """Return the digest of a service's image: a tag may be moved to another one."""
        docker.ensure_image(self.docker, service.image)
        return str((self.docker.inspect(service.image, "image") or {}).get("Id", ""))

    def check(self, use_case: str) -> list[str]:
        """Return what is wrong with what runs, one line each with the command that repairs it; none where all is well."""
        return health.check(self, use_case)

    def repair(self, use_case: str) -> str:
        """Start the proxy again where it is gone, let the service that proved itself answer, and return the address."""
        with self._locked(use_case) as wanted, proxy_container.started(self.docker, wanted) as front:
            old, _, fault = self._settle(front, use_case)
            if old is None:
                raise UserError(f"{use_case}: no service runs in {self.environment} that a proxy could lead to; deploy one")
            if fault:
                raise UserError(health.silent(self, use_case, old, fault))
        return self.address(use_case)

    @contextmanager
    def _locked(self, use_case: str) -> Iterator[proxy_container.Wanted]:
        """Hold the lock of a use case, with its network there, and yield the proxy that it should have."""
        host, name = self.docker, self.name(use_case)
        published = f"{self._bind()}:{self.port(use_case)}"
        image = proxy_container.image(host, self.project.root)
        with locked(host, f"{name}-lock", image, self.settings.wait, aliases.who(), console.note):
            if host.run("network", "inspect", name).returncode:
                host("network", "create", name)
            yield proxy_container.Wanted(f"{name}-proxy", image, name, published, self._labels(use_case))

    def _bind(self) -> str:
        bind = self.settings.bind
        return f"[{bind}]" if ":" in bind and not bind.startswith("[") else bind

    def _labels(self, use_case: str) -> tuple[str, ...]:
        named = {"project": self.project.name, "environment": self.environment, "use_case": use_case}
        return tuple(f"{LABEL}{key}={value}" for key, value in named.items())

    def containers(self, use_case: str) -> list[Container]:
        """Return the services' containers, the newest first."""
        filters = [part for label in self._labels(use_case) for part in ("--filter", f"label={label}")]
        ids = self.docker("ps", "--all", "--quiet", "--no-trunc", *filters, "--filter", f"label={LABEL}slot").split()
        inspected = [details for details in map(self.docker.inspect, ids) if details]
        containers = [_container(details, use_case) for details in inspected]
        return sorted(containers, key=lambda item: item.created, reverse=True)

    def _settle(self, front: Proxy, use_case: str) -> tuple[Container | None, list[Container], str]:
        """Bring what an interrupted deployment left into order.

        Returns what serves, all that was there before, and why what serves does not answer, "" where it does.
        """
        known = self.containers(use_case)
        old, fault = self.serving(use_case, known), ""
        guard.end(front, *(item.id for item in known if item.runs))
        if old:
            front.enable(old.slot)
            try:
                front.wait_up(old.slot, old.address)
            except DeployFailed as error:  # what hangs is what one wants to leave
                fault = str(error)
            front.route_to(old.slot)
            self.docker("update", "--restart", PROVEN, old.id)
        for item in known:
            if item.runs and item is not old:
                front.disable(item.slot)
                front.wait_idle(item.slot, DRAIN)
                # One that is older than what serves was replaced by it; a younger one never proved itself.
                replaced = item.proven or (old is not None and item.created < old.created)
                self._retire(item) if replaced else self.docker.remove(item.id)
        return old, known, fault

    def _start(self, service: Service, slot: str, helper: str) -> str:
        """Start the container of a service on trial and return its name."""
        host, name = self.docker, f"{self.name(service.use_case)}-{slot}-{secrets.token_hex(3)}"
        labels = (*self._labels(service.use_case), f"{LABEL}slot={slot}")
        variables = {f"MLOPS_SERVE_{key.upper()}": _text(value) for key, value in self.settings.settings.items()}
        mount: list[str] = []
        if log := self.settings.prediction_log:
            mount = ["--mount", f"type={'bind' if log.startswith('/') else 'volume'},source={log},target={LOGS}"]
            variables["MLOPS_SERVE_PREDICTION_LOG"] = f"{LOGS}/{name}"
            owner = ["--user", "0:0", "--cap-drop", "ALL", "--cap-add", "CHOWN", "--network", "none", "--entrypoint", "chown"]
            host("run", "--rm", *owner, *mount, helper, "65532:65532", LOGS)
        # The token comes from this process's environment and is never part of a command.
        secret = ["--env", "MLOPS_SERVE_TOKEN"] if os.environ.get("MLOPS_SERVE_TOKEN") else []
        outcome = host(
            *("create", "--name", name, "--network", self.name(service.use_case), "--network-alias", slot, "--restart", "no"),
            *HARDENED,
            *("--memory", self.settings.memory, "--memory-swap", self.settings.memory),
            *(part for label in labels for part in ("--label", label)),
            *(part for key, value in variables.items() for part in ("--env", f"{key}={value}")),
            *(*mount, *secret, service.image),
        )
        host("start", outcome)
        return name

    @contextmanager
    def _probation(self, front: Proxy, slot: str, old: Container | None) -> Iterator[Callable[[str], None]]:
        """Whatever goes wrong in the block, interruption included: the old service answers again, the new one is removed."""
        started: list[str] = []
        try:
            yield started.append
        except BaseException as error:
            if old:
                front.route_to(old.slot)
                front.disable(slot)
                # What a service that failed still holds may hang: the old one is asked for it before clients give up.
                if not front.wait_idle(slot, LINGER if isinstance(error, DeployFailed) else DRAIN):
                    front.abandon(slot)
            self.docker.remove(*started, *([] if old else [front.name]))
            raise

    def _prove(self, front: Proxy, manifest: contract.Manifest, new: str, old: Container | None, brief: bool) -> None:
        """Take the new service through its trial, until it answers all requests and was watched.

        brief: it is only held to its contract.
        """
        host, configured = self.docker, self.settings
        token = os.environ.get("MLOPS_SERVE_TOKEN", "")
        placed = _container(host.inspect(new) or {}, manifest.content["use_case"])
        slot = placed.slot

        def alive() -> str:
            return docker.why_gone(host, new)

        with ExitStack() as stack:
            url = stack.enter_context(tunnel(front, new))
            contract.wait_ready(url, contract.PATIENCE, alive)
            contract.hold(url, manifest, token=token)
            if old and not brief:
                self._shadow(front, old, placed, url, token)
            front.enable(slot)
            front.wait_up(slot, placed.address)
            if old and not brief and configured.share.percent:
                front.route_to(old.slot, configured.share.percent)
                with contract.explained(f"with {configured.share.percent} % of the requests"):
                    watch.watch(url, configured.share.seconds, configured.errors, token, alive)
            front.route_to(slot)
            served = stack.enter_context(tunnel(front, "127.0.0.1"))
            with contract.explained("through the proxy"):
                _answers(served, manifest, token)
            with contract.explained("with all requests"):
                watch.watch(url, configured.watch if old and not brief else 0, configured.errors, token, alive)

    def _shadow(self, front: Proxy, old: Container, placed: Container, new: str, token: str) -> None:
        wanted = self.settings.shadow
        if not wanted.requests or not self.settings.prediction_log:
            return
        file = f"{LOGS}/{old.name}/{old.service.use_case}.jsonl"
        done = self.docker.run("exec", old.name, "tail", "-n", str(wanted.requests), file)
        records = shadow.logged(done.stdout.decode(errors="replace")) if done.returncode == 0 else []
        if not records:
            return console.note("shadow: the prediction log of the old service is empty, nothing was compared")
        with tunnel(front, old.name) as url, contract.explained("shadow"):
            pairs = shadow.ask(url, new, records, token)
            if not pairs:
                return console.note("shadow: the log leaves columns out, nothing was compared")
            self._keep(placed, shadow.lines(pairs, old.service.number, placed.service.number))
            comparison = shadow.compare(pairs)
            shadow.check(comparison, wanted.differ)
        console.note(f"shadow: {comparison}")

    def _keep(self, placed: Container, content: str) -> None:
        """Write what the shadow answered beside the prediction log of its service, for `mlops monitor`."""
        folder = f"{LOGS}/{placed.name}"
        script = f"mkdir -p {folder} && cat > {folder}/{placed.service.use_case}.shadow.jsonl"
        self.docker("exec", "-i", placed.id, "sh", "-c", script, stdin=content.encode())

    def _leave(self, front: Proxy, slot: str, old: Container | None, use_case: str, watched: bool) -> None:
        """End a deployment: the old service is stopped, or runs on beside the new one while the proxy watches that."""
        if not (old and watched and self.settings.guard):
            return self._replace(front, old, use_case)
        self.docker("update", "--restart", "no", old.id)
        guard.begin(front, slot, old.slot, old.id, self.settings.guard, self.settings.errors)
        self._clear(use_case)

    def _replace(self, front: Proxy, old: Container | None, use_case: str) -> None:
        """Stop the old service when it is idle; what cannot be stopped now is stopped by the next deployment."""
        try:
            if old:
                front.disable(old.slot)
                front.wait_idle(old.slot, DRAIN)
                self._retire(old)
            self._clear(use_case)
        except UserError as error:
            console.note(f"the new service answers, but the old one could not be stopped: {error}")

    def _retire(self, item: Container) -> None:
        self.docker("update", "--restart", "no", item.id)
        self.docker("stop", "--time", str(int(DRAIN)), item.id)

    def _clear(self, use_case: str) -> None:
        """Remove stopped containers but the last ones, whose images can so not be pruned and be gone back to."""
        stopped = [item for item in self.containers(use_case) if not item.runs]
        self.docker.remove(*(item.id for item in stopped[self.settings.keep :]))


def _answers(url: str, manifest: contract.Manifest, token: str, seconds: float = 5.0) -> None:
    """Return when an address names the new bundle; raise DeployFailed where it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        checks = [item for item in contract.check_version(url, manifest, token) if not item.ok]
        if not checks:
            return
        if time.monotonic() > deadline:
            raise DeployFailed(checks[0].detail)
        time.sleep(proxy.TICK)


def _was_here(known: list[Container], service: Service) -> bool:
    """Whether a stopped container of this very service is kept, so that it has proved itself here."""
    return any(item.service == service and not item.runs for item in known)


def _container(details: dict[str, Any], use_case: str) -> Container:
    labels, image = details["Config"]["Labels"], details["Config"]["Image"]
    number = labels.get("org.opencontainers.image.version", "")
    networks = details["NetworkSettings"]["Networks"]
    return Container(
        id=details["Id"],
        name=details["Name"].removeprefix("/"),
        slot=labels[f"{LABEL}slot"],
        service=Service(use_case, number, image, labels.get("io.mlops.bundle.sha256", "")),
        runs=bool(details["State"]["Running"]),
        proven=details["HostConfig"]["RestartPolicy"]["Name"] == PROVEN,
        created=details["Created"],
        address=next((network["IPAddress"] for network in networks.values() if network["IPAddress"]), ""),
    )


def _text(value: bool | int | float | str) -> str:
    """Return a setting as the server reads it."""
    return str(int(value)) if isinstance(value, bool) else str(value)
