"""Deploying and going back by command: what is asked of a target, what the log says, and how the command ends."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from command import mlops

from mlops import tracking
from mlops.config import Project
from mlops.config.operations import Compose
from mlops.deploy import docker, shadow, targets, watch
from mlops.deploy.compose import ComposeTarget
from mlops.deploy.contract import counters
from mlops.deploy.targets import DeployFailed, Service
from mlops.registry import versions

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Place:
    """A place that runs services in memory; `bad` are the numbers that do not prove themselves there."""

    runs: dict[str, Service] = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)
    deployed: list[Service] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    own: targets.Return | None = None
    digests: dict[str, str] = field(default_factory=dict)

    def digest(self, service: Service) -> str:
        return self.digests.get(service.image, "")

    def deploy(self, service: Service) -> str:
        self.deployed.append(service)
        if service.number in self.bad:
            raise DeployFailed("the contract is broken: version")
        self.runs[service.use_case] = service
        return "http://service"

    def running(self, use_case: str) -> Service | None:
        return self.runs.get(use_case)

    def check(self, use_case: str) -> list[str]:
        return self.faults

    def own_return(self, use_case: str) -> targets.Return | None:
        return self.own

    def repair(self, use_case: str) -> str:
        self.faults = []
        return "http://service"

    def plan(self, service: Service) -> list[str]:
        return [f"start {service.image}"]


@pytest.fixture
def place(two: Project, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A project with two versions, whose production is a place in memory."""
    target = Place()
    file = two.root / "config/project.yaml"
    file.write_text(file.read_text().replace("production: {target: none}", "production: {target: compose}"))
    monkeypatch.setattr("mlops.deploy.compose.target", lambda *_: target)
    return target


def release(folder: Path, number: str) -> Path:
    """A release manifest of iris."""
    file = folder / f"{number}.json"
    model = {"number": number, "image": f"registry/iris@sha256:{number}", "bundle": number.replace(".", "") * 21 + "0"}
    file.write_text(json.dumps({"tag": f"v{number}", "models": {"iris": model}}))
    return file


def deploy(folder: Path, number: str, *more: str):
    return mlops("deploy", "--to", "production", "--manifest", release(folder, number), "--reason", f"release {number}", *more)


def alias(project: Project) -> str | None:
    with tracking.open_store(project) as client:
        version = versions.by_alias(versions.all_of(client, "iris"), "production")
    return version.number if version else None


def test_deploy_fail_and_go_back_and_the_log_tells_all_of_it(two: Project, place: Place, tmp_path: Path) -> None:
    assert deploy(tmp_path, "1.0.0", "--dry-run", "--json").value == {"iris": ["start registry/iris@sha256:1.0.0"]}
    assert not place.deployed
    assert deploy(tmp_path, "1.0.0").code == 0
    assert alias(two) == "1.0.0"
    place.bad = {"1.0.1"}
    failed = deploy(tmp_path, "1.0.1")
    assert failed.code == 1
    assert failed.error == "iris 1.0.1 to production: the contract is broken: version; 1.0.0 still answers"
    assert alias(two) == "1.0.0"
    place.bad = set()
    assert deploy(tmp_path, "1.0.1").code == 0
    assert alias(two) == "1.0.1"
    back = mlops("rollback", "iris", "--reason", "wrong on small flowers", "--json")
    assert (back.code, back.value[0]["number"], back.value[0]["before"]) == (0, "1.0.0", "1.0.1")
    assert place.runs["iris"].image == "registry/iris@sha256:1.0.0" and alias(two) == "1.0.0"
    entries = mlops("deployments", "iris", "--to", "production", "--json").value
    actions = [(item["action"], item["result"], item["before"], item["number"], item["tag"]) for item in reversed(entries)]
    assert actions == [
        ("deploy", "deployed", None, "1.0.0", "v1.0.0"),
        ("deploy", "returned to the old one", "1.0.0", "1.0.1", "v1.0.1"),
        ("deploy", "deployed", "1.0.0", "1.0.1", "v1.0.1"),
        ("rollback", "deployed", "1.0.1", "1.0.0", ""),
    ]
    assert {item["who"] for item in entries} and all(item["why"] and item["when"] for item in entries)
    again = mlops("rollback", "iris", "--reason", "x")
    assert (again.code, "1.0.0 is the first that was deployed to production" in again.error) == (2, True)


def test_a_rollback_to_a_number_takes_its_image_from_the_log_and_says_where_there_is_none(
    two: Project, place: Place, tmp_path: Path
) -> None:
    nothing = mlops("rollback", "iris", "--reason", "x")
    assert (nothing.code, "nothing was ever deployed to production" in nothing.error) == (2, True)
    deploy(tmp_path, "1.0.1")
    none = mlops("rollback", "iris", "--to", "1.0.0", "--reason", "x")
    assert "1.0.0 has no image in the deployment log, 1.0.1 runs in production" in none.error
    deploy(tmp_path, "1.0.0")
    plan = mlops("rollback", "iris", "--to", "1.0.1", "--reason", "x", "--dry-run", "--json")
    assert plan.value == {"iris": ["start registry/iris@sha256:1.0.1"]}
    assert mlops("rollback", "iris", "--to", "1.0.1", "--reason", "x").code == 0 and alias(two) == "1.0.1"


def test_a_rollback_refuses_an_image_that_is_not_the_one_that_was_deployed(two: Project, place: Place, tmp_path: Path) -> None:
    before, now = (f"sha256:{letter * 64}" for letter in "ab")
    place.digests = {"registry/iris@sha256:1.0.0": before}
    assert deploy(tmp_path, "1.0.0").code == deploy(tmp_path, "1.0.1").code == 0
    place.digests = {"registry/iris@sha256:1.0.0": now}  # the name stands for another image by now
    back = mlops("rollback", "iris", "--reason", "wrong")
    assert (back.code, place.runs["iris"].number) == (1, "1.0.1")
    assert f"the deployment log recorded {before[:19]}, it is {now[:19]} now" in back.error
    entry = mlops("deployments", "iris", "--json").value[0]
    assert (entry["result"], entry["number"], entry["digest"]) == ("returned to the old one", "1.0.0", "")
    place.digests = {"registry/iris@sha256:1.0.0": before}
    again = mlops("rollback", "iris", "--reason", "wrong", "--json")
    assert (again.code, again.value[0]["digest"], place.runs["iris"].number) == (0, before, "1.0.0")


def test_a_rollback_goes_back_from_what_runs_where_the_log_lacks_it(two: Project, place: Place, tmp_path: Path) -> None:
    deploy(tmp_path, "1.0.0")
    assert deploy(tmp_path, "1.0.1", "--no-record").code == 0
    back = mlops("rollback", "iris", "--reason", "wrong", "--json")
    assert (back.code, back.value[0]["before"], back.value[0]["number"]) == (0, "1.0.1", "1.0.0")
    assert place.runs["iris"].number == "1.0.0" and "1.0.1 runs in production and is not in the deployment log" in back.err


def test_a_rollback_goes_back_from_what_runs_whatever_the_clocks_say(two: Project, place: Place, tmp_path: Path) -> None:
    deploy(tmp_path, "1.0.0")
    result = tmp_path / "result.json"
    deploy(tmp_path, "1.0.1", "--no-record", "--result", str(result))
    content = json.loads(result.read_text())
    content["deployments"][0]["stamp"] -= 86_400 * 10**9
    result.write_text(json.dumps(content))
    mlops("deployments", "--record", result)
    back = mlops("rollback", "iris", "--reason", "wrong", "--json")
    assert (back.code, back.value[0]["before"], back.value[0]["number"]) == (0, "1.0.1", "1.0.0")
    assert place.runs["iris"].number == "1.0.0"


def test_a_rollback_to_what_runs_is_refused_with_what_could_be(two: Project, place: Place, tmp_path: Path) -> None:
    deploy(tmp_path, "1.0.0")
    deploy(tmp_path, "1.0.1")
    same = mlops("rollback", "iris", "--to", "1.0.1", "--reason", "x")
    assert (same.code, len(place.deployed)) == (2, 2)
    assert "1.0.1 is what runs in production, going back to it changes nothing" in same.error
    assert same.error.endswith("there are: 1.0.0")


def test_a_failed_deployment_leaves_its_result_for_the_transaction_that_records_it(
    two: Project, place: Place, tmp_path: Path
) -> None:
    place.bad = {"1.0.0"}
    result = tmp_path / "result.json"
    failed = deploy(tmp_path, "1.0.0", "--no-record", "--result", str(result))
    assert (failed.code, failed.error.endswith("nothing was deployed")) == (1, True)
    assert mlops("deployments", "iris", "--json").value == []
    mlops("deployments", "--record", result)
    assert [item["result"] for item in mlops("deployments", "iris", "--json").value] == ["refused"]
    assert alias(two) is None


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a docker before the real one that says what a test wants; returns its calls, one line each."""
    folder = tmp_path / "bin"
    folder.mkdir()
    calls = folder / "calls"

    def install(script: str) -> Path:
        calls.write_text("")
        (folder / "docker").write_text(f'#!/bin/sh\necho "${{DOCKER_HOST:-here}} $*" >> {calls}\n{script}\n')
        (folder / "docker").chmod(0o755)
        return calls

    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return install


def environment(project: Project, name: str, content: dict) -> None:
    """Put a target into config/project.yaml."""
    file = project.root / "config/project.yaml"
    read = yaml.safe_load(file.read_text())
    read["deploy"][name] = content
    file.write_text(yaml.safe_dump(read))


def production(project: Project, **settings) -> None:
    """Let the project's production be a host with Docker."""
    environment(project, "production", {"target": "compose", "compose": settings})


def test_a_host_that_does_not_answer_is_one_line_and_nothing_is_recorded(two: Project, engine, tmp_path: Path) -> None:
    production(two, host="ssh://deploy@nowhere", ports={"iris": 8080})
    calls = engine("echo 'error during connect: ssh: could not resolve nowhere' >&2; exit 1")
    done = deploy(tmp_path, "1.0.0")
    assert (done.code, done.error.startswith("Docker on ssh://deploy@nowhere does not answer: ")) == (2, True)
    assert calls.read_text().startswith("ssh://deploy@nowhere ")
    assert mlops("deployments", "iris", "--json").value == []


def test_the_plan_of_a_host_starts_nothing_and_a_missing_port_is_named(two: Project, engine, tmp_path: Path) -> None:
    production(two, ports={"iris": 8080}, share={"percent": 10})
    calls = engine('[ "$1" = ps ] && exit 0; exit 1')
    steps = deploy(tmp_path, "1.0.0", "--dry-run", "--json").value["iris"]
    assert steps[1] == "start it: nothing runs there yet" and steps[-1].endswith("all requests at http://127.0.0.1:8080")
    assert {line.split()[1] for line in calls.read_text().splitlines()} == {"ps"}
    production(two)
    done = deploy(tmp_path, "1.0.0", "--dry-run")
    assert "deploy.production.compose.ports has no port for iris" in done.error


def test_the_plan_names_every_step_that_is_configured(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"share": {"percent": 10, "seconds": 5}, "shadow": {"requests": 20}, "prediction_log": "/var/log/iris"}
    target = ComposeTarget(project, "production", Compose.model_validate({"ports": {"iris": 8080}, **settings}))
    old = Service("iris", "1.0.0", "iris:1.0.0", "a" * 64)
    monkeypatch.setattr(ComposeTarget, "running", lambda *_: old)
    steps = " / ".join(target.plan(old._replace(number="1.0.1")))
    for part in ("beside iris 1.0.0", "last 20 logged", "10 % of the requests for 5 s", "watch it for 30 s", "stop 1.0.0"):
        assert part in steps


SAGEMAKER = {"target": "sagemaker", "cloud": {"uri": "sagemaker:/eu-west-1"}}


@pytest.mark.parametrize(
    "content, message", [({"target": "none"}, "start iris:1.0.1 on this machine"), (SAGEMAKER, "get_deploy_client")]
)
def test_the_plan_of_a_version_needs_no_docker(two: Project, engine, content: dict, message: str) -> None:
    environment(two, "production", content)
    calls = engine("echo 'failed to connect to the docker API' >&2; exit 1")
    done = mlops("deploy", "iris", "--to", "production", "--reason", "x", "--dry-run", "--json")
    assert done.code == 0 and done.value["iris"][0].startswith(message)
    assert calls.read_text() == ""


def test_a_cloud_gets_the_registered_version_and_no_image_and_can_go_back(
    two: Project, engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place()
    monkeypatch.setattr("mlops.deploy.cloud.target", lambda *_: place)
    environment(two, "production", SAGEMAKER)
    calls = engine("exit 1")
    for number in ("1.0.0", "1.0.1"):
        assert mlops("deploy", "iris", number, "--to", "production", "--reason", "x").code == 0
    assert mlops("rollback", "iris", "--reason", "x").code == 0
    assert [(item.number, item.image) for item in place.deployed] == [("1.0.0", ""), ("1.0.1", ""), ("1.0.0", "")]
    assert len(place.deployed[0].bundle) == 64 and calls.read_text() == ""


@pytest.mark.parametrize(
    "host, bind, address",
    [
        ("", "127.0.0.1", "http://127.0.0.1:8080"),
        ("", "0.0.0.0", "http://127.0.0.1:8080"),
        ("ssh://deploy@server:22", "0.0.0.0", "http://server:8080"),
        ("ssh://deploy@server", "10.0.0.7", "http://10.0.0.7:8080"),
        ("unix:///run/docker.sock", "0.0.0.0", "http://127.0.0.1:8080"),
        ("", "::1", "http://[::1]:8080"),
        ("", "[::]", "http://127.0.0.1:8080"),
    ],
)
def test_the_address_is_the_one_that_users_of_the_host_see(project: Project, host: str, bind: str, address: str) -> None:
    settings = Compose.model_validate({"host": host, "bind": bind, "ports": {"iris": 8080}})
    assert ComposeTarget(project, "production", settings).address("iris") == address


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"prots": {}}, "unknown key deploy.production.compose.prots, did you mean 'ports'?"),
        ({"host": "server"}, "compose.host"),
        ({"share": {"percent": 100}}, "compose.share.percent"),
        ({"memory": "lots"}, "compose.memory"),
        ({"ports": {"iris": 70000}}, "compose.ports.iris"),
    ],
)
def test_a_wrong_key_of_an_environment_is_named(project: Project, settings: dict, message: str) -> None:
    production(project, **settings)
    done = mlops("deployments", "iris")
    assert done.code == 2 and message in done.error


def test_the_file_for_a_start_by_hand_is_as_locked_down_as_what_deploy_starts() -> None:
    services = yaml.safe_load((ROOT / "machinery/src/mlops/deploy/compose/compose.yaml").read_text())["services"]
    for service in services.values():
        flags = ["--user", service["user"]] + (["--read-only"] if service["read_only"] else [])
        flags += ["--tmpfs", *service["tmpfs"], "--cap-drop", *service["cap_drop"]]
        flags += ["--security-opt", *service["security_opt"], "--pids-limit", str(service["pids_limit"])]
        assert tuple(flags) == docker.HARDENED and service["restart"] == "unless-stopped"
    assert services["blue"]["labels"]["io.mlops.slot"] == "blue" and services["blue"]["mem_limit"] == docker.MEMORY


def test_samples_of_a_metrics_page_are_read_and_scoring_is_kept_from_probes() -> None:
    page = (
        "# HELP x\n# TYPE x counter\nplain_total 3.0\n"
        'mlops_requests_total{path="/predict",status="200"} 7.0\n'
        'mlops_requests_total{path="/v2/models/{name}/infer",status="500"} 2.0\n'
        'mlops_requests_total{path="/v2/health/ready",status="503"} 5.0\n'
    )
    counts = counters(page)
    assert counts["plain_total"] == 3 and len(counts) == 4
    assert sorted(match[1] for name in counts if (match := watch.SCORED.fullmatch(name))) == ["200", "500"]


def test_rows_of_a_prediction_log_are_read_whatever_is_cut_at_its_ends() -> None:
    lines = 'puts": {"a": 1}}\n{"inputs": {"a": 2}}\n{"no": 1}\n[]\n{"inputs": {"a": 3}}\n'
    lines += '{"request": "mlops-probe-1", "inputs": {"a": 4}}\n{"inputs": {"a"'
    assert [record["inputs"] for record in shadow.logged(lines)] == [{"a": 2}, {"a": 3}]


@pytest.mark.parametrize("name", ["eu west", "größe!", "v1", "latest", "2nd"])
def test_an_environment_whose_name_cannot_be_is_called_an_environment(project: Project, name: str) -> None:
    environment(project, name, {"target": "none"})
    done = mlops("deploy", "iris", "--to", name, "--reason", "x", "--dry-run")
    assert done.code == 2 and f"{name!r} is no valid name of an environment" in done.error


def test_the_check_says_what_does_not_answer_and_which_command_repairs_it(
    two: Project, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    well = mlops("deployments", "iris", "--check", "--json")
    assert (well.code, well.value) == (0, {"production": []})
    place.faults = ["the proxy is gone; mlops deployments iris --to production --repair"]
    done = mlops("deployments", "iris", "--check")
    assert (done.code, done.err.splitlines()[-1]) == (1, f"production: {place.faults[0]}")
    repaired = mlops("deployments", "iris", "--to", "production", "--repair")
    assert (repaired.code, "iris answers at http://service" in repaired.err) == (0, True)
    assert "name it with --to" in mlops("deployments", "iris", "--repair").error


def test_a_return_that_the_target_made_by_itself_is_written_once_with_its_reason(
    two: Project, place: Place, tmp_path: Path
) -> None:
    deploy(tmp_path, "1.0.0")
    deploy(tmp_path, "1.0.1")
    old, moment = place.deployed[0], int(time.time()) + 1
    place.runs["iris"], place.own = old, targets.Return("1.0.1", old, "3 of 40 requests failed", moment)
    assert "production went back to 1.0.0, 1.0.1 failed after" in mlops("deployments", "iris", "--check").err
    mlops("deployments", "iris", "--check")
    newest, *others = mlops("deployments", "iris", "--json").value
    assert (newest["action"], newest["before"], newest["number"]) == ("return", "1.0.1", "1.0.0")
    assert newest["why"] == "1.0.1 failed after its deployment: 3 of 40 requests failed" and len(others) == 2
    assert alias(two) == "1.0.0"
    nothing = mlops("rollback", "iris", "--reason", "x")
    assert "1.0.0 is the first that was deployed" in nothing.error


def test_an_unknown_environment_is_refused_with_those_that_there_are(project: Project) -> None:
    with pytest.raises(Exception, match="no environment 'test' in config/project.yaml; there are: production, staging"):
        targets.of(project, "test")
