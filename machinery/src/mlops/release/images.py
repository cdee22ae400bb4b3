"""The image of a registered version: built or taken over, pushed, and named by the digest that the registry gives it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops import digests, folders
from mlops.bundle import image as serving
from mlops.errors import UserError
from mlops.serving.manifest import Bundle

DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")
# Runs inside the image, with its own interpreter: what is installed there, not what a lock file says should be.
INVENTORY = """
import importlib.metadata, json, platform, re, sys
python = sorted({
    (each.metadata["Name"], each.version, each.metadata.get("License-Expression") or "")
    for each in importlib.metadata.distributions(path=["/srv/packages"])
})
system = []
try:
    text = open("/var/lib/dpkg/status", encoding="utf-8").read()
except OSError:
    text = ""
for block in text.split("\\n\\n"):
    fields = dict(re.findall(r"(?m)^(Package|Version|Architecture|Status): (.*)$", block))
    if fields.get("Status", "").endswith(" installed"):
        system.append((fields["Package"], fields["Version"], fields["Architecture"]))
release = platform.freedesktop_os_release() if sys.version_info >= (3, 10) else {}
json.dump({"python": python, "system": sorted(system), "interpreter": platform.python_version(),
           "distribution": release.get("ID", ""), "release": release.get("VERSION_ID", "")}, sys.stdout)
"""


def server_digest(root: Path, bundle: Bundle, settings: Mapping[str, Any] = {}) -> str:
    """The digest of what an image holds beside the bundle: the server's modules, its lock file and the Dockerfile."""
    with folders.work_folder() as temporary:
        context = temporary / "context"
        serving.stage(root, bundle, context, settings)
        shutil.rmtree(context / "bundle")
        return digests.of_files(context, (path for path in context.rglob("*") if path.is_file()))


def pull(image: str) -> None:
    """Bring an image here; raises UserError where the registry has it no more or does not answer."""
    docker("pull", "--quiet", image, hint="log in with: mlops release login")


def push(image: str, name: str) -> str:
    """Push an image under a name with a tag and return the digest that it has in the registry.

    Raises UserError where the registry does not answer or refuses.
    """
    if image != name:
        docker("tag", image, name)
    output = docker("push", name, hint="start the registry or correct MLOPS_REGISTRY, log in with: mlops release login")
    match = DIGEST.search(output)
    if not match:
        raise UserError(f"docker push {name} named no digest: {output.splitlines()[-1] if output else 'no message'}")
    return match[1]


def inventory(image: str) -> dict[str, Any]:
    """What is installed in an image: `python` (name, version, licence), `system` (name, version, architecture)."""
    output = docker("run", "--rm", "--interactive", "--network", "none", "--entrypoint", "python", image, "-", stdin=INVENTORY)
    return dict(json.loads(output))


def own_configuration(place: str | None) -> Path:
    """Return a new folder in `place` with Docker's configuration: who uses it logs in, and out, without those beside it."""
    given = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    folder = Path(tempfile.mkdtemp(prefix="docker-", dir=place))
    for item in given.iterdir() if given.is_dir() else ():
        if item.name == "config.json":
            shutil.copy(item, folder / item.name)
        else:
            (folder / item.name).symlink_to(item.absolute())  # contexts, plugins
    return folder


def login(host: str, user: str, password: str) -> None:
    """Log Docker in to a registry; the password goes in by standard input, it stands on no command line."""
    docker("login", "--username", user, "--password-stdin", host, stdin=password, hint="look at the user and its password")


def logout(host: str) -> None:
    """Take the password for a registry away from Docker's configuration."""
    docker("logout", host)


def docker(*arguments: str, stdin: str | None = None, hint: str = "") -> str:
    """What docker says on standard output; raises UserError with its own last words when it fails."""
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, input=stdin)
    except FileNotFoundError:
        raise UserError("docker is not installed: a release builds, tests and pushes images with it") from None
    if done.returncode:
        lines = [line for line in (done.stderr.strip() or done.stdout.strip()).splitlines() if line.strip()]
        what = " ".join(part for part in arguments[:1])
        raise UserError(f"docker {what} failed: {lines[-1] if lines else done.returncode}{f'; {hint}' if hint else ''}")
    return done.stdout.strip()
