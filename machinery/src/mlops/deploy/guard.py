"""The watch over a new service after its deployment has ended: it goes on in the proxy's container, whoever else is gone.

The old service runs on beside the new one for a bounded time. Where the proxy's own checks find the new one down, or too many
of its answers are 5xx, the old one answers again; the reason waits in the proxy until `mlops deployments --check`, or the next
deployment, writes it into the log. At the end of the time the old service stops by itself. See compose/guard.sh.
"""

from __future__ import annotations

from typing import NamedTuple

from mlops.deploy.proxy import Proxy

REPORT = "/tmp/guard"
TIMER = "/tmp/standby.pid"
# Runs in the old service's container: ends its server when the time is over, unless the proxy leads to it again.
STANDBY = f"""
import os, signal, sys, time, urllib.request
open({TIMER!r}, "w").write(str(os.getpid()))
time.sleep(float(sys.argv[1]))
leader = urllib.request.urlopen(f"http://{{sys.argv[2]}}:8081/leader", timeout=10).read().decode()
os.remove({TIMER!r})
if leader != sys.argv[3]:
    os.kill(1, signal.SIGTERM)
"""
SPARE = 5  # seconds that the old service waits longer than the watch


class Report(NamedTuple):
    """What a watch has come to: watching, kept or returned; the new place and the old one, the moment (s), and the reason."""

    state: str
    new: str
    old: str
    moment: int
    reason: str = ""


def begin(front: Proxy, new: str, old: str, standby: str, seconds: float, errors: float) -> None:
    """Start the watch in the proxy's container, and the timer in the old service's (`standby`); both outlive this process."""
    end(front, standby)
    docker, span = front.docker, str(round(seconds))
    docker("exec", "--detach", front.name, "sh", "/etc/haproxy/guard.sh", new, old, span, f"{errors:g}")
    docker("exec", "--detach", standby, "python", "-c", STANDBY, str(round(seconds) + SPARE), front.name, old)


def end(front: Proxy, *services: str) -> None:
    """End the watch, and the timers of services, where there are any."""
    stop = "[ -f {0} ] && kill $(cat {0}); rm -f {0}"
    front.docker.run("exec", front.name, "sh", "-c", f"{stop.format('/tmp/guard.pid')} {REPORT}")
    for service in services:
        front.docker.run("exec", service, "sh", "-c", stop.format(TIMER))


def report(front: Proxy) -> Report | None:
    """Return what the last watch has come to, None where there was none since the last deployment."""
    done = front.docker.run("exec", front.name, "cat", REPORT)
    words = done.stdout.decode(errors="replace").split(maxsplit=4)
    if done.returncode or len(words) < 4 or not words[3].isdigit():
        return None
    return Report(words[0], words[1], words[2], int(words[3]), words[4].strip() if len(words) > 4 else "")
