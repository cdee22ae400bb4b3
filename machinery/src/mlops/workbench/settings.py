"""What a workbench is started with: its ports, where it listens, and the folder that keeps its data and its secrets."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlops import digests, files
from mlops.config.loader import nearest
from mlops.errors import ConfigError

PORTS = {"jupyter": 8888, "mlflow": 5000, "postgres": 5432, "s3": 9000}
LOOPBACK = "127.0.0.1"
# Variables, also in the project's .env; an option of the command comes before them.
PORTS_VARIABLE, BIND_VARIABLE = "MLOPS_WORKBENCH_PORTS", "MLOPS_WORKBENCH_BIND"
BUCKET = "mlflow"
DATABASE = USER = "mlflow"
REGION = "us-east-1"
SECRETS = ("jupyter_token", "mlflow_password", "postgres_password", "s3_access_key", "s3_secret_key", "flask_secret")


@dataclass(frozen=True)
class Settings:
    """A workbench of a project; `home` is git-ignored and holds data, logs, secrets and the state."""

    root: Path
    bind: str
    ports: Mapping[str, int]

    @property
    def home(self) -> Path:
        """Where all of it lies."""
        return self.root / ".mlops" / "workbench"

    @property
    def logs(self) -> Path:
        """The folder of the logs, one file a part."""
        return self.home / "logs"

    @property
    def name(self) -> str:
        """A name that no other project's workbench on this machine has."""
        slug = re.sub("[^a-z0-9]+", "-", self.root.name.lower()).strip("-") or "project"
        return f"mlops-workbench-{slug}-{digests.of_text(str(self.root))[:8]}"

    @property
    def exposed(self) -> bool:
        """Whether others than this machine reach it."""
        return not ipaddress.ip_address(self.bind).is_loopback

    @property
    def shown_host(self) -> str:
        """The host in an address that this machine can open."""
        address = ipaddress.ip_address(self.bind)
        host = LOOPBACK if address.is_unspecified else self.bind
        return f"[{host}]" if ":" in host else host

    @cached_property
    def secrets(self) -> dict[str, str]:
        """The secrets, generated at the first start into a file that its owner alone reads."""
        return _read_or_generate(self.home / "secrets.json")

    def prepare(self) -> None:
        """Make the folder; git ignores it in every project, whatever its .gitignore says."""
        files.make_folder(self.logs)
        self.home.chmod(0o700)
        ignore = self.home.parent / ".gitignore"
        if not ignore.is_file():
            files.write_text(ignore, "*\n")


def read(root: Path, ports: Sequence[str] = (), bind: str = "") -> Settings:
    """Settings from options, else from the variables, else as usual; raises ConfigError for what cannot be.

    ports: texts such as `mlflow=5001`.
    """
    given = [part.strip() for part in os.environ.get(PORTS_VARIABLE, "").split(",") if part.strip()]
    chosen = {**PORTS, **_ports(given, PORTS_VARIABLE), **_ports(ports, "--port")}
    if twice := sorted({name for name in chosen if list(chosen.values()).count(chosen[name]) > 1}):
        raise ConfigError(f"{' and '.join(twice)} would share port {chosen[twice[0]]}; give each its own")
    address = bind or os.environ.get(BIND_VARIABLE) or LOOPBACK
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise ConfigError(f"{address!r} is no address to listen on; --bind takes one such as 127.0.0.1 or 0.0.0.0") from None
    return Settings(root, address, chosen)


def _ports(given: Sequence[str], origin: str) -> dict[str, int]:
    chosen = {}
    for text in given:
        name, _, number = text.partition("=")
        if name not in PORTS:
            raise ConfigError(f"{origin}: no part {name!r}{nearest(name, PORTS)}; there are: {', '.join(PORTS)}")
        if not number.isdecimal() or not 0 < int(number) < 65536:
            raise ConfigError(f"{origin}: {text!r} is no port; write it as {name}={PORTS[name] + 1}")
        chosen[name] = int(number)
    return chosen


def _read_or_generate(file: Path) -> dict[str, str]:
    known: dict[str, str] = {}
    if file.is_file():
        try:
            known = dict(json.loads(file.read_text(encoding="utf-8")))
        except ValueError:
            raise ConfigError(f"{file} is no JSON: restore it from a copy, or remove the whole folder {file.parent}") from None
        if file.stat().st_mode & 0o077:
            file.chmod(0o600)
    missing = [name for name in SECRETS if name not in known]
    if missing:
        known |= {name: secrets.token_hex(10 if name == "s3_access_key" else 20) for name in missing}
        write_private(file, files.as_json(known) + "\n")
    return known


def write_private(file: Path, text: str) -> None:
    """Write a file that its owner alone may read, at no moment anybody else."""
    files.make_folder(file.parent)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with files.writing(file):
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
        temporary.replace(file)
