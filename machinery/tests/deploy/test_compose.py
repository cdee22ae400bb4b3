"""A service is replaced on a host with Docker Engine: no request fails, and the old one is back when the new one fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest
from host import COUNTED, HERE, ROOT, answering, answers, interrupted, names, sed
from load import Load

from mlops.deploy.compose import ComposeTarget
from mlops.deploy.targets import DeployFailed
from mlops.errors import UserError

pytestmark = pytest.mark.docker


def test_first_deploy_replace_and_rollback_under_load_lose_no_request(images, make, row) -> None:
    target = make()
    assert target.running("iris") is None
    assert target.deploy(images["1.0.0"]) == target.address("iris")
    assert target.running("iris") == images["1.0.0"]
    with Load(target.address("iris"), row) as load:
        time.sleep(1)
        assert load.versions() == {"1.0.0"}
        target.deploy(images["1.0.1"])
        assert target.running("iris") == images["1.0.1"]
        assert load.versions() == {"1.0.0", "1.0.1"}
        time.sleep(0.5)
        assert load.versions() == {"1.0.1"}
        target.deploy(images["1.0.0"])
        time.sleep(0.5)
    assert not load.errors
    assert answering(target) == "1.0.0" and target.running("iris") == images["1.0.0"]
    assert sorted(names(target).values()) == ["exited", "running", "running"]


BROKEN = {
    "another answer": sed("scoring.py", '"model": scorer.bundle.name', '"model": "x", "predictions": ["no-flower"]'),
    "it ends at once": ('ENTRYPOINT ["python", "-c", "raise SystemExit(\'no model today\')"]',),
    "200 to bad input": sed("replies.py", "Reply(refused.status, ", "Reply(200, "),
}


@pytest.mark.parametrize("why", BROKEN)
def test_an_image_whose_contract_fails_never_answers_and_the_old_one_stays(images, make, worse, row, why: str) -> None:
    target = make()
    target.deploy(images["1.0.0"])
    bad = worse(*BROKEN[why])
    with Load(target.address("iris"), row) as load:
        with pytest.raises(DeployFailed, match="contract is broken|no model today"):
            target.deploy(bad)
    assert not load.errors and set(load.answers) == {"1.0.0"}
    assert target.running("iris") == images["1.0.0"]
    assert sorted(names(target).values()) == ["running", "running"]


FAILS = {
    "it crashes": ("import os; os._exit(3)", "the container ended with 3"),
    "it hangs": ("import time; time.sleep(600)", "/metrics of the new service: no answer within 5 s"),
}


@pytest.mark.parametrize("how", FAILS)
def test_a_service_that_fails_while_it_is_watched_is_replaced_by_the_old_one_and_no_request_is_lost(
    images, make, worse, row, how: str
) -> None:
    code, reason = FAILS[how]
    target = make(watch=60)
    target.deploy(images["1.0.0"])
    fails = sed("service.py", COUNTED, f"{COUNTED}    if service.requests > 300: {code}\n")
    with Load(target.address("iris"), row) as load:
        with pytest.raises(DeployFailed, match=f"with all requests: {reason}"):
            target.deploy(worse(*fails))
        time.sleep(0.5)
    assert load.answers["1.0.1"] > 100
    assert not load.errors
    assert target.running("iris") == images["1.0.0"] and answering(target) == "1.0.0"
    assert sorted(names(target).values()) == ["running", "running"]


def test_a_share_is_given_first_and_errors_in_it_end_the_trial(images, make, worse, row) -> None:
    target = make(share={"percent": 20, "seconds": 3})
    target.deploy(images["1.0.0"])
    fails = sed("service.py", COUNTED, f"{COUNTED}    if service.requests > 30: raise OSError\n")
    with Load(target.address("iris"), row) as load:
        with pytest.raises(DeployFailed, match=r"with 20 % of the requests: \d+ of \d+ requests failed, more than 1\.0%"):
            target.deploy(worse(*fails))
    assert set(load.errors) == {"500"} and load.errors["500"] < 0.3 * sum(load.answers.values())
    assert answering(target) == "1.0.0"
    with Load(target.address("iris"), row) as load:
        target.deploy(images["1.0.1"])
    assert not load.errors and set(load.answers) == {"1.0.0", "1.0.1"}
    assert answering(target) == "1.0.1"


def test_logged_requests_are_asked_again_of_both(images, make, worse, row, capsys) -> None:
    target = make(shadow={"requests": 50, "differ": 0.1})
    target = ComposeTarget(
        target.project, "production", target.settings.model_copy(update={"prediction_log": target.name("iris")})
    )
    target.deploy(images["1.0.0"])
    target.deploy(images["1.0.1"])  # nobody asked yet but the contract
    assert "the prediction log of the old service is empty, nothing was compared" in " ".join(capsys.readouterr().err.split())
    target.deploy(images["1.0.0"])
    with Load(target.address("iris"), row):
        time.sleep(1)
    HERE.remove(*(item.id for item in target.containers("iris") if not item.runs))  # 1.0.1 counts as new again
    target.deploy(images["1.0.1"])
    assert "shadow: 0 of 50 logged requests are answered differently" in capsys.readouterr().err.replace("\n", " ")
    now = next(item for item in target.containers("iris") if item.runs)
    kept = HERE("exec", now.id, "cat", f"/predictions/{now.name}/iris.shadow.jsonl").splitlines()
    pair = json.loads(kept[-1])
    assert len(kept) == 50 and (pair["version"], pair["shadow_version"]) == ("1.0.0", "1.0.1")
    assert pair["prediction"] == pair["shadow"] and pair["inputs"].keys() == row.keys() and pair["request"]
    with Load(target.address("iris"), row):
        time.sleep(1)
    # It answers the contract's rows well, and other rows differently.
    other = sed("scoring.py", '{"predictions": _listed(outputs, finite=True)', '{"predictions": OTHER(rows, _listed(outputs))')
    other += sed(
        "scoring.py", "JSON, CSV =", "OTHER = lambda rows, outputs: outputs if rows.matrix[0, 0] < 90 else ['x']\nJSON, CSV ="
    )
    with Load(target.address("iris"), {**row, "sepal_length": 99.0}):
        time.sleep(1)
    with pytest.raises(DeployFailed, match="shadow: 50 of 50 logged requests are answered differently.*more than the 10%"):
        target.deploy(worse(*other))
    assert answering(target) == "1.0.1"


def test_two_deployments_at_once_the_second_waits_or_is_refused(images, make) -> None:
    target = make()
    target.deploy(images["1.0.0"])
    hasty = ComposeTarget(target.project, "production", target.settings.model_copy(update={"wait": 0.0}))
    first = threading.Thread(target=target.deploy, args=(images["1.0.1"],))
    first.start()
    lock = f"{target.name('iris')}-lock"
    while not (HERE.inspect(lock) or {"State": {"Running": False}})["State"]["Running"]:
        assert first.is_alive()
    with pytest.raises(UserError, match="another deployment, by .* is at work on this machine"):
        hasty.deploy(images["1.0.0"])
    target.deploy(images["1.0.0"])
    assert not first.is_alive() or first.join() is None
    assert answering(target) == "1.0.0"
    deadline = time.monotonic() + 20
    while HERE.inspect(lock) is not None:  # Docker removes it in its own time
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_deployment_that_is_killed_leaves_no_lock_and_the_next_one_clears_up(images, make) -> None:
    target = make(watch=60)
    target.deploy(images["1.0.0"])
    interrupted(target, images["1.0.1"], signal.SIGKILL)
    assert target.running("iris") == images["1.0.0"]
    quick = ComposeTarget(target.project, "production", target.settings.model_copy(update={"watch": 0.5}))
    quick.deploy(images["1.0.1"])
    assert answering(target) == "1.0.1"
    assert sorted(names(target).values()) == ["exited", "running", "running"]


def test_a_deployment_that_is_interrupted_goes_back_first(images, make, row) -> None:
    target = make(watch=60)
    target.deploy(images["1.0.0"])
    with Load(target.address("iris"), row) as load:
        interrupted(target, images["1.0.1"], signal.SIGINT)
        load.versions()
        time.sleep(0.3)
    assert not load.errors and set(load.answers) == {"1.0.0"}
    assert target.running("iris") == images["1.0.0"]
    assert sorted(names(target).values()) == ["running", "running"]


def test_what_was_started_by_hand_is_taken_over_without_a_failed_request(images, make, row) -> None:
    command = next((words for words in (["docker", "compose"], ["docker-compose"]) if has(words)), None)
    if command is None:
        pytest.skip("no docker compose here")
    target = make()
    port = str(target.settings.ports["iris"])
    given = {"PROJECT": target.project.name, "IMAGE": images["1.0.0"].image, "PORT": port}
    up = [
        *command,
        "--project-name",
        target.name("iris"),
        "--file",
        str(ROOT / "machinery/src/mlops/deploy/compose/compose.yaml"),
        "up",
        "--detach",
    ]
    subprocess.run(up, env={**os.environ, **given}, check=True, capture_output=True)
    deadline = time.monotonic() + 30
    while target.running("iris") != images["1.0.0"] or not answers(target):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    with Load(target.address("iris"), row) as load:
        target.deploy(images["1.0.1"])
    assert not load.errors and answering(target) == "1.0.1"
    HERE.run("image", "rm", f"{target.name('iris')}_proxy", f"{target.name('iris')}-proxy")


def has(words: list[str]) -> bool:
    """Whether a form of docker compose is installed."""
    return shutil.which(words[0]) is not None and subprocess.run([*words, "version"], capture_output=True).returncode == 0


def test_only_the_service_that_proved_itself_is_restarted_with_the_engine_and_the_proxy_finds_it(images, make, row) -> None:
    target = make()
    for number in ("1.0.0", "1.0.1"):
        target.deploy(images[number])
    policies = {item.service.number: (item.proven, item.runs, item.slot) for item in target.containers("iris")}
    assert policies == {"1.0.1": (True, True, "green"), "1.0.0": (False, False, "blue")}
    # What a restart of the engine does to the containers that it restarts.
    HERE("restart", f"{target.name('iris')}-proxy", next(item.id for item in target.containers("iris") if item.runs))
    deadline = time.monotonic() + 20
    while not answers(target):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert answering(target) == "1.0.1"
    with Load(target.address("iris"), row) as load:
        target.deploy(images["1.0.0"])
    assert not load.errors and answering(target) == "1.0.0"


def test_a_first_deployment_that_fails_leaves_nothing(images, make, worse) -> None:
    target = make()
    with pytest.raises(DeployFailed, match="no model today"):
        target.deploy(worse(*BROKEN["it ends at once"]))
    assert names(target) == {} and target.running("iris") is None


def test_an_image_that_holds_another_version_is_refused_before_it_is_started(images, make) -> None:
    target = make()
    target.deploy(images["1.0.0"])
    with pytest.raises(DeployFailed, match=r"holds iris 1\.0\.0 .* not iris 1\.0\.1"):
        target.deploy(images["1.0.1"]._replace(image=images["1.0.0"].image))
    assert target.running("iris") == images["1.0.0"]
