"""Runs a server on a bundle: `python -m mlops.serving.run BUNDLE`, as `mlops serve` and the image do.

Exit codes: 0 after a stop that was asked for, 2 with one line when the bundle or a setting is not right.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from mlops.errors import MlopsError, UserError
from mlops.serving import app, fast_path, service
from mlops.serving.protocol import LimitedProtocol
from mlops.serving.settings import Settings, from_environment


def run(folder: Path, settings: Settings) -> None:
    """Serve until a signal asks to stop. Raises MlopsError for a bundle that is damaged or a port that is taken."""
    state = service.create(folder, settings)
    listener = _listen(settings)
    server = _server(state, settings)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(f"listening on http://{shown}:{port}", file=sys.stderr, flush=True)
    try:
        server.run(sockets=[listener])
    finally:
        # A prediction that ran out of its time may still hold a thread; the process does not wait for it.
        state.pool.shutdown(wait=False, cancel_futures=True)
    if state.failure is not None:
        raise state.failure


def _server(state: service.Service, settings: Settings) -> uvicorn.Server:
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        app.create(state),
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http=partial(LimitedProtocol, state, fast_path.Batcher(state)),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive,  # type: ignore[arg-type]
        timeout_graceful_shutdown=int(settings.timeout + settings.read_timeout) + 1,
        backlog=2048,
    )
    server = uvicorn.Server(config)
    state.stop = partial(setattr, server, "should_exit", True)
    server.handle_exit = _drain(state, server, settings.drain)  # type: ignore[method-assign]
    return server


def _drain(state: service.Service, server: uvicorn.Server, seconds: float) -> Any:
    """The signal handler: after SIGTERM, "not ready" is answered and answers close their connections; then the port closes."""

    def handle(signum: int, frame: Any) -> None:
        if signum == signal.SIGINT or state.draining or seconds <= 0:
            server.force_exit = server.should_exit and signum == signal.SIGINT
            return state.stop()
        state.draining = True
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(loop.call_later, seconds, state.stop)

    return handle


def _listen(settings: Settings) -> Any:
    import socket

    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise UserError(
            f"port {settings.port} on {settings.host} cannot be opened: {error}; choose another with --port"
        ) from None
    listener.listen(2048)
    listener.setblocking(False)
    return listener


def main() -> None:
    """Serve the bundle of the first argument, else of MLOPS_BUNDLE."""
    folder = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MLOPS_BUNDLE", "")
    try:
        if not folder:
            raise UserError("no bundle was named: python -m mlops.serving.run BUNDLE")
        # The application flushes its log several times a second, whatever PYTHONUNBUFFERED says: a call of the system less.
        sys.stdout = open(1, "w", buffering=65_536, encoding="utf-8", closefd=False)
        run(Path(folder), from_environment())
    except MlopsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
