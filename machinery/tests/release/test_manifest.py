"""release.json: what is taken, what is refused and how it is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlops.deploy import deployment
from mlops.errors import UserError
from mlops.release import manifest

from .samples import content, model, release


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    written = release("v1.0.0-rc.1", iris=model(), taxi=model(number="2.1.0"))
    manifest.write(tmp_path / "release.json", written)
    assert manifest.read(tmp_path / "release.json") == written


def test_a_deployment_reads_what_a_release_writes(tmp_path: Path) -> None:
    manifest.write(tmp_path / "release.json", release("v1.0.0"))
    services, tag = deployment.of_release(tmp_path / "release.json")
    assert (tag, [tuple(service) for service in services]) == (
        "v1.0.0",
        [("iris", "1.0.0", model()["image"], model()["bundle"])],
    )


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no models": ({"models": {}}, "models"),
    "tag": ({"tag": "1.0.0"}, "no release tag"),
    "version": ({"version": "1.0.1"}, "not 1.0.1"),
    "environment": ({"environment": "staging"}, "for production"),
    "commit": ({"commit": "main"}, "commit"),
    "unknown key": ({"extra": 1}, "extra"),
    "image without digest": ({"models": {"iris": model(image="ghcr.io/ada/demo/iris:v1.0.0")}}, "models.iris.image"),
    "image with a blank": ({"models": {"iris": model(image=f"a b@sha256:{'0' * 64}")}}, "models.iris.image"),
    "image as an option": ({"models": {"iris": model(image=f"--privileged@sha256:{'0' * 64}")}}, "models.iris.image"),
    "key": ({"models": {"iris": model(key="short")}}, "models.iris.key"),
    "number": ({"models": {"iris": model(number="1.0")}}, "models.iris.number"),
    "metrics": ({"models": {"iris": model(metrics={})}}, "models.iris.metrics"),
    "no run": ({"models": {"iris": model(run_id="")}}, "models.iris.run_id"),
}


@pytest.mark.parametrize(("change", "named"), BAD.values(), ids=BAD)
def test_a_bad_manifest_is_refused_in_one_line_that_names_the_key(change: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match="mlops release fetch") as refused:
        manifest.parse(json.dumps(content() | change), "release.json")
    assert named in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(("text", "named"), [("{", "release.json:1: not JSON"), ("[]", "the whole"), ("{}", "tag")])
def test_what_is_no_manifest_is_refused(text: str, named: str) -> None:
    with pytest.raises(UserError, match=named):
        manifest.parse(text, "release.json")


def test_a_file_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file.*mlops release fetch"):
        manifest.read(tmp_path / "release.json")
