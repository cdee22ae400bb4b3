"""The command line: quick to answer, an example for every command, JSON for programs, and exit codes that can be relied on."""

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from command import mlops

import use_cases
from mlops import cli, files
from mlops.config import Project
from mlops.errors import DataError, GateRefused, MlopsError, StoreUnreachable, UserError
from mlops.sections import SECTIONS

HEAVY = {"mlflow", "pandas", "sklearn", "numpy", "pydantic", "pandera", "pyarrow", "matplotlib", "scipy", "skops", "yaml"}
# They serve until they are stopped, hand on another command's output, or act on git and GitHub and say so in a line.
NO_RESULT = {"ui", "serve", "notebooks lab", "store run"}
NO_RESULT |= {f"gitflow {name}" for name in ("start", "collect", "finish", "tag", "summary", "comment", "bootstrap")}


def commands() -> dict[str, Any]:
    """Every command by its name, as in `data raw`."""

    def below(command: Any, name: str) -> dict[str, Any]:
        parts = getattr(command, "commands", None)
        if parts is None:
            return {name: command}
        return {key: command for part in parts for key, command in below(parts[part], f"{name} {part}".strip()).items()}

    return below(typer.main.get_command(cli.app), "")


def test_help_imports_nothing_heavy() -> None:
    code = "import sys\nsys.argv = ['mlops', '--help']\nfrom mlops.cli import main\ntry: main()\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: mlops" in done.stdout
    assert not HEAVY & {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_the_help_lists_every_command_in_one_section() -> None:
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted({name.split()[0] for name in commands()})
    text = mlops("--help").out
    assert all(f"\n{title}:\n" in text for title in SECTIONS) and "\nOther:\n" not in text
    assert "..." not in text.partition("\nStart:\n")[2]


@pytest.mark.parametrize("name", commands())
def test_help_of_every_command_has_an_example_with_words_that_the_command_takes(name: str) -> None:
    done = mlops(*name.split(), "--help")
    example = re.search(f"Example: mlops {name}(.*?)(\n *\n|$)", done.out, re.DOTALL)
    assert done.code == 0 and example, done.out
    commands()[name].make_context(name, shlex.split(example[1]))


@pytest.mark.parametrize("name", [name for name in commands() if name not in NO_RESULT])
def test_every_command_has_its_result_as_json(name: str) -> None:
    assert any("--json" in option.opts for option in commands()[name].params)


def test_commands_that_the_main_job_is_made_of_are_there() -> None:
    single = {"train", "register", "run", "report", "compare", "history", "show", "tune", "doctor", "ui"}
    assert single | {f"data {step}" for step in ("raw", "interim", "processed", "list", "add")} <= set(commands())


WORDS = [("no-such-command",), ("run", "--no-such-option"), ("data", "add", "iris"), ("compare", "--last", "x")]
WORDS += [("compare", "--last", number) for number in ("0", "-1", "1000000")]
WORDS += [("ui", "--port", "99999"), ("ui", "--port", "-1"), ("tune", "iris", "--trials", "-1")]


@pytest.mark.parametrize("arguments", WORDS)
def test_wrong_arguments_end_with_code_2(project: Project, arguments: tuple[str, ...]) -> None:
    done = mlops(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err and "Traceback" not in done.err


@pytest.mark.parametrize(
    "error, code", [(GateRefused, 1), (UserError, 2), (DataError, 2), (StoreUnreachable, 3), (MlopsError, 2)]
)
def test_error_is_one_line_with_its_exit_code(error: type[MlopsError], code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise error("what, where, how to fix [bold]it[/bold]")

    monkeypatch.setattr(cli, "app", fails)
    done = mlops()
    assert (done.code, done.error) == (code, "what, where, how to fix [bold]it[/bold]")


@pytest.mark.parametrize("words, place", [("bundle iris --to", "below"), ("image iris --context", "")])
def test_output_to_a_file_or_below_one_is_one_line_with_code_2(registered: Project, words: str, place: str) -> None:
    file = registered.root / "setup.py"
    file.touch()
    done = mlops(*words.split(), file / place)
    assert (done.code, f"{file}: cannot be written" in done.error, file.read_bytes()) == (2, True, b"")


@pytest.mark.parametrize("place", ["file/below", "file/below/it", "folder"])
def test_file_that_cannot_be_written_is_one_line(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"cannot be written \(.*choose another path$"):
        files.write_text(tmp_path / place, "")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.parametrize(
    "error, message",
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/p/models/mlflow.db.backup"),
            "/p/models/mlflow.db.backup: Permission",
        ),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/tmp/.x", None, "/tmp"), "/tmp: Is a directory"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk: No space left on device"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_and_code_2(
    error: OSError, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fails)
    done = mlops()
    assert (done.code, done.error.startswith(message)) == (2, True)
    monkeypatch.setenv("MLOPS_DEBUG", "1")
    assert "Traceback" in mlops().err


@pytest.mark.parametrize("error", [KeyError("x"), ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")])
def test_a_defect_is_shown_with_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fails)
    done = mlops()
    assert (done.code, "Traceback" in done.err) == (70, True)


def test_refused_candidate_ends_with_code_1_and_registers_nothing(project: Project) -> None:
    done = mlops("run", "iris", "--set", "metrics.accuracy.limit=0.999", "--json")
    assert (done.code, done.error.startswith("iris: the gate refuses: accuracy breaks its limit")) == (1, True)
    assert (done.value[0]["version"], done.value[0]["passed"]) == (None, False)


def test_unreachable_store_ends_with_code_3_and_the_candidate_is_kept(project: Project) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    done = mlops("run", "iris")
    assert (done.code, "127.0.0.1:9: the tracking store does not answer" in done.error) == (3, True)
    assert len(list(project.output.rglob("manifest.json"))) == 1


def test_debug_shows_the_traceback(project: Project) -> None:
    arguments = [sys.executable, "-m", "mlops"]
    plain = subprocess.run([*arguments, "data", "raw", "rse"], capture_output=True, text=True)
    debug = subprocess.run([*arguments, "--debug", "data", "raw", "rse"], capture_output=True, text=True)
    assert "Traceback" not in plain.stderr and len(plain.stderr.splitlines()) == 1
    assert "Traceback" in debug.stderr and "mlops.errors.UserError: no use case 'rse'" in debug.stderr


def test_debug_of_one_call_does_not_stay_for_the_next(project: Project) -> None:
    with pytest.raises(UserError):
        mlops("--debug", "data", "raw", "nothing")
    os.environ.pop("MLOPS_DEBUG")
    assert mlops("data", "raw", "nothing").code == 2


def test_project_is_found_from_a_folder_below_and_by_option(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    del os.environ["MLOPS_PROJECT"]
    monkeypatch.chdir(project.data / "raw")
    assert mlops("data", "raw", "iris", "--json").value[0]["path"] == str(project.data / "raw/iris/iris.csv")
    monkeypatch.chdir("/")
    assert mlops("data", "raw", "iris").code == 2
    assert mlops("-C", project.root, "data", "raw", "iris", "--json").code == 0


def findings(*arguments: str) -> dict[str, dict]:
    done = mlops(*arguments, "doctor", "--json")
    by_what = {item["what"]: item for item in done.value}
    assert done.code == (0 if all(item["ok"] for item in by_what.values()) else 2)
    return by_what


def test_doctor_finds_nothing_missing_in_a_project_as_it_should_be(project: Project) -> None:
    assert {what: item["hint"] for what, item in findings().items() if not item["ok"]} == {}


def test_doctor_finds_a_missing_lock(project: Project) -> None:
    (project.root / "requirements/base.txt").unlink()
    item = findings()["lock file"]
    assert (item["ok"], "make lock" in item["hint"]) == (False, True)


def test_doctor_finds_a_package_that_is_not_the_locked_one(project: Project) -> None:
    file = project.root / "requirements/base.txt"
    file.write_text(file.read_text().replace("\npandas==", "\npandas==9."))
    item = findings()["lock file"]
    assert (item["ok"], item["hint"], "locked 9." in item["detail"]) == (False, "make setup", True)


def test_doctor_finds_an_unreachable_store(project: Project) -> None:
    os.environ["MLFLOW_TRACKING_URI"] = "http://127.0.0.1:9"
    item = findings()["store"]
    assert (item["ok"], "correct MLFLOW_TRACKING_URI" in item["hint"]) == (False, True)


@pytest.mark.parametrize("name, what", [("project", "project"), ("iris", "use case iris")])
def test_doctor_finds_a_wrong_configuration(project: Project, name: str, what: str) -> None:
    file = project.root / "config" / f"{name}.yaml"
    file.write_text(file.read_text() + "sede: 1\n")
    item = findings()[what]
    assert (item["ok"], "unknown key sede" in item["hint"]) == (False, True)


@pytest.mark.parametrize(
    "code, message",
    [
        ("def features(:\n", ":1: SyntaxError: "),
        ("\nimport no_such_package\n", ":2: ModuleNotFoundError: No module named 'no_such_package'; "),
        ("from pandas import no_such_name\n", ":1: ImportError: cannot import name 'no_such_name'"),
        ("LAGS = undefined\n", ":1: NameError: name 'undefined' is not defined; "),
    ],
)
def test_doctor_finds_code_of_a_use_case_that_cannot_be_imported(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    shutil.copyfile(project.root / "config/iris.yaml", project.root / "config/roses.yaml")
    package = tmp_path / "use_cases" / "roses"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from use_cases.roses import features\n")
    (package / "features.py").write_text(code)
    monkeypatch.setattr("use_cases.__path__", [*use_cases.__path__, str(package.parent)])
    item = findings()["use case roses"]
    assert (item["ok"], item["hint"].startswith(f"{package / 'features.py'}{message}")) == (False, True), item


@pytest.mark.parametrize("store", ["/proc", "/proc/nothing/here", "file", "file/below"])
def test_doctor_finds_a_store_that_cannot_be_made(project: Project, store: str) -> None:
    (project.root / "file").touch()
    os.environ["MLOPS__PROJECT__STORE"] = store
    item = findings()["store"]
    assert (item["ok"], "cannot be written" in item["hint"]) == (False, True)


def test_doctor_finds_a_folder_that_is_no_repository(project: Project) -> None:
    (project.root / ".git").rename(project.root / "git")
    item = findings()["commit"]
    assert (item["ok"], "git init" in item["hint"]) == (False, True)


def test_pythons_are_those_of_the_package(project: Project) -> None:
    versions = json.loads(mlops("pythons", "--json").out)
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in versions
    assert mlops("pythons", "--tox").out.strip() == ",".join(f"py{version.replace('.', '')}" for version in versions)
