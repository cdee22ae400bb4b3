"""From champion to production and back, each step a workflow run for real, on this machine's Docker.

The scenes build on each other. Environments are containers behind a proxy on ports that the system chose; what is asserted is
what they answer to a client.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import events
import offline
import pandas as pd
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
# What is watched in service: the log that production's containers write, and where the outcomes arrive later.
WATCHED = "monitor: {{log_uri: {log}, labels: {labels}, retrain: auto, min_rows: 50}}\n"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, github: FakeGitHub, registry_host: str) -> Iterator[Project]:
    """A repository whose staging and production are containers on this machine; all of them are removed in the end."""
    PORTS.update(staging=_free_port(), production=_free_port())
    name, service = f"story-{PORTS['production']}", tmp_path_factory.mktemp("service")
    (service / "log").mkdir()

    def configure(root: Path) -> None:
        file = root / "config" / "project.yaml"
        settings = yaml.safe_load(file.read_text(encoding="utf-8")) | {"name": name}
        settings["deploy"] = {
            environment: {"target": "compose", "compose": {"ports": {"iris": port}, "watch": 3}}
            for environment, port in PORTS.items()
        }
        settings["deploy"]["production"]["compose"]["prediction_log"] = str(service / "log")
        file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        config = root / "config" / "iris.yaml"
        watched = WATCHED.format(log=service / "log", labels=service / "labels.csv")
        text, count = re.subn(r"(?m)^monitor: .*\n", watched, config.read_text(encoding="utf-8"))
        assert count == 1, "iris is not watched"
        config.write_text(text, encoding="utf-8")

    try:
        yield offline.make(tmp_path_factory.mktemp("story"), github.url, changes=configure)
    finally:
        for what, remove in (("container", ("ls", "--all")), ("network", ("ls",))):
            leftovers = registry.docker(what, *remove, "--quiet", "--filter", f"name=^/?{name}-").split()
            if leftovers:
                registry.docker(what, "rm", *(["--force"] if what == "container" else []), *leftovers)
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
    text = (offline.TREE / "machinery/src/mlops/bundle/serving.Dockerfile").read_text(encoding="utf-8")
    _hotfix(story, "1.1.1", {"docker/serving.Dockerfile": text.replace('CMD ["/srv/bundle"]', 'CMD ["/srv/nothing"]')})
    assert tag(story, "main") == "v1.1.1"
    run = release(story, "v1.1.1", registry_host)
    assert run.jobs["image"] == "failure" and run.jobs["publish"] == "skipped", run.log[-5000:]
    assert run.code != 0 and "the container ended" in run.log
    assert answering("production") == before and len(github.releases) == releases
    assert story.registry()["iris"]["production"] == before


def test_6_a_deployment_that_fails_is_red_and_stands_in_the_log(story: Project, registry_host: str) -> None:
    before = answering("production")
    starved = ("--env", "MLOPS__PROJECT__DEPLOY__PRODUCTION__COMPOSE__MEMORY=6m")
    inputs = {"action": "redeploy", "environment": "production", "tag": "v1.0.0", "reason": "too little memory"}
    run = dispatch(story, registry_host, *starved, **inputs)
    assert run.jobs == {"plan": "success", "deploy": "failure", "record": "success"}, run.log[-8000:]
    assert answering("production") == before
    assert f"| iris | production | ❌ returned to the old one | {before} | {before} | ada | too little memory |" in run.summary
    newest = log(story)[0]
    assert (newest["result"], newest["number"], newest["before"]) == ("returned to the old one", "1.0.0", before)


def test_7_a_rollback_brings_the_version_before_back(story: Project, registry_host: str) -> None:
    gone = answering("production")
    inputs = {"action": "rollback", "environment": "production", "use_case": "iris", "reason": "wrong on small flowers"}
    with Load(f"http://127.0.0.1:{PORTS['production']}", ROW, rate=200) as load:
        run = dispatch(story, registry_host, **inputs)
    assert run.jobs == {"plan": "success", "deploy": "success", "record": "success"}, run.log[-8000:]
    assert answering("production") == "1.0.0" and load.errors == {}
    assert story.registry()["iris"]["production"] == "1.0.0"
    entries = [(entry["action"], entry["environment"], entry["before"], entry["number"], entry["why"]) for entry in log(story)]
    assert entries == [
        ("rollback", "production", gone, "1.0.0", "wrong on small flowers"),
        ("deploy", "production", gone, "1.0.0", "too little memory"),
        ("deploy", "production", "1.0.0", gone, "release v1.1.0"),
        ("deploy", "production", None, "1.0.0", "release v1.0.0"),
        ("deploy", "staging", None, "1.0.0", "release v1.0.0-rc.1"),
    ]


def test_8_drifted_traffic_raises_an_issue_and_is_proposed_as_new_data(story: Project, github: FakeGitHub) -> None:
    settings = yaml.safe_load((story.root / "config" / "iris.yaml").read_text(encoding="utf-8"))["monitor"]
    _begin_log_anew(Path(settings["log_uri"]))
    flowers = _narrow_flowers(story)
    rows = flowers[list(ROW)].to_dict("records")
    address = f"http://127.0.0.1:{PORTS['production']}/predict"
    assert requests.post(address, json={"rows": rows}, headers={"X-Request-Id": "r1"}, timeout=10).status_code == 200
    labels = flowers[["flower", "species"]].assign(request="r1", row=range(len(flowers)))
    labels.to_csv(settings["labels"], index=False)
    _wait_for_log(Path(settings["log_uri"]), len(rows))
    story.merge("main", "dev")
    git(story.root, "checkout", "--quiet", "-B", "main", "origin/main")
    story.forget_artifacts()
    run = story.run("monitor.yml", "workflow_dispatch", events.dispatch("main", use_case="iris"), bot="app-token")
    assert set(run.jobs.values()) == {"success"}, run.log[-8000:]
    (issue,) = [row for row in github.issues if row["title"] == "Drift in service: iris"]
    assert "sepal_width" in issue["body"]
    (pull,) = [row for row in github.pulls if row["head"]["ref"].startswith("data/iris-")]
    assert pull["base"]["ref"] == "dev"


def test_9_the_new_data_make_a_new_challenger_and_deploy_nothing(story: Project, github: FakeGitHub) -> None:
    before = story.registry()["iris"]
    (branch,) = [row["head"]["ref"] for row in github.pulls if row["head"]["ref"].startswith("data/iris-")]
    story.merge(branch, "dev")
    run = push(story, "dev")
    assert run.names("success") == {"plan", "train", "test", "register"}, run.log[-8000:]
    now = story.registry()["iris"]
    assert now["challenger"] > before["champion"], "no new version was registered"
    assert {name: now[name] for name in before if name != "challenger"} == {
        name: before[name] for name in before if name != "challenger"
    }
    assert answering("production") == "1.0.0"


def _narrow_flowers(project: Project) -> pd.DataFrame:
    """New flowers, whose sepals are narrower than those that the model knows, with their species."""
    known = pd.read_csv(project.root / "data" / "raw" / "iris" / "iris.csv")
    return known.assign(flower=known["flower"] + 1000, sepal_width=(known["sepal_width"] * 0.8).round(2))


def _begin_log_anew(folder: Path) -> None:
    """Forget what the load has asked: one flower, again and again."""
    files = list(folder.rglob("*.jsonl*"))
    assert files, "production writes no prediction log"
    for file in files:
        os.truncate(file, 0)


def _wait_for_log(folder: Path, rows: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if any(file.read_text(encoding="utf-8").count('"r1"') for file in folder.rglob("*.jsonl")):
            return
        time.sleep(0.2)
    raise AssertionError(f"the log holds none of {rows} rows")


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
