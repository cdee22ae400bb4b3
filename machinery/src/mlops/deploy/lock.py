"""One deployment at a time: the lock is a container on the host."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from mlops.deploy.docker import HARDENED, Docker, last_line
from mlops.deploy.proxy import TICK
from mlops.errors import UserError


@contextmanager
def locked(docker: Docker, name: str, image: str, seconds: float, who: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the host's lock while the block runs: a container that lives as long as this process and its connection do.

    Waits up to `seconds` for another holder, then raises UserError. A holder that is killed, or loses its connection,
    leaves no lock behind: its container ends with its input.
    """
    deadline, noted = time.monotonic() + seconds, False
    while (held := _take(docker, name, image, who)) is None:
        container = docker.inspect(name)
        holder = ((container or {}).get("Config", {}).get("Labels") or {}).get("io.mlops.who", "somebody")
        if container and container["State"]["Status"] in ("exited", "dead"):
            docker.remove(name)
            continue
        if time.monotonic() > deadline:
            raise UserError(f"another deployment, by {holder}, is at work on {docker.shown}: its lock is {name}")
        if not noted:
            say(f"waiting for another deployment, by {holder}")
            noted = True
        time.sleep(TICK * 5)
    try:
        yield
    finally:
        held.kill()
        held.wait()
        docker.remove(name)


def _take(docker: Docker, name: str, image: str, who: str) -> subprocess.Popen[bytes] | None:
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
    stderr = child.stderr.read()
    child.wait()
    if b"is already in use" in stderr:
        return None
    raise UserError(f"the lock {name} on {docker.shown} cannot be taken: {last_line(stderr)}")
