"""Projects on the machinery: created, edited, brought to later versions; no edit is lost."""

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from checkouts import ROOT, git
from command import mlops
from thin_projects import committed, created

from mlops import pythons, vendored
from mlops.project import answers, new, shipped, transaction, update, wheel
from mlops.project.wheel import Wheel

# Updates a project in a process that is killed at a given call of os.replace.
KILLED = """
import os, sys
from pathlib import Path
from mlops.project import update, wheel

real, left = os.replace, [int(sys.argv[3])]

def killing(*arguments, **options):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), 9)
    return real(*arguments, **options)

os.replace = killing
update.update(Path(sys.argv[1]), wheel.opened(Path(sys.argv[2])))
"""
TRAIN, PULL, DEPLOY = (f".github/workflows/{name}.yml" for name in ("train", "pull-request", "deploy"))
pytestmark = [pytest.mark.usefixtures("environment"), pytest.mark.servers]


def released(
    before: Wheel, version: str, edit: Callable[[str, bytes], bytes | None], more: dict[str, bytes] | None = None
) -> Wheel:
    """A later machinery: each file of the wheel after an edit, None leaves it out; nothing here reads a wheel's records."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(before.content)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in old.namelist():
            content = edit(name, old.read(name))
            if name.endswith(".dist-info/METADATA"):
                content = re.sub(rb"(?m)^Version: .*$", f"Version: {version}".encode(), old.read(name))
            if content is not None:
                archive.writestr(name.replace(f"-{before.version}.dist-info", f"-{version}.dist-info"), content)
        for name, content in (more or {}).items():
            archive.writestr(name, content)
    return Wheel(f"mlops_machinery-{version}-py3-none-any.whl", target.getvalue())


def owned(path: str) -> str:
    """Where a file that the machinery owns lies in a wheel."""
    return wheel.OWNED + "/".join(f"dot_{part[1:]}" if part.startswith(".") else part for part in path.split("/"))


def second_edit(name: str, content: bytes) -> bytes | None:
    """What 1.1.0 changes: a line of three files; a ruleset goes, docstrings of the training code change."""
    if name == owned(".github/rulesets/tags.json"):
        return None
    if name in (owned(TRAIN), owned(PULL)):
        return content.replace(b"timeout-minutes: 10\n", b"timeout-minutes: 15\n", 1)
    if name == owned("Makefile"):
        return content.replace(b"the default use case", b"the first use case")
    return content.replace(b'"""The key: what', b'"""What') if name == "mlops/keys.py" else content


def third_edit(name: str, content: bytes) -> bytes | None:
    """What 1.2.0 changes: other lines, also at the end of a file."""
    if name == owned(TRAIN):
        return content.replace(b"timeout-minutes: 360\n", b"timeout-minutes: 350\n")
    if name == owned(DEPLOY):
        return content + b"# the end\n"
    return content.replace(b"complexity = 10", b"complexity = 11") if name == owned("tox.ini") else content


@pytest.fixture(scope="module")
def later(first: Wheel) -> list[Wheel]:
    """Two later versions."""
    added = {owned(".github/workflows/audit.yml"): b"name: audit\n"}
    second = released(first, "1.1.0", second_edit, added)
    return [second, released(second, "1.2.0", third_edit)]


def replaced(path: str, old: str, replacement: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        text = (root / path).read_text()
        assert old in text, (path, old)
        (root / path).write_text(text.replace(old, replacement, 1))

    return edit


def appended(path: str, text: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        with (root / path).open("a") as file:
            file.write(text)

    return edit


def in_crlf(root: Path) -> None:
    (root / PULL).write_bytes((root / PULL).read_bytes().replace(b"\n", b"\r\n"))


# Edit of the team → what must be in the project after all updates: path and text, or None where the file must not be there.
EDITS: dict[str, tuple[Callable[[Path], object], list[tuple[str, str | None]]]] = {
    "none": (
        lambda root: None,
        [(TRAIN, "timeout-minutes: 15"), (TRAIN, "timeout-minutes: 350"), (".github/rulesets/tags.json", None)],
    ),
    "the line that the update changes": (
        replaced(TRAIN, "timeout-minutes: 10\n", "timeout-minutes: 12\n"),
        [(TRAIN, "timeout-minutes: 12"), (f"{TRAIN}.new", "timeout-minutes: 15")],
    ),
    "another line of the file": (
        replaced(TRAIN, "name: train\n", "name: train # ours\n"),
        [(TRAIN, "name: train # ours"), (TRAIN, "timeout-minutes: 15"), (TRAIN, "timeout-minutes: 350")],
    ),
    "a workflow deleted": (lambda root: (root / DEPLOY).unlink(), [(DEPLOY, None), (TRAIN, "timeout-minutes: 350")]),
    "a workflow renamed": (
        lambda root: (root / TRAIN).rename(root / ".github/workflows/fit.yml"),
        [(TRAIN, None), (".github/workflows/fit.yml", "timeout-minutes: 350")],
    ),
    "a workflow added": (
        lambda root: (root / ".github/workflows/ours.yml").write_text("name: ours\n"),
        [(".github/workflows/ours.yml", "name: ours"), (".github/workflows/audit.yml", "name: audit")],
    ),
    "a workflow of the same name as a later one": (
        lambda root: (root / ".github/workflows/audit.yml").write_text("name: our audit\n"),
        [(".github/workflows/audit.yml", "our audit"), (".github/workflows/audit.yml.new", "name: audit")],
    ),
    "other line ends": (in_crlf, [(PULL, "timeout-minutes: 15\r\n")]),
    "another mode": (lambda root: (root / "Makefile").chmod(0o755), [("Makefile", "the first use case")]),
    "lines at the end": (
        appended(DEPLOY, "# ours\n"),
        [(DEPLOY, "# ours"), (f"{DEPLOY}.new", "# the end")],
    ),
    "an own target": (
        lambda root: (root / "project.mk").write_text("ours:\n\t@echo ours\n"),
        [("project.mk", "echo ours"), ("Makefile", "the first use case")],
    ),
    "a ruleset that goes": (
        replaced(".github/rulesets/tags.json", "{", "{\n"),
        [(".github/rulesets/tags.json", "{\n")],
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_no_edit_is_lost_over_three_versions(name: str, first: Wheel, later: list[Wheel], tmp_path: Path) -> None:
    edit, expected = EDITS[name]
    root = created(tmp_path / "project", first)
    edit(root)
    committed(root, "An edit of the team")
    mode = (root / "Makefile").stat().st_mode
    kept = {
        path: (root / path).read_bytes() for path in ("setup.py", "config/iris.yaml", "README.md", "requirements/base.txt")
    }
    for machinery in later:
        update.update(root, machinery)
        committed(root, f"Machinery {machinery.version}")
    for path, text in expected:
        if text is None:
            assert not (root / path).exists(), path
        else:
            assert text in (root / path).read_bytes().decode(), path
    assert (root / "Makefile").stat().st_mode == mode
    assert {path: (root / path).read_bytes() for path in kept} == kept
    assert [file.name for file in (root / "vendor").iterdir() if file.suffix == ".whl"] == [later[-1].name]
    assert wheel.present(root).sha256 == later[-1].sha256
    for file in (root / ".github/workflows").glob("*.yml"):
        assert yaml.safe_load(file.read_text())["name"], file


def test_training_code_that_only_reads_otherwise_trains_nothing_anew(first: Wheel, later: list[Wheel]) -> None:
    from mlops import keys

    digests = {keys.of_machinery(vendored.of_wheel(machinery.content)) for machinery in (first, *later)}
    assert digests == {keys.machinery()}
    changed = released(
        first, "1.3.0", lambda name, content: content + b"X = 1\n" if name == "mlops/training/split.py" else content
    )
    assert keys.of_machinery(vendored.of_wheel(changed.content)) not in digests


def test_a_pull_request_that_brings_another_wheel_tries_out_every_use_case_only_if_it_trains_otherwise(
    first: Wheel, later: list[Wheel], tmp_path: Path
) -> None:
    from mlops import keys
    from mlops.gitflow import touched

    root = created(tmp_path / "project", first)
    git(root, "update-ref", "refs/remotes/origin/dev", "HEAD")
    update.update(root, later[0])
    committed(root, "1.1.0")
    assert not touched.differs(root, "dev", keys.MACHINERY)
    other = released(
        first, "1.3.0", lambda name, content: content + b"X = 1\n" if name == "mlops/training/split.py" else content
    )
    update.update(root, other)
    committed(root, "1.3.0")
    assert touched.differs(root, "dev", keys.MACHINERY)


def test_a_checkout_with_other_line_ends_keeps_the_bytes_of_raw_data(first: Wheel, tmp_path: Path) -> None:
    root = created(tmp_path / "project", first)
    git(tmp_path, "clone", "--quiet", "-c", "core.autocrlf=true", str(root), "windows")
    for path in ("data/raw/iris/iris.csv", "Makefile", "vendor/machinery.txt", f"vendor/{first.name}"):
        assert (tmp_path / "windows" / path).read_bytes() == (root / path).read_bytes(), path
    assert b"\r\n" in (tmp_path / "windows/README.md").read_bytes()


def test_a_project_in_a_bigger_repository_is_updated_whatever_lies_beside_it(
    first: Wheel, later: list[Wheel], tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet")
    root = tmp_path / "models"
    new.create(root, answers.Answers(name="models-a"), first)
    committed(tmp_path, "A project below")
    (tmp_path / "unfinished.txt").write_text("not of the project")
    assert update.update(root, later[0]).after == later[0].version
    assert vendored.blob(root, "HEAD", "vendor/machinery.txt") == vendored.line(first.path, first.sha256).encode()


def test_the_same_wheel_again_says_that_it_is_here(first: Wheel, command, tmp_path: Path) -> None:
    os.environ["MLOPS_PROJECT"] = str(created(tmp_path / "project", first))
    (tmp_path / first.name).write_bytes(first.content)
    done = command("update", "--wheel", str(tmp_path / first.name))
    assert (done.code, done.out) == (0, "") and f"machinery {first.version} is here already" in done.err


def test_a_wheel_whose_path_has_a_blank_goes_through_make(first: Wheel, tmp_path: Path) -> None:
    root = created(tmp_path / "project", first)
    shown = subprocess.run(["make", "--dry-run", "update", "WHEEL=/my work/x.whl"], cwd=root, capture_output=True, text=True)
    assert 'update --wheel "/my work/x.whl"' in shown.stdout


def test_what_cannot_be_updated_is_one_line_and_nothing_changes(first: Wheel, later: list[Wheel], tmp_path: Path) -> None:
    root = created(tmp_path / "project", later[0])
    os.environ["MLOPS_PROJECT"] = str(root)
    files = {}
    for machinery in (first, later[1]):
        files[machinery.version] = tmp_path / machinery.name
        files[machinery.version].write_bytes(machinery.content)
    older, newer = files[first.version], files["1.2.0"]
    refused = mlops("update", "--wheel", older)
    assert refused.code == 2 and f"{first.version} is older than 1.1.0" in refused.error and "--to" in refused.error
    (root / "README.md").write_text("edited")
    assert "uncommitted changes (M README.md)" in mlops("update", "--wheel", newer).error
    git(root, "checkout", "--", "README.md")
    foreign = tmp_path / "other-1.0-py3-none-any.whl"
    foreign.write_bytes(first.content)
    assert "no wheel of the machinery" in mlops("update", "--wheel", foreign).error
    assert git(root, "status", "--porcelain") == ""
    assert mlops("update", "--wheel", older, "--to", first.version).code == 0
    assert wheel.present(root).version == first.version


def test_a_wheel_that_is_another_than_the_one_pinned_is_refused_everywhere(
    first: Wheel, later: list[Wheel], tmp_path: Path
) -> None:
    root = created(tmp_path / "project", first)
    os.environ["MLOPS_PROJECT"] = str(root)
    (root / first.path).write_bytes(later[0].content)
    newer = tmp_path / later[1].name
    newer.write_bytes(later[1].content)
    for command in (("sync", "--check"), ("update", "--force", "--wheel", newer), ("eject", "--force")):
        done = mlops(*command)
        assert done.code == 2 and "it is another file" in done.error, command
    (root / vendored.LINE).write_text(f"./{first.path}\n")
    assert "the wheel has no hash" in mlops("sync", "--check").error


def test_sync_tells_an_edited_file_and_writes_it_anew_on_request(first: Wheel, tmp_path: Path) -> None:
    root = created(tmp_path / "project", first)
    os.environ["MLOPS_PROJECT"] = str(root)
    assert mlops("sync", "--check", "--json").value == []
    appended("Makefile", "# ours\n")(root)
    assert mlops("sync", "--check", "--json").value == [{"path": "Makefile", "action": "edited", "note": ""}]
    assert "is not the machinery's" in mlops("sync", "README.md").error
    assert mlops("sync", "Makefile").code == 0
    assert mlops("sync", "--check", "--json").value == []
    (root / "Makefile.new").write_text("x")
    assert "Makefile.new lies beside" in mlops("sync", "--check").error


def test_this_repository_has_the_files_as_the_machinery_has_them() -> None:
    differing = [path for path, content in shipped.owned().items() if (ROOT / path).read_bytes() != content]
    assert differing == [], "make sync"


def test_killed_at_any_moment_a_project_is_as_before_or_the_next_command_finishes(
    first: Wheel, later: list[Wheel], tmp_path: Path
) -> None:
    root = created(tmp_path / "project", first)
    file = tmp_path / later[0].name
    file.write_bytes(later[0].content)
    for moment in (0, 1, 3):
        copy = tmp_path / f"copy{moment}"
        shutil.copytree(root, copy)
        done = subprocess.run([sys.executable, "-c", KILLED, copy, file, str(moment)], capture_output=True, text=True)
        assert done.returncode == -9, done.stderr
        assert transaction.finish(copy)
        assert wheel.present(copy).version == "1.1.0"
        assert "timeout-minutes: 15" in (copy / TRAIN).read_text() and not (copy / ".github/rulesets/tags.json").exists()
        assert hashlib.sha256((copy / later[0].path).read_bytes()).hexdigest() == later[0].sha256


def without_tools(name: str, content: bytes) -> bytes | None:
    """How an earlier machinery had it: uv and setuptools in a lock of their own."""
    return b"typer\n" if name == owned("requirements/light.in") else content


def test_locks_follow_their_inputs_and_one_goes_with_its_input(
    first: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = released(first, "0.9.0", without_tools, {owned("requirements/bootstrap.in"): b"uv\nsetuptools\n"})
    root = created(tmp_path / "project", earlier)
    for lock, pin in (("bootstrap", "uv==1"), ("light", "typer==1"), ("own", "ours==1")):
        (root / f"requirements/{lock}.txt").write_text(f"{pin}\n")
    committed(root, "As an earlier machinery had it")
    before = {path.name: path.read_text() for path in (root / "requirements").glob("*.txt")}
    tool = tmp_path / "uv-of-test"
    tool.write_text('#!/bin/sh\nfor last; do :; done\ncat "${last%.txt}.in" > "$last"\n')
    tool.chmod(0o755)
    monkeypatch.setattr(pythons, "uv", lambda: str(tool))
    done = update.update(root, first)
    locks = {path.name: path.read_text() for path in (root / "requirements").glob("*.txt")}
    assert set(before) - set(locks) == {"bootstrap.txt"} and not (root / "requirements/bootstrap.in").exists()
    assert "\nuv\nsetuptools\n" in locks["light.txt"] and "requirements/light.txt" in done.locks
    assert all(locks[name] == before[name] for name in ("own.txt", "dev.txt", "base.txt"))
    # And back: each input has its lock again.
    committed(root, first.version)
    update.update(root, earlier, downgrade=True)
    assert (root / "requirements/bootstrap.txt").read_text() == "uv\nsetuptools\n"


def test_the_tools_come_from_a_lock_of_their_own_while_a_project_has_one(first: Wheel, tmp_path: Path) -> None:
    root = created(tmp_path / "project", first)
    for lock in ("light", "bootstrap"):
        (root / f"requirements/{lock}.txt").touch()
        recipe = subprocess.run(["make", "--dry-run", ".venv/.venv"], cwd=root, capture_output=True, text=True, check=True)
        assert re.findall(r"requirements/(\w+)\.txt", recipe.stdout) == [lock]
