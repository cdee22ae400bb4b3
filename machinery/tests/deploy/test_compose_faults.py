"""What goes wrong on a host with Docker Engine: what answered before still does, and the cause is in the message."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from host import HERE, answering, names
from load import Load

from mlops.deploy.compose import ComposeTarget
from mlops.deploy.targets import DeployFailed
from mlops.errors import UserError

pytestmark = pytest.mark.docker
MISERLY = ("USER 0:0", 'ENTRYPOINT ["python", "-c", "x = bytearray(10**9); print(sum(x[::4096]))"]', "USER 65532:65532")


def changed(target: ComposeTarget, **settings) -> ComposeTarget:
    """The same environment, configured otherwise."""
    return ComposeTarget(target.project, target.environment, target.settings.model_copy(update=settings))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_a_taken_port_leaves_the_service_where_it_answers(images, make, row) -> None:
    target = make()
    target.deploy(images["1.0.0"])
    with socket.create_server(("127.0.0.1", 0)) as taken, Load(target.address("iris"), row) as load:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf":{port} on this machine is taken .* under deploy\.production\.compose\.ports"):
            changed(target, ports={"iris": port}).deploy(images["1.0.1"])
        time.sleep(0.5)
    assert not load.errors and answering(target) == "1.0.0"
    assert sorted(names(target).values()) == ["running", "running"]


def test_a_port_that_is_moved_is_left_after_the_new_version_answers_at_the_next_one(images, make, worse, row) -> None:
    target = make()
    target.deploy(images["1.0.0"])
    moved = changed(target, ports={"iris": free_port()})
    with Load(target.address("iris"), row) as load:
        with pytest.raises(DeployFailed):
            moved.deploy(worse('ENTRYPOINT ["false"]'))
        time.sleep(0.3)
    assert not load.errors and answering(target) == "1.0.0"
    moved.deploy(images["1.0.1"])
    assert answering(moved) == "1.0.1"
    with pytest.raises(OSError):
        answering(target)
    assert set(names(target)) >= {"-proxy"} and not any(name.endswith("-next") for name in names(target))


def test_an_address_of_the_same_port_that_cannot_be_had_leaves_the_service_where_it_answers(images, make) -> None:
    target = make()
    target.deploy(images["1.0.0"])
    with pytest.raises(UserError):
        changed(target, bind="192.0.2.1").deploy(images["1.0.1"])
    assert answering_soon(target) == "1.0.0"


def answering_soon(target: ComposeTarget, seconds: float = 10) -> str:
    """The number that answers, once something does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return answering(target)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_a_proxy_of_another_environment_with_the_same_name_is_not_touched(images, make) -> None:
    target = make()
    target.deploy(images["1.0.0"])
    other = target.project.model_copy(update={"name": f"{target.project.name}-production", "deploy": {}})
    twin = ComposeTarget(other, "iris", target.settings.model_copy(update={"ports": {"": free_port()}}))
    assert twin.name("").rstrip("-") == f"{target.project.name}-production-iris"
    same = ComposeTarget(target.project, "production_iris", target.settings)
    object.__setattr__(same, "name", lambda use_case: target.name("iris"))
    with pytest.raises(UserError, match="is not this environment's .*: rename the project or the environment"):
        same.deploy(images["1.0.1"])
    assert answering(target) == "1.0.0"


def test_a_removed_proxy_is_reported_with_the_command_that_repairs_it(images, make) -> None:
    target = make()
    assert target.check("iris") == []
    target.deploy(images["1.0.0"])
    assert target.check("iris") == []
    HERE.remove(f"{target.name('iris')}-proxy")
    (fault,) = target.check("iris")
    assert fault.endswith("1.0.0 runs behind it; mlops deployments iris --to production --repair")
    with socket.create_server(("127.0.0.1", target.port("iris"))), pytest.raises(UserError, match="taken .*yaml$"):
        target.repair("iris")
    assert target.repair("iris") == target.address("iris")
    assert target.check("iris") == [] and answering(target) == "1.0.0"
    assert target.running("iris") == images["1.0.0"]


def test_a_service_that_ended_is_reported_with_its_cause(images, make) -> None:
    target = make()
    target.deploy(images["1.0.0"])
    container = next(item for item in target.containers("iris") if item.runs)
    HERE("stop", container.id)
    (fault,) = target.check("iris")
    assert fault.startswith("no service of iris runs in production") and "mlops deploy iris --to production" in fault


def test_a_service_that_hangs_is_reported_and_can_be_replaced(images, make) -> None:
    target = make()
    target.deploy(images["1.0.0"])
    hung = next(item for item in target.containers("iris") if item.runs)
    HERE("pause", hung.id)
    time.sleep(5)  # until the proxy has found it down
    (fault,) = target.check("iris")
    assert fault.startswith("iris 1.0.0 runs in production and does not answer") and f"docker restart {hung.name}" in fault
    with pytest.raises(UserError, match="iris 1.0.0 runs in production and does not answer"):
        target.repair("iris")
    target.deploy(images["1.0.1"])
    assert answering(target) == "1.0.1" and target.check("iris") == []


def test_a_paused_proxy_is_reported_and_repaired(images, make) -> None:
    target = make()
    target.deploy(images["1.0.0"])
    HERE("pause", f"{target.name('iris')}-proxy")
    (fault,) = target.check("iris")
    assert "-proxy is paused" in fault and fault.endswith("--repair")
    assert target.repair("iris") == target.address("iris") and answering(target) == "1.0.0"


def test_an_end_for_lack_of_memory_is_named_with_the_limit(images, make, worse) -> None:
    target = make(memory="64m")
    reason = r"out of memory, it needs more than its limit of 64 MB; raise deploy\.production\.compose\.memory"
    with pytest.raises(DeployFailed, match=reason):
        target.deploy(worse(*MISERLY))
    assert names(target) == {}


def test_a_folder_for_the_log_that_is_missing_is_named(images, make, tmp_path: Path) -> None:
    target = make(prediction_log=str(tmp_path / "missing"))
    with pytest.raises(UserError, match=f"the folder {tmp_path}/missing does not exist on this machine: create it there"):
        target.deploy(images["1.0.0"])
