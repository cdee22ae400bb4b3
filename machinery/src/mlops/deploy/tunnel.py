"""A way to a container that has no published port: connections through the proxy's container."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mlops.deploy.docker import PORT
from mlops.deploy.proxy import Proxy


@contextmanager
def tunnel(proxy: Proxy, container: str, port: int = PORT) -> Iterator[str]:
    """An address on this machine that leads to a container on the host, through the proxy's container, while the block runs.

    Nothing is published for it: each connection is one `docker exec`, so it works over SSH as it does on this machine.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    command = ["docker", "exec", "-i", proxy.name, "socat", "-t5", "-", f"TCP:{container}:{port}"]
    children: list[subprocess.Popen[bytes]] = []

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
