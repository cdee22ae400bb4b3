"""A configuration that is wrong is refused in one line with file, line, key and the nearest right key; secrets stay secret."""

import os
from pathlib import Path

import pytest
from command import mlops
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mlops.config import Metric, Project, Split, load_project, load_use_case_config
from mlops.errors import ConfigError, UserError
from mlops.metrics.measures import DIRECTIONS, MEASURES
from mlops.use_case import load_use_case


def written(project: Project, name: str, old: str, new: str) -> Path:
    """A configuration file with a piece of its text replaced."""
    file = project.root / "config" / f"{name}.yaml"
    text = file.read_text()
    assert text.count(old) == 1, old
    file.write_text(text.replace(old, new))
    return file


def line_of(file: Path, text: str) -> int:
    """The line, from 1, in which a text stands."""
    return next(number for number, line in enumerate(file.read_text().splitlines(), 1) if text in line)


WRONG = {
    "unknown key": ("seed: 34", "sede: 34", "sede", "unknown key sede, did you mean 'seed'?"),
    "unknown key below": ("holdout: 0.3", "houldout: 0.3", "houldout", "unknown key split.houldout, did you mean 'holdout'?"),
    "unknown key of a metric": (
        "limit: 0.5}",
        "limits: 0.5}",
        "limits",
        "unknown key metrics.log_loss.limits, did you mean 'limit'?",
    ),
    "wrong type": ("seed: 34", "seed: many", "seed: many", "seed: Input should be a valid integer"),
    "wrong value": (
        "method: hash",
        "method: random",
        "method",
        "split.method: Input should be 'hash', 'group', 'stratified' or",
    ),
    "missing key": ("task: classification\n", "", "description", "key task is missing"),
    "key twice": ("seed: 34", "seed: 34\nseed: 35", "seed: 35", "duplicate key seed"),
    "key twice below": ("degree: 3", "degree: 3\n  degree: 4", "degree: 4", "duplicate key degree"),
    "holdout of all rows": ("holdout: 0.3", "holdout: 1.5", "holdout", "split: holdout is a share below 1 for method hash"),
    "split without its column": ("method: hash", "method: group", "split:", "split: method group needs a column"),
    "two primary metrics": (
        "accuracy: {",
        "accuracy: {primary: true, ",
        "Species",
        "file: exactly one of the metrics is marked primary: true",
    ),
    "no primary metric": (", primary: true", "", "Species", "file: exactly one of the metrics is marked primary: true"),
    "limit that is no number": (
        "limit: 0.5",
        "limit: .nan",
        ".nan",
        "metrics.log_loss.limit: Input should be a finite number",
    ),
    "tolerance without end": (
        "tolerance: 0.02",
        "tolerance: .inf",
        ".inf",
        "metrics.macro_f1.tolerance: Input should be a finite",
    ),
    "tolerance below 0": (
        "tolerance: 0.02",
        "tolerance: -1",
        "tolerance: -1",
        "metrics.macro_f1.tolerance: Input should be gre",
    ),
    "target as key": ("key: [flower]", "key: [species]", "Species", "file: target.column species is in key"),
    "key as text": ("key: [flower]", "key: flower", "key: flower", "key: Input should be a valid tuple"),
    "search without end": ("{low: 0.01, high: 100, log: true}", "{low: 0.01}", "{low", "either choices, or low and high"),
    "unknown parameter": ("degree: 3", "degre: 3", "degre: 3", "unknown key parameters.degre, did you mean 'degree'?"),
    "parameter of wrong type": ("degree: 3", "degree: three", "three", "parameters.degree: Input should be a valid integer"),
    "parameter as text": ("degree: 3", 'degree: "3"', '"3"', "parameters.degree: Input should be a valid integer"),
    "parameter with a fraction": ("degree: 3", "degree: 3.0", "3.0", "parameters.degree: Input should be a valid integer"),
    "missing parameter": ("  degree: 3\n", "", "parameters:", "key parameters.degree is missing"),
    "unknown metric": (
        "accuracy: {",
        "acuracy: {",
        "acuracy",
        "metrics.acuracy: no metric for classification, did you mean 'acc",
    ),
    "metric of the other task": ("log_loss: {", "rmse: {", "rmse", "metrics.rmse: no metric for classification"),
    "direction turned round": (
        "log_loss: {direction: lower",
        "log_loss: {direction: higher",
        "log_loss",
        "metrics.log_loss.direction is higher, but of log_loss lower is better",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_configuration_is_one_line_with_file_line_and_key(project: Project, case: str) -> None:
    old, new, marked, message = WRONG[case]
    file = written(project, "iris", old, new)
    done = mlops("train", "iris")
    assert (done.code, done.out) == (2, "")
    line = line_of(file, marked)
    assert done.error.startswith(f"{file}:{1 if message.startswith(('file:', 'key task')) else line}: ")
    assert message in done.error
    assert not project.output.exists()


NOT_YAML = {
    "a: [1,": "not YAML",
    "\t a: 1": "not YAML",
    "- 1": "keys and values are expected, found list",
    "": "is missing",
    "seed: 2024-13-45": "not YAML (month must be in 1..12; put",
    "slices: &a [*a]": "not YAML (a value holds itself",
}


@pytest.mark.parametrize("text", NOT_YAML)
def test_file_that_holds_no_configuration_is_named(project: Project, text: str) -> None:
    file = project.root / "config/iris.yaml"
    file.write_text(text)
    done = mlops("train", "iris")
    assert done.code == 2
    assert done.error.startswith(f"{file}:") and NOT_YAML[text] in done.error


def test_file_that_is_not_utf8_is_named(project: Project) -> None:
    (project.root / "config/iris.yaml").write_bytes(b"description: \xff\xfe")
    assert "iris.yaml: not YAML" in mlops("train", "iris").error


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_as_configuration(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    root = tmp_path_factory.mktemp("any")
    (root / "config").mkdir()
    (root / "config/project.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match="project.yaml"):
        load_project(root)


@pytest.mark.parametrize("folder", ["3", "[a]", "null", "''"])
def test_folder_of_the_project_is_a_text(project: Project, folder: str) -> None:
    file = written(project, "project", "output: output", f"output: {folder}")
    assert mlops("data", "list").error.startswith(f"{file}:1: file: output: a folder is expected")


def test_root_is_found_and_not_configured(project: Project) -> None:
    file = written(project, "project", "output: output", "root: /elsewhere")
    assert mlops("data", "list").error.startswith(f"{file}:{line_of(file, 'root:')}: unknown key root")


def test_value_comes_from_the_strongest_place(project: Project) -> None:
    def seed(*overrides: str) -> int:
        return load_use_case_config(load_project(), "iris", overrides).seed

    assert seed() == 34
    (project.root / ".env").write_text("MLOPS__IRIS__SEED=1\n")
    assert seed() == 1
    os.environ["MLOPS__IRIS__SEED"] = "2"
    assert seed() == 2
    assert seed("seed=3") == 3


def test_variable_and_set_reach_any_depth_and_add_what_is_not_in_the_file(project: Project) -> None:
    os.environ["MLOPS__IRIS__METRICS__ACCURACY__TOLERANCE"] = "0.125"
    os.environ["MLOPS__PROJECT__OUTPUT"] = "elsewhere"
    config = load_use_case_config(load_project(), "iris", ["metrics.log_loss.limit=null", "bootstrap.block=7"])
    assert config.metrics["accuracy"].tolerance == 0.125
    assert (config.metrics["log_loss"].limit, config.bootstrap.block) == (None, 7)
    assert load_project().output == project.root / "elsewhere"


ORIGINS = {
    "MLOPS__IRIS__SEDE=1": "MLOPS__IRIS__SEDE: unknown key sede, did you mean 'seed'?",
    "MLOPS__IRIS__SEED=x": "MLOPS__IRIS__SEED: seed: Input should be a valid integer",
    "MLOPS__IRIS__SEED__DEPTH=1": "MLOPS__IRIS__SEED__DEPTH: seed holds a value, not keys",
    "MLOPS__IRIS__PARAMETERS__DEGRE=1": "MLOPS__IRIS__PARAMETERS__DEGRE: unknown key parameters.degre, did you mean 'degree'?",
    "MLOPS__IRSI__SEED=1": "MLOPS__IRSI__SEED: no configuration has variables MLOPS__IRSI__…, did you mean 'MLOPS__IRIS__'?",
}


@pytest.mark.parametrize("variable", ORIGINS)
def test_wrong_variable_is_named_instead_of_the_file(project: Project, variable: str) -> None:
    name, _, value = variable.partition("=")
    os.environ[name] = value
    done = mlops("train", "iris")
    assert (done.code, done.error.startswith(ORIGINS[variable])) == (2, True), done.error


SETS = {
    "sede=1": "--set sede: unknown key sede, did you mean 'seed'?",
    "seed": "--set seed: key=value is expected",
    "=1": "--set =1: key=value is expected",
    "seed=[": "--set seed: its value is not YAML",
    "monitor.x=2024-13-45": "--set monitor.x: its value is not YAML; put it in quotation marks",
    "slices=&a [*a]": "--set slices: its value is not YAML",
    "parameters.degree=x": "--set parameters.degree: parameters.degree: Input should be a valid integer",
    "metrics.accuracy.direction=lower": "--set metrics.accuracy.direction: metrics.accuracy.direction is lower, but of",
}


@pytest.mark.parametrize("override", SETS)
def test_wrong_set_is_named_instead_of_the_file(project: Project, override: str) -> None:
    done = mlops("train", "iris", "--set", override)
    assert (done.code, done.error.startswith(SETS[override])) == (2, True), done.error


SECRET = "s3cr3t-t0ken"


@pytest.mark.parametrize(
    "name", ["MLOPS__IRIS__SEED", "MLOPS__IRIS__SPLIT", "MLOPS__IRIS__NEW", "MLOPS__PROJECT__ALIASES", "MLOPS__NO__A"]
)
@pytest.mark.parametrize("value", [SECRET, f"[{SECRET}", f"'{{{SECRET}'", f"{SECRET}: {SECRET}: x", f"[{SECRET}]"])
@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_value_of_the_env_file_is_never_shown(project: Project, name: str, value: str, debug: tuple[str, ...]) -> None:
    (project.root / ".env").write_text(f"{name}={value}\n")
    if debug:
        with pytest.raises(UserError) as caught:
            mlops(*debug, "train", "iris")
        assert SECRET not in str(caught.getrepr(style="short", chain=True))
    else:
        done = mlops("train", "iris")
        assert SECRET not in done.out + done.err


def test_password_of_a_server_is_not_shown_by_doctor(project: Project) -> None:
    (project.root / ".env").write_text(f"MLFLOW_TRACKING_URI=postgresql://me:{SECRET}@127.0.0.1:9/store\n")
    done = mlops("doctor", "--json")
    assert (done.code, SECRET in done.out + done.err, "127.0.0.1:9" in done.out) == (2, False, True)


def test_trained_candidate_holds_no_value_of_the_env_file_but_its_configuration(project: Project) -> None:
    (project.root / ".env").write_text(f"AWS_SECRET_ACCESS_KEY={SECRET}\nMLFLOW_TRACKING_PASSWORD={SECRET}\n")
    done = mlops("train", "iris", "--json")
    assert done.code == 0
    written_files = [file for file in project.output.rglob("*") if file.is_file()]
    assert written_files and not [file for file in written_files if SECRET.encode() in file.read_bytes()]
    assert SECRET not in done.out + done.err


@pytest.mark.parametrize("name, message", [("ridrship", "did you mean 'ridership'?"), ("zzz", "there are: iris, ridership")])
def test_unknown_use_case_brings_suggestions(project: Project, name: str, message: str) -> None:
    for command in ("train", "run", "register", "report", "compare", "tune"):
        done = mlops(command, name)
        assert (done.code, message in done.error) == (2, True)


def test_use_case_without_code_is_reported(project: Project) -> None:
    file = project.root / "config/iris.yaml"
    file.with_name("roses.yaml").write_text(file.read_text())
    assert mlops("train", "roses").error == "config/roses.yaml has no code: src/use_cases/roses/__init__.py is missing"


def test_no_project_here_is_reported(tmp_path: Path, environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = mlops("train")
    assert (done.code, "no config/project.yaml here or above; change into a project or pass --project DIR" in done.error) == (
        2,
        True,
    )


def test_configuration_cannot_be_changed_once_read(project: Project) -> None:
    config = load_use_case(project, "iris").config
    with pytest.raises(ValidationError):
        config.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize("branch", ["main", "dev", "release/1.0.0", "hotfix/1.0.1", "feature/x", "detached", ""])
def test_branch_decides_the_alias(project: Project, branch: str) -> None:
    expected = {"main": "champion", "release/1.0.0": "candidate", "hotfix/1.0.1": "candidate"}.get(branch, "challenger")
    assert project.alias_of(branch) == expected


def test_every_metric_has_the_one_direction_in_which_it_is_best() -> None:
    assert {name for task in MEASURES.values() for name in task} == set(DIRECTIONS)


@pytest.mark.parametrize("direction", ["lower", "higher", "zero"])
def test_metric_rule_holds_the_direction_of_its_own_kind(project: Project, direction: str) -> None:
    os.environ["MLOPS__RIDERSHIP__METRICS__MAE__DIRECTION"] = direction
    if direction == "lower":
        assert load_use_case(load_project(), "ridership").config.metrics["mae"].direction == "lower"
    else:
        with pytest.raises(ConfigError, match=f"metrics.mae.direction is {direction}, but of mae lower is better"):
            load_use_case(load_project(), "ridership")


def test_limit_of_a_distance_from_zero_is_not_below_zero() -> None:
    with pytest.raises(ValidationError, match="limit is a distance from zero"):
        Metric(direction="zero", limit=-0.3)


def test_time_split_counts_days_and_every_other_a_share() -> None:
    assert Split(method="time", holdout=365, column="date").holdout == 365
    with pytest.raises(ValidationError, match="needs a column"):
        Split(method="time", holdout=365)
