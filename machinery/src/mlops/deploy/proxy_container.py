"""The proxy's image and container: built by its content, replaced only after the new one has proved itself."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mlops import files
from mlops.deploy.docker import HARDENED, PORT, Docker
from mlops.deploy.proxy import Proxy, until
from mlops.errors import UserError

FILES = ("haproxy.cfg", "roles.map", "share.map", "guard.sh", "proxy.Dockerfile")
TAKEN = re.compile(r"port is already allocated|address already in use", re.IGNORECASE)


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


class Wanted(NamedTuple):
    """The proxy that an environment is configured to have; `published` is ADDRESS:PORT on the host."""

    name: str
    image: str
    network: str
    published: str
    labels: tuple[str, ...]


@contextmanager
def started(docker: Docker, wanted: Wanted) -> Iterator[Proxy]:
    """Yield the running proxy: the one that is there, or a new one, which takes its place when the block has succeeded.

    One that runs is kept whatever its image, so that nothing is refused. On another port or address a second one is started
    beside it: the first goes when the second has led the block to its end, and stays as it was where anything fails.
    Raises UserError for a port that is taken, and for a container of this name that is not this environment's.
    """
    aside = f"{wanted.name}-next"
    if _own(docker, wanted, wanted.name) is None and _own(docker, wanted, aside):
        docker("rename", aside, wanted.name)  # whoever moved the proxy was killed between its last two steps
    docker.remove(aside)
    container = _own(docker, wanted, wanted.name)
    if container and published_by(container) != _address(wanted.published):
        with _moved(docker, wanted, aside, published_by(container)) as proxy:
            yield proxy
        return
    if not container:
        _run(docker, wanted, wanted.name)
    elif container["State"].get("Paused"):
        docker("unpause", wanted.name)
    elif not container["State"]["Running"]:
        docker("start", wanted.name)
    proxy = Proxy(docker, wanted.name)
    wait_for_socket(proxy)
    yield proxy


@contextmanager
def _moved(docker: Docker, wanted: Wanted, aside: str, before: tuple[str, str]) -> Iterator[Proxy]:
    """Yield a second proxy at another address of the host; it takes the first one's name where the block succeeds."""
    same_port = before[1] == _address(wanted.published)[1]
    try:
        if same_port:  # two addresses of one port may overlap, so the first has to let go of it
            docker("stop", "--time", "15", wanted.name)
        _run(docker, wanted, aside)
        proxy = Proxy(docker, aside)
        wait_for_socket(proxy)
        yield proxy
    except BaseException:
        docker.remove(aside)
        if same_port:
            docker("start", wanted.name)
        raise
    # Requests that are in work are answered: HAProxy stops softly.
    docker.run("stop", "--time", "60", wanted.name)
    docker.remove(wanted.name)
    docker("rename", aside, wanted.name)


def _own(docker: Docker, wanted: Wanted, name: str) -> dict[str, Any] | None:
    """Return what Docker knows of this environment's proxy; raise UserError where its name is somebody else's."""
    container = docker.inspect(name)
    if container is None:
        return None
    labels = container["Config"]["Labels"] or {}
    for label in wanted.labels:
        key, _, value = label.partition("=")
        if labels.get(key) != value:
            raise UserError(
                f"the container {name} on {docker.shown} is not this environment's ({key} is {labels.get(key)!r}, not "
                f"{value!r}): rename the project or the environment in config/project.yaml"
            )
    return container


def _address(published: str) -> tuple[str, str]:
    """Return address and port of ADDRESS:PORT."""
    address, _, port = published.rpartition(":")
    return address.strip("[]"), port


def published_by(container: dict[str, Any]) -> tuple[str, str]:
    """Return address and port that a container is published on."""
    ports = (container["HostConfig"].get("PortBindings") or {}).get(f"{PORT}/tcp") or [{}]
    return ports[0].get("HostIp", ""), ports[0].get("HostPort", "")


def _run(docker: Docker, wanted: Wanted, name: str) -> None:
    """Create and start a proxy; none is left where it cannot start."""
    docker(
        *("create", "--name", name, "--network", wanted.network, "--publish", f"{wanted.published}:{PORT}"),
        *("--restart", "unless-stopped", *HARDENED),
        *(part for label in wanted.labels for part in ("--label", label)),
        wanted.image,
    )
    try:
        docker("start", name)
    except UserError as error:
        docker.remove(name)
        if not TAKEN.search(str(error)):
            raise
        environment = next((label.partition("=")[2] for label in wanted.labels if ".environment=" in label), "<environment>")
        raise UserError(
            f"{wanted.published} on {docker.shown} is taken by another program: free it, or choose another port under "
            f"deploy.{environment}.compose.ports in config/project.yaml"
            + ("; what answered before still does" if name != wanted.name else "")
        ) from None


def wait_for_socket(proxy: Proxy) -> None:
    """Return when a proxy can be asked; raise UserError where it cannot within 15 s."""
    message = ""
    for _ in until(15):
        try:
            proxy.ask("show info")
            return
        except UserError as error:
            message = str(error)
    raise UserError(message)
