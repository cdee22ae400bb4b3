"""The workflows run offline: a repository made from this tree, a bare origin, and `act` on this machine without containers.

Remote actions are replaced by the stand-ins in actions/, each for exactly the commit that the workflows pin: an action that is
pinned to another commit has no stand-in and fails the run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

TREE = Path(__file__).parents[3]
ACTIONS = Path(__file__).parent / "actions"
NAME = "ada/demo"
# What a project of one use case and a few tests keeps of this tree, so that a run takes seconds.
LEFT_OUT = ("tests/", "notebooks/", "machinery/tests/", "machinery/docs/", "machinery/benchmarks/")
SMALL_TEST = '''"""A small test, so that a run is short."""


def test_the_machinery_is_there() -> None:
    import mlops

    assert mlops.__doc__
'''
ALIASES = """
SELECT a.name, a.alias, t.value FROM registered_model_aliases a
JOIN model_version_tags t ON t.name = a.name AND t.version = a.version AND t.key = 'number'
"""
FAR_AHEAD = 4_000_000_000
# Seconds without a line of output after which a run hangs; the longest step of these projects takes a quarter of it.
SILENCE = 400


def git(root: Path, *arguments: str) -> str:
    """Run git and return what it says."""
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@dataclass
class Run:
    """One run of a workflow: result of each job ("skipped" where act did not start it), log, summary and seconds a job."""

    code: int
    jobs: dict[str, str]
    log: str
    summary: str
    seconds: dict[str, float] = field(default_factory=dict)

    def names(self, result: str) -> set[str]:
        """Return the ids of the jobs that ended so."""
        return {name for name, ended in self.jobs.items() if ended == result}


@dataclass
class Project:
    """A repository made from this tree: its checkout, its origin, and where the stand-ins keep what they need."""

    root: Path
    origin: Path
    work: Path
    api: str

    def commit(self, message: str, branch: str, start: str, changes: dict[str, str]) -> str:
        """Commit changes on a branch that grows from `start`, push it and return the commit."""
        git(self.root, "checkout", "--quiet", "-B", branch, start)
        for name, text in changes.items():
            file = self.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        git(self.root, "add", "-A")
        git(self.root, "commit", "--quiet", "-m", message)
        git(self.root, "push", "--quiet", "--force", "origin", branch)
        return git(self.root, "rev-parse", "HEAD")

    def merge(self, head: str, base: str) -> str:
        """Merge a branch at origin, as the button of a pull request does, and return the commit."""
        git(self.root, "fetch", "--quiet", "origin")
        git(self.root, "checkout", "--quiet", "-B", base, f"origin/{base}")
        git(self.root, "merge", "--quiet", "--no-ff", "-m", f"Merge {head}", f"origin/{head}")
        git(self.root, "push", "--quiet", "origin", base)
        return git(self.root, "rev-parse", "HEAD")

    def mlops(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the checkout, as a person does."""
        env = {**os.environ, "PYTHONPATH": f"{self.root}/src:{self.root}/machinery/src"}
        return subprocess.run(
            [sys.executable, "-m", "mlops", *arguments], cwd=self.root, env=env, capture_output=True, text=True
        )

    def registry(self) -> dict[str, dict[str, str]]:
        """Return use case → alias → version number, as a laptop sees the store after pulling it."""
        pulled = self.mlops("store", "pull", "--force")
        assert pulled.returncode == 0, pulled.stderr
        database = self.root / "models" / "mlflow.db"
        models: dict[str, dict[str, str]] = {}
        if database.is_file():
            with closing(sqlite3.connect(database)) as connection:
                for name, alias, number in connection.execute(ALIASES):
                    models.setdefault(name, {})[alias] = number
        return models

    def run(
        self, workflow: str, event: str, payload: dict[str, Any], *more: str, token: str = "workflow-token", bot: str = ""
    ) -> Run:
        """Run a workflow under act for an event, on what is checked out, and return what came of it."""
        started = time.monotonic()
        path = self.work / "event.json"
        path.write_text(json.dumps(payload), encoding="utf-8")
        file = self.work / workflow
        text = (self.root / ".github" / "workflows" / workflow).read_text(encoding="utf-8")
        file.write_text(_without_unknown(text), encoding="utf-8")
        command = [str(Path(sys.executable).parent / "act"), event, "--eventpath", str(path), "--workflows", str(file)]
        command += ["--platform", "ubuntu-latest=-self-hosted", "--pull=false", "--no-cache-server", "--json"]
        command += ["--defaultbranch", "main", "--action-cache-path", str(self.work / "act"), "--actor", "ada"]
        for action, folder in stand_ins().items():
            command += ["--local-repository", f"{action}={folder}"]
        command += ["--secret", f"GITHUB_TOKEN={token}", *(["--secret", f"MLOPS_BOT_TOKEN={bot}"] if bot else [])]
        for name, value in self.environment().items():
            command += ["--env", f"{name}={value}"]
        with self._callable(text):
            done = _watched([*command, *more], self.root, self.plain(), self.work / f"{workflow}.out")
        run = _read(done, file)
        (self.work / f"{workflow}.log").write_text(run.log, encoding="utf-8")
        run.seconds["all"] = time.monotonic() - started
        return run

    @contextmanager
    def _callable(self, text: str) -> Iterator[None]:
        """Make the workflows that `text` calls such as the runner takes; git does not see that they differ."""
        called = [self.root / name for name in re.findall(r"uses: \./(\.github/workflows/[\w.-]+)", text)]
        kept = {file: file.read_text(encoding="utf-8") for file in called}
        names = [str(file.relative_to(self.root)) for file in called]
        for file in called:
            git(self.root, "update-index", "--assume-unchanged", *names)
            file.write_text(_without_unknown(kept[file]), encoding="utf-8")
        try:
            yield
        finally:
            for file in called:
                file.write_text(kept[file], encoding="utf-8")
                git(self.root, "update-index", "--no-assume-unchanged", *names)

    def environment(self) -> dict[str, str]:
        """Return the variables that the jobs see beside those of a runner."""
        return {
            "GITHUB_API_URL": self.api,
            "GITHUB_REPOSITORY": NAME,
            "VENV": str(self.work / "venv"),
            "STAND_IN_SITE": str(self.work / "site"),
            "STAND_IN_ARTIFACTS": str(self.work / "artifacts"),
            "STAND_IN_ATTESTED": str(self.work / "attested"),
            "STAND_IN_CACHES": str(self.work / "caches"),
            "STAND_IN_PAGES": str(self.work / "pages"),
            # Jobs that GitHub gives a machine each share one here.
            "OMP_NUM_THREADS": "1",
            # A step that hangs says where, when it is ended.
            "PYTHONFAULTHANDLER": "1",
            "MYPY_CACHE_DIR": str(self.work / "mypy"),
            "BLACK_CACHE_DIR": str(self.work / "black"),
        }

    def plain(self) -> dict[str, str]:
        """Return the environment of act itself: nothing of a workflow that may run the tests, and no way out to a network."""
        dropped = ("GITHUB_", "ACTIONS_", "RUNNER_", "GH_", "MLFLOW_", "MLOPS_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        closed = {name: "http://127.0.0.1:9" for name in ("HTTPS_PROXY", "https_proxy")}
        # An image's packages are tried in an environment of their own: they come from the cache of the tests' environment.
        cache = os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv")
        closed |= {"UV_CACHE_DIR": cache, "UV_OFFLINE": "1"}
        return {**kept, **closed, "HOME": str(self.work / "home"), "XDG_CACHE_HOME": str(self.work / "cache")}

    def forget_artifacts(self) -> None:
        """Remove the artifacts: each run of a workflow has its own."""
        shutil.rmtree(self.work / "artifacts")
        (self.work / "artifacts").mkdir()


def make(
    folder: Path,
    api: str,
    pythons: tuple[str, ...] = ("3.12",),
    use_cases: tuple[str, ...] = ("iris",),
    keep: tuple[str, ...] = (),
    changes: Callable[[Path], None] = lambda root: None,
) -> Project:
    """Make a repository from this tree with a bare origin, reduced to the use cases and a small test; main is pushed.

    `keep` names folders that are otherwise left out; `changes` is what the first commit has on top.
    """
    root, origin, work = folder / "project", folder / "origin.git", folder / "work"
    root.mkdir()
    for name in _files(use_cases, keep):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TREE / name, root / name)
    (root / "tests").mkdir(exist_ok=True)
    # One in each place that `make test` runs: pytest fails where it finds no test.
    for place in ("tests", "machinery/tests"):
        (root / place).mkdir(parents=True, exist_ok=True)
        (root / place / "test_small.py").write_text(SMALL_TEST, encoding="utf-8")
    settings = root / "config" / "project.yaml"
    settings.write_text(re.sub(r"(?m)^default_use_case:.*$", f"default_use_case: {use_cases[0]}", settings.read_text()))
    _support(root / "setup.py", pythons)
    changes(root)
    publish(root, origin)
    return Project(root, origin, equip(work), api)


def publish(root: Path, origin: Path) -> None:
    """Make a folder a repository whose main, in one commit, is pushed to a bare origin."""
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        git(root, "config", key, value)
    git(root, "remote", "add", "origin", str(origin))
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "-m", "Initial commit")
    git(root, "push", "--quiet", "-u", "origin", "main")


def equip(work: Path) -> Path:
    """Make the folders that the stand-ins and the environment of a repository live in; returns the folder above them."""
    for name in ("artifacts", "caches", "home", "cache", "act"):
        (work / name).mkdir(parents=True)
    _environment(work / "venv")
    # What lint has found out about the packages here, so that each project's need not.
    if (TREE / ".mypy_cache").is_dir():
        shutil.copytree(TREE / ".mypy_cache", work / "mypy")
    return work


def _without_unknown(text: str) -> str:
    """Return a workflow without two keys that the runner does not know: how waiting jobs queue, and whether a job in an
    environment is shown as a deployment; it serialises none, and knows no environments.
    """
    return re.sub(r"(?m)^ +(queue: max|deployment: .*)\n", "", text)


def stand_in_files() -> dict[str, Path]:
    """Return action@commit → the file of its stand-in, as each stand-in names what it stands for."""
    files = {}
    for file in sorted(ACTIONS.rglob("action.yml")):
        name = yaml.safe_load(file.read_text(encoding="utf-8"))["name"]
        files[name.removeprefix("Stand-in for ").split(" ")[0]] = file
    return files


def stand_ins() -> dict[str, Path]:
    """Return repository@commit → the folder that stands for it; actions below a repository's top have folders of their own."""
    actions = {}
    for action, file in stand_in_files().items():
        owner, name, *below = action.partition("@")[0].split("/")
        actions[f"{owner}/{name}@{action.partition('@')[2]}"] = file.parents[len(below)]
    return actions


def _files(use_cases: tuple[str, ...], keep: tuple[str, ...]) -> Iterator[str]:
    listed = git(TREE, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    every = [path.stem for path in (TREE / "config").glob("*.yaml") if path.stem != "project"]
    others = [name for name in every if name not in use_cases]
    for name in listed:
        of_another = any(f"/{other}/" in name or name == f"config/{other}.yaml" for other in others)
        left_out = name.startswith(LEFT_OUT) and not name.startswith(keep or ("\0",))
        if not left_out and not of_another and (TREE / name).is_file():
            yield name


def _environment(venv: Path) -> None:
    """Make a folder that stands for an installed environment: this one's programs, and stamps that no file is newer than."""
    venv.mkdir(parents=True)
    prefix = Path(sys.prefix)
    (venv / "lib").symlink_to(prefix / "lib")
    shutil.copy2(prefix / "pyvenv.cfg", venv / "pyvenv.cfg")
    (venv / "bin").mkdir()
    for program in (prefix / "bin").iterdir():
        if program.name != "mlops":
            (venv / "bin" / program.name).symlink_to(program)
    mlops = venv / "bin" / "mlops"
    mlops.write_text(f'#!/bin/sh\nexec {sys.executable} -m mlops "$@"\n', encoding="utf-8")
    mlops.chmod(0o755)
    # All that the Makefile knows: for one that is missing, a job would install into the environment of the tests.
    for stamp in re.findall(r"(?m)^\$\(VENV\)/(\.\w+):", (TREE / "Makefile").read_text(encoding="utf-8")):
        (venv / stamp).write_text(f"{venv}\n", encoding="utf-8")
        os.utime(venv / stamp, (FAR_AHEAD, FAR_AHEAD))


def _support(setup: Path, pythons: tuple[str, ...]) -> None:
    """Have a setup.py name these versions of Python, and no others."""
    text = re.sub(r'(?m)^ +"Programming Language :: Python :: 3\.\d+",\n', "", setup.read_text(encoding="utf-8"))
    lines = "".join(f'        "Programming Language :: Python :: {version}",\n' for version in pythons)
    setup.write_text(text.replace("    classifiers=[\n", f"    classifiers=[\n{lines}"), encoding="utf-8")


def _watched(command: list[str], cwd: Path, env: dict[str, str], out: Path) -> subprocess.CompletedProcess[str]:
    """Run a command, its output in files. One that falls silent is ended, with a warning of what hung, and begun once more."""
    errors = out.with_suffix(".err")
    for _ in range(2):
        with out.open("w") as stdout, errors.open("w") as stderr:
            process = subprocess.Popen(command, cwd=cwd, env=env, stdout=stdout, stderr=stderr)
        while process.poll() is None and time.time() - out.stat().st_mtime < SILENCE:
            time.sleep(0.2)
        if process.poll() is not None:
            return subprocess.CompletedProcess(command, process.returncode, out.read_text(), errors.read_text())
        what = _end(psutil.Process(process.pid))
        process.wait()
        report = f"silent for {SILENCE} s:\n{what}\n{out.read_text()[-8000:]}\n{errors.read_text()[-8000:]}"
        warnings.warn(report, stacklevel=2)
    raise AssertionError(report)


def _end(process: psutil.Process) -> str:
    """End a process and all below it; returns their arguments. One of Python's writes to the log where it stood."""
    processes, lines = [process, *process.children(recursive=True)], []
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            lines.append(f"{each.pid} {each.status()} {' '.join(each.cmdline())}")
    for wanted in (signal.SIGABRT, signal.SIGKILL):
        for each in reversed(processes):
            with suppress(psutil.NoSuchProcess):
                each.send_signal(wanted)
        time.sleep(1)
    return "\n".join(lines)


def _read(done: subprocess.CompletedProcess[str], file: Path) -> Run:
    jobs = {name: "skipped" for name in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"]}
    summary, log, began, ended = "", [], {}, {}
    for line in done.stdout.splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            log.append(line)
            continue
        log.append(f"[{message.get('job', '')}] {message.get('msg', '').rstrip()}")
        name, moment = message.get("jobID", ""), message.get("time", "")
        if name and moment:
            began.setdefault(name, _seconds(moment))
            ended[name] = _seconds(moment)
        if message.get("jobResult") and jobs.get(name) != "failure":
            jobs[name] = message["jobResult"]
        if message.get("command") == "summary":
            summary += message.get("content", "")
    text = "\n".join([*log, done.stderr])
    return Run(done.returncode, jobs, text, summary, {name: ended[name] - began[name] for name in began})


def _seconds(moment: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", moment).replace("Z", "+00:00")).timestamp()
