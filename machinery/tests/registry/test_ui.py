"""`mlops ui` ends what it started, however it is ended."""

import os
import signal
import subprocess
import sys
import time

import pytest

CHILD = (
    "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    " print(p.pid, flush=True); time.sleep(60)"
)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits for its parent does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are looked up in /proc")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_and_its_workers(signum: signal.Signals) -> None:
    run = f"ui._run([sys.executable, '-c', {CHILD!r}], dict(os.environ))"
    # A shell that starts the tests in the background has SIGINT ignored in all that they start.
    heard = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    script = f"import os, signal, sys; {heard}; from mlops.registry import ui; sys.exit({run})"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    assert alive(worker)
    process.send_signal(signum)
    assert process.wait(20) == 0
    end = time.monotonic() + 5
    while alive(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(worker)
