"""Raw files too large for git: pushed before the commit that names them, restored by one command, nothing overwritten.

Where DVC is not installed (`make dvc`), the tests that run it are skipped.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from mlops import digests, dvc
from mlops.config import Project
from mlops.data import stages
from mlops.errors import DataError, UserError
from mlops.monitoring import proposal
from mlops.registry import reproduce
from mlops.training.candidate import Candidate
from mlops.use_case import load_use_case

Run = Callable[..., Any]


def is_installed() -> bool:
    try:
        return bool(dvc.command())
    except UserError:
        return False


runs_dvc = [pytest.mark.services, pytest.mark.skipif(not is_installed(), reason="needs DVC: make dvc")]


def git(project: Project, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=project.root, check=True, capture_output=True, text=True).stdout.strip()


def rows(first: int) -> str:
    """Raw rows of iris, each with an id of its own."""
    return "".join(f"{first + i},5.1,3.5,1.4,0.2,setosa\n" for i in range(50))


def head(project: Project) -> str:
    return (project.data / "raw" / "iris" / "iris.csv").read_text().splitlines()[0] + "\n"


@pytest.fixture
def iris(project: Project) -> Path:
    """The folder of raw data, where every file that git does not hold yet is a large one."""
    os.environ["MLOPS__PROJECT__LARGE__MEGABYTES"] = "0.0001"
    return project.data / "raw" / "iris"


@pytest.fixture
def saved(project: Project, iris: Path, command: Run) -> Path:
    """A file that a first commit has with DVC."""
    (iris / "may.csv").write_text(head(project) + rows(1000))
    assert command("data", "raw", "iris").code == 0
    done = command("save", "-m", "May")
    assert done.code == 0, done.err
    return iris / "may.csv"


def lines(done: Any) -> list[str]:
    return done.err.strip().splitlines()


def test_a_file_that_is_not_here_is_named_with_the_command_that_brings_it(iris: Path, command: Run) -> None:
    (iris / "may.csv.dvc").write_text("outs:\n- md5: 0123456789abcdef0123456789abcdef\n  path: may.csv\n")
    done = command("data", "raw", "iris")
    assert done.code == 2 and len(lines(done)) == 1
    assert "may.csv: not here" in done.err and "mlops data restore" in done.err


def test_a_pointer_that_cannot_be_read_is_one_line(iris: Path, command: Run) -> None:
    (iris / "may.csv.dvc").write_text("<<<<<<< HEAD\n")
    done = command("data", "restore")
    assert done.code == 2 and len(lines(done)) == 1 and "may.csv.dvc: not a pointer" in done.err


class TestWithDvc:
    pytestmark = runs_dvc

    def test_git_holds_the_pointer_and_the_digest_of_the_data_is_the_same(self, project: Project, saved: Path) -> None:
        tracked = git(project, "ls-files").splitlines()
        assert "data/raw/iris/may.csv.dvc" in tracked and "data/raw/iris/may.csv" not in tracked
        assert not git(project, "status", "--porcelain")
        with_dvc = stages.raw(project, load_use_case(project, "iris")).sha256
        content = saved.read_bytes()
        git(project, "rm", "-q", "--cached", "data/raw/iris/may.csv.dvc")
        (saved.parent / "may.csv.dvc").unlink()
        (saved.parent / ".gitignore").unlink()
        saved.write_bytes(content)
        git(project, "add", "--all")
        assert "data/raw/iris/may.csv" in git(project, "ls-files").splitlines()
        assert stages.raw(project, load_use_case(project, "iris")).sha256 == with_dvc

    def test_an_older_commit_comes_back_with_its_data_and_the_newer_one_too(
        self, project: Project, saved: Path, command: Run
    ) -> None:
        june = saved.with_name("june.csv")
        june.write_text(head(project) + rows(2000))
        newer = june.read_bytes()
        assert command("data", "raw", "iris").code == 0
        both = stages.raw(project, load_use_case(project, "iris")).sha256
        assert command("save", "-m", "June").code == 0
        git(project, "checkout", "-q", "HEAD~1")
        saved.unlink()
        done = command("data", "restore")
        assert done.code == 0, done.err
        assert saved.is_file() and not june.exists()
        assert stages.raw(project, load_use_case(project, "iris")).sha256 != both
        git(project, "checkout", "-q", "main")
        assert "june.csv: not here" in command("data", "raw", "iris").err
        assert command("data", "restore").code == 0
        assert june.read_bytes() == newer
        assert stages.raw(project, load_use_case(project, "iris")).sha256 == both

    def test_an_older_commit_is_not_trained_on_data_of_a_newer_one(self, project: Project, saved: Path, command: Run) -> None:
        git(project, "checkout", "-q", "HEAD~1")
        own = shutil.copyfile(saved, saved.with_name("own.csv"))
        done = command("data", "raw", "iris")
        assert done.code == 2 and "may.csv: of another commit" in done.err and "mlops data restore" in done.err
        saved.with_name("may.csv.schema.json").write_text("{}")  # what a run that took the file left
        assert command("data", "restore").code == 0 and own.is_file() and not saved.exists()
        own.unlink()
        git(project, "checkout", "-q", "main")
        assert command("data", "restore").code == 0 and saved.is_file()

    def test_a_large_file_that_is_staged_already_becomes_a_pointer(self, project: Project, iris: Path, command: Run) -> None:
        (iris / "may.csv").write_text(head(project) + rows(1000))
        git(project, "add", "--all")
        assert command("save", "-m", "May").code == 0
        names = [f"data/raw/iris/may.csv{end}" for end in ("", ".dvc")]
        assert git(project, "ls-files", *names) == names[1]

    def test_a_commit_from_before_there_was_a_remote_is_served_by_the_one_of_now(
        self, project: Project, saved: Path, command: Run, tmp_path: Path
    ) -> None:
        os.environ["MLOPS__PROJECT__LARGE__REMOTE"] = str(tmp_path / "with, a comma")
        (saved.parent / "june.csv").write_text(head(project) + rows(2000))
        assert command("save", "-m", "June").code == 0
        del os.environ["MLOPS__PROJECT__LARGE__REMOTE"]
        for place in (dvc.cache(project), Path(dvc._default_remote(project))):
            shutil.rmtree(place)
        saved.unlink()
        git(project, "checkout", "-q", "HEAD~1")
        assert command("data", "restore").code == 0 and saved.is_file()

    def test_the_key_of_a_commit_needs_no_raw_data_but_what_reads_rows_says_that_they_are_absent(
        self, project: Project, saved: Path
    ) -> None:
        use_case = load_use_case(project, "iris")
        before = stages.raw(project, use_case).sha256
        saved.unlink()
        assert stages.raw_sha256(project, use_case) == before
        with pytest.raises(DataError, match="may.csv: not here"):
            stages.raw(project, use_case)
        with pytest.raises(DataError, match="may.csv: not here"):
            stages.refuse_absent(saved.parent)
        saved.with_name("may.csv.schema.json").unlink()
        with pytest.raises(DataError, match="may.csv.schema.json is missing"):
            stages.raw_sha256(project, use_case)

    def test_a_proposal_of_new_data_compares_with_what_the_pointers_of_dev_name(self, project: Project, saved: Path) -> None:
        content = saved.read_bytes()
        git(project, "update-ref", "refs/remotes/origin/dev", "HEAD")
        saved.unlink()
        with proposal._dev(project) as checkout:
            assert (checkout.data / "raw" / "iris" / "may.csv").read_bytes() == content

    def test_content_that_was_never_saved_is_not_overwritten(self, saved: Path, command: Run) -> None:
        saved.write_text("mine\n")
        done = command("data", "restore")
        assert done.code == 2 and len(lines(done)) == 1 and "never saved" in done.err
        assert saved.read_text() == "mine\n"

    def test_a_raw_file_that_was_changed_is_not_saved(self, project: Project, saved: Path, command: Run) -> None:
        before = git(project, "rev-parse", "HEAD")
        saved.write_text(saved.read_text() + rows(3000))
        done = command("save", "-m", "changed")
        assert done.code == 2 and len(lines(done)) == 1 and "immutable" in done.err
        assert git(project, "rev-parse", "HEAD") == before

    def test_a_damaged_cache_is_written_anew_by_a_restore(self, project: Project, saved: Path, command: Run) -> None:
        content = saved.read_bytes()
        damage(dvc.cached(project, dvc.md5(saved)))
        saved.unlink()
        assert command("data", "restore").code == 0
        assert saved.read_bytes() == content

    def test_a_damaged_cache_is_not_pushed(self, project: Project, saved: Path, command: Run) -> None:
        content = saved.read_bytes()
        damage(dvc.cached(project, dvc.md5(saved)))
        shutil.rmtree(dvc.remote(project))
        (project.root / "note.md").write_text("new\n")
        assert command("save", "-m", "again").code == 0
        shutil.rmtree(dvc.cache(project))
        saved.unlink()
        assert command("data", "restore").code == 0
        assert saved.read_bytes() == content

    @pytest.mark.parametrize("damaged", [False, True])
    def test_an_older_commit_is_trained_again_with_data_from_the_remote(
        self, project: Project, saved: Path, tmp_path: Path, damaged: bool
    ) -> None:
        tree, file, digest = tmp_path / "tree", "data/raw/iris/may.csv", dvc.md5(saved)
        registered = Candidate(tmp_path, {"data": [{"file": "may.csv", "sha256": digests.of_file(saved)}]})
        git(project, "worktree", "add", "-q", "--detach", str(tree))
        if damaged:
            damage(dvc.cached(project, digest))
        else:
            shutil.rmtree(dvc.cache(project))
        content = saved.read_bytes()
        saved.unlink()
        reproduce._bring_data(project, "iris", tree, registered)
        assert (tree / file).read_bytes() == content and not saved.exists()
        (tree / file).unlink()
        shutil.rmtree(dvc.cache(project))
        shutil.rmtree(dvc.remote(project))
        with pytest.raises(DataError, match="may.csv: .* does not hold what its pointer names"):
            reproduce._bring_data(project, "iris", tree, registered)

    def test_a_remote_without_the_file_is_one_line(self, project: Project, saved: Path, command: Run) -> None:
        shutil.rmtree(dvc.remote(project))
        shutil.rmtree(dvc.cache(project))
        saved.unlink()
        done = command("data", "restore")
        assert done.code == 2 and len(lines(done)) == 1 and f"remote: {dvc.remote(project)} (no such folder)" in done.err
        assert "large.remote in config/project.yaml is empty" in done.err and "Checkout" not in done.err
        os.environ["MLOPS__PROJECT__LARGE__REMOTE"] = "elsewhere"
        (project.root / "elsewhere").mkdir()
        done = command("data", "restore")
        assert done.code == 2 and len(lines(done)) == 1 and "see that it holds them whole" in done.err
        assert f"remote: {project.root / 'elsewhere'};" in done.err and "is empty" not in done.err

    def test_a_remote_with_other_bytes_is_one_line(self, project: Project, saved: Path, command: Run) -> None:
        digest = dvc.md5(saved)
        damage(Path(dvc.remote(project)) / "files" / "md5" / digest[:2] / digest[2:])
        shutil.rmtree(dvc.cache(project))
        saved.unlink()
        done = command("data", "restore")
        assert done.code == 2 and len(lines(done)) == 1 and "may.csv" in done.err
        assert "mlops save" in done.err or "mlops data restore" in done.err

    def test_nothing_is_committed_where_the_remote_takes_nothing(self, project: Project, iris: Path, command: Run) -> None:
        before = git(project, "rev-parse", "HEAD")
        file = iris / "may.csv"
        file.write_text(head(project) + rows(1000))
        (project.root / "occupied").write_text("no folder")
        os.environ["MLOPS__PROJECT__LARGE__REMOTE"] = "occupied"
        done = command("save", "-m", "May")
        assert done.code == 2 and len(lines(done)) == 1 and "occupied" in done.err
        assert git(project, "rev-parse", "HEAD") == before and file.is_file()
        os.environ["MLOPS__PROJECT__LARGE__REMOTE"] = "elsewhere/large"
        done = command("save", "-m", "May")
        assert done.code == 0, done.err

    @pytest.mark.parametrize("full", ["cache", "remote"])
    def test_a_full_disk_is_one_line_and_loses_nothing(
        self, project: Project, iris: Path, command: Run, tmp_path: Path, full: str
    ) -> None:
        place = dvc.cache(project) if full == "cache" else Path(dvc.remote(project))
        place.mkdir(parents=True)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True).returncode:
            pytest.skip("only root may mount a small disk")
        try:
            file, before = iris / "may.csv", git(project, "rev-parse", "HEAD")
            file.write_text(head(project) + "".join(rows(first) for first in range(1000, 400_000, 50)))
            content = file.read_bytes()
            done = command("save", "-m", "May")
            assert done.code == 2 and len(lines(done)) == 1 and "No space left" in done.err, done.err
            assert git(project, "rev-parse", "HEAD") == before and file.read_bytes() == content
        finally:
            subprocess.run(["umount", str(place)], check=True)
        assert command("save", "-m", "May").code == 0
        shutil.rmtree(dvc.cache(project))
        file.unlink()
        assert command("data", "restore").code == 0 and file.read_bytes() == content

    @pytest.mark.parametrize("seconds", [0.8, 2.5, 4.0])
    def test_a_save_that_is_killed_loses_nothing(self, project: Project, iris: Path, command: Run, seconds: float) -> None:
        file = iris / "may.csv"
        file.write_text(head(project) + rows(1000))
        content = file.read_bytes()
        process = subprocess.Popen([sys.executable, "-m", "mlops", "save", "-m", "May"], start_new_session=True)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert file.read_bytes() == content
        (project.root / ".git" / "index.lock").unlink(missing_ok=True)
        (project.root / "note.md").write_text("new\n")
        done = command("save", "-m", "again")
        assert done.code == 0, done.err
        file.unlink()
        shutil.rmtree(dvc.cache(project))
        assert command("data", "restore").code == 0
        assert file.read_bytes() == content


class TestOnS3:
    pytestmark = runs_dvc

    @pytest.fixture
    def bucket(self, iris: Path) -> Iterator[str]:
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        import boto3

        host, port = server.get_host_and_port()
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ.update(keys, AWS_ENDPOINT_URL=f"http://{host}:{port}")
        boto3.client("s3").create_bucket(Bucket="large")
        os.environ["MLOPS__PROJECT__LARGE__REMOTE"] = "s3://large/data"
        yield "large"
        requests.post(f"http://{host}:{port}/moto-api/reset-auth", data=b"inf").raise_for_status()
        server.stop()

    def test_data_go_to_the_bucket_and_come_back(self, project: Project, bucket: str, saved: Path, command: Run) -> None:
        import boto3

        digest, content = dvc.md5(saved), saved.read_bytes()
        keys = [item["Key"] for item in boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]]
        assert keys == [f"data/files/md5/{digest[:2]}/{digest[2:]}"]
        shutil.rmtree(dvc.cache(project))
        saved.unlink()
        assert command("data", "restore").code == 0
        assert saved.read_bytes() == content

    def test_a_missing_bucket_is_one_line_and_nothing_is_committed(
        self, project: Project, bucket: str, iris: Path, command: Run
    ) -> None:
        os.environ["MLOPS__PROJECT__LARGE__REMOTE"] = "s3://no-such-bucket/data"
        before = git(project, "rev-parse", "HEAD")
        (iris / "may.csv").write_text(head(project) + rows(1000))
        done = command("save", "-m", "May")
        assert done.code == 2 and len(lines(done)) == 1 and "no-such-bucket" in done.err
        assert git(project, "rev-parse", "HEAD") == before

    def test_a_wrong_key_is_one_line_and_nothing_is_committed_or_lost(
        self, project: Project, bucket: str, saved: Path, command: Run
    ) -> None:
        june, before = saved.with_name("june.csv"), git(project, "rev-parse", "HEAD")
        content = saved.read_bytes()
        june.write_text(head(project) + rows(2000))
        # From now on the server knows the keys of its users alone, and it has none.
        requests.post(f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth", data=b"0").raise_for_status()
        done = command("save", "-m", "June")
        assert done.code == 2 and len(lines(done)) == 1 and "s3://large/data" in done.err, done.err
        assert re.search("access key|forbidden", done.err, re.IGNORECASE) and "nothing was committed" in done.err, done.err
        assert git(project, "rev-parse", "HEAD") == before and june.is_file()
        shutil.rmtree(dvc.cache(project))
        saved.rename(saved.with_suffix(".kept"))
        done = command("data", "restore")
        assert done.code == 2 and len(lines(done)) == 1 and "may.csv" in done.err and "s3://large/data" in done.err, done.err
        assert june.is_file() and saved.with_suffix(".kept").read_bytes() == content

    def test_a_wrong_endpoint_is_one_line_that_names_it(self, project: Project, bucket: str, iris: Path, command: Run) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            os.environ["AWS_ENDPOINT_URL"] = address = f"http://127.0.0.1:{closed.getsockname()[1]}"
            before = git(project, "rev-parse", "HEAD")
            (iris / "may.csv").write_text(head(project) + rows(1000))
            done = command("save", "-m", "May")
        assert done.code == 2 and len(lines(done)) == 1 and address in done.err and "s3://large/data" in done.err, done.err
        assert git(project, "rev-parse", "HEAD") == before and (iris / "may.csv").is_file()

    def test_missing_credentials_are_one_line(self, project: Project, bucket: str, iris: Path, command: Run) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del os.environ[name]
        os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
        (iris / "may.csv").write_text(head(project) + rows(1000))
        done = command("save", "-m", "May")
        assert done.code == 2 and len(lines(done)) == 1 and "s3://large/data" in done.err


def damage(file: Path) -> None:
    file.chmod(0o644)
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("message", ["", " \n"])
def test_without_a_message_nothing_is_saved_and_nothing_staged(project: Project, command: Run, message: str) -> None:
    (project.root / "new.txt").write_text("new\n")
    done = command("save", "-m", message)
    assert done.code == 2 and len(lines(done)) == 1 and "the message is empty, so nothing is saved" in done.err
    assert git(project, "status", "--porcelain") == "?? new.txt"
