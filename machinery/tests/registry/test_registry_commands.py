"""The registry's commands, as a table for people and as JSON for programs."""

import json

import pytest

from mlops import tracking
from mlops.config import Project
from mlops.registry import compare
from mlops.use_case import load_use_case

OTHER = ("parameters.regularisation=1.5",)
WORSE = ("parameters.regularisation=100",)


@pytest.fixture
def two(registered: Project, run, once) -> Project:
    """A project with two versions and a refused run."""

    def make() -> None:
        run(registered, *OTHER)
        assert not run(registered, *WORSE).passed

    return once("two versions, one refused", registered, make)


def test_compare_draws_runs_against_each_other_the_newest_first(two: Project, command):
    result = command("compare", "iris", "--json")
    assert result.code == 0
    runs = json.loads(result.out)
    assert [item["name"].rsplit(" ", 1)[0] for item in runs["runs"]] == ["iris refused", "iris", "iris"]
    assert [item["gate"] for item in runs["runs"]] == ["refused", "passed", "passed"]
    assert runs["runs"][1]["parameters"]["regularisation"] == "1.5"
    assert set(runs["runs"][0]["metrics"]) == {"macro_f1", "accuracy", "log_loss"}
    assert (two.output / "reports" / "iris" / "compare.png").read_bytes().startswith(b"\x89PNG")
    table = command("compare", "iris", "--last", "1")
    assert "iris refused" in table.out and "1.0.1" not in table.out


def test_compare_without_a_run_says_how_to_make_one(fresh: Project, command):
    result = command("compare", "iris")
    assert result.code == 2
    assert "no runs to compare yet; make one with: mlops run iris" in result.err


def test_compare_draws_both_sides_of_a_distance_from_zero_and_says_what_hatched_bars_are(project: Project):
    use_case = load_use_case(project, "ridership")
    runs = [{"name": name, "gate": name, "metrics": {"mae": 1.0, "rmse": 1.0, "bias": 0.1}} for name in ("passed", "refused")]
    figure = compare.draw(use_case, runs)
    limits = {axes.get_title(loc="left"): [line.get_xdata()[0] for line in axes.lines] for axes in figure.axes}
    assert limits == {"mae": [1.0], "rmse": [1.5], "bias": [-0.3, 0.3]}
    marks = {
        text.get_text(): mark for text, mark in zip(figure.legends[0].texts, figure.legends[0].legend_handles, strict=True)
    }
    assert set(marks) == {"passed", "refused by the gate", "limit"}
    assert marks["refused by the gate"].get_hatch() and not marks["passed"].get_hatch()
    assert [bool(bar.get_hatch()) for bar in figure.axes[0].patches] == [True, False]


READING = [(name, "iris") for name in ("show", "history", "card", "compare", "lineage", "deployments", "serve")]


@pytest.mark.parametrize("arguments", [*READING, ("rollback", "iris", "--reason", "x")], ids=lambda arguments: arguments[0])
def test_a_command_that_reads_makes_no_store(project: Project, command, arguments: tuple[str, ...]):
    result = command(*arguments)
    assert (result.code, result.out) == (2, "")
    assert f"no store at {project.store}; make one with: mlops run" in result.err
    assert not project.store.exists()


def test_a_renamed_store_is_found_by_its_new_name(registered: Project, command, monkeypatch: pytest.MonkeyPatch):
    registered.store.rename(registered.root / "m3")
    assert command("history", "iris").code == 2
    monkeypatch.setenv("MLOPS__PROJECT__STORE", "m3")
    assert json.loads(command("history", "iris", "--json").out)["versions"][0]["number"] == "1.0.0"
    assert not registered.store.exists()


def test_a_store_that_lost_its_database_is_still_reported_as_damaged(registered: Project, command):
    (registered.store / tracking.DATABASE).unlink()
    result = command("history", "iris")
    assert (result.code, "restore it with: cp" in result.err) == (3, True)


def test_history_lists_versions_and_moves(two: Project, command):
    history = json.loads(command("history", "iris", "--json").out)
    assert [item["number"] for item in history["versions"]] == ["1.0.1", "1.0.0"]
    assert [(item["before"], item["after"]) for item in history["moves"]] == [("1.0.0", "1.0.1"), (None, "1.0.0")]
    table = command("history", "iris").out
    assert "iris: moves of aliases" in table and "mlops run on main" in table


def test_show_tells_everything_of_the_champion_or_of_a_number(two: Project, command):
    assert json.loads(command("show", "iris", "--json").out)["number"] == "1.0.1"
    assert json.loads(command("show", "iris", "1.0.0", "--json").out)["number"] == "1.0.0"
    table = command("show", "iris", "@champion").out
    assert "iris 1.0.1 (champion)" in table and "git_commit" in table and "data_digest" in table


def test_show_has_a_digest_short_in_the_table_and_whole_as_json(registered: Project, command):
    shown, table = json.loads(command("show", "iris", "--json").out), command("show", "iris").out
    assert all(len(shown["tags"][name]) == 64 for name in ("key", "data_digest", "code_digest"))
    assert f" {shown['tags']['data_digest'][:16]} " in table and shown["tags"]["data_digest"][:17] not in table
    assert table.count(shown["model_id"]) == 1 and shown["tags"]["git_commit"] in table


def test_an_unknown_version_ends_with_exit_code_two(two: Project, command):
    result = command("show", "iris", "@champio")
    assert result.code == 2
    assert "no version 'champio', did you mean 'champion'?" in result.err


LOOKS = (
    ("show", "zzz"),
    ("history", "zzz"),
    ("card", "zzz"),
    ("lineage", "zzz"),
    ("lineage", "zzz", "1.0.0"),
    ("alias", "zzz", "production", "1.0.0", "--reason", "try"),
    ("archive", "zzz", "1.0.0", "--reason", "old"),
    ("compare", "zzz"),
    ("deployments", "zzz"),
)


@pytest.mark.parametrize("arguments", LOOKS, ids=" ".join)
def test_an_unknown_use_case_is_reported_with_those_that_there_are(registered: Project, command, arguments: tuple[str, ...]):
    result = command(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "error: no use case 'zzz'; there are: iris, ridership" in result.err


def test_a_use_case_without_versions_gets_the_way_to_make_one(registered: Project, command):
    for look in ("show", "history"):
        assert "ridership: no version is registered; make one with: mlops run ridership" in command(look, "ridership").err


def test_a_use_case_whose_refusal_is_expected_is_not_sent_to_a_run_that_makes_no_version(registered: Project, command):
    file = registered.root / "config" / "ridership.yaml"
    file.write_text(f"{file.read_text()}\nexpect: refused\n")
    for look in ("show", "history", "reproduce"):
        done = command(look, "ridership")
        assert done.code == 2 and "expects a refusal and the baseline is the champion" in done.err
        assert "mlops compare ridership" in done.err and "mlops run" not in done.err


def test_a_whole_number_and_a_zero_are_shown_as_a_reader_takes_them() -> None:
    from mlops.console import digits
    from mlops.training import importance

    assert [digits(value) for value in (2050.0, 1234.5, 3.0, -0.00001)] == ["2050", "1234.5000", "3.0000", "0.0000"]
    entry = {"input": "gain", "loss": -0.00001, "low": -0.1, "high": 0.1}
    assert importance.table([entry], "accuracy")[-1] == "| gain | 0.0000 | -0.1000 to 0.1000 |"


def test_a_use_case_that_has_left_the_configuration_keeps_its_versions(registered: Project, command):
    (registered.root / "config" / "iris.yaml").unlink()
    assert "iris 1.0.0 (champion)" in command("show", "iris").out
    assert "1.0.0" in command("history", "iris").out and "1.0.0" in command("lineage", "iris", "champion").out


def test_alias_moves_by_hand_with_a_reason(two: Project, command):
    result = command("alias", "iris", "production", "1.0.0", "--reason", "roll back", "--json")
    assert result.code == 0
    assert json.loads(result.out)["moved"]["why"] == "roll back"
    assert "points already at 1.0.0" in command("alias", "iris", "production", "1.0.0", "--reason", "again").err
    assert command("alias", "iris", "latest", "1.0.0", "--reason", "no").code == 2
    assert command("alias", "iris", "production", "1.0.0").code == 2


def test_archive_puts_a_version_away_that_nothing_points_at(two: Project, command):
    assert command("archive", "iris", "1.0.1", "--reason", "old").code == 2
    result = command("archive", "iris", "1.0.0", "--reason", "old", "--json")
    assert json.loads(result.out)["tags"]["archived"].endswith(": old")
    assert ": old" in command("history", "iris").out


def test_register_puts_the_newest_candidate_into_the_store(registered: Project, command):
    assert command("train", "iris", "--set", OTHER[0]).code == 0
    result = command("register", "iris", "--set", OTHER[0], "--alias", "staging", "--json")
    assert result.code == 0, result.err
    (outcome,) = json.loads(result.out)
    assert (outcome["number"], outcome["created"], outcome["alias"]) == ("1.0.1", True, "staging")
    table = command("register", "iris", "--set", OTHER[0], "--alias", "staging")
    assert "iris 1.0.1 (staging)" in table.out


def test_register_refuses_what_is_no_candidate(registered: Project, command):
    result = command("register", "iris", "--candidate", str(registered.root / "config"))
    assert result.code == 2
    assert "no candidate there" in result.err


@pytest.mark.parametrize("content", [b"{}", b"[]", b"\xff", b'{"use_case": "iris", "key": "x", "files": []}'])
@pytest.mark.parametrize("name", ["register", "report"])
def test_a_manifest_that_training_did_not_write_is_refused(registered: Project, command, name: str, content: bytes):
    (registered.output / "manifest.json").write_bytes(content)
    result = command(name, "iris", "--candidate", str(registered.output))
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "delete the folder and run: mlops train" in result.err


def test_a_file_is_no_candidate(registered: Project, command):
    result = command("register", "iris", "--candidate", str(registered.root / "config" / "iris.yaml"))
    assert (result.code, "no candidate there" in result.err) == (2, True)


@pytest.mark.parametrize(
    "words", ["show a/b", "show a:b", "history a/b", "lineage a/b 1.0.0", "alias a/b staging 1 --reason x"]
)
def test_what_no_use_case_is_called_is_reported_in_one_line(fresh: Project, command, words: str):
    result = command(*words.split())
    last = result.err.splitlines()[-1]
    assert (result.code, "is no name of a use case; there are: iris" in last, "Traceback" in result.err) == (2, True, False)


@pytest.mark.parametrize("out", ["folder", "file/below/card.md"])
def test_a_card_that_cannot_be_written_there_is_reported_in_one_line(registered: Project, command, out: str):
    (registered.output / "folder").mkdir()
    (registered.output / "file").touch()
    result = command("card", "iris", "--out", str(registered.output / out))
    assert result.code == 2 and "Traceback" not in result.err
    assert result.err.splitlines()[-1].startswith(f"error: {registered.output / out.split('/')[0]}")
    assert not any((registered.output / "folder").iterdir())


def test_run_as_json_tells_number_verdict_and_report(registered: Project, command):
    (outcome,) = json.loads(command("run", "iris", "--json").out)
    assert (outcome["number"], outcome["created"], outcome["passed"]) == ("1.0.0", False, True)
    assert {row["metric"] for row in outcome["verdict"]["rows"]} == {"macro_f1", "accuracy", "log_loss"}


def test_a_candidate_that_was_trained_before_is_named_by_its_key(registered: Project, command):
    assert command("train", "iris", "--set", OTHER[0]).code == 0
    result = command("run", "iris", "--set", OTHER[0], "--json")
    (outcome,) = json.loads(result.out)
    assert f"iris: trained before, candidate {outcome['version']['tags']['key'][:16]} is taken" in result.err


def test_run_without_registering_leaves_the_store_as_it_is(registered: Project, command, stored):
    done = command("run", "iris", "--no-register", "--set", OTHER[0])
    assert (done.code, done.out.splitlines()[0].strip()) == (0, "iris: passes the gate, nothing is registered")
    assert [version.number for version in stored(registered)] == ["1.0.0"]
    refused = command("run", "iris", "--no-register", "--set", "metrics.accuracy.limit=0.999")
    assert (refused.code, refused.out.splitlines()[0].strip()) == (1, "iris: refused by the gate")


def test_training_again_gives_the_same_bytes(registered: Project, command):
    first = json.loads(command("train", "iris", "--json").out)
    again = json.loads(command("train", "iris", "--again", "--json").out)
    assert (first["created"], again["created"]) == (False, True)
    assert again["files"] == first["files"]
    assert {"holdout.parquet", "model/model.skops", "model/MLmodel"} <= set(first["files"])
    assert again["metrics"] == first["metrics"]


def test_tune_makes_a_run_for_the_search_and_a_child_run_for_each_trial(registered: Project, command):
    pytest.importorskip("optuna")
    search = json.loads(command("tune", "iris", "--trials", "3", "--json").out)
    assert len(search["trials"]) == 3
    assert search["trials"][0]["score"] == max(item["score"] for item in search["trials"])
    assert search["trials"][0]["parameters"] == search["best"]
    with tracking.open_store(registered) as client:
        experiment = client.get_experiment_by_name("iris").experiment_id
        children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{search['run_id']}'")
        parent = client.get_run(search["run_id"])
    assert len(children) == 3
    assert parent.info.run_name == "iris tune"
    assert parent.data.params == {key: str(value) for key, value in search["best"].items()}
    table = command("tune", "iris", "--trials", "1")
    assert "trials, the best first" in table.out and "mlops run iris --set parameters." in table.err
    exact = str(search["best"]["regularisation"])
    assert f"{float(exact):.5g}" in table.out and exact not in table.out
    assert f"parameters.regularisation={exact}" in table.err


def test_tune_says_its_default_once(command):
    assert "[default: 0]" not in command("tune", "--help").out
