"""Builds the image of a bundle with serving.Dockerfile, from a context that holds nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops import files, folders, pythons
from mlops.bundle import contents, image_id
from mlops.bundle.image_id import EPOCH
from mlops.errors import UserError
from mlops.serving.manifest import Bundle
from mlops.serving.settings import PREFIX

COLUMNS = ("data/__init__.py", "data/columns.py")  # what code of a use case has of the machinery, see `mlops.columns`
# What predicts where Spark has fitted, or counts words as it does; none of it imports pyspark.
SPARK = tuple(f"spark/{name}.py" for name in ("__init__", "ml", "products", "stages", "text"))


def stage(root: Path, bundle: Bundle, to: Path, settings: Mapping[str, Any] = {}) -> dict[str, str]:
    """Write the build context into an empty folder; returns the build arguments.

    `settings` are the server's, `trust`, `allow_pickle` and `tracing`, as the configuration has them: an image has no other.
    Raises UserError for any other path, and where the lock or the code of what the model imports is not here.
    """
    files.make_folder(to)
    if any(to.iterdir()):
        raise UserError(f"{to} is not empty: choose an empty folder")
    source = Path(__file__).parent
    server = to / "app" / "mlops"
    (server / "serving").mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "trust.py", *_of_machinery(root, bundle)):
        files.make_folder((server / name).parent)
        shutil.copyfile(source.parent / name, server / name)
    for file in sorted((source.parent / "serving").iterdir()):
        if file.is_file():
            shutil.copyfile(file, server / "serving" / file.name)
    shutil.copytree(bundle.folder, to / "bundle")
    for file in contents.code(root, bundle):
        place = to / "app" / file.relative_to(root / "src")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
    (to / "requirements.txt").write_text(contents.requirements(root, bundle, bool(settings.get("tracing"))), encoding="utf-8")
    _copy(files.own_or(root / "docker" / "serving.Dockerfile", source), to / "Dockerfile")
    with (to / "Dockerfile").open("a", encoding="utf-8") as dockerfile:
        dockerfile.writelines(f'ENV {name}="{value}"\n' for name, value in variables(settings).items())
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


def _of_machinery(root: Path, bundle: Bundle) -> tuple[str, ...]:
    """The files of the machinery that a bundle's model and code import, beside the server's own."""
    columns = COLUMNS if bundle.content.get("raw") else ()
    return (*columns, *(SPARK if contents.needs_spark_forms(root, bundle) else ()))


def _copy(given: Path, to: Path) -> None:
    if not given.is_file():
        raise UserError(f"{given} is missing: run mlops image in a project created from the template, or make lock")
    shutil.copyfile(given, to)


def variables(settings: Mapping[str, Any]) -> dict[str, str]:
    """The environment variables of settings; those that are as the server has them by itself are left out."""
    names = {name: f"{PREFIX}{name.upper()}" for name in settings} | {"tracing": "OTEL_EXPORTER_OTLP_ENDPOINT"}
    return {names[name]: str(value).lower() if value is True else value for name, value in settings.items() if value}


def rows_of(frame: Any, bundle: Bundle, most: int = 500) -> dict[str, Any]:
    """Rows of a holdout as a request, with what training recorded for them, as `prove` takes them."""
    names = [name for name in bundle.signature.names if name in frame]
    rows = frame.head(most)
    text = rows[names].to_json(orient="split", index=False, date_format="iso", date_unit="us", double_precision=15)
    exact = json.loads(text)
    for place, name in enumerate(names):
        if rows[name].dtype.kind in "fiu":  # to_json rounds to 15 digits
            known = rows[name].astype(object).where(rows[name].notna(), None)
            for row, value in zip(exact["data"], known.tolist(), strict=True):
                row[place] = value
    return {"dataframe_split": exact, "recorded": rows["__prediction__"].tolist()}


def prove(context: Path, rows: Mapping[str, Any], settings: Mapping[str, Any] = {}) -> None:
    """Start the server of a build context in a fresh environment with its packages alone, and hold it to the rows.

    Raises UserError with the reason where it does not start or predicts something else.
    """
    with folders.work_folder() as temporary:
        try_out(environment(context, temporary / "env"), context, rows, settings)


def environment(context: Path, to: Path) -> Path:
    """The interpreter of a new environment that holds the packages of a build context and no other."""
    python = to / "bin" / "python"
    _run("its environment cannot be created", pythons.uv(), "venv", "--quiet", "--python", sys.executable, str(to))
    lock = ["--no-deps", "--require-hashes", "--requirements", str(context / "requirements.txt")]
    _run("its packages cannot be installed", pythons.uv(), "pip", "install", "--quiet", "--python", str(python), *lock)
    return python


def try_out(python: Path, context: Path, rows: Mapping[str, Any], settings: Mapping[str, Any] = {}) -> None:
    """Start the server of a build context with an interpreter and hold it to the rows; raises UserError as `prove` does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "PYTHON", "OTEL_"))}
    paths = {"PYTHONPATH": str(context / "app"), "PYTHONDONTWRITEBYTECODE": "1"}
    with folders.work_folder() as temporary:
        file = temporary / "rows.json"
        file.write_text(json.dumps(rows), encoding="utf-8")
        script = [str(Path(__file__).with_name("image_proof.py")), str(context / "bundle"), str(file)]
        _run("it would not serve", str(python), "-P", "-s", *script, env={**kept, **paths, **variables(settings)})


def _run(what: str, *command: str, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise UserError(f"the image is not built: {what} ({lines[-1].strip() if lines else done.returncode})")


def build(
    root: Path, bundle: Bundle, tag: str, rows: Mapping[str, Any] | None = None, settings: Mapping[str, Any] = {}
) -> dict[str, Any]:
    """Build and tag the image; returns its name, id and size in MB. With `rows`, its contents are proved before.

    Built again from the same bundle it has the same id. Raises UserError where Docker cannot, or as `prove` does.
    """
    if shutil.which("docker") is None:
        raise UserError("docker is not installed; mlops image --context DIR writes what any image builder takes")
    moment = image_id.moment_of(bundle)
    with folders.work_folder() as temporary:
        context = temporary / "context"
        context.mkdir()
        given = stage(root, bundle, context, settings)
        if rows is not None:
            prove(context, rows, settings)
        arguments = [part for key, value in given.items() for part in ("--build-arg", f"{key}={value}")]
        created = _docker("build", "--quiet", *arguments, str(context), env=image_id.settings(moment))
    _docker("tag", _dated(created, moment, f"mlops image {bundle.name} {bundle.number}"), tag)
    identity, size = _docker("image", "inspect", "--format", "{{.Id}} {{.Size}}", tag).split()
    return {"image": tag, "id": identity, "size_mb": round(int(size) / 1e6, 1), "bundle": bundle.digest}


def _dated(built: str, moment: int, why: str) -> str:
    """The id of an image as of a moment: what BuildKit made is, what the classic builder made gets another configuration."""
    details = json.loads(_docker("image", "inspect", built))[0]
    if image_id.is_dated(details["Created"], moment):
        return built
    config = image_id.configuration(details, moment, why)
    identity, content = image_id.archive(config, len(details["RootFS"]["Layers"]))
    if identity != built:
        _docker("load", "--quiet", stdin=content)
    if not details["RepoTags"]:
        # Its layers are those of the other; the steps that the builder keeps to build faster stay.
        subprocess.run(["docker", "image", "rm", "--no-prune", built], capture_output=True)
    return identity


def _docker(*arguments: str, env: Mapping[str, str] = {}, stdin: bytes | None = None) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, input=stdin, env={**os.environ, **env})
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).decode(errors="replace").splitlines()
        raise UserError(f"docker {arguments[0]} failed: {lines[-1] if lines else done.returncode}")
    return done.stdout.decode().strip()
