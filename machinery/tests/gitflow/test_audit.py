"""Secrets in files that git knows fail the lint; an audit without a source of advisories does not read as a clean one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from checkouts import ROOT, git
from click.testing import Result
from typer.testing import CliRunner

from mlops.cli import app
from mlops.gitflow import audit

# Put together here, so that no file of the repository holds one.
PLANTED = {
    "an AWS key": "key = 'AKIA" + "Q3EGB5ZK7XWLMN2P'",
    "a GitHub token": "token: ghp" + "_" + "a1B2c3D4e5" * 3 + "f6G7h8",
    "a private key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "a password in an address": "postgresql://ada:" + "hunter2secret@db.example.org/mlflow",
}


def scan(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the target as the lint job does, on another repository."""
    command = ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), "secrets", f"BIN={Path(sys.executable).parent}"]
    return subprocess.run([*command, "VENV=venv"], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A repository with one file, and stamps of an environment that is set up."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "README.md").write_text("Nothing to hide.\n", encoding="utf-8")
    for name in (
        "requirements/light.txt",
        "requirements/base.txt",
        "requirements/dev.txt",
        "setup.py",
        "vendor/machinery.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "venv").mkdir()
    for stamp in (".venv", ".base", ".dev"):
        (tmp_path / "venv" / stamp).write_text(f"{tmp_path.resolve() / 'venv'}\n", encoding="utf-8")
    git(tmp_path, "add", "README.md")
    return tmp_path


def test_a_repository_without_secrets_passes(files: Path) -> None:
    done = scan(files)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_secret_fails_with_its_place(files: Path, name: str) -> None:
    (files / "settings.yaml").write_text(f"first: 1\n{PLANTED[name]}\n", encoding="utf-8")
    git(files, "add", "settings.yaml")
    done = scan(files)
    assert done.returncode != 0 and "settings.yaml:2" in done.stdout, done.stdout + done.stderr


ROWS = [
    {"name": "safe", "version": "1.0", "vulns": []},
    {
        "name": "holed",
        "version": "2.0",
        "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1"], "aliases": [], "description": "x"}],
    },
    {"name": "own", "skip_reason": "Dependency not found on PyPI and could not be audited: own (1.0)"},
]


def test_the_answer_is_read() -> None:
    advisories = audit.parse(json.dumps({"dependencies": ROWS, "fixes": []}))
    assert advisories == audit.Audit(2, ("own",), ("holed 2.0: PYSEC-1, fixed in 2.1",))


def command(monkeypatch: pytest.MonkeyPatch, folder: Path, advisories: audit.Audit | None) -> Result:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(audit, "run", lambda lock: advisories)
    return CliRunner().invoke(app, ["gitflow", "audit"])


def test_an_advisory_fails_and_nothing_audited_is_reported(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = command(monkeypatch, files, None)
    assert (nothing.exit_code, "was NOT audited" in nothing.stderr) == (0, True)
    assert command(monkeypatch, files, audit.Audit(3, (), ())).exit_code == 0
    assert "1 advisories" in str(command(monkeypatch, files, audit.Audit(3, (), ("holed 2.0: PYSEC-1",))).exception)


def test_without_a_network_nothing_is_audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"click==8.1.8 \\\n    --hash=sha256:{'a' * 64}\n", encoding="utf-8")
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert audit.run(lock) is None
