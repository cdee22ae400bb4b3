"""One process that starts the parts, starts one again that ends, writes down what runs, and ends them all when it is ended."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops import files
from mlops.console import note
from mlops.errors import UserError
from mlops.workbench import processes
from mlops.workbench.parts import Part, assemble
from mlops.workbench.settings import Settings, write_private

# Seconds that a part has to answer at its start.
START = 300
# How often a part that ended is started again before the workbench gives up.
RESTARTS = 5


class _Child:
    """A part that runs."""

    def __init__(self, part: Part, logs: Path) -> None:
        self.part, self.log, self.restarts = part, logs / f"{part.name}.log", 0
        self.start()

    def start(self) -> None:
        account = pwd.getpwnam(self.part.user) if self.part.user else None
        identity: dict[str, Any] = {}
        if account:
            identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.part.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.part.environment),
                cwd=self.part.data.parent if self.part.keeps else self.part.data,
                start_new_session=True,
                **identity,
            )
        self.identity = processes.identity(self.process.pid)
        self.since = _now()

    def wait(self) -> None:
        """Wait until it answers; raises UserError with the last line of its log where it does not."""
        if not processes.wait_until(self.part.ready, lambda: self.process.poll() is None, START):
            ended = self.process.poll()
            how = f"does not answer after {START} s" if ended is None else f"ended with code {ended}"
            raise UserError(f"{self.part.name} {how} ({last_line(self.log)}); see {self.log}")

    def ask_to_end(self) -> None:
        """Send it the signal by which it ends in order."""
        self.process.send_signal(self.part.stop)

    def end(self) -> None:
        """Wait until it has ended, and end all that it started."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(processes.PATIENCE)
        processes.signal_group(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def described(self) -> dict[str, Any]:
        """What the state says of it."""
        part = self.part
        known = {"part": part.name, "kind": part.kind, "port": part.port, "address": part.address, "data": str(part.data)}
        return {**known, **self.identity, "since": self.since, "restarts": self.restarts, "log": str(self.log)}


def last_line(log: Path) -> str:
    """The last line of a log that says something."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "its log is empty")


def state_file(settings: Settings) -> Path:
    """Where a supervisor writes down what runs."""
    return settings.home / "state.json"


def read_state(settings: Settings) -> dict[str, Any]:
    """What was written down; empty where nothing is or where it is torn."""
    try:
        return dict(json.loads(state_file(settings).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def is_running(state: dict[str, Any]) -> bool:
    """Whether the supervisor that wrote a state lives."""
    return processes.find(state) is not None


def end_leftovers(settings: Settings) -> list[str]:
    """End the parts whose supervisor was killed, and remove its state; returns their names."""
    state = read_state(settings)
    left = [(part["part"], processes.find(part)) for part in state.get("parts", [])]
    alive = [(name, process) for name, process in left if process is not None]
    for name, process in reversed(alive):
        processes.end([process], signal.SIGINT if name == "postgres" else signal.SIGTERM)
    state_file(settings).unlink(missing_ok=True)
    return [name for name, _ in alive]


def run(settings: Settings) -> None:
    """Run a workbench until SIGTERM, SIGINT or SIGHUP; returns when all parts have ended.

    Raises UserError where one runs already, a port is taken or a part does not start.
    """
    settings.prepare()
    with _alone(settings), _signals():
        if left := end_leftovers(settings):
            note(f"ended what a killed workbench left: {', '.join(left)}")
        processes.refuse_taken(settings)
        children: list[_Child] = []
        try:
            parts = assemble(settings)
            for stage in _stages(parts):
                for part in stage:
                    note(f"{part.name}: {part.kind} on port {part.port}")
                    children.append(_Child(part, settings.logs))
                    _write(settings, children, ready=False)
                for child in children[-len(stage) :]:
                    child.wait()
            _write(settings, children, ready=True)
            _watch(settings, children)
        except KeyboardInterrupt:
            note("the workbench ends")
        finally:
            _end(children)
            state_file(settings).unlink(missing_ok=True)


def _stages(parts: list[Part]) -> list[list[Part]]:
    """What keeps data starts first and ends last; within a stage all at once, as each takes seconds to import."""
    stages = [[part for part in parts if part.keeps is keeps] for keeps in (True, False)]
    return [stage for stage in stages if stage]


def _end(children: list[_Child]) -> None:
    for keeps in (False, True):
        stage = [child for child in children if child.part.keeps is keeps]
        for child in stage:
            child.ask_to_end()
        for child in stage:
            child.end()


def _watch(settings: Settings, children: list[_Child]) -> None:
    while True:
        time.sleep(0.5)
        for child in children:
            if (code := child.process.poll()) is None:
                continue
            if child.restarts >= RESTARTS:
                raise UserError(f"{child.part.name} ended {RESTARTS + 1} times ({last_line(child.log)}); see {child.log}")
            note(f"{child.part.name} ended with code {code}, and is started again")
            processes.signal_group(child.process.pid, signal.SIGKILL)
            child.restarts += 1
            child.start()
            child.wait()
            _write(settings, children, ready=True)


def _write(settings: Settings, children: list[_Child], ready: bool) -> None:
    parts = [child.described() for child in children]
    state = {**processes.identity(os.getpid()), "ready": ready, "bind": settings.bind, "since": _since(), "parts": parts}
    write_private(state_file(settings), files.as_json(state) + "\n")


def _since() -> str:
    created = processes.identity(os.getpid())["created"]
    return datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(settings.home / "lock", timeout=0)
    try:
        with lock:
            yield
    except Timeout:
        raise UserError("a workbench of this project runs already: mlops workbench status, or mlops workbench stop") from None


@contextmanager
def _signals() -> Iterator[None]:
    """A signal to end is KeyboardInterrupt, also where a shell had the signal ignored; a second one changes nothing."""
    ending = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def stop(signum: int, frame: object) -> None:
        for one in ending:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    previous = {signum: signal.signal(signum, stop) for signum in ending}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def start(settings: Settings) -> dict[str, Any]:
    """Start a supervisor in the background and wait until all parts answer; returns its state.

    Raises UserError as `run` does.
    """
    settings.prepare()
    if is_running(read_state(settings)):
        raise UserError("a workbench of this project runs already: mlops workbench status, or mlops workbench stop")
    ports = [part for name, port in settings.ports.items() for part in ("--port", f"{name}={port}")]
    command = [sys.executable, "-m", "mlops", "-C", str(settings.root), "workbench", "start", "--foreground"]
    log = settings.logs / "supervisor.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--bind", settings.bind, *ports],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )

    def is_ready() -> bool:
        state = read_state(settings)
        return bool(state.get("ready")) and state.get("pid") == process.pid

    try:
        if processes.wait_until(is_ready, lambda: process.poll() is None, 4 * START):
            return read_state(settings)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    if process.poll() is None:
        process.terminate()
        process.wait()
    raise UserError(last_line(log).removeprefix("error: "))


def stop(settings: Settings) -> list[str]:
    """End the workbench, or what a killed one left; returns the names of the parts that were ended."""
    state = read_state(settings)
    supervisor = processes.find(state)
    if supervisor is None:
        return end_leftovers(settings)
    supervisor.terminate()
    # Each part has its time to end, one after the other.
    processes.await_end(supervisor, processes.PATIENCE * (len(state["parts"]) + 1))
    left = end_leftovers(settings)
    return sorted({part["part"] for part in state["parts"]} | set(left))
