"""The deployment log: complete, written once, and the aliases follow what really runs."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from command import mlops

from mlops import tracking
from mlops.config import Project
from mlops.errors import UserError
from mlops.registry import aliases, deployment_log, versions
from mlops.registry.deployment_log import DEPLOYED, REFUSED, RETURNED, VERIFIED, Deployment, Step


def entry(number: str, result: str = DEPLOYED, environment: str = "production", **other) -> Deployment:
    """A deployment of iris."""
    alias = environment if result == DEPLOYED else ""
    given = {"action": "deploy", "image": f"registry/iris@{number}", "bundle": "b" * 64, "tag": "v1", "before": None}
    return Deployment("iris", environment, result=result, number=number, who="Ann", why="tests", alias=alias, **given | other)


def alias_of(project: Project, name: str) -> str | None:
    with tracking.open_store(project) as client:
        version = versions.by_alias(versions.all_of(client, "iris"), name)
    return version.number if version else None


def test_what_is_recorded_is_read_back_the_newest_first_and_the_alias_follows(two: Project) -> None:
    first, second = entry("1.0.0"), entry("1.0.1", before="1.0.0")
    deployment_log.record(two, [first])
    assert alias_of(two, "production") == "1.0.0"
    deployment_log.record(two, [second])
    assert deployment_log.history(two, "iris") == [second, first]
    assert alias_of(two, "production") == "1.0.1" and alias_of(two, "staging") is None
    with tracking.open_store(two) as client:
        newest = aliases.log(client, "iris")[0]
    assert (newest.alias, newest.before, newest.after, newest.why) == ("production", "1.0.0", "1.0.1", "deploy: tests")


@pytest.mark.parametrize("letter", ["Ж", '"', "\x01", "\udcff"])
def test_an_entry_fits_into_what_a_database_keeps_of_a_tag(two: Project, letter: str) -> None:
    item = replace(entry("1.0.0"), why=letter * 900, message=letter * 9000)
    deployment_log.record(two, [item])
    assert deployment_log.record(two, [item]) == []
    with tracking.open_store(two) as client:
        tags = client.get_registered_model("iris").tags
    assert max(map(len, tags.values())) <= 5000
    (kept,) = deployment_log.history(two, "iris")
    assert replace(kept, why="", message="") == replace(item, why="", message="")
    assert kept.message.endswith("…") and (letter != "Ж" or kept.why == item.why)


def test_recording_twice_changes_nothing(two: Project) -> None:
    first, second = entry("1.0.0"), entry("1.0.1")
    deployment_log.record(two, [first, second])
    with tracking.open_store(two) as client:
        before = client.get_registered_model("iris").tags
    assert deployment_log.record(two, [first, second]) == []
    assert deployment_log.record(two, [first]) == []
    with tracking.open_store(two) as client:
        assert client.get_registered_model("iris").tags == before
    assert alias_of(two, "production") == "1.0.1"


def test_a_crash_between_entry_and_alias_is_healed_by_recording_again(two: Project, monkeypatch) -> None:
    item = entry("1.0.0")
    with monkeypatch.context() as crash, pytest.raises(KeyboardInterrupt):
        crash.setattr(aliases, "move", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        deployment_log.record(two, [item])
    assert alias_of(two, "production") is None
    assert deployment_log.record(two, [item]) == []
    assert alias_of(two, "production") == "1.0.0"


@pytest.mark.parametrize("result", [VERIFIED, RETURNED, REFUSED])
def test_no_alias_moves_where_nothing_was_deployed(two: Project, result: str) -> None:
    deployment_log.record(two, [entry("1.0.0"), entry("1.0.1", result)])
    assert alias_of(two, "production") == "1.0.0"
    assert [item.result for item in deployment_log.history(two, "iris")] == [result, DEPLOYED]


def test_a_version_that_the_store_does_not_have_is_refused(two: Project) -> None:
    with pytest.raises(UserError, match="no version '9.9.9'"):
        deployment_log.record(two, [entry("9.9.9")])
    assert deployment_log.history(two, "iris") == []


@pytest.mark.parametrize(
    "live, back",
    [
        ([], None),
        (["1"], None),
        (["1", "1"], None),
        (["1", "2"], "1"),
        (["1", "2", "3"], "2"),
        (["1", "2", "3", "2"], "1"),
        (["1", "2", "1"], None),
        (["1", "2", "1", "3"], "1"),
    ],
)
def test_a_version_that_was_gone_back_from_is_never_gone_back_to(live: list[str], back: str | None) -> None:
    steps = [Step(before, number) for before, number in zip([None, *live], live, strict=False)]
    assert deployment_log.before(steps, live[-1] if live else "") == back


@pytest.mark.parametrize(
    "steps, now, back",
    [
        ([(None, "1")], "2", "1"),  # 2 was deployed with --no-record
        ([("1", "2")], "2", "1"),  # 1 was
        ([("1", "2"), (None, "1")], "2", "1"),  # the clock of who deployed 2 is a day behind
        ([(None, "1"), ("1", "2")], "3", "2"),
        ([(None, "1"), ("1", "2")], "1", None),  # somebody went back and did not record it
    ],
)
def test_what_is_live_now_decides_whatever_the_log_lacks(steps: list, now: str, back: str | None) -> None:
    assert deployment_log.before([Step(*step) for step in steps], now) == back


def test_a_result_file_is_recorded_by_the_command_and_others_are_refused(two: Project, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    deployment_log.write_result(file, [entry("1.0.0"), entry("1.0.0", VERIFIED, "staging")])
    assert len(mlops("deployments", "--record", file, "--json").value) == 2
    again = mlops("deployments", "iris", "--record", file, "--json")
    assert len(again.value) == 2 and "holds this already" in again.err
    assert [item["environment"] for item in mlops("deployments", "iris", "--to", "staging", "--json").value] == ["staging"]
    table = mlops("deployments", "iris").out
    assert {"staging", "verified,", "1.0.0", "Ann:"} <= set(table.split())
    for content, message in (("{", "is not JSON"), ("[]", "an object is expected"), ("{}", "is not a result")):
        file.write_text(content)
        assert message in mlops("deployments", "--record", file).error
    item = asdict(entry("1.0.0"))
    del item["who"]
    file.write_text(json.dumps({"deployments": [item]}))
    assert "is not a result" in mlops("deployments", "--record", file).error
    assert "cannot be read" in mlops("deployments", "--record", tmp_path / "none").error


def test_the_log_of_a_use_case_that_is_not_registered_is_empty_and_of_an_unknown_one_an_error(two: Project) -> None:
    assert mlops("deployments", "ridership", "--json").value == []
    assert "no use case 'rose'" in mlops("deployments", "rose").error


def test_rollback_without_a_target_moves_the_alias_of_the_registry_back(two: Project) -> None:
    result = mlops("rollback", "iris", "--alias", "champion", "--reason", "wrong on small flowers", "--json")
    assert (result.code, result.value[0]["number"], result.value[0]["before"]) == (0, "1.0.0", "1.0.1")
    assert alias_of(two, "champion") == "1.0.0"
    again = mlops("rollback", "iris", "--alias", "champion", "--reason", "still wrong")
    assert (again.code, "1.0.0 is the first champion" in again.error) == (2, True)
    assert mlops("rollback", "iris", "--alias", "champion", "--to", "1.0.1", "--reason", "it was right").code == 0
    assert alias_of(two, "champion") == "1.0.1"
    assert [item.result for item in deployment_log.history(two, "iris")] == ["alias moved"] * 2


def test_an_alias_that_was_moved_past_the_log_goes_back_from_where_it_points(two: Project) -> None:
    mlops("rollback", "iris", "--alias", "champion", "--to", "1.0.0", "--reason", "wrong")
    with tracking.open_store(two) as client:
        newest = versions.choose("iris", versions.all_of(client, "iris"), "1.0.1")
        client.set_registered_model_alias("iris", "champion", newest.version)  # as in MLflow's own page: no line in the log
    back = mlops("rollback", "iris", "--alias", "champion", "--reason", "still wrong", "--json")
    assert (back.code, back.value[0]["before"], back.value[0]["number"]) == (0, "1.0.1", "1.0.0")


def test_rollback_refuses_where_there_is_nothing_to_go_back_to(two: Project, tmp_path: Path) -> None:
    nothing = mlops("rollback", "iris", "--reason", "x")
    assert (nothing.code, "there is no alias 'production'; --alias champion" in nothing.error) == (2, True)
    assert (
        "points at 1.0.1 already" in mlops("rollback", "iris", "--alias", "champion", "--to", "1.0.1", "--reason", "x").error
    )
    assert "no environment 'test'" in mlops("rollback", "iris", "--environment", "test", "--reason", "x").error
    assert "--reason is empty" in mlops("rollback", "iris", "--reason", " ").error
    long = mlops("rollback", "iris", "--reason", "x" * 1001)
    assert "1000 are kept" in long.error


def test_rollback_can_leave_the_store_to_a_transaction(two: Project, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    mlops("rollback", "iris", "--alias", "champion", "--reason", "x", "--no-record", "--result", file)
    assert alias_of(two, "champion") == "1.0.1"
    mlops("deployments", "--record", file)
    assert alias_of(two, "champion") == "1.0.0"


def test_entries_of_a_later_version_are_shown_with_what_is_known(two: Project) -> None:
    item = entry("1.0.0")
    with tracking.open_store(two) as client:
        client.set_registered_model_tag("iris", f"deploy.{item.stamp}", json.dumps({**asdict(item), "later": 1}))
    assert deployment_log.history(two, "iris") == [replace(item)]


def test_before_the_first_deployment_there_is_a_sentence_and_no_empty_table(two: Project) -> None:
    done = mlops("deployments", "iris")
    assert (done.code, done.out, done.err.splitlines()[-1]) == (0, "", "nothing was deployed yet")
    assert mlops("deployments", "iris", "--json").value == []
