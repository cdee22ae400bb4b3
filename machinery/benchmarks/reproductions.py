"""Versions of all use cases trained again by `mlops reproduce`: how many are equal, what differs, what it costs.

    python -m benchmarks.reproductions [--use-cases iris,points] [--rounds 4]

A new project on the machinery's wheel gets these use cases; each round trains all of them from a commit of its own, with
another seed. The first round has an older lock and an older wheel: the later one leaves out a row of training, so that only
the wheel of that time gives the same model. A commit with other code follows, then a version from a dirty tree, and a use
case whose refusal is expected. Costs are seconds on a processor, of user and system, so that a machine that others use as
well tells the same: of `mlops train --again` once everything is compiled, of all that reproducing takes, and of its parts as
it reports them. `ratio` is what reproducing costs beside making the environment and taking it away, against training. Exit
code 1 where more than 3 of 20 differ.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mlops.project import answers, new, shipped
from mlops.project.wheel import Wheel

USE_CASES = ("customers", "iris", "messages", "points", "ridership", "taxi")
REFUSED = "stocks"  # its refusal is expected
OLD_PIN, LATER = "scikit-learn==1.9.0", "1.1.0"
AUTHOR = {f"GIT_{role}_{key}": "benchmark@example.org" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
PARTS = ("worktree", "environment", "training", "comparison", "removal")
COLUMNS = ("version", "commits since", "older", "equal", "verdict", "train", "reproduce", *PARTS, "ratio")


@dataclass(frozen=True)
class Trained:
    """A version: its use case and number, what was older when it was trained, seconds of training it once more."""

    name: str
    number: str
    older: str
    seconds: float


def main() -> None:
    """Make the project, train, train again, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--use-cases", default=",".join(USE_CASES), help="separated by commas")
    parser.add_argument("--rounds", type=int, default=4, help="versions of each use case, at least 2")
    arguments = parser.parse_args()
    names = arguments.use_cases.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "project"
        trained = versions(root, names, arguments.rounds)
        print(f"| {' | '.join(COLUMNS)} |", f"|:--|--:|:--|:--|:--{'|--:' * 7}|", sep="\n", flush=True)
        equal = [row(root, version) for version in trained]
        row(root, from_dirty_tree(root, names[0]))
        run(root, "mlops", "run", REFUSED)
        row(root, Trained(REFUSED, "", "", 0.0))
    print(f"\n{sum(equal)} of {len(equal)} equal")
    sys.exit(int(sum(equal) < 0.85 * len(equal)))


def versions(root: Path, names: list[str], rounds: int) -> list[Trained]:
    """The versions of all rounds, and the project with a later lock, wheel and code."""
    machinery = new.own_wheel()
    lock = make(root, names, machinery)
    trained = []
    for turn in range(1, rounds + 1):
        if turn == 2:
            (root / "requirements/base.txt").write_bytes(lock)
            update(root, machinery)
        run(root, "make", "-s", ".venv/.base")
        trained += [train(root, name, turn, "lock, wheel" if turn == 1 else "") for name in names]
    for name in names:
        model = root / "src" / "use_cases" / name / "model.py"
        model.write_text(f"{model.read_text(encoding='utf-8')}\nLATER = True\n", encoding="utf-8")
    commit(root, "other code")
    run(root, "make", "-s", ".venv/.base")
    return trained


def make(root: Path, names: list[str], machinery: Wheel) -> bytes:
    """A project on the wheel with the use cases, an older pin in its lock, and nothing trained; returns the later lock."""
    new.create(root, answers.Answers(use_case=names[0]), machinery)
    for path, content in {k: v for name in (*names[1:], REFUSED) for k, v in shipped.example(name).items()}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    run(root, "git", "init", "-q", "-b", "main")
    lock = root / "requirements" / "base.txt"
    later = lock.read_bytes()
    options = ("--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-header")
    uv = Path(sys.executable).with_name("uv")
    run(root / "requirements", str(uv), "pip", "compile", *options, "-P", OLD_PIN, "base.in", "-o", "base.txt")
    assert lock.read_bytes() != later, f"{OLD_PIN} is what the lock has"
    return later


def update(root: Path, machinery: Wheel) -> None:
    """Bring the later wheel, as a team does."""
    commit(root, "before the update")
    file = root.parent / f"mlops_machinery-{LATER}-py3-none-any.whl"
    file.write_bytes(later_wheel(machinery))
    run(root, "mlops", "update", "--wheel", str(file))
    commit(root, f"machinery {LATER}")


def later_wheel(machinery: Wheel) -> bytes:
    """A wheel of a later version, whose split leaves out the last row of training."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(machinery.content)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in old.namelist():
            content = old.read(name)
            if name == "mlops/training/split.py":
                content = content.replace(b"return train.reset_index", b"return train.iloc[:-1].reset_index")
                assert content != old.read(name)
            if name.endswith(".dist-info/METADATA"):
                content = re.sub(rb"(?m)^Version: .*$", f"Version: {LATER}".encode(), content)
            of, to = (f"-{version}.dist-info" for version in (machinery.version, LATER))
            archive.writestr(name.replace(of, to), content.replace(of.encode(), to.encode()))
    return target.getvalue()


def train(root: Path, name: str, turn: int, older: str) -> Trained:
    """A version with a seed of its own and the number of a new question, from a commit."""
    file = root / "config" / f"{name}.yaml"
    text = re.sub(r"(?m)^seed: \d+", f"seed: {100 + turn}", file.read_text(encoding="utf-8"))
    file.write_text(re.sub(r"number: \d+\}", f"number: {turn}}}", text), encoding="utf-8")
    commit(root, f"{name}, round {turn}")
    return register(root, name, older)


def register(root: Path, name: str, older: str) -> Trained:
    """Train, gate and register; then train once more, timed, as the first run may compile what it imports."""
    number = str(json.loads(run(root, "mlops", "run", name, "--json"))[0]["number"])
    started = cpu()
    run(root, "mlops", "train", name, "--again")
    return Trained(name, number, older, cpu() - started)


def from_dirty_tree(root: Path, name: str) -> Trained:
    """A version from a configuration that no commit holds."""
    file = root / "config" / f"{name}.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"number: \d+\}", "number: 90}", text), encoding="utf-8")
    version = register(root, name, "dirty tree")
    run(root, "git", "checkout", "-q", str(file))
    return version


def row(root: Path, version: Trained) -> bool:
    """Train a version again and print its line; returns whether it is equal."""
    started = cpu()
    subject = f"{version.name}@{version.number}".rstrip("@")
    done = subprocess.run([str(root / ".venv/bin/mlops"), "reproduce", subject, "--json"], **_as_from_a_shell(root))
    again = cpu() - started
    result = json.loads(done.stdout) if done.stdout else {}
    parts = {part: cost["cpu"] for part, cost in result.get("costs", {}).items()}
    since = run(root, "git", "rev-list", "--count", f"{result['commit']}..HEAD").strip() if result else ""
    ratio = f"{(again - parts['environment'] - parts['removal']) / version.seconds:.2f}" if result else ""
    verdict = result.get("verdict") or done.stderr.strip().splitlines()[-1]
    costs = " | ".join(f"{value:.1f}" for value in (version.seconds, again, *(parts.get(part, 0.0) for part in PARTS)))
    equal = "yes" if result.get("equal") else "no" if result else "refused"
    title = f"{version.name} {version.number}".strip()
    print(f"| {title} | {since} | {version.older} | {equal} | {verdict} | {costs} | {ratio} |", flush=True)
    return bool(result.get("equal"))


def cpu() -> float:
    """Seconds on a processor of all the processes that have ended, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system


def run(root: Path, program: str, *arguments: str) -> str:
    """What a command prints, `mlops` being that of the project; raises RuntimeError with its errors where it fails."""
    command = [str(root / ".venv/bin/mlops") if program == "mlops" else program, *arguments]
    done = subprocess.run(command, **_as_from_a_shell(root))
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout


def _as_from_a_shell(root: Path) -> dict[str, object]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLOPS_", "MLFLOW_", "PYTHON"))}
    environment |= {"OMP_NUM_THREADS": "1", **AUTHOR}
    return {"cwd": root, "env": environment, "capture_output": True, "text": True}


def commit(root: Path, message: str) -> None:
    """Commit all that there is."""
    run(root, "git", "add", "-A")
    run(root, "git", "commit", "--quiet", "--allow-empty", "-m", message)


if __name__ == "__main__":
    main()
