"""What a registration does, and what it refuses."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from variants import OTHER, WEAK, Stored, aliases

from mlops import pipeline, tracking
from mlops.config import Project
from mlops.errors import StoreUnreachable, UserError
from mlops.git import git
from mlops.registry import manual_moves
from mlops.registry import register as register_module
from mlops.registry.prune import prune
from mlops.registry.register import REQUIRED_TAGS, Outcome, register
from mlops.training import candidate as candidates
from mlops.training.train import train
from mlops.use_case import UseCase, load_use_case

Run = Callable[..., Outcome]

# Better than the weaker one, and worse than what the configuration trains.
WORSE = ("parameters.regularisation=99", "metrics.macro_f1.limit=0.5", "metrics.accuracy.limit=0.5")
# The looser limits as the gate wants to have them acknowledged where the champion has others.
ACKNOWLEDGED = "acknowledge=[{}]".format(
    ", ".join(f"{{rule: metrics.{name}.limit, old: 0.9, new: 0.5, reason: a test}}" for name in ("macro_f1", "accuracy"))
)


def test_the_first_version_is_one_and_the_alias_of_the_branch_points_at_it(registered: Project, stored: Stored):
    assert aliases(stored(registered)) == {"champion": "1.0.0"}


def test_a_second_run_registers_nothing_and_says_which_version_it_is(registered: Project, run: Run, stored: Stored):
    outcome = run(registered)
    assert (outcome.passed, outcome.created, outcome.moved) == (True, False, None)
    assert register_module.sentence(outcome) == (
        "nothing to register: the same key is version 1.0.0 already; @champion points at it already"
    )
    assert len(stored(registered)) == 1


def test_a_report_that_another_process_is_writing_is_logged_without_its_unfinished_files(fresh: Project, run: Run):
    plots = pipeline.try_out(fresh, load_use_case(fresh, "iris")).report.parent / "plots"
    (plots / ".calibration.png.half_").write_bytes(b"half a picture")
    outcome = run(fresh)
    with tracking.open_store(fresh) as client:
        logged = {Path(item.path).name for item in client.list_artifacts(outcome.version.run_id, "report/plots")}
    assert "calibration.png" in logged and not any(name.startswith(".") for name in logged)


@pytest.mark.parametrize("refusals", [1, 2])
def test_a_data_set_that_another_run_logs_at_the_same_moment_is_asked_for_once_more(
    fresh: Project, run: Run, monkeypatch: pytest.MonkeyPatch, refusals: int
):
    log_inputs, answers = MlflowClient.log_inputs, iter([False] * refusals + [True])

    def meet_another(client: MlflowClient, run_id: str, datasets: list) -> None:
        if not next(answers):
            raise MlflowException("UNIQUE constraint failed: datasets.experiment_id, datasets.name", BAD_REQUEST)
        log_inputs(client, run_id, datasets)

    monkeypatch.setattr(MlflowClient, "log_inputs", meet_another)
    if refusals > 1:
        with pytest.raises(StoreUnreachable, match="UNIQUE constraint failed"):
            run(fresh)
        return
    outcome = run(fresh)
    with tracking.open_store(fresh) as client:
        assert len(client.get_run(outcome.version.run_id).inputs.dataset_inputs) == 1


def test_the_same_key_under_another_alias_moves_the_alias_only(registered: Project, run: Run, stored: Stored):
    outcome = run(registered, alias="challenger")
    assert not outcome.created and outcome.moved and outcome.moved.after == "1.0.0"
    assert aliases(stored(registered)) == {"champion": "1.0.0", "challenger": "1.0.0"}
    assert len(stored(registered)) == 1


def test_a_better_model_raises_the_performance_part(fresh: Project, run: Run, stored: Stored):
    assert run(fresh, *WEAK).version.number == "1.0.0"
    better = run(fresh)
    assert better.version.number == "1.1.0"
    assert better.evaluation.verdict.improved
    assert aliases(stored(fresh)) == {"champion": "1.1.0"}


def test_the_gate_is_asked_again_when_the_champion_moves_meanwhile(
    fresh: Project, run: Run, stored: Stored, monkeypatch: pytest.MonkeyPatch
):
    """As on a server, where no lock keeps two registrations apart."""
    assert run(fresh, *WEAK).moved
    better = run(fresh, alias="challenger").version
    log_model = register_module.runs.log_model

    def overtaken(client, *given):
        client.set_registered_model_alias(better.name, "champion", better.version)
        return log_model(client, *given)

    monkeypatch.setattr(register_module.runs, "log_model", overtaken)
    outcome = run(fresh, *WORSE)
    assert not outcome.passed and "worse than the champion" in " ".join(outcome.reasons)
    assert aliases(stored(fresh)) == {"champion": better.number, "challenger": better.number}
    assert len(stored(fresh)) == 2


def strong(use_case: UseCase) -> UseCase:
    """The use case with a build that follows more than its parameters, as one with chance in it does."""
    return replace(use_case, build=lambda **given: use_case.build(**{**given, "regularisation": 1.0}))


def test_the_gate_judges_the_version_of_a_known_key_and_not_what_training_it_again_gave(
    fresh: Project, run: Run, stored: Stored, capsys: pytest.CaptureFixture[str]
):
    weak = run(fresh, *WEAK, alias="challenger").version
    champion = run(fresh).version
    again = pipeline.run(fresh, strong(load_use_case(fresh, "iris", WEAK)), again=True)
    assert candidates.newest(fresh, "iris").manifest["metrics"]["macro_f1"] > 0.9
    assert not again.passed and "0.8558" in again.reasons[0]
    assert f"{weak.number} has this key and other files" in capsys.readouterr().err
    assert aliases(stored(fresh)) == {"champion": champion.number, "challenger": weak.number}
    with tracking.open_store(fresh) as client:
        (logged,) = client.search_runs([client.get_experiment_by_name("iris").experiment_id], "tags.gate = 'refused'")
    assert logged.data.metrics["macro_f1"] == pytest.approx(0.8558, abs=1e-4)


def test_a_version_of_another_process_with_the_same_key_is_judged_itself(
    fresh: Project, run: Run, stored: Stored, monkeypatch: pytest.MonkeyPatch
):
    """As on a server: it is registered while this registration, whose model is better, is under way."""
    run(fresh)
    use_case, log_model = load_use_case(fresh, "iris", (*WEAK, ACKNOWLEDGED)), register_module.runs.log_model

    def overtaken(client, *given):
        monkeypatch.setattr(register_module.runs, "log_model", log_model)
        logged = log_model(client, *given)
        client.delete_registered_model_alias("iris", "champion")
        assert pipeline.run(fresh, use_case, "challenger", again=True).created
        client.set_registered_model_alias("iris", "champion", "1")
        return logged

    monkeypatch.setattr(register_module.runs, "log_model", overtaken)
    outcome = pipeline.run(fresh, strong(use_case), again=True)
    assert not outcome.passed and "0.8558" in outcome.reasons[0]
    assert aliases(stored(fresh)) == {"champion": "1.0.0", "challenger": "1.0.1"}


def test_another_model_that_is_as_good_raises_the_data_part(registered: Project, run: Run):
    assert run(registered, *OTHER).version.number == "1.0.1"


def test_new_rows_raise_the_data_part(registered: Project, command, tmp_path: Path, stored: Stored):
    known = pd.read_csv(registered.data / "raw" / "iris" / "iris.csv")
    new = known.iloc[[3, 53, 103]].assign(flower=[151, 152, 153])
    new.to_csv(tmp_path / "may.csv", index=False)
    added = command("data", "add", "iris", str(tmp_path / "may.csv"), "--source", "measured in May", "--licence", "CC0")
    assert added.code == 0, added.err
    assert command("run", "iris").code == 0
    assert aliases(stored(registered)) == {"champion": "1.0.1"}
    assert len({version.tags["data_digest"] for version in stored(registered)}) == 2


def test_a_raised_target_number_begins_a_new_line_that_is_not_compared(registered: Project, run: Run):
    outcome = run(registered, "target.number=2", "split.holdout=0.4")
    assert outcome.version.number == "2.0.0"
    assert outcome.evaluation.verdict.word == "new question"


def test_a_hotfix_is_numbered_after_its_own_target_whatever_the_challenger_asks(registered: Project, run: Run, stored: Stored):
    assert run(registered, "target.number=2", alias="challenger").version.number == "2.0.0"
    assert run(registered, *OTHER, alias="candidate").version.number == "1.0.1"
    assert aliases(stored(registered)) == {"champion": "1.0.0", "challenger": "2.0.0", "candidate": "1.0.1"}


def test_the_number_of_a_version_that_was_pruned_is_not_given_again(registered: Project, run: Run, stored: Stored):
    run(registered, *OTHER)
    manual_moves.move(registered, "iris", "champion", "1.0.0", "back")
    assert prune(registered, recent_runs=0, recent_days=0).versions == 1
    assert run(registered, "parameters.regularisation=2.5").version.number == "1.0.2"
    assert sorted(version.number for version in stored(registered)) == ["1.0.0", "1.0.2"]


def test_a_target_number_never_falls_below_the_champions(registered: Project, run: Run, stored: Stored):
    run(registered, "target.number=2")
    with pytest.raises(UserError, match=r"target\.number is 1, but the champion is 2\.0\.0; it may rise"):
        run(registered, *OTHER)
    assert aliases(stored(registered)) == {"champion": "2.0.0"}


def test_going_back_to_what_a_known_version_was_made_from_goes_back_to_it(registered: Project, run: Run, stored: Stored):
    run(registered, "target.number=2")
    back = run(registered)
    assert not back.created
    assert aliases(stored(registered)) == {"champion": "1.0.0"}


def test_a_champion_that_the_code_cannot_load_is_named_with_two_ways_out(
    registered: Project, run: Run, stored: Stored, monkeypatch: pytest.MonkeyPatch
):
    real = tracking.load_model

    def load_model(folder: Path, trusted: tuple[str, ...]):
        if folder.is_relative_to(registered.output / "candidates"):
            return real(folder, trusted)
        raise AttributeError("module 'use_cases.iris' has no attribute 'scaled'")

    monkeypatch.setattr(tracking, "load_model", load_model)
    message = r"champion iris 1\.0\.0 does not run .*'scaled'\): restore .* src/use_cases/iris, or raise target\.number"
    with pytest.raises(UserError, match=message):
        run(registered, *OTHER)
    assert run(registered, "target.number=2").version.number == "2.0.0"
    assert aliases(stored(registered)) == {"champion": "2.0.0"}


def test_no_tag_of_a_run_grows_with_the_columns(registered: Project, run: Run, monkeypatch: pytest.MonkeyPatch):
    """PostgreSQL keeps 8,000 characters of one. What the columns hold is not asked here, as they are in the manifest alone."""
    monkeypatch.setattr("mlops.training.judgement.of_candidate", lambda *arguments: [])
    use_case = load_use_case(registered, "iris", OTHER)
    candidate, _ = train(registered, use_case)
    extra = {f"a_column_with_a_rather_long_name_{index}": "float64" for index in range(300)}
    candidate.manifest["problem"]["schema"] |= extra
    outcome = register(registered, use_case, candidate, "challenger", "test")
    with tracking.open_store(registered) as client:
        assert max(map(len, client.get_run(outcome.version.run_id).data.tags.values())) < 8000


WHERE = {
    "git_commit": ("git", "sha"),
    "git_branch": ("git", "branch"),
    "git_dirty": ("git", "dirty"),
    "key": ("key",),
    "data_digest": ("parts", "data"),
    "config_digest": ("parts", "config"),
    "environment_digest": ("parts", "lock"),
    "use_case": ("use_case",),
}


@pytest.mark.parametrize("tag", REQUIRED_TAGS)
def test_a_candidate_without_a_required_tag_is_refused_by_name(registered: Project, tag: str, stored: Stored):
    use_case = load_use_case(registered, "iris")
    candidate = candidates.newest(registered, "iris")
    part: dict = candidate.manifest
    for key in WHERE[tag][:-1]:
        part = part[key]
    del part[WHERE[tag][-1]]
    with pytest.raises(UserError, match=tag):
        register(registered, use_case, candidate, "champion", "test")
    assert len(stored(registered)) == 1


@pytest.mark.parametrize("alias", ["latest", "LATEST", "v1", "V1", "v12", "", "a b", "../x", "1st", "x" * 256])
def test_a_name_that_no_alias_may_have_is_refused_before_the_store_is_touched(registered: Project, alias: str):
    database = registered.store / tracking.DATABASE
    before = database.read_bytes()
    use_case, candidate = load_use_case(registered, "iris"), candidates.newest(registered, "iris")
    with pytest.raises(UserError, match="may not be used"):
        register(registered, use_case, candidate, alias, "test")
    assert database.read_bytes() == before


def renamed(project: Project) -> Project:
    """The project under another name, as a later commit of it has it."""
    text = (project.root / "config" / "project.yaml").read_text(encoding="utf-8")
    (project.root / "config" / "project.yaml").write_text(text.replace(f"name: {project.name}\n", "name: other\n"), "utf-8")
    git("commit", "--quiet", "--all", "--message", "Another name", root=project.root)
    return project.model_copy(update={"name": "other"})


def owners(project: Project) -> set[str]:
    """The owners of all experiments that a project's store has for it."""
    with tracking.open_store(project) as client:
        return {
            experiment.tags["mlops.project"]
            for experiment in client.search_experiments()
            if "mlops.project" in experiment.tags
        }


def test_a_renamed_project_takes_its_experiments_along(registered: Project, run: Run, stored: Stored, capsys):
    other = renamed(registered)
    assert run(other, *OTHER).passed
    assert (owners(other), len(stored(other))) == ({"other"}, 2)
    assert "experiment iris follows the project from its name mlops-template to other" in capsys.readouterr().err


@pytest.fixture
def shared(registered: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose tracking server others may use as well, with a version registered there."""
    server = shutil.copyfile(registered.store / tracking.DATABASE, tmp_path / "server.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{server}")
    return registered


def test_on_a_shared_server_the_history_tells_a_renamed_project_from_another(shared: Project, run: Run):
    assert run(renamed(shared), *OTHER).passed
    assert owners(shared) == {"other"}
    shutil.rmtree(shared.root / ".git")
    for arguments in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "config"],
        ["commit", "--quiet", "--message=Other"],
    ):
        git(*arguments, root=shared.root)
    stranger = shared.model_copy(update={"name": "stranger"})
    with pytest.raises(UserError, match="belongs to project other, none of its runs is of a commit here; set namespace"):
        run(stranger, "parameters.regularisation=1.6")
    apart = stranger.model_copy(update={"namespace": "stranger-"})
    assert run(apart, "parameters.regularisation=1.6").version.title == "stranger-iris 1.0.0 (champion)"
    assert owners(shared) == {"other", "stranger"}


def test_a_deleted_experiment_is_reported_with_the_way_to_restore_it(registered: Project, run: Run):
    with tracking.open_store(registered) as client:
        experiment = client.get_experiment_by_name("iris").experiment_id
        client.delete_experiment(experiment)
    with pytest.raises(UserError, match=f"experiment iris was deleted; .* mlflow experiments restore -x {experiment}"):
        run(registered, *OTHER)
    with tracking.open_store(registered) as client:
        client.restore_experiment(experiment)
    assert run(registered, *OTHER).passed


def test_an_archived_version_does_not_come_back_under_an_alias(registered: Project, run: Run, stored: Stored):
    run(registered, *OTHER)
    manual_moves.archive(registered, "iris", "1.0.0", "superseded")
    with pytest.raises(UserError, match=r"iris 1\.0\.0 has the same key and is archived \(.*superseded\)"):
        run(registered)
    assert aliases(stored(registered)) == {"champion": "1.0.1"}


def test_what_is_logged_of_a_run_tells_where_it_came_from(registered: Project, stored: Stored):
    (version,) = stored(registered)
    with tracking.open_store(registered) as client:
        run = client.get_run(version.run_id)
        model = client.get_logged_model(version.model_id)
    assert run.info.run_name == "iris 1.0.0"
    assert set(REQUIRED_TAGS) <= set(run.data.tags)
    assert run.data.tags["mlflow.source.git.commit"] == version.tags["git_commit"]
    assert run.data.params["split"] == "hash"
    assert {"macro_f1", "baseline/macro_f1", "accuracy", "log_loss"} <= set(run.data.metrics)
    assert run.data.params["degree"] == "3"
    assert [item.dataset.name for item in run.inputs.dataset_inputs] == ["iris.csv"]
    assert model.source_run_id == version.run_id
