"""Aliases: moved last, logged with who and why, and what happens when the process ends between the steps."""

from collections.abc import Callable

import pytest
from mlflow import MlflowClient

from mlops import tracking
from mlops.config import Project
from mlops.errors import UserError
from mlops.registry import aliases, manual_moves, versions
from mlops.registry.register import Outcome

OTHER = ("parameters.regularisation=1.5",)
THIRD = ("parameters.regularisation=2.5",)

Run = Callable[..., Outcome]


def stop(*_: object, **__: object) -> None:
    """What stands for a crash."""
    raise KeyboardInterrupt


def champion(known: list[versions.Version]) -> str:
    """The number that the alias champion points at."""
    return versions.choose("iris", known, "champion").number


def test_a_crash_before_the_alias_moves_leaves_it_at_the_old_version_and_the_next_run_heals(
    registered: Project, run: Run, stored, load, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as crash, pytest.raises(KeyboardInterrupt):
        crash.setattr(MlflowClient, "set_registered_model_alias", stop)
        run(registered, *OTHER)
    known = stored(registered)
    assert [version.number for version in known] == ["1.0.1", "1.0.0"]
    assert champion(known) == "1.0.0"
    assert load(registered, known[0]) == 51
    healed = run(registered, *OTHER)
    assert not healed.created
    assert champion(stored(registered)) == "1.0.1"


@pytest.mark.servers
@pytest.mark.parametrize("step", ["log_artifacts", "log_model_artifacts", "create_model_version", "set_model_version_tag"])
def test_a_crash_on_the_way_to_a_version_leaves_none_and_the_next_run_makes_it(
    registered: Project, run: Run, stored, load, monkeypatch: pytest.MonkeyPatch, step: str
):
    with monkeypatch.context() as crash, pytest.raises(KeyboardInterrupt):
        crash.setattr(MlflowClient, step, stop)
        run(registered, *OTHER)
    assert [version.number for version in stored(registered)] == ["1.0.0"]
    assert run(registered, *OTHER).version.number == "1.0.1"
    assert load(registered, stored(registered)[0]) == 51
    with tracking.open_store(registered) as client:
        assert len(client.search_model_versions("name = 'iris'")) == 2
        runs = client.search_runs([client.get_experiment_by_name("iris").experiment_id])
    assert {run.info.status for run in runs} <= {"FINISHED", "KILLED"}


def test_every_move_is_logged_with_who_why_from_and_to(registered: Project, run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GITHUB_ACTOR", "ann")
    run(registered, *OTHER)
    manual_moves.move(registered, "iris", "champion", "1.0.0", "1.0.1 is slow")
    with tracking.open_store(registered) as client:
        log = aliases.log(client, "iris")
    assert [(move.alias, move.before, move.after) for move in log] == [
        ("champion", "1.0.1", "1.0.0"),
        ("champion", "1.0.0", "1.0.1"),
        ("champion", None, "1.0.0"),
    ]
    assert (log[0].who, log[0].why) == ("ann", "1.0.1 is slow")
    assert log[1].why == "mlops run on main"
    assert log[0].when >= log[1].when >= log[2].when


@pytest.mark.parametrize("alias", ["LATEST", "V1", "x" * 300])
def test_a_name_that_mlflow_refuses_is_one_line_and_no_move(registered: Project, command, alias: str):
    result = command("alias", "iris", alias, "1.0.0", "--reason", "x")
    assert result.code == 2 and "may not be used" in result.err and len(result.err.splitlines()) == 1
    with tracking.open_store(registered) as client:
        (version,) = versions.all_of(client, "iris")
        with pytest.raises(UserError, match="may not be used"):
            aliases.move(client, [version], alias, version, "x")
        assert len(aliases.log(client, "iris")) == 1


@pytest.mark.parametrize("moved", [False, True])
def test_a_move_stays_in_the_log_only_if_it_was_made(registered: Project, monkeypatch: pytest.MonkeyPatch, moved: bool):
    """The answer of a server may be lost on the way though the alias has moved."""
    move = MlflowClient.set_registered_model_alias

    def fail(*given):
        if moved:
            move(*given)
        raise ValueError("no answer")

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", fail)
    with pytest.raises(ValueError, match="no answer"):
        manual_moves.move(registered, "iris", "staging", "1.0.0", "x")
    with tracking.open_store(registered) as client:
        assert len(aliases.log(client, "iris")) == 1 + moved


def test_a_long_reason_fits_into_the_log_and_is_read_back(registered: Project):
    manual_moves.move(registered, "iris", "staging", "1.0.0", "Причина " * 2000)
    with tracking.open_store(registered) as client:
        tags = client.get_registered_model("iris").tags
        newest = aliases.log(client, "iris")[0]
    assert max(map(len, tags.values())) <= 5000
    assert newest.why.startswith("Причина Причина") and newest.why.endswith("…") and len(newest.why) > 4500


@pytest.mark.parametrize("error", [KeyError, OSError])
def test_a_user_without_a_name_is_named_by_number(environment: None, monkeypatch: pytest.MonkeyPatch, error: type[Exception]):
    def getuser():
        raise error("uid not found: 12345")

    monkeypatch.setattr(aliases.getpass, "getuser", getuser)
    monkeypatch.setattr(aliases.os, "getuid", lambda: 12345)
    assert aliases.who() == "uid-12345"


def test_an_alias_that_is_there_already_is_not_moved_and_not_logged(registered: Project):
    moved, version = manual_moves.move(registered, "iris", "champion", "1.0.0", "again")
    assert moved is None and version.number == "1.0.0"
    with tracking.open_store(registered) as client:
        assert len(aliases.log(client, "iris")) == 1


def test_a_version_in_use_is_not_archived(registered: Project):
    with pytest.raises(UserError, match=r"iris 1\.0\.0 \(champion\) is in use; move its aliases first"):
        manual_moves.archive(registered, "iris", "1.0.0", "old")


def test_an_archived_version_says_why_and_takes_no_alias(registered: Project, run: Run):
    run(registered, *OTHER)
    assert manual_moves.archive(registered, "iris", "1.0.0", "superseded").tags["archived"].endswith(": superseded")
    with pytest.raises(UserError, match=r"iris 1\.0\.0 is archived \(.*superseded\)"):
        manual_moves.move(registered, "iris", "staging", "1.0.0", "try it")


def test_an_unknown_version_is_named_with_those_that_there_are(registered: Project):
    with pytest.raises(UserError, match=r"no version '1\.0\.3', did you mean '1\.0\.0'\?; there are: 1\.0\.0, champion"):
        manual_moves.move(registered, "iris", "staging", "1.0.3", "typo")


@pytest.mark.servers
def test_two_processes_on_a_server_give_one_key_one_version(fresh: Project, run: Run, stored, monkeypatch):
    on_a_server(fresh, monkeypatch)
    outcomes = race(monkeypatch, lambda: run(fresh, *OTHER), lambda: run(fresh, *OTHER))
    assert {outcome.version.number for outcome in outcomes} == {"1.0.0"}
    assert sorted(outcome.created for outcome in outcomes) == [False, True]
    assert [version.number for version in stored(fresh)] == ["1.0.0"]


@pytest.mark.servers
def test_two_processes_on_a_server_give_two_keys_two_numbers(fresh: Project, run: Run, stored, load, monkeypatch):
    on_a_server(fresh, monkeypatch)
    outcomes = race(monkeypatch, lambda: run(fresh, *OTHER), lambda: run(fresh, *THIRD))
    assert {outcome.version.number for outcome in outcomes} == {"1.0.0", "1.0.1"}
    known = stored(fresh)
    assert sorted(version.number for version in known) == ["1.0.0", "1.0.1"]
    assert [load(fresh, version) for version in known] == [51, 51]
    with tracking.open_store(fresh) as client:
        assert {client.get_run(version.run_id).info.run_name for version in known} == {"iris 1.0.0", "iris 1.0.1"}


def test_the_remains_of_a_crash_on_a_server_are_waited_for_and_then_removed(fresh: Project, run: Run, stored, monkeypatch):
    on_a_server(fresh, monkeypatch)
    monkeypatch.setattr(versions, "PATIENCE", 0.3)
    with monkeypatch.context() as crash, pytest.raises(KeyboardInterrupt):
        crash.setattr(MlflowClient, "set_model_version_tag", stop)
        run(fresh, *OTHER)
    assert run(fresh, *THIRD).version.number == "1.0.0"
    with tracking.open_store(fresh) as client:
        assert len(client.search_model_versions("name = 'iris'")) == 1


def on_a_server(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the project use a store that is not the embedded one, so that no lock keeps two processes apart."""
    project.store.rename(project.root / "server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.root}/server/{tracking.DATABASE}")
    monkeypatch.chdir(project.root / "server")


def race(monkeypatch: pytest.MonkeyPatch, first: Callable[[], Outcome], second: Callable[[], Outcome]) -> list[Outcome]:
    """Run two registrations so that the second goes its whole way just before the first makes its version."""
    create, outcomes = MlflowClient.create_model_version, []

    def overtaken(self: MlflowClient, *arguments, **named):
        monkeypatch.setattr(MlflowClient, "create_model_version", create)
        outcomes.append(second())
        return create(self, *arguments, **named)

    monkeypatch.setattr(MlflowClient, "create_model_version", overtaken)
    return [first(), *outcomes]
