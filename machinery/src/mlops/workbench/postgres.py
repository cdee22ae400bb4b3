"""PostgreSQL as a system's packages install it: its programs, and a data folder that is made at the first start."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mlops import files
from mlops.errors import UserError, first_line
from mlops.workbench.settings import DATABASE, LOOPBACK, USER, Settings, write_private

# Debian and Ubuntu; Red Hat's and PostgreSQL's own; Homebrew on both kinds of Mac.
PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
# PostgreSQL does not start as root: whom it runs as then, and where, as a project may lie where that user cannot look.
UNPRIVILEGED = ("postgres", "nobody")
ROOTS_PLACE = Path("/var/lib/mlops-workbench")


@dataclass(frozen=True)
class Postgres:
    """The programs of one version, the folder of its data, and the user who runs it (None: this one)."""

    programs: Path
    data: Path
    user: str | None = None

    @property
    def version(self) -> str:
        """As the server names itself, without the packager's remarks."""
        done = subprocess.run([self.programs / "postgres", "--version"], capture_output=True, text=True, check=False)
        found = re.search(r"\d+(\.\d+)?", done.stdout)
        return found[0] if found else "unknown"

    def command(self, port: int) -> tuple[str, ...]:
        """The server on loopback, without a socket file, whose path may be too long."""
        options = (f"listen_addresses={LOOPBACK}", "unix_socket_directories=", "logging_collector=off")
        given = [part for option in options for part in ("-c", option)]
        return (str(self.programs / "postgres"), "-D", str(self.data), "-p", str(port), *given)

    def is_ready(self, port: int) -> bool:
        """Whether it takes connections."""
        command = [str(self.programs / "pg_isready"), "--quiet", "--host", LOOPBACK, "--port", str(port)]
        return subprocess.run(command, check=False).returncode == 0

    def prepare(self, password: str) -> None:
        """Make the data folder with the database at the first start; the password is the one in the secrets at each."""
        if (self.data / "PG_VERSION").is_file():
            self._query(f"ALTER ROLE {USER} PASSWORD '{password}'")
            return
        files.make_folder(self.data.parent)
        secret = self.data.parent / "password"
        write_private(secret, password)
        if self.user:
            account = pwd.getpwnam(self.user)
            for path in (self.data.parent, secret):
                os.chown(path, account.pw_uid, account.pw_gid)
        try:
            options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", f"--pwfile={secret}"]
            self._run("initdb", "-D", str(self.data), "-U", USER, *options)
            self._query(f"CREATE DATABASE {DATABASE}")
        finally:
            secret.unlink()

    def _query(self, statement: str) -> None:
        """Run a statement while no server runs."""
        self._run("postgres", "--single", "-D", str(self.data), "postgres", stdin=f"{statement}\n")

    def _run(self, program: str, *arguments: str, stdin: str = "") -> None:
        done = subprocess.run(
            [self.programs / program, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            user=self.user,
            cwd=self.data.parent,
            check=False,
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise UserError(f"{self.data}: {program} failed ({first_line(UserError(lines[-1] if lines else ''))})")


def locate(settings: Settings) -> Postgres | None:
    """PostgreSQL for a workbench: of the version that its data were made with, else the newest; None where there is none."""
    if find_spec("psycopg") is None:
        return None
    data, user = _place(settings)
    known = (data / "PG_VERSION").read_text().strip() if (data / "PG_VERSION").is_file() else ""
    installed = [place for pattern in PLACES for place in Path("/").glob(pattern[1:]) if (place / "postgres").exists()]
    by_version = {_number(place): place for place in installed}
    if known and float(known) not in by_version:
        raise UserError(f"{data} was created by PostgreSQL {known}, which is not installed: apt install postgresql-{known}")
    if not by_version:
        return None
    return Postgres(by_version[float(known) if known else max(by_version)], data, user)


def _number(programs: Path) -> float:
    found = re.search(r"\d+(\.\d+)?", str(programs))
    return float(found[0]) if found else 0.0


def _place(settings: Settings) -> tuple[Path, str | None]:
    if os.getuid():
        return settings.home / "postgres" / "data", None
    names = {account.pw_name for account in pwd.getpwall()}
    user = next((name for name in UNPRIVILEGED if name in names), None)
    if user is None:
        raise UserError("PostgreSQL does not start as root, and there is no user postgres: start the workbench as a user")
    return ROOTS_PLACE / settings.name / "data", user
