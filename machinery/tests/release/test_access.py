"""The secrets of a target: in files that only their owner reads, in a folder of the job, and gone afterwards."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from command import mlops

from mlops.release import access

HOST = "host.example ssh-ed25519 AAAA"
NAMES = ("GITHUB_ENV", "GITHUB_PATH", "MLOPS_TARGET_ACCESS", "KUBECONFIG")


class Job:
    """A job of a workflow: the files in which the runner takes variables and path, and what its later steps see."""

    def __init__(self, folder: Path) -> None:
        """Give it the machine's folder of temporary files."""
        folder.mkdir()
        self.files = {name: folder / name for name in ("GITHUB_ENV", "GITHUB_PATH")}

    def __call__(self, *arguments: str, **secrets: str) -> str:
        """Run a step of `mlops release credentials`; return its error, "" where it succeeds."""
        given = {**{name: str(file) for name, file in self.files.items()}, **secrets}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**self.variables(), **given}.items():
                patch.setenv(name, value)
            done = mlops("release", "credentials", *arguments)
        return done.error if done.code else ""

    def variables(self) -> dict[str, str]:
        """The variables of the steps that follow."""
        lines = {name: file.read_text().splitlines() if file.is_file() else [] for name, file in self.files.items()}
        path = os.pathsep.join([*reversed(lines["GITHUB_PATH"]), os.environ["PATH"]])
        return dict(line.split("=", 1) for line in lines["GITHUB_ENV"]) | {"PATH": path}

    @property
    def folder(self) -> Path:
        """Where its secrets lie."""
        return Path(self.variables()["MLOPS_TARGET_ACCESS"])

    def ssh(self, host: str = "host.example") -> Mapping[str, str]:
        """The options with which Docker's `ssh` would speak to a host; what it doubles for its own reading is single here."""
        environment = {**os.environ, **self.variables()}
        done = subprocess.run(["ssh", "-G", host], env=environment, capture_output=True, text=True, check=True)
        lines = done.stdout.replace("%%", "%").splitlines()
        return dict(reversed([line.split(" ", 1) for line in lines if " " in line]))


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Job, Job]:
    """Two jobs side by side on one machine whose folder of temporary files has a blank and a percent sign in its name."""
    temporary = tmp_path / "100 %h"
    temporary.mkdir()
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in (("GITHUB_ACTIONS", "true"), ("RUNNER_TEMP", str(temporary)), ("HOME", str(tmp_path / "home"))):
        monkeypatch.setenv(name, value)
    (tmp_path / "home").mkdir()
    return Job(tmp_path / "one"), Job(tmp_path / "two")


def test_each_job_has_its_own_key_and_takes_away_no_other(jobs: tuple[Job, Job], tmp_path: Path) -> None:
    for number, job in enumerate(jobs):
        assert job(MLOPS_DEPLOY_SSH_KEY=f"KEY{number}", MLOPS_DEPLOY_KNOWN_HOSTS=HOST) == ""
    for number, job in enumerate(jobs):
        options = job.ssh()
        key, hosts = Path(options["identityfile"]), Path(options["userknownhostsfile"].strip('"'))
        assert key.read_text() == f"KEY{number}\n" and hosts.read_text() == f"{HOST}\n"
        assert key.parent == hosts.parent == job.folder and job.folder.parent == tmp_path / "100 %h"
        assert (options["stricthostkeychecking"], options["batchmode"]) == ("true", "yes")
    first, second = jobs
    assert first("--remove") == ""
    assert not first.folder.exists() and Path(second.ssh()["identityfile"]).is_file()
    assert second("--remove") == "" and not list((tmp_path / "100 %h").iterdir())
    assert not list((tmp_path / "home").iterdir())


def test_a_key_that_is_written_again_is_the_one_that_counts(jobs: tuple[Job, Job]) -> None:
    for key in ("OLD", "NEW"):
        assert jobs[0](MLOPS_DEPLOY_SSH_KEY=key, MLOPS_DEPLOY_KNOWN_HOSTS=HOST) == ""
    assert Path(jobs[0].ssh()["identityfile"]).read_text() == "NEW\n"


def test_only_the_owner_reads_what_is_written(jobs: tuple[Job, Job]) -> None:
    job = jobs[0]
    assert job(MLOPS_DEPLOY_SSH_KEY="KEY", MLOPS_DEPLOY_KNOWN_HOSTS=HOST, MLOPS_DEPLOY_KUBECONFIG="apiVersion: v1") == ""
    modes = {path.name: path.stat().st_mode & 0o777 for path in [job.folder, *job.folder.rglob("*")]}
    assert modes.pop("ssh") == modes.pop("bin") == modes.pop(job.folder.name) == 0o700
    assert modes == dict.fromkeys((access.KEY, access.HOSTS, access.CONFIG, access.KUBECONFIG), 0o600)


def test_a_cluster_needs_no_ssh(jobs: tuple[Job, Job]) -> None:
    assert jobs[0](MLOPS_DEPLOY_KUBECONFIG="apiVersion: v1") == ""
    assert [path.name for path in jobs[0].folder.iterdir()] == [access.KUBECONFIG]
    assert Path(jobs[0].variables()["KUBECONFIG"]).read_text() == "apiVersion: v1\n"
    assert jobs[0]("--remove") == "" and not jobs[0].folder.exists()


def test_without_secrets_nothing_is_written(jobs: tuple[Job, Job], tmp_path: Path) -> None:
    assert jobs[0](MLOPS_DEPLOY_KNOWN_HOSTS=HOST) == jobs[0]("--remove") == ""
    assert not list((tmp_path / "100 %h").iterdir()) and not list((tmp_path / "one").iterdir())


def test_what_cannot_be_used_is_refused_and_leaves_nothing(jobs: tuple[Job, Job], tmp_path: Path) -> None:
    job = jobs[0]
    assert "MLOPS_DEPLOY_KNOWN_HOSTS is empty" in job(MLOPS_DEPLOY_SSH_KEY="KEY", MLOPS_DEPLOY_KNOWN_HOSTS=" ")
    given = {"MLOPS_DEPLOY_SSH_KEY": "KEY", "MLOPS_DEPLOY_KNOWN_HOSTS": HOST}
    assert "your own configuration" in job(**given, GITHUB_ACTIONS="false")
    (tmp_path / "empty").mkdir()
    assert "ssh is not installed" in job(**given, PATH=str(tmp_path / "empty"))
    assert not list((tmp_path / "100 %h").iterdir())
