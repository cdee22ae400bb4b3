"""A deployment drill on this machine's Docker Engine: what a hostile hour costs those who ask, and what the log says of it.

    python -m benchmarks.drill [--rate 100] [--json]        or: make drill

Two versions of iris with the same model, and worse ones that are made of the second: each scene deploys, breaks or kills while
requests come at a fixed rate, and ends when one version answers again. A request is lost when its answer is not 200.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.deploy import NUMBERS, TREE, built, free_port

COUNTED = "    service.requests += 1\n"
OLD, NEW = NUMBERS
LOCAL = re.compile(r"127\.0\.0\.1:\d+")
# What makes the second version a worse one: a file of the server, a text in it, and what takes its place.
FAULTS = {
    "wrong": ("scoring.py", '"model": scorer.bundle.name', '"model": "x", "predictions": ["no-flower"]'),
    "crash": ("service.py", COUNTED, f"{COUNTED}    if service.requests > 200: import os; os._exit(3)\n"),
    "late": ("service.py", COUNTED, f"{COUNTED}    if service.requests > 900: import os; os._exit(3)\n"),
    "hang": ("service.py", COUNTED, f"{COUNTED}    if service.requests > 200: import time; time.sleep(600)\n"),
    "memory": ("service.py", COUNTED, f"{COUNTED}    if service.requests > 200: service.hog = b'x' * 2**32\n"),
}


class Host(NamedTuple):
    """The environment of the drill: its target, the services by name, and a row that the model takes."""

    target: Any
    services: dict[str, Any]
    row: dict[str, Any]

    def configured(self, **settings: Any) -> Any:
        """Return the target with other settings."""
        from mlops.deploy.compose import ComposeTarget

        own = self.target.settings.model_copy(update=settings)
        return ComposeTarget(self.target.project, self.target.environment, own)

    def deploy(self, name: str, action: str = "deploy", **settings: Any) -> str:
        """Deploy a service and return what the deployment log says of it."""
        from mlops.deploy.deployment import DeploymentRequest, deploy_one
        from mlops.errors import UserError

        request = DeploymentRequest([self.services[name]], "production", "", "drill", action)
        try:
            entry = deploy_one(self.configured(**settings), self.services[name], request)
        except UserError as error:
            return f"refused before anything was changed: {error}"
        detail = f" ({entry.message})" if entry.message else ""
        return f"{action}: {entry.result}, {entry.before or 'nothing'} → {entry.number}{detail}"

    def answering(self) -> str:
        """Return the number that answers at the published port, "nothing" where none does."""
        try:
            with urllib.request.urlopen(f"{self.target.address('iris')}/version", timeout=5) as answer:
                return str(json.load(answer)["number"])
        except OSError:
            return "nothing"


def killed_deployer(host: Host) -> str:
    """Kill the deployer while the new version answers everything, then deploy again."""
    import signal

    from host import interrupted

    interrupted(host.configured(watch=60.0), host.services[NEW], signal.SIGKILL)
    return f"nothing of the one that was killed; then {host.deploy(NEW)}"


def taken_port(host: Host) -> str:
    """Move the service to a port that another program has."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return host.deploy(NEW, ports={"iris": taken.getsockname()[1]})


def removed_proxy(host: Host) -> str:
    """Remove the proxy, check, and repair it by the command that the check names."""
    host.target.docker.remove(f"{host.target.name('iris')}-proxy")
    faults = host.target.check("iris")
    host.target.repair("iris")
    return f"check: {faults[0]}"


def late_crash(host: Host) -> str:
    """Deploy a version that begins to crash after its deployment has ended, and wait for the proxy to go back."""
    from mlops.deploy.deployment import own_return

    host.deploy("late", guard=120)
    deadline = time.monotonic() + 60
    while (entry := own_return(host.target, "iris", "production")) is None and time.monotonic() < deadline:
        time.sleep(0.2)
    host.target.repair("iris")
    return f"{entry.action}: {entry.before} → {entry.number}, {entry.why}" if entry else "the proxy did not go back"


def scenes() -> list[tuple[str, Callable[[Host], str]]]:
    """Return what is done, in its order; each scene begins with the first version answering, but for those of one sentence."""
    return [
        ("deploy", lambda host: host.deploy(NEW)),
        ("roll back", lambda host: host.deploy(OLD, "rollback")),
        ("wrong answers", lambda host: host.deploy("wrong")),
        ("crash while it is watched", lambda host: host.deploy("crash")),
        ("hang while it is watched", lambda host: host.deploy("hang")),
        ("out of memory while it is watched", lambda host: host.deploy("memory")),
        ("crash after the deployment", late_crash),
        ("taken port", taken_port),
        ("killed deployer", killed_deployer),
        ("roll back again", lambda host: host.deploy(OLD, "rollback")),
        ("removed proxy", removed_proxy),
    ]


def run(rate: float) -> list[dict[str, Any]]:
    """Return one row a scene; what was built and started is removed."""
    from host import sed
    from load import Load

    from mlops.config import Project
    from mlops.config.operations import Compose
    from mlops.deploy.compose import ComposeTarget
    from mlops.deploy.docker import Docker

    docker, prefix = Docker(), f"mlops-drill-{secrets.token_hex(3)}"
    project = Project.model_validate({"root": TREE, "name": prefix, "default_use_case": "iris"})
    settings = Compose(ports={"iris": free_port()}, watch=5, guard=0, memory="256m")
    images: list[str] = []
    target = ComposeTarget(project, "production", settings)
    try:
        services, _, row = built(prefix)
        images += [service.image for service in services.values()]
        for name, change in FAULTS.items():
            lines = "\n".join([f"FROM {services[NEW].image}", *sed(*change)])
            images.append(f"{prefix}:{name}")
            docker("build", "--quiet", "--tag", images[-1], "-", stdin=lines.encode())
            services[name] = services[NEW]._replace(image=images[-1])
        host = Host(target, services, row)
        host.deploy(OLD)
        rows = []
        for name, scene in scenes():
            began = time.perf_counter()
            with Load(target.address("iris"), row, rate) as load:
                line = scene(host)
                time.sleep(1)
            lost = sum(load.errors.values())
            if lost:
                print(f"{name}: {dict(load.errors)}", file=sys.stderr)
            requests = sum(load.answers.values()) + lost
            figures = {"seconds": round(time.perf_counter() - began), "requests": requests, "lost": lost}
            rows.append(
                {
                    "scene": name,
                    **figures,
                    "answers": host.answering(),
                    "log": LOCAL.sub("127.0.0.1:PORT", line.replace(prefix, "PROJECT")),
                }
            )
        return rows
    finally:
        docker.remove(*docker("ps", "--all", "--quiet", "--filter", f"name={prefix}").split())
        docker.run("network", "rm", target.name("iris"))
        subprocess.run(["docker", "image", "rm", "--force", *images], capture_output=True)


def main() -> None:
    """Print the table as Markdown, or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second meanwhile")
    arguments = parser.parse_args()
    rows = run(arguments.rate)
    if arguments.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    print("| scene | seconds | requests | lost | version that answers | the log |\n|:--|--:|--:|--:|:--|:--|")
    for row in rows:
        print("| " + " | ".join(str(value).replace("|", "\\|") for value in row.values()) + " |")


if __name__ == "__main__":
    main()
