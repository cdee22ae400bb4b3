"""The workbench before anything runs: settings, secrets, taken ports, what it falls back on, and what compose is given."""

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from checkouts import ROOT
from command import mlops
from packaging.requirements import Requirement

from mlops.config import Project
from mlops.errors import ConfigError, UserError
from mlops.workbench import docker, parts, postgres, processes, settings, supervisor

WORKBENCH = ROOT / "machinery" / "src" / "mlops" / "workbench"


def test_ports_come_from_the_option_then_the_variable_then_as_usual(project: Project):
    os.environ[settings.PORTS_VARIABLE] = "mlflow=5001, s3=9100"
    assert settings.read(project.root, ["s3=9200"]).ports == {"jupyter": 8888, "mlflow": 5001, "postgres": 5432, "s3": 9200}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "mlfow=5001"], "no part 'mlfow', did you mean 'mlflow'?"),
        (["--port", "mlflow=high"], "'mlflow=high' is no port"),
        (["--port", "mlflow=70000"], "'mlflow=70000' is no port"),
        (["--port", "mlflow=8888"], "jupyter and mlflow would share port 8888"),
        (["--bind", "example"], "'example' is no address"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(project: Project, arguments: list[str], words: str):
    done = mlops("workbench", "start", *arguments)
    assert done.code == 2 and words in done.error
    assert not (project.root / ".mlops").exists()


def test_secrets_are_generated_once_for_their_owner_alone_and_git_ignores_them(project: Project):
    bench = settings.read(project.root)
    bench.prepare()
    first = bench.secrets
    file = bench.home / "secrets.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(bench.home.stat().st_mode) == 0o700
    assert len(set(first.values())) == len(settings.SECRETS) and min(map(len, first.values())) >= 20
    file.chmod(0o644)
    assert settings.read(project.root).secrets == first and stat.S_IMODE(file.stat().st_mode) == 0o600
    listed = ["git", "-C", str(project.root), "ls-files", "--others", "--exclude-standard"]
    assert ".mlops" not in subprocess.run(listed, capture_output=True, text=True, check=True).stdout


def test_a_taken_port_is_named_with_who_holds_it_and_a_free_one(project: Project):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = mlops("workbench", "start", "--foreground", "--port", f"mlflow={port}")
    assert done.code == 2 and f"port {port} (mlflow) is taken by" in done.error and f"pid {os.getpid()}" in done.error
    assert re.search(rf"mlops workbench start .*--port mlflow=(?!{port}\b)\d+", done.error)


def test_a_state_of_another_process_with_the_same_number_is_stale_and_ends_nobody(project: Project):
    bench = settings.read(project.root)
    bench.prepare()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        known = {**processes.identity(bystander.pid), "part": "s3"}
        stale = {**known, "created": known["created"] - 100}
        supervisor.state_file(bench).write_text(json.dumps({**stale, "ready": True, "parts": [stale]}))
        assert not mlops("workbench", "status", "--json").value["running"]
        assert mlops("workbench", "stop", "--json").value["ended"] == []
        assert bystander.poll() is None and not supervisor.state_file(bench).exists()
        supervisor.state_file(bench).write_text(json.dumps({**stale, "ready": True, "parts": [{**known, "part": "s3"}]}))
        assert mlops("workbench", "stop", "--json").value["ended"] == ["s3"]
        assert bystander.wait(10) is not None and processes.find(known) is None


def test_where_postgresql_and_rclone_are_missing_a_file_and_a_folder_take_their_place(project: Project, monkeypatch):
    monkeypatch.setattr(postgres, "PLACES", ())
    monkeypatch.setattr(parts.shutil, "which", lambda *_, **__: None)
    bench = settings.read(project.root)
    bench.prepare()
    first, second = parts.assemble(bench)
    assert (first.name, second.name) == ("mlflow", "jupyter")
    assert first.environment["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{bench.home}/mlflow.db"
    assert first.environment["MLFLOW_ARTIFACTS_DESTINATION"] == str(bench.home / "s3" / "mlflow")
    assert second.environment["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"
    assert "MLFLOW_S3_ENDPOINT_URL" not in second.environment


def test_beyond_loopback_nothing_starts_that_cannot_ask_for_a_password(project: Project, monkeypatch):
    monkeypatch.setattr(parts, "find_spec", lambda name: None if name == "flask_wtf" else find_spec(name))
    with pytest.raises(UserError, match="MLflow would let everybody in.*make workbench-local"):
        parts.assemble(settings.read(project.root, bind="0.0.0.0"))


def test_no_secret_stands_in_a_command_which_a_list_of_processes_shows(project: Project, monkeypatch):
    monkeypatch.setattr(postgres.Postgres, "prepare", lambda *_: None)
    bench = settings.read(project.root)
    bench.prepare()
    words = " ".join(word for part in parts.assemble(bench) for word in part.command)
    assert not [name for name, secret in bench.secrets.items() if secret in words]


def test_variables_of_the_shell_lead_no_part_elsewhere(project: Project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://elsewhere.example")
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setattr(postgres, "PLACES", ())
    bench = settings.read(project.root)
    bench.prepare()
    for part in parts.assemble(bench):
        assert "AWS_PROFILE" not in part.environment and "elsewhere.example" not in str(part.environment)


def test_its_own_lock_pins_by_hash_all_that_the_extra_names():
    source = (ROOT / "machinery" / "setup.py").read_text(encoding="utf-8")
    (named,) = re.findall(r'"workbench": \[(.*)\]', source)
    pins = dict(re.findall(r"(?m)^([a-z-]+)==([\d.]+)", (WORKBENCH / "requirements.txt").read_text(encoding="utf-8")))
    for text in re.findall(r'"([^"]+)"', named):
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[requirement.name.lower()]), "make lock-workbench"
    dev = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    assert f"psutil=={pins['psutil']} " in dev, "make lock-workbench"


def services(variables: dict[str, str]) -> dict[str, dict]:
    """The services of the compose file with its variables filled in, as compose does after it has read the YAML."""

    def filled(value):
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [filled(item) for item in value]
        return re.sub(r"\$\{(\w+)\}", lambda match: variables[match[1]], value) if isinstance(value, str) else value

    return filled(yaml.safe_load((WORKBENCH / "compose" / "compose.yaml").read_text(encoding="utf-8"))["services"])


def test_what_compose_is_given_publishes_loopback_alone_and_pins_its_base_by_digest(project: Project):
    bench = settings.read(project.root, ["mlflow=5001"])
    for name in ("requirements/light.txt", "requirements/dev.txt", "vendor/machinery.txt"):
        (project.root / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, project.root / name)
    folder = docker.render(bench)
    variables = dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines())
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    text = (folder / "compose.yaml").read_text(encoding="utf-8")
    published = {name: service["ports"][0] for name, service in services(variables).items()}
    assert published == {name: f"127.0.0.1:{bench.ports[name]}:{settings.PORTS[name]}" for name in settings.PORTS}
    bases = re.findall(r"(?m)^(?:ARG BASE=|FROM )(\S+)", (folder / "workbench.Dockerfile").read_text(encoding="utf-8"))
    assert re.fullmatch(r"python:3\.12-slim-bookworm@sha256:[0-9a-f]{64}", bases[0]) and set(bases[1:]) == {"${BASE}"}
    for secret in bench.secrets.values():
        assert secret not in text


def test_the_wheel_that_a_project_names_goes_into_the_image(project: Project):
    (project.root / "vendor").mkdir()
    for name in ("light.txt", "dev.txt"):
        shutil.copyfile(ROOT / "requirements" / name, project.root / "requirements" / name)
    name = "mlops_machinery-1.0.0-py3-none-any.whl"
    (project.root / "vendor" / name).write_bytes(b"wheel")
    (project.root / "vendor" / "machinery.txt").write_text(f"./vendor/{name} --hash=sha256:{'0' * 64}\n")
    assert (docker.render(settings.read(project.root)) / "machinery" / name).read_bytes() == b"wheel"


def test_beyond_loopback_database_and_bucket_stay_on_loopback(project: Project):
    variables = docker._variables(settings.read(project.root, bind="0.0.0.0"))
    given = services(variables)
    hosts = {name: service["ports"][0].split(":")[0] for name, service in given.items()}
    assert hosts == {"postgres": "127.0.0.1", "s3": "127.0.0.1", "mlflow": "0.0.0.0", "jupyter": "0.0.0.0"}
    assert "basic-auth" in given["mlflow"]["command"] and given["jupyter"]["environment"]["JUPYTER_TOKEN"]


def test_users_whose_password_is_lost_are_named_with_the_way_out_and_nothing_is_generated(project: Project):
    bench = settings.read(project.root)
    bench.prepare()
    (bench.home / "users.db").touch()
    done = mlops("workbench", "start", "--foreground")
    assert done.code == 2 and f"{bench.home / 'secrets.json'} is gone" in done.error
    assert done.error.endswith(f"the data as they are: rm {bench.home / 'users.db'}")
    assert not (bench.home / "secrets.json").exists()


def test_damaged_secrets_are_reported_and_not_replaced(project: Project):
    bench = settings.read(project.root)
    bench.prepare()
    (bench.home / "secrets.json").write_text("{")
    with pytest.raises(ConfigError, match="secrets.json is no JSON"):
        _ = bench.secrets
    assert Path(bench.home / "secrets.json").read_text() == "{"


def test_make_alone_names_the_workbench_first():
    done = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split()[:2] == ["make", "workbench"]
