"""Seconds of a deployment to a host with Docker Engine (this machine), and what the replacement costs those who ask meanwhile.

    python -m benchmarks.deploy [--json] [--runs 3] [--rate 200]

Two versions of iris with the same model take turns at one published port while requests come at a fixed rate. `watch` is left
out, because it is a time that one chooses. An image is built with the layers of packages cached, as it is for every version
of a use case but the first.
"""

from __future__ import annotations

import argparse
import gzip
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TREE = Path(__file__).parents[2]
sys.path[:0] = [str(TREE / "machinery" / "tests"), str(TREE / "machinery" / "tests" / "deploy")]
NUMBERS = ("1.0.0", "1.0.1")


def measure(runs: int, rate: float) -> dict[str, Any]:
    """Return the figures in seconds and MB; what was built and started is removed."""
    from load import Load

    from mlops.config import Project
    from mlops.config.operations import Compose
    from mlops.deploy.compose import ComposeTarget
    from mlops.deploy.docker import Docker

    docker, prefix = Docker(), f"mlops-benchmark-{secrets.token_hex(3)}"
    project = Project.model_validate({"root": TREE, "name": prefix, "default_use_case": "iris"})
    target = ComposeTarget(project, "production", Compose(ports={"iris": free_port()}, watch=0, guard=0))
    try:
        services, builds, row = built(prefix)
        first = _seconds(lambda: target.deploy(services["1.0.0"]))
        deploys, rollbacks = [], []
        with Load(target.address("iris"), row, rate) as load:
            for _ in range(runs):
                # Without a container that is kept, the version counts as new and takes the whole way.
                _forget(docker, target, "1.0.1")
                deploys.append(_seconds(lambda: target.deploy(services["1.0.1"])))
                rollbacks.append(_seconds(lambda: target.deploy(services["1.0.0"])))
        answered, failed = sum(load.answers.values()), sum(load.errors.values())
        return {
            "image, seconds to build": round(builds["1.0.1"], 1),
            "image, MB without its base, compressed": round(_own_layers(services["1.0.1"].image), 1),
            "first deployment, seconds": round(first, 1),
            "deployment, seconds": round(statistics.median(deploys), 1),
            "rollback, seconds": round(statistics.median(rollbacks), 1),
            "rollback, slowest": round(max(rollbacks), 1),
            "requests a second meanwhile": round(load.reached),
            "requests meanwhile": answered + failed,
            "requests that failed": failed,
            "slowest request, ms": round(1000 * load.slowest),
        }
    finally:
        docker.remove(*docker("ps", "--all", "--quiet", "--filter", f"name={prefix}").split())
        docker.run("network", "rm", target.name("iris"))
        docker.run("image", "rm", "--force", *(f"{prefix}:{number}" for number in NUMBERS))


def built(prefix: str) -> tuple[dict[str, Any], dict[str, float], dict[str, Any]]:
    """Build the images of two versions of iris; returns the services, the seconds of each build, and a row to ask for."""
    from serving.conftest import flowers_model, labelled, make_candidate

    from mlops.bundle.build import build
    from mlops.bundle.image import build as build_image
    from mlops.deploy.targets import Service

    services, builds = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        candidate = make_candidate(Path(folder), flowers_model(), *labelled())
        for number in NUMBERS:
            bundle = build(candidate, Path(folder) / number, "iris", {"number": number})
            image = f"{prefix}:{number}"
            builds[number] = _seconds(lambda: build_image(TREE, bundle, image))
            services[number] = Service("iris", number, image, bundle.digest)
        return services, builds, bundle.example


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _seconds(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def _forget(docker: Any, target: Any, number: str) -> None:
    docker.remove(*(item.id for item in target.containers("iris") if item.service.number == number and not item.runs))


def _own_layers(image: str) -> float:
    """Return the compressed size in MB of what the image adds to its base."""
    command = ["docker", "run", "--rm", "--user", "0:0", "--entrypoint", "tar", image, "--create", "/srv"]
    content = subprocess.run(command, check=True, capture_output=True).stdout
    return len(gzip.compress(content, 6)) / 1e6


def main() -> None:
    """Print the figures."""
    from mlops.console import as_json, table

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--runs", type=int, default=3, help="how many deployments and rollbacks are counted")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second meanwhile")
    arguments = parser.parse_args()
    durations = measure(arguments.runs, arguments.rate)
    if arguments.json:
        as_json(durations)
    else:
        table("Deployment with Docker", ("what", "figure"), [(name, str(value)) for name, value in durations.items()])


if __name__ == "__main__":
    main()
