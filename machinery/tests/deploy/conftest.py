"""A bundle of iris with a server that answers for it, and a project whose store holds two versions."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from host import HERE, MINE, ROOT
from serving.conftest import flowers_model, labelled, make_candidate, serving

from mlops import pipeline
from mlops.bundle.build import build
from mlops.bundle.image import build as build_image
from mlops.config import Project, load_project
from mlops.config.operations import Compose
from mlops.deploy.compose import ComposeTarget
from mlops.deploy.contract import Manifest, read_bundle
from mlops.deploy.targets import Service
from mlops.serving.manifest import Bundle
from mlops.use_case import load_use_case

VERSION = {"number": "1.0.0", "run_id": "abc", "commit": "c0ffee", "metrics": {"macro_f1": 0.9}}
OTHER = ("parameters.regularisation=1.5",)


@pytest.fixture(scope="session")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What training leaves of a model of flowers."""
    return make_candidate(tmp_path_factory.mktemp("flowers"), flowers_model(), *labelled())


@pytest.fixture(scope="session")
def bundle(candidate: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of iris 1.0.0."""
    return build(candidate, tmp_path_factory.mktemp("bundle") / "iris", "iris", VERSION)


@pytest.fixture(scope="session")
def manifest(bundle: Bundle) -> Manifest:
    """What the bundle of iris 1.0.0 promises."""
    return read_bundle(bundle.folder)


@pytest.fixture(scope="session")
def server(bundle: Bundle) -> Iterator[str]:
    """A server on the bundle of iris 1.0.0."""
    with serving(bundle.folder) as (address, _):
        yield address


@pytest.fixture(scope="session")
def kept_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the project with two versions is kept for the next test."""
    return tmp_path_factory.mktemp("two") / "project"


@pytest.fixture
def two(project: Project, kept_two: Path) -> Project:
    """A project on branch main with iris 1.0.0 and 1.0.1, the champion."""
    if not kept_two.is_dir():
        pipeline.run(project, load_use_case(project, "iris"))
        pipeline.run(project, load_use_case(project, "iris", OTHER))
        shutil.copytree(project.root, kept_two.with_name("half"))
        kept_two.with_name("half").rename(kept_two)
    else:
        shutil.rmtree(project.root)
        shutil.copytree(kept_two, project.root)
    return load_project()


@pytest.fixture(scope="session")
def images(candidate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Service]]:
    """Images of iris 1.0.0 and 1.0.1, by number."""
    if shutil.which("docker") is None:
        pytest.skip("no Docker Engine here")
    services = {}
    for number in ("1.0.0", "1.0.1"):
        folder = tmp_path_factory.mktemp("bundles") / number
        bundle: Bundle = build(candidate, folder, "iris", {"number": number, "run_id": "abc", "commit": "c0ffee"})
        build_image(ROOT, bundle, f"{MINE}:{number}")
        services[number] = Service("iris", number, f"{MINE}:{number}", bundle.digest)
    yield services
    for service in services.values():
        subprocess.run(["docker", "image", "rm", "--force", service.image], capture_output=True)


@pytest.fixture
def worse(images: dict[str, Service]) -> Iterator[Callable[..., Service]]:
    """Make iris 1.0.1 with lines of a Dockerfile added, or text of its server replaced; removed in the end."""
    built: list[str] = []

    def make(*lines: str) -> Service:
        tag = f"{MINE}:worse{len(built)}"
        good = images["1.0.1"]
        HERE("build", "--quiet", "--tag", tag, "-", stdin="\n".join([f"FROM {good.image}", *lines]).encode())
        built.append(tag)
        return good._replace(image=tag)

    yield make
    for tag in built:
        HERE.run("image", "rm", "--force", tag)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., ComposeTarget]]:
    """Make an environment of its own on this machine; what is deployed there is removed in the end."""
    created: list[ComposeTarget] = []

    def make(**settings) -> ComposeTarget:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        project = Project.model_validate(
            {"root": ROOT, "name": f"mlops-test-{secrets.token_hex(4)}", "default_use_case": "iris"}
        )
        created.append(
            ComposeTarget(project, "production", Compose(**{"ports": {"iris": port}, "watch": 1.0, "guard": 0, **settings}))
        )
        return created[-1]

    yield make
    for target in created:
        name = target.name("iris")
        ids = HERE("ps", "--all", "--quiet", "--filter", f"name={name}").split()
        HERE.remove(*ids)
        HERE.run("network", "rm", name)
        HERE.run("volume", "rm", name)


@pytest.fixture
def row(bundle: Bundle) -> dict:
    """A row that the model takes."""
    return bundle.example
