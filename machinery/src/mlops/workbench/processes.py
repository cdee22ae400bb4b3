"""Processes that outlive their command: known by number and start, so that a stale number hits nobody else."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import psutil

from mlops.errors import UserError
from mlops.workbench.settings import LOOPBACK, PORTS, Settings

# Seconds that a process has to end by itself.
PATIENCE = 15


def identity(pid: int) -> dict[str, float]:
    """Number and start of a process."""
    return {"pid": pid, "created": psutil.Process(pid).create_time()}


def find(known: dict[str, Any] | None) -> psutil.Process | None:
    """The process of an identity, None where it has ended, its number given to another one included."""
    if not known or not known.get("pid"):
        return None
    try:
        process = psutil.Process(int(known["pid"]))
        same = abs(process.create_time() - float(known["created"])) < 1
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, KeyError, TypeError, ValueError):
        return None


def end(processes: Iterable[psutil.Process], signum: int = signal.SIGTERM) -> None:
    """End processes with all that they started: politely, and after PATIENCE seconds without asking."""
    family: list[psutil.Process] = []
    first = list(processes)
    for process in first:
        with suppress(psutil.Error):
            family += process.children(recursive=True)
    for process in first:
        with suppress(psutil.Error):
            process.send_signal(signum)
    _, alive = psutil.wait_procs(first, timeout=PATIENCE)
    for process in [*alive, *family]:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs([*alive, *family], timeout=5)


def refuse_taken(settings: Settings) -> None:
    """Raise UserError naming each port that is taken, and who holds it."""
    taken = []
    for part, port in settings.ports.items():
        host = settings.bind if part in ("jupyter", "mlflow") else LOOPBACK
        if not _is_free(host, port):
            taken.append((part, port))
    if not taken:
        return
    words = "; ".join(f"port {port} ({part}) is taken by {holder(port)}" for part, port in taken)
    other = {part: port for part, port in settings.ports.items() if port != PORTS[part]}
    chosen = other | {part: _free_after(port) for part, port in taken}
    options = " ".join(f"--port {part}={port}" for part, port in chosen.items())
    raise UserError(f"{words}; end it, or choose another: mlops workbench start {options}")


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise UserError(f"port {port} may not be used by this user; choose one above 1023") from None
        except OSError:
            return False
    return True


def _free_after(port: int) -> int:
    return next((number for number in range(port + 1, 65536) if _is_free(LOOPBACK, number)), port)


def holder(port: int) -> str:
    """Who listens on a port: program, process number and command, as far as this user may know."""
    try:
        found = psutil.net_connections("tcp")
    except psutil.Error:  # macOS tells only root
        found = []
    for connection in found:
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            with suppress(psutil.Error):
                process = psutil.Process(connection.pid)
                command = " ".join(" ".join(process.cmdline()).split())[:80]
                return f"{process.name()} (pid {process.pid}: {command})"
    return "a process of another user"


def await_end(process: psutil.Process, seconds: float) -> None:
    """Wait until a process has ended or the time is over."""
    psutil.wait_procs([process], timeout=seconds)


def wait_until(ready: Any, alive: Any, seconds: float) -> bool:
    """Whether something became ready before the time is over or what it needs has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and alive():
        if ready():
            return True
        time.sleep(0.1)
    return False


def signal_group(pid: int, signum: int) -> None:
    """Send a signal to all processes of a session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signum)
