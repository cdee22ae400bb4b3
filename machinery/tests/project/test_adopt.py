"""A copy of the template becomes a thin project, and a thin project gets the source back."""

import os
import subprocess
import sys
from pathlib import Path

import fake_github
import pytest
from checkouts import ROOT, git
from command import mlops

from mlops import vendored
from mlops.project import new, shipped, wheel

pytestmark = [pytest.mark.usefixtures("environment"), pytest.mark.servers]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What *Use this template* makes: this tree in one commit."""
    root = tmp_path / "churn-models"
    root.mkdir()
    new.copy(ROOT, root)
    for arguments in (("init", "--initial-branch=main"), ("add", "--all"), ("commit", "-m", "Initial commit")):
        git(root, *arguments)
    os.environ["MLOPS_PROJECT"] = str(root)
    return root


def test_a_copy_becomes_thin_and_keeps_all_that_is_the_teams(copy: Path) -> None:
    git(copy, "checkout", "-q", "-b", "feature/adopt")
    with (copy / "README.md").open("a") as file:
        file.write("\nOur own words.\n")
    with (copy / "src/use_cases/iris/model.py").open("a") as file:
        file.write("\nOURS = 1\n")
    git(copy, "commit", "-qam", "Our own words")
    before = {path: (copy / path).read_bytes() for path in git(copy, "ls-files").splitlines() if (copy / path).is_file()}
    done = mlops("adopt", "--defaults", "--json")
    assert done.code == 0, done.err
    after = {path: (copy / path).read_bytes() for path in before if (copy / path).is_file()}
    gone = set(before) - set(after)
    assert gone and all(path.startswith(("machinery/", ".ci/", ".github/SECURITY", ".github/CODE_OF")) for path in gone)
    named = {"setup.py", "config/project.yaml", "conda-env.yml", "MLproject", "docs/conf.py", "docs/index.md"}
    changed = {path for path in after if after[path] != before[path]}
    assert changed - {"CHANGELOG.md", "LICENSE"} == named | {"vendor/machinery.txt"}
    assert b"Our own words." in after["README.md"] and b"OURS = 1" in after["src/use_cases/iris/model.py"]
    assert not [path for path in changed if path.startswith(".github/workflows/")]
    assert 'name="churn-models"' in (copy / "setup.py").read_text()
    assert len(after) + 1 <= 100
    assert mlops("sync", "--check", "--json").value == []
    assert wheel.present(copy).owned() == shipped.owned()
    assert "is thin already" in mlops("adopt", "--defaults", "--force").error


def test_the_wheel_is_that_of_the_first_commit_whatever_was_edited_beside_the_source(copy: Path) -> None:
    first = wheel.of_commit(copy, "HEAD")
    (copy / "config/iris.yaml").unlink()
    (copy / "Makefile").write_text("ours\n")
    git(copy, "commit", "-qam", "Edited")
    assert mlops("adopt", "--defaults").code == 0
    assert wheel.present(copy).sha256 == first.sha256
    assert (copy / "Makefile").read_text() == "ours\n"


def test_an_edited_source_is_kept_and_the_command_says_both_ways_out(copy: Path) -> None:
    file = copy / "machinery/src/mlops/keys.py"
    file.write_text(file.read_text() + "OURS = 1\n")
    assert "uncommitted changes" in mlops("adopt", "--defaults").error
    git(copy, "commit", "-qam", "Edited")
    refused = mlops("adopt", "--defaults").error
    assert "machinery/src/mlops/keys.py" in refused and "keep the source" in refused and "git checkout" in refused
    assert file.is_file() and vendored.read(copy).folder == "machinery"


def test_a_history_that_did_not_begin_as_a_copy_needs_the_wheel(copy: Path, tmp_path: Path) -> None:
    machinery = wheel.of_commit(copy, "HEAD")
    git(copy, "checkout", "-q", "--orphan", "other")
    git(copy, "rm", "-rqf", "--cached", "machinery")
    git(copy, "commit", "-qm", "Another beginning")
    git(copy, "add", "--all")
    git(copy, "commit", "-qm", "The machinery")
    assert "no copy of the template" in mlops("adopt", "--defaults").error
    (tmp_path / machinery.name).write_bytes(machinery.content)
    assert mlops("adopt", "--defaults", "--wheel", tmp_path / machinery.name).code == 0
    assert wheel.present(copy).sha256 == machinery.sha256


def test_eject_gives_the_source_back_from_the_wheel_alone(copy: Path, tmp_path: Path) -> None:
    machinery = wheel.of_commit(copy, "HEAD")
    source = {path: (copy / path).read_bytes() for path in git(copy, "ls-files", "machinery").splitlines()}
    assert mlops("adopt", "--defaults").code == 0
    git(copy, "add", "--all")
    git(copy, "commit", "-qm", "Thin")
    # As installed from the wheel, in a process that sees nothing of this repository.
    site = tmp_path / "site"
    (tmp_path / machinery.name).write_bytes(machinery.content)
    command = [sys.executable, "-m", "zipfile", "-e", str(tmp_path / machinery.name), str(site)]
    subprocess.run(command, check=True)
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from mlops.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, site, "eject"], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    back = {path.relative_to(copy).as_posix(): path.read_bytes() for path in (copy / "machinery").rglob("*") if path.is_file()}
    assert {path for path in source if back.get(path) != source[path]} == set()
    assert (copy / vendored.LINE).read_text() == "-e ./machinery\n"
    assert not list((copy / "vendor").glob("*.whl"))


@pytest.mark.parametrize("allowed", [True, False])
def test_the_first_push_proposes_the_change_and_where_it_may_not_says_how(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    origin = tmp_path / "origin.git"
    git(tmp_path, "clone", "-q", "--bare", str(copy), str(origin))
    git(origin, "branch", "dev", "main")
    git(copy, "remote", "add", "origin", str(origin))
    for name, value in {"GITHUB_REPOSITORY": fake_github.NAME, "GITHUB_TOKEN": "app-token" if allowed else "token"}.items():
        monkeypatch.setenv(name, value)
    before = git(copy, "status", "--porcelain", "--branch")
    with fake_github.serve() as github:
        monkeypatch.setenv("GITHUB_API_URL", github.url)
        done = mlops("adopt", "--propose")
        again = mlops("adopt", "--propose")
    assert (done.code, again.code) == (0, 0), done.err + again.err
    assert [pull["head"]["ref"] for pull in github.pulls] == (["feature/adopt"] if allowed else [])
    assert ("/compare/dev...feature/adopt" in done.err) is not allowed
    changed = git(origin, "diff", "--name-only", "dev", "feature/adopt").splitlines()
    assert "vendor/machinery.txt" in changed and not [path for path in changed if path.startswith(".github/workflows/")]
    assert f'name="{fake_github.NAME.split("/")[1]}"' in git(origin, "show", "feature/adopt:setup.py")
    assert git(copy, "status", "--porcelain", "--branch") == before
