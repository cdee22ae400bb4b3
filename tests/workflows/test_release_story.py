"""From champion to production and back, each step a workflow run for real, on this machine's Docker.

The scenes build on each other. Environments are containers behind a proxy on ports that the system chose; what is asserted is
what they answer to a client.
"""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import offline
import pytest
import registry
import requests
import yaml
from fake_github import FakeGitHub
from offline import Project, git
from scenes import dispatch, push, release, tag

sys.path.insert(0, str(Path(__file__).parents[1]))
from deploy.load import Load  # noqa: E402

pytestmark = [
    pytest.mark.workflows,
    pytest.mark.docker,
    pytest.mark.timeout(1800),
    pytest.mark.xdist_group("release"),
]
ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
BETTER = "0.5"
PORTS: dict[str, int] = {}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, github: FakeGitHub, registry_host: str) -> Iterator[Project]:
    """A repository whose staging and production are containers on this machine; all of them are removed in the end."""
    PORTS.update(staging=_free_port(), production=_free_port())
    name = f"story-{PORTS['production']}"

    def configure(root: Path) -> None:
        file = root / "config" / "project.yaml"
        settings = yaml.safe_load(file.read_text(encoding="utf-8")) | {"name": name}
        settings["deploy"] = {
            environment: {"target": "compose", "compose": {"ports": {"iris": port}, "watch": 3}}
            for environment, port in PORTS.items()
        }
        file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")

    try:
        yield offline.make(tmp_path_factory.mktemp("story"), github.url, keep=("docker/", "deploy/"), changes=configure)
    finally:
        for what, remove in (("container", ("ls", "--all")), ("network", ("ls",))):
            found = registry.docker(what, *remove, "--quiet", "--filter", f"name=^/?{name}-").split()
            if found:
                registry.docker(what, "rm", *(["--force"] if what == "container" else []), *found)
        registry.remove_images(registry_host)


def answering(environment: str) -> str:
    """The version that an environment answers with, to a client that asks for a prediction."""
    answer = requests.post(f"http://127.0.0.1:{PORTS[environment]}/predict", json={"rows": [ROW]}, timeout=10)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["version"])


def log(project: Project) -> list[dict[str, Any]]:
    """The deployment log as a laptop sees it after pulling the store, the newest first."""
    assert project.mlops("store", "pull", "--force").returncode == 0
    return list(json.loads(project.mlops("deployments", "iris", "--json").stdout))


def test_1_a_champion_stands_on_main(story: Project) -> None:
    git(story.root, "push", "--quiet", "origin", "main:dev")
    git(story.root, "fetch", "--quiet", "origin")
    started = story.mlops("gitflow", "start", "release", "1.0.0")
    assert started.returncode == 0, started.stderr
    assert push(story, "release/1.0.0").jobs["register"] == "success"
    story.merge("release/1.0.0", "main")
    assert push(story, "main").jobs["register"] == "success"
    assert story.registry() == {"iris": {"candidate": "1.0.0", "champion": "1.0.0"}}


def test_2_a_candidate_goes_to_staging_and_answers_there(story: Project, github: FakeGitHub, registry_host: str) -> None:
    assert tag(story, "release/1.0.0", "--rc") == "v1.0.0-rc.1"
    run = release(story, "v1.0.0-rc.1", registry_host)
    assert set(run.jobs.values()) == {"success"}, run.log[-8000:]
    assert answering("staging") == "1.0.0"
    assert story.registry()["iris"] == {"candidate": "1.0.0", "champion": "1.0.0", "staging": "1.0.0"}
    assert "| iris | staging | ✅ deployed | – | 1.0.0 | ada | release v1.0.0-rc.1 |" in run.summary


def test_3_the_release_goes_to_production_as_the_image_that_staging_has_tested(
    story: Project, github: FakeGitHub, registry_host: str
) -> None:
    assert tag(story, "main") == "v1.0.0"
    run = release(story, "v1.0.0", registry_host)
    assert set(run.jobs.values()) == {"success"}, run.log[-8000:]
    assert answering("production") == "1.0.0"
    newest, before = log(story)
    assert (newest["tag"], before["tag"]) == ("v1.0.0", "v1.0.0-rc.1") and newest["image"] == before["image"]


def test_4_a_better_model_replaces_it_and_no_request_fails(story: Project, registry_host: str) -> None:
    text = git(story.root, "show", "origin/main:config/iris.yaml")
    better = re.sub(r"regularisation: [\d.]+", f"regularisation: {BETTER}", text, count=1)
    _hotfix(story, "1.1.0", {"config/iris.yaml": better})
    assert tag(story, "main") == "v1.1.0"
    with Load(f"http://127.0.0.1:{PORTS['production']}", ROW, rate=200) as load:
        run = release(story, "v1.1.0", registry_host)
    assert set(run.jobs.values()) == {"success"}, run.log[-8000:]
    now = answering("production")
    assert now > "1.0.0" and story.registry()["iris"]["production"] == now
    assert load.errors == {} and set(load.answers) == {"1.0.0", now}
    assert load.reached > 150, f"{load.reached:.0f} requests a second are no load"
    print(f"{sum(load.answers.values())} requests at {load.reached:.0f}/s, the slowest {load.slowest:.3f} s: {load.answers}")


def test_5_a_container_that_breaks_its_contract_leaves_production_as_it_is(
    story: Project, github: FakeGitHub, registry_host: str
) -> None:
    before, releases = answering("production"), len(github.releases)
    text = git(story.root, "show", "origin/main:docker/serving.Dockerfile")
    _hotfix(story, "1.1.1", {"docker/serving.Dockerfile": text.replace('CMD ["/srv/bundle"]', 'CMD ["/srv/nothing"]')})
    assert tag(story, "main") == "v1.1.1"
    run = release(story, "v1.1.1", registry_host)
    assert run.jobs["image"] == "failure" and run.jobs["publish"] == "skipped", run.log[-5000:]
    assert run.code != 0 and "the container ended" in run.log
    assert answering("production") == before and len(github.releases) == releases
    assert story.registry()["iris"]["production"] == before


def test_6_a_rollback_brings_the_version_before_back(story: Project, registry_host: str) -> None:
    gone = answering("production")
    asked = {"action": "rollback", "environment": "production", "use_case": "iris", "reason": "wrong on small flowers"}
    with Load(f"http://127.0.0.1:{PORTS['production']}", ROW, rate=200) as load:
        run = dispatch(story, registry_host, **asked)
    assert run.jobs == {"deploy": "success", "record": "success"}, run.log[-8000:]
    assert answering("production") == "1.0.0" and load.errors == {}
    assert story.registry()["iris"]["production"] == "1.0.0"
    told = [(entry["action"], entry["environment"], entry["before"], entry["number"], entry["why"]) for entry in log(story)]
    assert told == [
        ("rollback", "production", gone, "1.0.0", "wrong on small flowers"),
        ("deploy", "production", "1.0.0", gone, "release v1.1.0"),
        ("deploy", "production", None, "1.0.0", "release v1.0.0"),
        ("deploy", "staging", None, "1.0.0", "release v1.0.0-rc.1"),
    ]


def _hotfix(project: Project, version: str, changes: dict[str, str]) -> None:
    """Bring changes to main on a hotfix branch of this version, and train there."""
    git(project.root, "checkout", "--quiet", "-B", "main", "origin/main")
    started = project.mlops("gitflow", "start", "hotfix", version)
    assert started.returncode == 0, started.stderr
    branch = f"hotfix/{version}"
    project.commit(f"Change for {version}", branch, f"origin/{branch}", changes)
    project.merge(branch, "main")
    assert push(project, "main").jobs["register"] == "success"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
