"""Images as Docker handles them: what makes two of them the same, and what is said where Docker fails."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from command import mlops

from mlops.errors import UserError
from mlops.release import images
from mlops.serving.manifest import Bundle
from mlops.serving.signature import Signature

ROOT = Path(__file__).resolve().parents[3]
DIGEST = f"sha256:{'d' * 64}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What a project has to build an image with."""
    folder = tmp_path / "project"
    (folder / "docker").mkdir(parents=True)
    shutil.copyfile(ROOT / "machinery/src/mlops/bundle/serving.Dockerfile", folder / "docker/serving.Dockerfile")
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    return folder


def bundle(folder: Path, model: str, form: str = "onnx", number: str = "1.0.0") -> Bundle:
    """A bundle as far as building an image looks at it."""
    folder.mkdir()
    (folder / "model.onnx").write_text(model)
    content = {"use_case": "iris", "format": form, "version": {"number": number, "commit": "c", "run_id": model}}
    return Bundle(folder, content, model, Signature((), None, ()))


def test_the_server_is_the_same_whatever_it_serves(root: Path, tmp_path: Path) -> None:
    first = images.server_digest(root, bundle(tmp_path / "1", "one"))
    assert first == images.server_digest(root, bundle(tmp_path / "2", "two", number="2.0.0"))


@pytest.mark.parametrize("file", ["docker/serving.Dockerfile", "requirements/serve.txt"])
def test_another_recipe_or_lock_makes_another_server(root: Path, tmp_path: Path, file: str) -> None:
    served = bundle(tmp_path / "1", "one")
    first = images.server_digest(root, served)
    with open(root / file, "a", encoding="utf-8") as recipe:
        recipe.write("# changed\n")
    assert images.server_digest(root, served) != first


def test_another_format_makes_another_server(root: Path, tmp_path: Path) -> None:
    onnx, skops = bundle(tmp_path / "1", "one"), bundle(tmp_path / "2", "one", form="skops")
    assert images.server_digest(root, onnx) != images.server_digest(root, skops)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for docker that notes its arguments and input, says $SAYS and ends with $ENDS."""
    place = tmp_path / "bin"
    place.mkdir()
    program = place / "docker"
    noted = tmp_path / "noted"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {noted}\n[ "$1" = login ] && cat >> {noted}\necho "$SAYS"\n'
        '[ "$ENDS" = 0 ] || { echo "first line"; echo "no such host"; } >&2\nexit $ENDS\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ENDS", "0")
    monkeypatch.setenv("SAYS", f"v1: digest: {DIGEST} size: 1582")
    return noted


def test_a_pushed_image_is_named_by_the_digest_that_the_registry_gives(docker: Path) -> None:
    assert images.push("built", "ghcr.io/ada/demo/iris:v1.0.0") == DIGEST
    assert docker.read_text() == "tag built ghcr.io/ada/demo/iris:v1.0.0\npush ghcr.io/ada/demo/iris:v1.0.0\n"


def test_a_push_without_a_digest_is_an_error(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYS", "pushed")
    with pytest.raises(UserError, match="named no digest: pushed"):
        images.push("x", "x")


def test_what_docker_says_last_is_reported_in_one_line(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENDS", "1")
    with pytest.raises(UserError) as error:
        images.push("x", "x")
    assert str(error.value).startswith("docker push failed: no such host; start the registry or correct MLOPS_REGISTRY")
    with pytest.raises(UserError, match="docker pull failed: no such host; log in with: mlops release login"):
        images.pull("x")


def test_the_password_stands_on_no_command_line(docker: Path) -> None:
    images.login("ghcr.io", "ada", "secret")
    arguments, given = docker.read_text().split("\n", 1)
    assert arguments == "login --username ada --password-stdin ghcr.io" and given.strip() == "secret"


@pytest.fixture
def job(docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job's file of variables, on a machine whose user has a configuration of Docker."""
    own = tmp_path / ".docker"
    (own / "contexts").mkdir(parents=True)
    (own / "config.json").write_text('{"currentContext": "farm"}')
    (tmp_path / "temp").mkdir()
    places = {"HOME": tmp_path, "RUNNER_TEMP": tmp_path / "temp", "GITHUB_ENV": tmp_path / "variables"}
    settings = {"GITHUB_ACTIONS": "true", "MLOPS_REGISTRY": "registry.example/ada", "MLOPS_REGISTRY_PASSWORD": "secret"}
    for name, value in {**places, **settings}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    return tmp_path / "variables"


def test_what_a_job_logged_in_to_is_logged_out_with_its_credentials(
    docker: Path, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mlops("release", "credentials", "--remove").code == 0
    assert not docker.exists()
    assert mlops("release", "login").code == 0
    for line in job.read_text().splitlines():
        monkeypatch.setenv(*line.split("="))
    assert mlops("release", "credentials", "--remove").code == 0
    assert docker.read_text().endswith("logout registry.example\n")
    assert not list((job.parent / "temp").iterdir())
    assert (job.parent / ".docker" / "config.json").read_text() == '{"currentContext": "farm"}'


def test_a_job_beside_it_on_the_machine_keeps_its_login(docker: Path, job: Path) -> None:
    for _ in range(2):
        assert mlops("release", "login").code == 0
        os.environ.pop("DOCKER_CONFIG")
    first, second = (Path(line.split("=")[1]) for line in job.read_text().splitlines() if line.startswith("DOCKER_CONFIG="))
    assert first != second and {first.parent, second.parent} == {job.parent / "temp"}
    assert (first / "config.json").read_text() == '{"currentContext": "farm"}' and not (first / "config.json").is_symlink()
    assert (first / "contexts").resolve() == job.parent / ".docker" / "contexts"


def test_a_machine_without_docker_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="docker is not installed"):
        images.pull("x")
