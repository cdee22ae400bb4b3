"""MLflow's own page on the project's store."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

from mlops import tracking
from mlops.config import Project
from mlops.console import note
from mlops.errors import UserError

# MLflow's page begins with what language models need, unless it is set up so that models are trained here.
PAGE = "#/experiments?workflowType=machine_learning"


def serve(project: Project, port: int) -> int:
    """Run the page on 127.0.0.1 until it is interrupted; returns its exit code.

    Raises UserError naming a port that is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise UserError(f"port {port} is taken on 127.0.0.1; choose another: mlops ui --port {port + 1}") from None
    with tracking.open_store(project) as client:
        place = client.tracking_uri
        note(f"http://127.0.0.1:{port}/{PAGE} shows {tracking.uri(project)}; stop it with Ctrl-C")
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", place]
    if root := tracking.artifact_root(project):
        command += ["--default-artifact-root", root]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return _run(command, environment)


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Run a command until it ends, or until SIGINT or SIGTERM, which end all its processes; returns its exit code."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGTERM, previous)
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the processes of a session: politely, and after ten seconds without asking."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
            return
