"""The proxy's image and container: built by its content, replaced only after the new one has proved itself."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

from mlops import files
from mlops.deploy.docker import HARDENED, PORT, Docker
from mlops.deploy.proxy import Proxy, until
from mlops.errors import UserError

FILES = ("haproxy.cfg", "roles.map", "share.map", "proxy.Dockerfile")


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
    for _ in until(15):
        try:
            proxy.ask("show info")
            return
        except UserError as error:
            said = str(error)
    raise UserError(said)
