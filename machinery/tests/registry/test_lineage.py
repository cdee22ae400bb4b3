"""Lineage: from what runs back to what it was made from, and forward to where it went."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops import git
from mlops.config import Project
from mlops.registry import deployment_log, versions
from mlops.registry.deployment_log import DEPLOYED, REFUSED, Deployment
from mlops.registry.versions import Version

IMAGE = f"registry.example/iris@sha256:{'ab' * 32}"


@pytest.fixture
def deployed(registered: Project) -> Version:
    """iris 1.0.0, refused by staging and then deployed to production."""

    def entry(environment: str, result: str, stamp: int) -> Deployment:
        alias = environment if result == DEPLOYED else ""
        return Deployment(
            *("iris", environment, "deploy", result, "1.0.0", IMAGE, "cd" * 32, "v1.0.0", None, "ann", "first"),
            alias=alias,
            stamp=stamp,
        )

    deployment_log.record(registered, [entry("staging", REFUSED, 1), entry("production", DEPLOYED, 2)])
    return versions.resolve(registered, "iris", "production")


ASKED = [
    ("iris@production",),
    ("iris@1.0.0",),
    ("iris", "production"),
    ("iris",),
    (IMAGE,),
    (f"sha256:{'ab' * 32}",),
    ("abababababab",),
    (f"other.example/copied@sha256:{'ab' * 32}",),
    ("cd" * 32,),
]


@pytest.mark.parametrize("subject", ASKED)
def test_version_and_image_lead_to_the_same_lineage(
    registered: Project, deployed: Version, command: Callable, subject: tuple[str, ...]
) -> None:
    traced = json.loads(command("lineage", *subject, "--json").out)
    assert traced["origin"]["run_id"] == deployed.run_id
    assert traced["origin"]["commit"] == git.commit(registered.root).sha
    assert (traced["origin"]["branch"], traced["origin"]["subject"]) == ("main", "first")
    assert traced["images"] == [IMAGE] and traced["bundles"] == ["cd" * 32]
    assert [item["file"] for item in traced["data"]] == ["iris.csv"]
    assert [(item["environment"], item["result"]) for item in traced["deployments"]] == [
        ("production", DEPLOYED),
        ("staging", REFUSED),
    ]


def test_table_leads_from_the_image_to_the_data(
    registered: Project, deployed: Version, command: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = command("lineage", "iris@production")
    assert result.code == 0
    places = [result.out.index(word) for word in (IMAGE, deployed.run_id, deployed.tags["git_commit"], "data iris.csv")]
    assert places == sorted(places)
    assert "and went to" in result.out and "champion, production" in result.out


def test_version_that_went_nowhere_has_no_image(registered: Project, command: Callable) -> None:
    traced = json.loads(command("lineage", "iris@champion", "--json").out)
    assert (traced["images"], traced["deployments"]) == ([], [])
    assert traced["origin"]["key"] == versions.resolve(registered, "iris").tags["key"]


@pytest.mark.parametrize("subject", ["iris@nowhere", "irsi@production", "feedfeedfeed", f"x/iris@sha256:{'0' * 64}"])
def test_what_is_not_known_is_reported_in_one_line(
    registered: Project, deployed: Version, command: Callable, subject: str
) -> None:
    result = command("lineage", subject)
    assert result.code == 2 and len(result.err.strip().splitlines()[-1:]) == 1
    assert "no version 'nowhere'" in result.err or "nor is it an image of the deployment log or of this machine" in result.err


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Put a docker on the path that has one image, iris:1.0.0, with these labels."""

    def put(labels: dict[str, str]) -> None:
        program = tmp_path / "bin" / "docker"
        program.parent.mkdir()
        answer = json.dumps([{"Config": {"Labels": labels}}])
        program.write_text(f"#!/bin/sh\n[ \"$3\" = iris:1.0.0 ] || exit 1\ncat <<'E'\n{answer}\nE\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return put


def labels(run: str) -> dict[str, str]:
    of = "org.opencontainers.image"
    return {f"{of}.title": "iris", f"{of}.version": "1.0.0", "io.mlops.run": run}


def test_image_on_this_machine_is_known_by_its_labels(registered: Project, command: Callable, docker: Callable) -> None:
    version = versions.resolve(registered, "iris")
    docker(labels(version.run_id))
    traced = json.loads(command("lineage", "iris:1.0.0", "--json").out)
    assert (traced["images"], traced["origin"]["run_id"]) == (["iris:1.0.0"], version.run_id)


def test_image_of_another_store_is_not_taken_for_the_version_of_that_number(
    registered: Project, command: Callable, docker: Callable
) -> None:
    docker(labels("f00"))
    result = command("lineage", "iris:1.0.0")
    assert result.code == 2 and "labelled iris 1.0.0 of run f00, but the store's 1.0.0 is of run" in result.err


def test_a_version_that_went_nowhere_has_a_sentence_and_no_empty_table(registered: Project, command: Callable) -> None:
    result = command("lineage", "iris")
    assert "and went to" not in result.out and "iris 1.0.0 was not deployed yet" in result.err
    assert json.loads(command("lineage", "iris", "--json").out)["deployments"] == []
