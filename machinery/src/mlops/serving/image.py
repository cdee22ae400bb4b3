"""Builds the image of a bundle with serving.Dockerfile, from a context that holds nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from mlops import files
from mlops.errors import UserError
from mlops.serving.manifest import Bundle

# What the server imports; the builder, its converters and the commands stay out.
MODULES = (
    "__init__.py app.py arrow.py extras.py invocations.py manifest.py model.py open_inference.py openapi.py page.css"
    " page.html page.py pages.py prediction_log.py probes.py protocol.py reference.html reference.py replies.py run.py"
    " scoring.py service.py settings.py short.py signature.py"
).split()
REQUIREMENTS = {"onnx": "serve.txt", "skops": "serve-skops.txt", "pyfunc": "serve-pyfunc.txt"}
EPOCH = 946_684_800  # 2000-01-01: the time of every file, so that layers do not depend on when they were made


def stage(root: Path, bundle: Bundle, to: Path) -> dict[str, str]:
    """Write the build context into an empty folder; returns the build arguments. Raises UserError for any other path."""
    files.make_folder(to)
    if any(to.iterdir()):
        raise UserError(f"{to} is not empty: choose an empty folder")
    source = Path(__file__).parent
    server = to / "app" / "mlops"
    (server / "serving").mkdir(parents=True)
    for name in ("__init__.py", "errors.py"):
        shutil.copyfile(source.parent / name, server / name)
    for name in MODULES:
        shutil.copyfile(source / name, server / "serving" / name)
    shutil.copytree(bundle.folder, to / "bundle")
    _copy(root / "requirements" / REQUIREMENTS[bundle.format], to / "requirements.txt")
    _copy(files.own_or(root / "docker" / "serving.Dockerfile", source), to / "Dockerfile")
    for path in [to, *to.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (EPOCH, EPOCH))
    version = bundle.content["version"]
    return {
        "NAME": bundle.name,
        "VERSION": bundle.number,
        "REVISION": version.get("commit") or "unknown",
        "RUN": version.get("run_id") or "unknown",
        "DIGEST": bundle.digest,
    }


def _copy(given: Path, to: Path) -> None:
    if not given.is_file():
        raise UserError(f"{given} is missing: run mlops image in a project made from the template, or make lock")
    shutil.copyfile(given, to)


def build(root: Path, bundle: Bundle, tag: str) -> dict[str, Any]:
    """Build and tag the image; returns its name, id and size in MB. Raises UserError where Docker cannot."""
    if shutil.which("docker") is None:
        raise UserError("docker is not installed; mlops image --context DIR writes what any image builder takes")
    with tempfile.TemporaryDirectory() as temporary:
        context = Path(temporary) / "context"
        context.mkdir()
        arguments = [part for key, value in stage(root, bundle, context).items() for part in ("--build-arg", f"{key}={value}")]
        _docker("build", "--quiet", "--tag", tag, *arguments, str(context))
    identity, size = _docker("image", "inspect", "--format", "{{.Id}} {{.Size}}", tag).split()
    return {"image": tag, "id": identity, "size_mb": round(int(size) / 1e6, 1), "bundle": bundle.digest}


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise UserError(f"docker {arguments[0]} failed: {lines[-1] if lines else done.returncode}")
    return done.stdout.strip()
