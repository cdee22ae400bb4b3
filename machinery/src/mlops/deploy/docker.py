"""Docker by its command line: the same for this machine, a socket and a host over SSH. One line of error where it fails."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mlops.deploy.contract import MANIFEST, Manifest, wait_ready
from mlops.deploy.targets import DeployFailed, Service
from mlops.errors import UserError

PORT = 8080
# What a service needs and nothing more: no root, no writing but to /tmp, no new privileges, bounded memory and processes.
HARDENED = (
    *("--user", "65532:65532", "--read-only", "--tmpfs", "/tmp:rw,noexec,nosuid,size=64m"),
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "256"),
)
MEMORY = "512m"
LOST = re.compile(r"cannot connect to the docker daemon|error during connect|failed to connect|dial |ssh:", re.IGNORECASE)
# How docker run and docker start end, after the cause; and what a service writes for every request.
HELP = re.compile(
    r"(See|Run) 'docker .*--help'|For more information,? (try|see)|Error: failed to start containers", re.IGNORECASE
)
ACCESS = re.compile(r'\{"time":"[^"]*","request":')
MISSING = re.compile(r"bind source path does not exist: (\S+)")
SIGNALS = {
    134: "aborted (SIGABRT)",
    137: "killed (SIGKILL)",
    139: "crashed in native code (SIGSEGV)",
    143: "stopped (SIGTERM)",
}
ANSWERED = b"Error response from daemon"


@dataclass(frozen=True)
class Docker:
    """A Docker Engine; `host` as in DOCKER_HOST, empty for the one that the environment names."""

    host: str = ""

    def __call__(self, *arguments: str, stdin: bytes | None = None, timeout: float | None = None) -> str:
        """Return what a docker command says; raise UserError with its last line where it fails."""
        done = self.run(*arguments, stdin=stdin, timeout=timeout)
        if done.returncode:
            raise UserError(self.failure(arguments, done))
        return str(done.stdout.decode().strip())

    def run(
        self, *arguments: str, stdin: bytes | None = None, timeout: float | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a docker command and return how it ended; raise UserError where Docker is not there or does not answer."""
        try:
            done = subprocess.run(
                ["docker", *arguments], input=stdin, capture_output=True, env=self.environment(), timeout=timeout
            )
        except subprocess.TimeoutExpired:
            raise UserError(f"docker {arguments[0]} on {self.shown}: nothing came within {timeout:g} s") from None
        except FileNotFoundError:
            raise UserError("docker is not installed: install Docker Engine's command line") from None
        if done.returncode and ANSWERED not in done.stderr and LOST.search(done.stderr.decode(errors="replace")):
            raise UserError(f"Docker on {self.shown} does not answer: {last_line(done.stderr)}")
        return done

    def environment(self) -> dict[str, str]:
        """Return the variables for a docker command."""
        return {**os.environ, "DOCKER_HOST": self.host} if self.host else dict(os.environ)

    @property
    def shown(self) -> str:
        """The host in words."""
        return self.host or os.environ.get("DOCKER_HOST") or "this machine"

    def failure(self, arguments: tuple[str, ...], done: subprocess.CompletedProcess[bytes]) -> str:
        """Return one line for a command that failed."""
        if missing := MISSING.search(done.stderr.decode(errors="replace")):
            return f"the folder {missing[1]} does not exist on {self.shown}: create it there, or correct prediction_log"
        return f"docker {arguments[0]} on {self.shown} failed: {last_line(done.stderr) or f'exit code {done.returncode}'}"

    def inspect(self, name: str, kind: str = "container") -> dict[str, Any] | None:
        """Return what Docker knows of a container or image, None where it does not exist."""
        done = self.run(kind, "inspect", name)
        return dict(json.loads(done.stdout)[0]) if done.returncode == 0 else None

    def remove(self, *names: str) -> None:
        """Remove containers at once, where they are there."""
        if names:
            self.run("rm", "--force", "--volumes", *names)


def last_line(text: bytes) -> str:
    """Return the last line that says something: no hint at the command's help, no line of an access log."""
    lines = [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if not HELP.match(line) and not ACCESS.match(line)]
    return telling[-1] if telling else ""


def ensure_image(docker: Docker, image: str) -> None:
    """Bring an image to the host: it is there, or pulled, or carried over from this machine. Raise UserError otherwise."""
    if docker.inspect(image, "image"):
        return
    pulled = docker.run("pull", "--quiet", image)
    if pulled.returncode == 0:
        return
    here = Docker()
    if docker.host and here.inspect(image, "image"):
        carry(here, docker, image)
        return
    raise UserError(f"the image {image} is neither on {docker.shown} nor can it be pulled: {last_line(pulled.stderr)}")


def carry(here: Docker, target: Docker, image: str) -> None:
    """Copy an image from one engine to another without a registry."""
    with tempfile.TemporaryFile() as failure:
        save = subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE, stderr=failure, env=here.environment())
        load = subprocess.run(["docker", "load", "--quiet"], stdin=save.stdout, capture_output=True, env=target.environment())
        if save.wait() or load.returncode:
            failure.seek(0)
            why = last_line(failure.read()) or last_line(load.stderr)
            raise UserError(f"the image {image} could not be copied to {target.shown}: {why}")


def manifest_of(docker: Docker, image: str) -> Manifest:
    """Return the manifest of the bundle in an image, without starting it. Raise UserError for an image without one."""
    created = docker("create", image)
    try:
        done = docker.run("cp", f"{created}:{MANIFEST}", "-")
    finally:
        docker.remove(created)
    if done.returncode:
        raise UserError(f"{image} holds no bundle ({MANIFEST}): build it with mlops image")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        raw = archive.extractfile(archive.getmembers()[0]).read()  # type: ignore[union-attr]
    return Manifest.parse(raw)


def service_of(docker: Docker, image: str) -> Service:
    """Return what an image serves, by the bundle in it."""
    manifest = manifest_of(docker, image)
    return Service(manifest.content["use_case"], manifest.content["version"]["number"], image, manifest.digest)


def check_bundle(service: Service, manifest: Manifest) -> None:
    """Raise DeployFailed where an image holds something else than it was released as."""
    held = (manifest.content["use_case"], manifest.content["version"]["number"], manifest.digest)
    if held != (service.use_case, service.number, service.bundle):
        raise DeployFailed(
            f"{service.image} holds {held[0]} {held[1]} (bundle {held[2][:12]}), "
            f"not {service.use_case} {service.number} (bundle {service.bundle[:12]})"
        )


def why_gone(docker: Docker, name: str) -> str:
    """Return why a container does not run, "" where it does."""
    details = docker.inspect(name)
    if details and details["State"]["Running"]:
        return ""
    if details is None:
        return f"the container {name} was removed"
    logs = docker.run("logs", "--tail", "50", name)
    message = last_line(logs.stderr) or last_line(logs.stdout)
    labels = details.get("Config", {}).get("Labels") or {}
    memory = details.get("HostConfig", {}).get("Memory", 0)
    how = reason_of_end(details["State"], memory, labels.get("io.mlops.environment", "<environment>"))
    return f"the container ended{how}{f': {message}' if message else ''}"


def reason_of_end(state: dict[str, Any], memory: int = 0, environment: str = "<environment>") -> str:
    """Return how a container ended, as words that follow "ended"; memory: its limit in bytes, where `environment` sets it."""
    if state.get("OOMKilled"):
        limit = f" of {memory / 2**20:g} MB" if memory else ""
        return f": out of memory, it needs more than its limit{limit}; raise deploy.{environment}.compose.memory"
    if state.get("Error"):
        return f": {state['Error']}"
    code = state.get("ExitCode", 0)
    return f" with {code}, {SIGNALS[code]}" if code in SIGNALS else f" with {code}"


@contextmanager
def running(image: str, memory: str = MEMORY, variables: tuple[str, ...] = (), patience: float = 60.0) -> Iterator[str]:
    """Start an image on a free port of this machine, locked down, and yield its address when it is ready; removed in the end.

    memory: as docker takes it. variables: NAME=VALUE for the server. Raises UserError where Docker cannot start it,
    DeployFailed where it ends or is not ready within `patience` seconds.
    """
    docker = Docker()
    given = [part for variable in variables for part in ("--env", variable)]
    limits = ["--memory", memory, "--memory-swap", memory]
    created = docker("create", *HARDENED, *limits, *given, "--publish", f"127.0.0.1::{PORT}", image)
    try:
        docker("start", created)
        details = docker.inspect(created) or {}
        ports = details.get("NetworkSettings", {}).get("Ports", {}).get(f"{PORT}/tcp") or []
        # A container that has ended has no port; why it ended says more.
        if not ports:
            raise DeployFailed(why_gone(docker, created) or "the container has no port")
        url = f"http://127.0.0.1:{ports[0]['HostPort']}"
        wait_ready(url, patience, lambda: why_gone(docker, created))
        yield url
    finally:
        docker.remove(created)
