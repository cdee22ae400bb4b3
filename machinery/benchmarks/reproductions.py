"""Versions of all use cases trained again by `mlops reproduce`: how many are equal, what differs, what it costs.

    python -m benchmarks.reproductions [--use-cases iris,points] [--rounds 4]

In a new project with these use cases each round is a commit with another seed, from which all are trained and registered. A
commit with other code follows, so that every version is of an older one. Exit code 1 where more than 3 of 20 differ.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mlops.project import shipped

# Of stocks there is no version: its refusal is expected.
USE_CASES = ("customers", "iris", "points", "ridership", "taxi")
AUTHOR = {f"GIT_{role}_{key}": "benchmark@example.org" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}


def main() -> None:
    """Make the project, train, train again, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--use-cases", default=",".join(USE_CASES), help="separated by commas")
    parser.add_argument("--rounds", type=int, default=4, help="versions of each use case")
    arguments = parser.parse_args()
    names = arguments.use_cases.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "project"
        make(root, names)
        numbers = [trained(root, name, turn) for turn in range(1, arguments.rounds + 1) for name in names]
        for name in names:
            model = root / "src" / "use_cases" / name / "model.py"
            model.write_text(f"{model.read_text(encoding='utf-8')}\nLATER = True\n", encoding="utf-8")
        commit(root, "other code")
        print("| version | commits since | equal | verdict | training, s | again, s |", "|:--|--:|:--|:--|--:|--:|", sep="\n")
        equal = [row(root, name, number, seconds) for name, number, seconds in numbers]
    print(f"\n{sum(equal)} of {len(equal)} equal")
    sys.exit(int(sum(equal) < 0.85 * len(equal)))


def make(root: Path, names: list[str]) -> None:
    """A project with the use cases and nothing trained."""
    for path, content in {**shipped.first(), **{k: v for name in names for k, v in shipped.example(name).items()}}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    git(root, "init", "-q", "-b", "main")


def trained(root: Path, name: str, turn: int) -> tuple[str, str, float]:
    """Name, number and seconds of a version with a seed of its own and the number of a new question, from a commit."""
    file = root / "config" / f"{name}.yaml"
    text = re.sub(r"(?m)^seed: \d+", f"seed: {100 + turn}", file.read_text(encoding="utf-8"))
    file.write_text(re.sub(r"number: \d+\}", f"number: {turn}}}", text), encoding="utf-8")
    commit(root, f"{name}, round {turn}")
    started = time.perf_counter()
    done = mlops(root, "run", name, "--json")
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return name, str(json.loads(done.stdout)[0]["number"]), time.perf_counter() - started


def row(root: Path, name: str, number: str, seconds: float) -> bool:
    """Train a version again and print its line; returns whether it is equal."""
    started = time.perf_counter()
    done = mlops(root, "reproduce", f"{name}@{number}", "--json")
    again = time.perf_counter() - started
    result = json.loads(done.stdout) if done.stdout else {"equal": False, "verdict": done.stderr.strip(), "commit": "HEAD"}
    since = git(root, "rev-list", "--count", f"{result['commit']}..HEAD")
    equal = "yes" if result["equal"] else "no"
    print(f"| {name} {number} | {since} | {equal} | {result['verdict']} | {seconds:.1f} | {again:.1f} |", flush=True)
    return bool(result["equal"])


def mlops(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project, as from a shell of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLOPS_", "MLFLOW_"))}
    environment |= {"PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mlops", "--project", str(root), *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


def commit(root: Path, message: str) -> None:
    """Commit all that there is."""
    git(root, "add", "-A")
    git(root, "commit", "--quiet", "--allow-empty", "-m", message)


def git(root: Path, *arguments: str) -> str:
    """What git prints."""
    done = subprocess.run(
        ["git", *arguments], cwd=root, env={**os.environ, **AUTHOR}, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


if __name__ == "__main__":
    main()
