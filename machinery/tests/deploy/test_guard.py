"""The watch goes on after the deployment has ended, in the proxy, with nobody of ours alive."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from host import COUNTED, HERE, answering, names, sed
from load import Load

from mlops.deploy.compose import ComposeTarget

pytestmark = pytest.mark.docker
LATER = {
    "it crashes": ("import os; os._exit(3)", "found down"),
    "it answers 500": ("raise OSError", "requests failed"),
    "it hangs": ("import time; time.sleep(60)", "found down"),
}


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Return when a condition holds; fail where it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize("how", LATER)
def test_a_version_that_fails_after_its_deployment_is_left_and_the_reason_is_kept(images, make, worse, row, how: str) -> None:
    code, reason = LATER[how]
    target = make(guard=60, watch=1.0)
    target.deploy(images["1.0.0"])
    bad = worse(*sed("service.py", COUNTED, f"{COUNTED}    if service.requests > 400: {code}\n"))
    with Load(target.address("iris"), row, rate=50) as load:
        target.deploy(bad)
        assert target.running("iris") == bad and target.returned("iris") is None
        wait_for(lambda: target.returned("iris") is not None, 40)
        load.versions()
        wait_for(lambda: load.versions() == {"1.0.0"}, 8)
    assert answering(target) == "1.0.0"
    returned = target.own_return("iris")
    assert returned and (returned.left, returned.service) == ("1.0.1", images["1.0.0"]) and reason in returned.reason
    assert target.running("iris") == images["1.0.0"]
    (fault,) = [line for line in target.check("iris") if "was left after its deployment" in line]
    assert "1.0.0 answers again" in fault
    target.repair("iris")
    assert sorted(names(target).values()) == ["exited", "running", "running"]
    assert target.own_return("iris") is None and target.check("iris") == [] and answering(target) == "1.0.0"


def test_the_old_service_stops_by_itself_when_the_time_is_over(images, make, row) -> None:
    target = make(guard=3)
    target.deploy(images["1.0.0"])
    with Load(target.address("iris"), row, rate=50) as load:
        target.deploy(images["1.0.1"])
        assert sorted(names(target).values()) == ["running"] * 3
        wait_for(lambda: sorted(names(target).values()) == ["exited", "running", "running"], 40)
    assert not load.errors and answering(target) == "1.0.1" and target.running("iris") == images["1.0.1"]


def test_the_next_deployment_ends_the_watch_and_keeps_the_old_service_to_go_back_to(images, make) -> None:
    target: ComposeTarget = make(guard=60)
    target.deploy(images["1.0.0"])
    target.deploy(images["1.0.1"])
    target.deploy(images["1.0.0"])
    assert answering(target) == "1.0.0" and target.running("iris") == images["1.0.0"]
    HERE("restart", f"{target.name('iris')}-proxy")
    wait_for(lambda: target.check("iris") == [], 20)
