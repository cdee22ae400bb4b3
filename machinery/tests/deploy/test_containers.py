"""Images: what is in them, whether they keep their contract on this machine, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import mlops

from mlops.bundle.image import build
from mlops.config import Project
from mlops.deploy import deployment, docker
from mlops.deploy.docker import Docker
from mlops.deploy.targets import DeployFailed, Service
from mlops.errors import UserError
from mlops.serving.manifest import Bundle

ROOT = Path(__file__).resolve().parents[3]
HERE = Docker()


@pytest.fixture(scope="module")
def image(bundle: Bundle) -> Iterator[str]:
    """The image of iris 1.0.0."""
    if shutil.which("docker") is None:
        pytest.skip("no Docker Engine here")
    tag = f"mlops-test-verify-{os.getpid()}:1.0.0"
    build(ROOT, bundle, tag)
    yield tag
    subprocess.run(["docker", "image", "rm", "--force", tag], capture_output=True)


@pytest.fixture
def layered(image: str, tmp_path: Path) -> Iterator:
    """Make an image that is the good one with lines of a Dockerfile added; removed in the end."""
    images = []

    def make(*lines: str) -> str:
        tag = f"mlops-test-verify-{os.getpid()}:broken{len(images)}"
        HERE("build", "--quiet", "--tag", tag, "-", stdin="\n".join([f"FROM {image}", *lines]).encode())
        images.append(tag)
        return tag

    yield make
    for tag in images:
        HERE.run("image", "rm", "--force", tag)


def containers(image: str) -> str:
    return HERE("ps", "--all", "--quiet", "--filter", f"ancestor={image}")


@pytest.mark.docker
def test_an_image_is_started_locked_down_held_to_its_contract_and_removed(
    image: str, bundle: Bundle, project: Project
) -> None:
    assert all(check.ok for check in deployment.verify(image))
    with docker.running(image, variables=("MLOPS_SERVE_CONCURRENCY=3",)) as url:
        assert url.startswith("http://127.0.0.1:")
        details = HERE.inspect(containers(image)) or {}
        settings = details["HostConfig"]
        assert settings["ReadonlyRootfs"] and settings["CapDrop"] == ["ALL"] and settings["Memory"] == 512 * 2**20
        assert settings["SecurityOpt"] == ["no-new-privileges"] and details["Config"]["User"] == "65532:65532"
        assert "MLOPS_SERVE_CONCURRENCY=3" in details["Config"]["Env"]
        assert mlops("contract", url, "--image", image).code == 0
    assert containers(image) == ""
    done = mlops("verify", image, "--json")
    assert (done.code, done.value["ok"], "verified, not deployed" in done.err) == (0, True, True)
    assert docker.service_of(HERE, image) == Service("iris", "1.0.0", image, bundle.digest)


@pytest.mark.docker
def test_an_image_that_ends_or_holds_something_else_fails_and_nothing_is_left(image: str, layered, bundle: Bundle) -> None:
    dies = layered('ENTRYPOINT ["python", "-c", "raise SystemExit(\'no model today\')"]')
    with pytest.raises(DeployFailed, match="the container ended with 1: no model today"):
        deployment.verify(dies)
    assert containers(dies) == ""
    with pytest.raises(DeployFailed, match=r"holds iris 1\.0\.0 .* not iris 1\.0\.1"):
        deployment.verify(image, Service("iris", "1.0.1", image, bundle.digest))
    with pytest.raises(UserError, match="holds no bundle"):
        docker.manifest_of(HERE, "debian:bookworm-slim")
    with pytest.raises(UserError, match="is neither on this machine nor can it be pulled"):
        docker.ensure_image(HERE, "127.0.0.1:9/none/iris:1.0.0")


@pytest.mark.docker
def test_a_release_without_a_target_is_verified_and_recorded_but_no_alias_moves(
    two: Project, image: str, layered, bundle: Bundle, tmp_path: Path
) -> None:
    model = {"number": "1.0.0", "image": image, "bundle": bundle.digest}
    release, result = tmp_path / "release.json", tmp_path / "result.json"
    release.write_text(json.dumps({"tag": "v1.0.0", "models": {"iris": model}}))
    given = ("--to", "production", "--manifest", release, "--reason", "first")
    plan = mlops("deploy", *given, "--dry-run", "--json").value
    assert plan["iris"][-1].endswith("the result is: verified, not deployed")
    done = mlops("deploy", *given, "--no-record", "--result", result, "--json")
    assert [(item["result"], item["tag"]) for item in done.value] == [("verified, not deployed", "v1.0.0")]
    assert mlops("deployments", "iris", "--json").value == []
    assert len(mlops("deployments", "--record", result, "--json").value) == 1
    assert "production" not in mlops("show", "iris", "1.0.0").out
    dies = layered('ENTRYPOINT ["false"]')
    release.write_text(json.dumps({"models": {"iris": {**model, "image": dies}}}))
    failed = mlops("deploy", *given)
    assert (failed.code, "nothing was deployed" in failed.error) == (1, True)
    assert [item["result"] for item in mlops("deployments", "iris", "--json").value] == ["refused", "verified, not deployed"]


MODEL = {"number": "1.0.0", "image": "iris:1", "bundle": "0" * 64}


@pytest.mark.parametrize(
    "content, message",
    [
        ({}, "key models is missing"),
        ({"models": {}}, "key models is missing"),
        ({"models": {"iris": {"number": "1.0.0"}}}, "models.iris.image is missing"),
        ({"models": {"iris": {**MODEL, "bundle": "x"}}}, "models.iris.bundle is no SHA-256 digest"),
        ({"models": {"rose": MODEL}}, "no use case 'iris' in this release; there are: rose"),
    ],
)
def test_a_file_that_is_no_release_manifest_is_refused(project: Project, tmp_path: Path, content: dict, message: str) -> None:
    file = tmp_path / "release.json"
    file.write_text(json.dumps(content))
    done = mlops("deploy", "iris", "--to", "staging", "--manifest", file, "--reason", "x")
    assert (done.code, message in done.error) == (2, True), done.err


def test_wrong_orders_are_refused_before_anything_is_started(project: Project, tmp_path: Path) -> None:
    file = tmp_path / "release.json"
    file.write_text(json.dumps({"models": {"iris": MODEL}}))
    both = mlops("deploy", "iris", "1.0.0", "--to", "staging", "--manifest", file, "--reason", "x")
    assert "leave REF and --image away" in both.error
    assert "no environment 'test'" in mlops("deploy", "iris", "--to", "test", "--manifest", file, "--reason", "x").error
    assert "--reason is empty" in mlops("deploy", "iris", "--to", "staging", "--manifest", file, "--reason", "").error
    assert mlops("deploy", "iris", "--to", "staging").code == 2


def test_a_machine_without_docker_or_without_its_engine_is_one_line(project: Project, monkeypatch, tmp_path: Path) -> None:
    fake = tmp_path / "docker"
    fake.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon at unix:///x. Is it running?' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert mlops("verify", "iris:1").error.startswith("Docker on this machine does not answer: Cannot connect")
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert "docker is not installed" in mlops("verify", "iris:1").error


@pytest.mark.parametrize(
    "stderr, cause",
    [
        ("docker: Error: no such runtime\nSee 'docker run --help'.\n", "docker: Error: no such runtime"),
        ("docker: Error: no such runtime\n\nRun 'docker run --help' for more information\n", "docker: Error: no such runtime"),
        ("Error: port is taken\nError: failed to start containers: a\n", "Error: port is taken"),
        ('MemoryError\n{"time":"2026-05-01T00:00:00.000Z","request":"r","status":200}\n', "MemoryError"),
        ('{"time":"2026-05-01T00:00:00.000Z","request":"r","status":200}\n', ""),
    ],
)
def test_the_cause_is_the_last_line_that_tells_one(stderr: str, cause: str) -> None:
    assert docker.last_line(stderr.encode()) == cause


@pytest.mark.parametrize(
    "state, words",
    [
        ({"OOMKilled": True, "ExitCode": 137}, ": out of memory, it needs more than its limit of 64 MB; raise "),
        ({"ExitCode": 137}, " with 137, killed (SIGKILL)"),
        ({"ExitCode": 139}, " with 139, crashed in native code (SIGSEGV)"),
        ({"ExitCode": 127, "Error": "exec: python: not found"}, ": exec: python: not found"),
        ({"ExitCode": 3}, " with 3"),
    ],
)
def test_the_end_of_a_container_is_reported_in_words(state: dict, words: str) -> None:
    assert docker.reason_of_end(state, 64 * 2**20).startswith(words)
