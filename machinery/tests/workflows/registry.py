"""A container registry on loopback, for the releases that run offline: Debian's docker-registry with a folder of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = "docker-registry"
USER, PASSWORD = "ada", "secret"
# bcrypt of the password: the registry takes no other form.
HASH = "$2b$04$CpYzOzcusV34TImSV3rVWuxLIFMZntpt1G0bGgceRYFBYCyL6TBCm"
CONFIG = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/images}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}
"""


def docker(*arguments: str) -> str:
    """What docker says; fails where docker does."""
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def why_not() -> str:
    """Why images cannot be pushed here, "" where they can."""
    if not shutil.which(PROGRAM):
        return f"{PROGRAM} is not installed"
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode:
        return "no Docker Engine answers here"
    return ""


def remove_images(host: str) -> None:
    """Remove the images that were made for a registry from this machine."""
    named = docker("images", "--quiet", "--no-trunc", f"{host}/*/*/*").split()
    if named:
        docker("rmi", "--force", *dict.fromkeys(named))


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a registry that asks for USER and PASSWORD on a port that the system chooses; yields host:port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "htpasswd").write_text(f"{USER}:{HASH}\n", encoding="utf-8")
    (folder / "config.yml").write_text(CONFIG.format(folder=folder, port=port), encoding="utf-8")
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen([PROGRAM, "serve", str(folder / "config.yml")], stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/v2/", server)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return  # it asks for a password
        except OSError:
            time.sleep(0.05)
    raise AssertionError("the registry does not start")
