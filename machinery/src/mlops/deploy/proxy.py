"""The proxy before the services of one use case: its image, its container, and HAProxy's runtime interface.

The published port is the proxy's, so that it stays while services come and go. There are two places, blue and green; which one
answers is changed at run time, without a reload. No file keeps that: which service runs is known from the containers.
"""

from __future__ import annotations

import csv
import hashlib
import io
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mlops import files
from mlops.deploy.docker import HARDENED, PORT, Docker, last_line
from mlops.deploy.targets import DeployFailed
from mlops.errors import UserError

SLOTS = ("blue", "green")
FILES = ("haproxy.cfg", "roles.map", "share.map", "proxy.Dockerfile")
ROLES, SHARE = "/etc/haproxy/roles.map", "/etc/haproxy/share.map"
TICK = 0.1  # seconds between two looks at something that is waited for


@dataclass(frozen=True)
class Proxy:
    """The proxy of one use case in one environment, by the name of its container."""

    docker: Docker
    name: str

    def ask(self, *commands: str) -> str:
        """Return what HAProxy answers to commands of its runtime interface; raise UserError where it does not."""
        said = self.docker(
            "exec",
            "-i",
            self.name,
            "socat",
            "-t30",
            "-",
            "UNIX-CONNECT:/tmp/admin.sock",
            stdin=f"{'; '.join(commands)}\n".encode(),
        )
        if wrong := next(
            (line for line in said.splitlines() if line.startswith(("Unknown", "No such", "Can't find", "entry not"))), ""
        ):
            raise UserError(
                f"{self.name}: the proxy refuses {commands[0]!r}: {wrong}; docker rm --force {self.name} and deploy again"
            )
        return said

    def allow(self, slot: str) -> None:
        """Let a place be asked, by those who find it healthy."""
        self.ask(*(f"set server {first}_first/{slot} state ready" for first in SLOTS))

    def forbid(self, slot: str) -> None:
        """Ask a place nothing new; what it works on is answered."""
        self.ask(*(f"set server {first}_first/{slot} state maint" for first in SLOTS))

    def lead(self, slot: str, share: int = 0) -> None:
        """Let a place answer, and the other one `share` per cent of the requests; either steps in where the other is down."""
        # First the share: for a moment the leader answers all.
        self.ask(
            f"set map {SHARE} share 0",
            f"set map {ROLES} main {slot}",
            f"set map {ROLES} other {other_than(slot)}",
            f"set map {SHARE} share {share}",
        )

    def leader(self) -> str:
        """Return the place that answers."""
        lines = [line.split() for line in self.ask(f"show map {ROLES}").splitlines()]
        return next(line[2] for line in lines if len(line) == 3 and line[1] == "main")

    def wait_up(self, slot: str, address: str, seconds: float = 15.0) -> None:
        """Return when the proxy finds a place healthy at a container's address; raise DeployFailed after `seconds`."""
        said = "nothing"
        for _ in _until(seconds):
            rows = [row for row in self._servers() if row["srv_name"] == slot]
            states = [(row["srv_addr"], row["srv_op_state"], row["srv_admin_state"]) for row in rows]
            if states and all(state == (address, "2", "0") for state in states):
                return
            said = ", ".join(f"address {state[0]} state {state[1]}/{state[2]}" for state in states)
        raise DeployFailed(f"the proxy does not find the new service healthy within {seconds:g} s: {said}")

    def wait_idle(self, slot: str, seconds: float) -> bool:
        """Return whether a place has answered everything that it works on within `seconds`."""
        return any(sum(int(row["scur"]) for row in self._stats(slot)) == 0 for _ in _until(seconds))

    def _servers(self) -> list[dict[str, str]]:
        lines = [line.split() for line in self.ask("show servers state").splitlines()]
        names = next(line[1:] for line in lines if line[:1] == ["#"])
        return [dict(zip(names, line, strict=False)) for line in lines if len(line) > 4 and line[0] != "#"]

    def _stats(self, slot: str) -> list[dict[str, str]]:
        rows = csv.DictReader(io.StringIO(self.ask("show stat").strip().removeprefix("# ")))
        return [row for row in rows if row["svname"] == slot]


def other_than(slot: str) -> str:
    """Return the other place."""
    return SLOTS[1 - SLOTS.index(slot)]


def _until(seconds: float) -> Iterator[None]:
    deadline = time.monotonic() + seconds
    while True:
        yield
        if time.monotonic() > deadline:
            return
        time.sleep(TICK)


def image(docker: Docker, root: Path) -> str:
    """Return the name of the proxy's image, which is built on the host where it is not there; it is named by its content."""
    contents = {}
    for name in FILES:
        contents[name] = files.own_or(root / "deploy" / "compose" / name, Path(__file__).parent / "compose").read_bytes()
    digest = hashlib.sha256(b"".join(contents[name] for name in sorted(contents))).hexdigest()
    tag = f"mlops-proxy:{digest[:12]}"
    if not docker.inspect(tag, "image"):
        docker("build", "--quiet", "--tag", tag, "--file", "proxy.Dockerfile", "-", stdin=_tar(contents))
    return tag


def _tar(contents: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in contents.items():
            item = tarfile.TarInfo(name)
            item.size, item.mode = len(content), 0o644
            archive.addfile(item, io.BytesIO(content))
    return target.getvalue()


def start(docker: Docker, name: str, image: str, network: str, published: str, labels: tuple[str, ...]) -> Proxy:
    """Return the running proxy, started or made where it is not there; `published` is ADDRESS:PORT on the host.

    One that runs is kept whatever its image, so that nothing is refused; one on another port is replaced.
    """
    address, _, port = published.rpartition(":")
    found = docker.inspect(name)
    if found and _published(found) != (address.strip("[]"), port):
        docker.remove(name)
        found = None
    if not found:
        _create(docker, name, image, network, published, labels)
    if not found or not found["State"]["Running"]:
        docker("start", name)
    proxy = Proxy(docker, name)
    _wait_for_socket(proxy)
    return proxy


def _published(found: dict) -> tuple[str, str]:
    """Return address and port that a container is published on."""
    ports = (found["HostConfig"].get("PortBindings") or {}).get(f"{PORT}/tcp") or [{}]
    return ports[0].get("HostIp", ""), ports[0].get("HostPort", "")


def _create(docker: Docker, name: str, image: str, network: str, published: str, labels: tuple[str, ...]) -> None:
    docker(
        *("create", "--name", name, "--network", network, "--publish", f"{published}:{PORT}", "--restart", "unless-stopped"),
        *HARDENED,
        *(part for label in labels for part in ("--label", label)),
        image,
    )


def _wait_for_socket(proxy: Proxy) -> None:
    said = ""
    for _ in _until(15):
        try:
            proxy.ask("show info")
            return
        except UserError as error:
            said = str(error)
    raise UserError(said)


@contextmanager
def tunnel(proxy: Proxy, container: str, port: int = PORT) -> Iterator[str]:
    """An address on this machine that leads to a container on the host, through the proxy's container, while the block runs.

    Nothing is published for it: each connection is one `docker exec`, so it works over SSH as it does on this machine.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    command = ["docker", "exec", "-i", proxy.name, "socat", "-t5", "-", f"TCP:{container}:{port}"]
    children: list[subprocess.Popen] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                children.append(
                    subprocess.Popen(
                        command,
                        stdin=connection.fileno(),
                        stdout=connection.fileno(),
                        stderr=subprocess.DEVNULL,
                        env=proxy.docker.environment(),
                        start_new_session=True,  # Ctrl-C is for this process, which then still needs its connections
                    )
                )

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        # Closing alone does not wake a thread that waits for a connection.
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(1)
        for child in children:
            child.terminate()
            child.wait()


@contextmanager
def locked(docker: Docker, name: str, image: str, seconds: float, who: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the host's lock while the block runs: a container that lives as long as this process and its connection do.

    Waits up to `seconds` for another holder, then raises UserError. A holder that is killed, or loses its connection,
    leaves no lock behind: its container ends with its input.
    """
    deadline, told = time.monotonic() + seconds, False
    while (held := _take(docker, name, image, who)) is None:
        found = docker.inspect(name)
        holder = ((found or {}).get("Config", {}).get("Labels") or {}).get("io.mlops.who", "somebody")
        if found and found["State"]["Status"] in ("exited", "dead"):
            docker.remove(name)
            continue
        if time.monotonic() > deadline:
            raise UserError(f"another deployment, by {holder}, is at work on {docker.shown}: its lock is {name}")
        if not told:
            say(f"waiting for another deployment, by {holder}")
            told = True
        time.sleep(TICK * 5)
    try:
        yield
    finally:
        held.kill()
        held.wait()
        docker.remove(name)


def _take(docker: Docker, name: str, image: str, who: str) -> subprocess.Popen | None:
    """Start the container that is the lock; None where its name is taken, which Docker gives only once."""
    command = ["docker", "run", "--rm", "--interactive", "--name", name, "--network", "none", *HARDENED]
    command += ["--label", f"io.mlops.who={who}", "--entrypoint", "cat", image]
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=docker.environment(),
        start_new_session=True,
    )
    assert child.stdin and child.stdout and child.stderr
    with suppress(BrokenPipeError):
        child.stdin.write(b"held\n")
        child.stdin.flush()
    if child.stdout.readline() == b"held\n":
        return child
    with suppress(BrokenPipeError):
        child.stdin.close()
    said = child.stderr.read()
    child.wait()
    if b"is already in use" in said:
        return None
    raise UserError(f"the lock {name} on {docker.shown} cannot be taken: {last_line(said)}")
