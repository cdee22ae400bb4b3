"""The way of a new user, each step timed: an empty folder, the wheel, an own table, production, and back.

What is typed runs with the wheel alone, in a folder that holds nothing else. The workflows run under act on this machine, with
the tests' stand-ins for GitHub; images are built and run by Docker.

python -m benchmarks.walk [--local] [--keep DIR]       --local ends before the workflows: no Docker, no act
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mlops.console import note, table
from mlops.project import new

if TYPE_CHECKING:
    from offline import Project, Run

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "workflows"))
GIT = {f"GIT_{who}_{what}": "walk@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
TARGET, DATE = "Churned?", "Signed up (date)"
HEAD = ("step", "seconds", "of processor time")
Rows = list[tuple[str, str, str]]


def customers(count: int = 4000, seed: int = 3) -> pd.DataFrame:
    """Customers as a team exports them: awkward headings, gaps, a German date, categories, an id."""
    chance = np.random.default_rng(seed)
    days = pd.Timestamp("2019-03-01") + pd.to_timedelta(chance.integers(0, 2000, count), unit="D")
    rows = pd.DataFrame(
        {
            "Customer ID": [f"CU-{number:06d}" for number in chance.permutation(count)],
            DATE: days.strftime("%d.%m.%Y"),
            "Plan / Tarif": chance.choice(["Basic", "Family", "Pro+", ""], count, p=[0.5, 0.3, 0.15, 0.05]),
            "Monthly fee (€)": chance.normal(35, 12, count).clip(5).round(2),
            "# support calls": chance.poisson(2, count),
            "GB used": chance.gamma(2, 6, count).round(1),
            "class": chance.choice(["A", "B", "C"], count),
        }
    )
    strength = 0.5 * rows["# support calls"] - 0.06 * rows["GB used"] + 0.9 * (rows["Plan / Tarif"] == "Basic") - 1.8
    rows[TARGET] = np.where(chance.random(count) < 1 / (1 + np.exp(-strength)), "yes", "no")
    for name in ("GB used", "Monthly fee (€)"):
        rows[name] = rows[name].where(chance.random(count) > 0.08)
    return rows


class Steps:
    """The steps of the walk with their times, noted as each ends."""

    def __init__(self) -> None:
        self.rows: Rows = []

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Time what is done within."""
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        yield
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.rows.append((what, f"{time.perf_counter() - began:.0f}", f"{spent:.0f}"))
        note(": ".join(self.rows[-1][:2]) + " s")


def typed(folder: Path, *command: str) -> str:
    """Run a command as a new user's shell does: nothing of this environment but uv, git and the system's programs."""
    dropped = ("VIRTUAL_ENV", "PYTHON", "MAKE", "MLOPS", "MLFLOW", "GITHUB_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    path = os.pathsep.join(place for place in os.get_exec_path() if not (Path(place).parent / "pyvenv.cfg").exists())
    done = subprocess.run(command, cwd=folder, env={**kept, **GIT, "PATH": path}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(
            f"{folder}: {' '.join(command)}: exit code {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        )
    return done.stdout


def laptop(folder: Path, steps: Steps) -> Path:
    """From the wheel to a committed use case that passes `make test`; returns the project."""
    wheel, uv = new.own_wheel(), shutil.which("uv") or str(Path(sys.executable).parent / "uv")
    (folder / wheel.name).write_bytes(wheel.content)
    customers().to_csv(folder / "churn.csv", index=False)
    root = folder / f"churn-{_free_port()}"  # containers are named after it
    with steps.step("`uvx --from WHEEL mlops new`"):
        typed(folder, uv, "tool", "run", "--from", f"./{wheel.name}", "mlops", "new", root.name, "--defaults")
    typed(root, "git", "init", "--quiet", "--initial-branch=main")
    _commit(root, "First commit")
    with steps.step("`make run`: environment, then the example's first version"):
        typed(root, "make", "run")
    with steps.step("`make setup`: tools on top"):
        typed(root, "make", "setup")
    with steps.step("`mlops add churn --from churn.csv`, its notebook run"):
        typed(root, ".venv/bin/mlops", "add", "churn", "--from", "../churn.csv", "--target", TARGET)
    with steps.step("`mlops run churn`: the first version of it"):
        typed(root, ".venv/bin/mlops", "run", "churn")
    project = root / "config" / "project.yaml"
    project.write_text(project.read_text(encoding="utf-8").replace("default_use_case: iris", "default_use_case: churn"))
    with steps.step("`mlops remove iris --yes`: the example goes"):
        typed(root, ".venv/bin/mlops", "remove", "iris", "--yes")
    with steps.step("`make test`: what the pull request will check"):
        typed(root, "make", "test")
    return root


@dataclass
class GitHub:
    """The stand-in for GitHub: the repository, its registry of images, and the ports of its environments."""

    project: Project
    registry: str
    ports: dict[str, dict[str, int]]

    def ended(self, run: Run) -> None:
        """Stop where a job of a workflow failed; what has nothing to do is skipped."""
        if run.code or run.names("failure"):
            raise SystemExit(f"a workflow failed in {run.names('failure')}:\n{run.log[-6000:]}")

    def answer(self, environment: str) -> str:
        """The version that answers there, to the first customer of the table."""
        import requests

        row = customers().head(1).drop(columns=TARGET)
        row[DATE] = pd.to_datetime(row[DATE], dayfirst=True).dt.strftime("%Y-%m-%d")
        rows = {"rows": json.loads(row.to_json(orient="records"))}
        address = f"http://127.0.0.1:{self.ports[environment]['churn']}/predict"
        reply = requests.post(address, json=rows, timeout=10)
        if reply.status_code != 200:
            raise SystemExit(f"{address}: {reply.status_code} {reply.text}")
        return str(reply.json()["version"])

    def typed(self, *command: str) -> str:
        """A command in the checkout."""
        return typed(self.project.root, *command)

    def tagged(self, branch: str, *more: str) -> str:
        """Tag a branch by the command for it, and return the tag."""
        self.typed("git", "fetch", "--quiet", "origin", "--tags")
        self.typed("git", "checkout", "--quiet", "-B", branch, f"origin/{branch}")
        self.typed(".venv/bin/mlops", "gitflow", "tag", *more)
        return self.typed("git", "describe", "--tags", "--exact-match", f"origin/{branch}").strip()


def workflows(github: GitHub, steps: Steps) -> None:
    """From the first pull request to production, a second version, and back."""
    from scenes import dispatch, pull_request, push, release

    project, registry = github.project, github.registry
    project.commit("Who leaves", "feature/churn", "HEAD", {})
    with steps.step("pull request into `dev`: checks, tests, report"):
        github.ended(pull_request(project, "feature/churn", "dev"))
    project.merge("feature/churn", "dev")
    with steps.step("merge to `dev`: challenger"):
        github.ended(push(project, "dev"))
    github.typed(".venv/bin/mlops", "gitflow", "start", "release", "1.0.0")
    with steps.step("`mlops gitflow start release 1.0.0`, pushed: candidate"):
        github.ended(push(project, "release/1.0.0"))
    with steps.step("tag `v1.0.0-rc.1`: image, staging"):
        github.ended(release(project, github.tagged("release/1.0.0", "--rc"), registry))
    first = github.answer("staging")
    project.merge("release/1.0.0", "main")
    with steps.step("merge to `main`: champion"):
        github.ended(push(project, "main"))
    with steps.step("tag `v1.0.0`: production"):
        github.ended(release(project, github.tagged("main"), registry))
    assert github.answer("production") == first
    _second(github)
    with steps.step("a second model: hotfix merged to `main`"):
        github.ended(push(project, "main"))
    with steps.step("tag `v1.1.0`: production replaced"):
        github.ended(release(project, github.tagged("main"), registry))
    later = github.answer("production")
    assert later > first, f"{later} answers"
    with steps.step("rolled back by *Run workflow*"):
        reason = {"action": "rollback", "environment": "production", "use_case": "churn", "reason": "complaints"}
        github.ended(dispatch(project, registry, **reason))
    assert github.answer("production") == first
    note(f"{first} answered, then {later}, then {first} again")


def _second(github: GitHub) -> None:
    """Change a parameter on a hotfix branch and merge it to main."""
    project = github.project
    github.typed("git", "checkout", "--quiet", "-B", "main", "origin/main")
    github.typed(".venv/bin/mlops", "gitflow", "start", "hotfix", "1.1.0")
    text = (project.root / "config" / "churn.yaml").read_text(encoding="utf-8")
    changed = text.replace("regularisation: 1.0}", "regularisation: 3.0}")
    assert changed != text, "the linear model was not chosen"
    project.commit("A stiffer model", "hotfix/1.1.0", "origin/hotfix/1.1.0", {"config/churn.yaml": changed})
    project.merge("hotfix/1.1.0", "main")


def published(root: Path, folder: Path, api: str, registry: str) -> GitHub:
    """Push what is committed to a bare repository with `main` and `dev`, and name containers on this machine as targets."""
    import zipfile

    import offline
    import yaml

    from mlops.project import wheel

    for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        offline.git(root, "config", key, value)
    offline.git(folder, "clone", "--quiet", "--bare", str(root), "origin.git")
    offline.git(folder / "origin.git", "branch", "dev", "main")
    offline.git(root, "remote", "add", "origin", str(folder / "origin.git"))
    offline.git(root, "fetch", "--quiet", "origin")
    offline.git(root, "branch", "--quiet", "--set-upstream-to=origin/main")
    ports = {place: {"churn": _free_port()} for place in ("staging", "production")}
    file = root / "config" / "project.yaml"
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    settings["deploy"] = {
        place: {"target": "compose", "compose": {"ports": used, "watch": 3}} for place, used in ports.items()
    }
    file.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    project = offline.Project(root, folder / "origin.git", offline.equip(folder / "work"), api)
    with zipfile.ZipFile(root / wheel.present(root).path) as archive:
        archive.extractall(project.work / "site")
    return GitHub(project, registry, ports)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _commit(root: Path, message: str) -> None:
    typed(root, "git", "add", "--all")
    typed(root, "git", "commit", "--quiet", "--message", message)


def walk(folder: Path, local: bool) -> Rows:
    """Go all the way, or its part without Docker; returns the rows of the table."""
    steps = Steps()
    root = laptop(folder, steps)
    if local:
        return steps.rows
    import registry
    from fake_github import serve

    if why := registry.why_not():
        raise SystemExit(f"{why}: --local ends before the images")
    with serve() as api, registry.serve(_made(folder / "registry")) as host:
        try:
            workflows(published(root, folder, api.url, host), steps)
        finally:
            _remove(root.name)
            registry.remove_images(host)
    return steps.rows


def _remove(name: str) -> None:
    """Remove the containers and networks of a project."""
    from registry import docker

    for what, every, force in (("container", ["--all"], ["--force"]), ("network", [], [])):
        if named := docker(what, "ls", *every, "--quiet", "--filter", f"name=^/?{name}-").split():
            docker(what, "rm", *force, *named)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--local", action="store_true", help="end before the workflows: no Docker, no act")
    parser.add_argument("--keep", type=Path, help="empty folder for all of it; default: a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.keep or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        table("From an empty folder to production and back", HEAD, walk(folder, options.local))


if __name__ == "__main__":
    main()
