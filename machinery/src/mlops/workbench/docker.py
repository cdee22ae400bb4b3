"""The workbench in containers: what compose is given, rendered into the project's git-ignored folder, and its commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from mlops import console, files, vendored
from mlops.errors import UserError
from mlops.workbench import processes
from mlops.workbench.parts import answers, auth_config, open_to
from mlops.workbench.settings import BUCKET, LOOPBACK, PORTS, Settings, write_private

SOURCE = Path(__file__).parent
# Another base image than the pinned one, for a machine that reaches no registry.
BASE_VARIABLE = "MLOPS_WORKBENCH_BASE"
VOLUMES = ("postgres", "s3", "users")  # as in compose.yaml
# Seconds that the containers have to answer once they were created.
START = 600


def folder(settings: Settings) -> Path:
    """Where compose reads."""
    return settings.home / "docker"


def render(settings: Settings) -> Path:
    """Write the context anew: compose file, Dockerfile, locks, the machinery's wheel and the variables; returns its folder."""
    from mlops.notebooks import savehook

    settings.prepare()
    to = folder(settings)
    shutil.rmtree(to, ignore_errors=True)
    files.make_folder(to / "machinery")
    for name in ("compose.yaml", "postgres.sh"):
        shutil.copyfile(SOURCE / "compose" / name, to / name)
    recipe = (SOURCE / "compose" / "workbench.Dockerfile").read_text(encoding="utf-8")
    if base := os.environ.get(BASE_VARIABLE):
        recipe = re.sub(r"(?m)^ARG BASE=.*$", f"ARG BASE={base}", recipe)
    files.write_text(to / "workbench.Dockerfile", recipe)
    for name in ("light.txt", "dev.txt"):
        _copy(settings.root / "requirements" / name, to / name)
    shutil.copyfile(SOURCE / "requirements.txt", to / "workbench.txt")
    if not vendored.read(settings.root).folder:
        for wheel in (settings.root / "vendor").glob("*.whl"):
            shutil.copyfile(wheel, to / "machinery" / wheel.name)
    files.write_text(to / "machinery" / "README", "The machinery's wheel, where the project has one.\n")
    files.write_json(to / "mlops-notebooks.json", {"ServerApp": {"jpserver_extensions": {savehook.MODULE: True}}})
    files.write_text(to / "auth.ini", auth_config("sqlite:////data/users.db"))
    write_private(to / ".env", "".join(f"{name}={value}\n" for name, value in _variables(settings).items()))
    return to


def _copy(given: Path, to: Path) -> None:
    if not given.is_file():
        raise UserError(f"{given} is missing: make lock")
    shutil.copyfile(given, to)


def _variables(settings: Settings) -> dict[str, str]:
    own = {name.upper(): value for name, value in settings.secrets.items()}
    ports = {f"{part.upper()}_PORT": str(port) for part, port in settings.ports.items()}
    hosts = ",".join(f"{host}:*" for host in ("mlflow", "localhost", LOOPBACK))
    opened = {"MLFLOW_SERVER_ALLOWED_HOSTS": hosts, "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "", **open_to(settings)}
    place = {"NAME": settings.name, "PROJECT": str(settings.root), "BIND": settings.bind, "BUCKET": BUCKET}
    return {**own, **ports, **place, **opened, "WHO": f"{os.getuid()}:{os.getgid()}"}


def start(settings: Settings) -> None:
    """Build what is not built, create the containers and wait until they answer.

    Raises UserError where compose fails, a port is taken or a container does not answer.
    """
    if not containers(settings):
        processes.refuse_taken(settings)
    if gone := _gone(settings):
        console.note(f"{', '.join(gone)}: removed since the last start, begins empty")
    render(settings)
    _compose(settings, "up", "--detach", "--build")
    paths = {"mlflow": "/health", "jupyter": "/api"}
    for part, path in paths.items():
        address = f"http://{settings.shown_host}:{settings.ports[part]}{path}"
        if not processes.wait_until(lambda there=address: answers(there), lambda: True, START):
            raise UserError(f"{part} does not answer at {address}; see: docker logs {settings.name}_{part}_1")


def stop(settings: Settings) -> list[str]:
    """Remove the workbench's containers and their network, nothing else; returns the parts that were removed."""
    there = containers(settings)
    files_there = (folder(settings) / "compose.yaml").is_file() and (settings.home / "secrets.json").is_file()
    if there and files_there:
        _compose(settings, "down")
    elif there:  # its folder was removed: compose has nothing to read, and new secrets would be none of theirs
        _docker("rm", "--force", *(container["container"] for container in there))
        _docker("network", "rm", *_docker("network", "ls", "--quiet", "--filter", _label(settings)).split())
    return sorted(container["part"] for container in there)


def has_users(settings: Settings) -> bool:
    """Whether the volume with the users of MLflow is there."""
    return f"{settings.name}_users" in _volumes(settings)


def _volumes(settings: Settings) -> set[str]:
    """The volumes that compose created for the workbench; none where Docker does not answer."""
    return set(_docker("volume", "ls", "--quiet", "--filter", _label(settings)).split())


def _gone(settings: Settings) -> list[str]:
    """The volumes that an earlier start created and somebody removed."""
    if not (folder(settings) / "compose.yaml").is_file():
        return []
    return sorted({f"{settings.name}_{name}" for name in VOLUMES} - _volumes(settings))


def _label(settings: Settings) -> str:
    return f"label=com.docker.compose.project={settings.name}"


def _docker(*arguments: str) -> str:
    """What docker prints; nothing where it is not there or refuses."""
    if shutil.which("docker") is None:
        return ""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False).stdout


def containers(settings: Settings) -> list[dict[str, Any]]:
    """The workbench's containers as `docker ps` knows them; none where there is no Docker."""
    listed = _docker("ps", "--all", "--no-trunc", "--filter", _label(settings), "--format", "{{json .}}")
    return [_described(json.loads(line), settings) for line in listed.splitlines()]


def _described(container: dict[str, str], settings: Settings) -> dict[str, Any]:
    labels = dict(pair.split("=", 1) for pair in container["Labels"].split(",") if "=" in pair)
    part = labels.get("com.docker.compose.service", container["Names"])
    published = re.search(r"([^\s,]+)->", container["Ports"])
    return {
        "part": part,
        "kind": container["Image"],
        "state": container["Status"].lower(),
        "address": published[1] if published else "–",
        "port": int(published[1].rpartition(":")[2]) if published else settings.ports.get(part, PORTS.get(part)),
        "container": container["Names"],
        "since": container["CreatedAt"],
    }


def _compose(settings: Settings, *arguments: str) -> None:
    """Run compose on this project alone; what it prints goes to standard error, and its last line becomes the error."""
    here = folder(settings)
    command = [*_program(), "--project-name", settings.name, "--file", str(here / "compose.yaml")]
    environment = {name: value for name, value in os.environ.items() if name not in _variables(settings)}
    # What a command prints on standard output is its result alone: --json has to stay JSON.
    done = subprocess.run([*command, *arguments], cwd=here, stdout=2, stderr=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise UserError(f"docker compose {arguments[0]} failed: {lines[-1] if lines else f'exit code {done.returncode}'}")


def _program() -> list[str]:
    """Compose as a part of docker, else as a program of its own."""
    if shutil.which("docker") is None:
        raise UserError("docker is not installed; without it: make workbench-local")
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    if alone := shutil.which("docker-compose"):
        return [alone]
    raise UserError("docker has no compose: install the package docker-compose-plugin, or use make workbench-local")
