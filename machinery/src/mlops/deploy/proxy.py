"""The proxy before the services of one use case, by HAProxy's runtime interface.

The published port is the proxy's, so that it stays while services come and go. There are two places, blue and green; which one
answers is changed at run time, without a reload. No file keeps that: which service runs is known from the containers.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass

from mlops.deploy.docker import Docker
from mlops.deploy.targets import DeployFailed
from mlops.errors import UserError

SLOTS = ("blue", "green")
ROLES, SHARE = "/etc/haproxy/roles.map", "/etc/haproxy/share.map"
TICK = 0.1  # seconds between two looks at something that is waited for


@dataclass(frozen=True)
class Proxy:
    """The proxy of one use case in one environment, by the name of its container."""

    docker: Docker
    name: str

    def ask(self, *commands: str) -> str:
        """Return what HAProxy answers to commands of its runtime interface; raise UserError where it does not."""
        reply = self.docker(
            "exec",
            "-i",
            self.name,
            "socat",
            "-t30",
            "-",
            "UNIX-CONNECT:/tmp/admin.sock",
            stdin=f"{'; '.join(commands)}\n".encode(),
        )
        if wrong := next(
            (line for line in reply.splitlines() if line.startswith(("Unknown", "No such", "Can't find", "entry not"))), ""
        ):
            raise UserError(
                f"{self.name}: the proxy refuses {commands[0]!r}: {wrong}; docker rm --force {self.name} and deploy again"
            )
        return reply

    def enable(self, slot: str) -> None:
        """Let a place be asked, by those who find it healthy."""
        self.ask(*(f"set server {first}_first/{slot} state ready" for first in SLOTS))

    def disable(self, slot: str) -> None:
        """Ask a place nothing new; what it works on is answered."""
        self.ask(*(f"set server {first}_first/{slot} state maint" for first in SLOTS))

    def abandon(self, slot: str) -> None:
        """End what a place works on; the proxy asks the other one for it, where it has been left for that one."""
        self.ask(*(f"shutdown sessions server {first}_first/{slot}" for first in SLOTS))

    def route_to(self, slot: str, share: int = 0) -> None:
        """Let a place answer, and the other one `share` per cent of the requests; either steps in where the other is down."""
        # First the share: for a moment the leader answers all.
        self.ask(
            f"set map {SHARE} share 0",
            f"set map {ROLES} main {slot}",
            f"set map {ROLES} other {other_than(slot)}",
            f"set map {SHARE} share {share}",
        )

    def leader(self) -> str:
        """Return the place that answers."""
        lines = [line.split() for line in self.ask(f"show map {ROLES}").splitlines()]
        return next(line[2] for line in lines if len(line) == 3 and line[1] == "main")

    def wait_up(self, slot: str, address: str, seconds: float = 15.0) -> None:
        """Return when the proxy finds a place healthy at a container's address; raise DeployFailed after `seconds`."""
        description = "nothing"
        for _ in until(seconds):
            rows = [row for row in self._servers() if row["srv_name"] == slot]
            states = [(row["srv_addr"], row["srv_op_state"], row["srv_admin_state"]) for row in rows]
            if states and all(state == (address, "2", "0") for state in states):
                return
            description = ", ".join(f"address {state[0]} state {state[1]}/{state[2]}" for state in states)
        raise DeployFailed(f"the proxy does not find the service healthy within {seconds:g} s: {description}")

    def wait_idle(self, slot: str, seconds: float) -> bool:
        """Return whether a place has answered everything that it works on within `seconds`."""
        return any(sum(int(row["scur"]) for row in self._stats(slot)) == 0 for _ in until(seconds))

    def _servers(self) -> list[dict[str, str]]:
        lines = [line.split() for line in self.ask("show servers state").splitlines()]
        names = next(line[1:] for line in lines if line[:1] == ["#"])
        return [dict(zip(names, line, strict=False)) for line in lines if len(line) > 4 and line[0] != "#"]

    def _stats(self, slot: str) -> list[dict[str, str]]:
        rows = csv.DictReader(io.StringIO(self.ask("show stat").strip().removeprefix("# ")))
        return [row for row in rows if row["svname"] == slot]


def other_than(slot: str) -> str:
    """Return the other place."""
    return SLOTS[1 - SLOTS.index(slot)]


def until(seconds: float) -> Iterator[None]:
    """Yield again and again until the time has passed, at least twice."""
    deadline = time.monotonic() + seconds
    while True:
        yield
        if time.monotonic() > deadline:
            return
        time.sleep(TICK)
