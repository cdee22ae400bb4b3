"""What the tests ask of a host with Docker Engine, and ways to spoil a good image."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from mlops.deploy.compose import ComposeTarget
from mlops.deploy.docker import Docker
from mlops.deploy.targets import Service

ROOT = Path(__file__).resolve().parents[3]
HERE = Docker()
MINE = f"mlops-test-compose-{os.getpid()}"
COUNTED = "    service.requests += 1\n"


def sed(file: str, old: str, new: str) -> tuple[str, ...]:
    """Lines of a Dockerfile that change the server's source."""
    change = f"p='/srv/app/mlops/serving/{file}'; s=open(p).read(); assert {old!r} in s"
    change += f"; open(p,'w').write(s.replace({old!r}, {new!r}))"
    return ("USER 0:0", f"RUN {json.dumps(['python', '-c', change])}", "USER 65532:65532")


def answering(target: ComposeTarget) -> str:
    """The number that answers at the published port."""
    with urllib.request.urlopen(f"{target.address('iris')}/version", timeout=5) as answer:
        return json.load(answer)["number"]


def names(target: ComposeTarget) -> dict[str, str]:
    """The containers that are there: name without the environment's → state. A lock may still be on its way out."""
    listing = HERE("ps", "--all", "--filter", f"name={target.name('iris')}", "--format", "{{.Names}} {{.State}}")
    states = {line.split()[0].removeprefix(target.name("iris")): line.split()[1] for line in listing.splitlines()}
    return {name: state for name, state in states.items() if (name, state) != ("-lock", "removing")}


def interrupted(target: ComposeTarget, service: Service, by: signal.Signals) -> None:
    """Deploy in another process that gets a signal while the new service, answering everything, is watched."""
    code = (
        # A shell that starts the tests in the background has SIGINT ignored in all that they start.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from mlops.config import *; from mlops.deploy.compose import *\n"
        f"project = Project.model_validate(dict(root={str(ROOT)!r}, name={target.project.name!r}, default_use_case='iris'))\n"
        f"target = ComposeTarget(project, 'production', Compose(**{target.settings.model_dump()!r}))\n"
        f"target.deploy(Service(*{tuple(service)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while answering(target) != service.number:
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.1)
    process.send_signal(by)
    process.communicate(timeout=60)


def answers(target: ComposeTarget) -> bool:
    """Whether anything answers at the published port."""
    try:
        return bool(answering(target))
    except OSError:
        return False
