"""The predictions on each way that a model goes, beside those that training recorded for its holdout: the largest difference.

A new project gets use cases by `mlops add --like` and trains them. Their raw data are scored by the Arrow engine and by Spark;
their holdout is asked of `mlops serve` and of a server in what an image would hold: its files, and an environment with its
packages alone. Of classes: how many differ, and the largest difference of probabilities.

python -m benchmarks.parity [iris taxi …] [--keep DIR]
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlops.bundle import image
from mlops.config import Project, load_project, load_use_case_config
from mlops.console import table
from mlops.project import answers, new, shipped
from mlops.registry import versions
from mlops.scoring import client, registered
from mlops.serving.manifest import verify
from mlops.training.candidate import PREDICTION, PROBABILITY, Candidate

GIT = {f"GIT_{who}_{what}": "parity@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
HEAD = ("use case", "holdout", "Arrow", "Spark", "service", "image", "files")
# The gate refuses stocks, and rightly so; by the order of its probabilities it is a version that can be compared.
SETTINGS = {"stocks": ("expect=null", "metrics.accuracy.primary=false", "metrics.roc_auc.primary=true")}


def created(root: Path, names: Sequence[str]) -> None:
    """A project with some use cases, each trained, and with Spark."""
    new.create(root, answers.Answers(name="parity-models", use_case="none"), new.own_wheel())
    run(root, "git", "init", "--quiet", "--initial-branch=main")
    run(root, "make", "setup", "spark")
    for name in names:
        run(root, ".venv/bin/mlops", "add", name, "--like", name)
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message", "Use cases")
    for name in names:
        options = [part for setting in SETTINGS.get(name, ()) for part in ("--set", setting)]
        run(root, ".venv/bin/mlops", "run", name, *options)


def run(root: Path, *command: str) -> None:
    """Run a command in the project; raises SystemExit with its error."""
    done = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{root}: {' '.join(command)}: {(done.stderr or done.stdout).strip()}")


def environment(**more: str) -> dict[str, str]:
    """The environment without what belongs to the project in which this runs."""
    left_out = ("VIRTUAL_ENV", "MAKE", "MLOPS", "MLFLOW", "PYTHON")
    return {**{key: value for key, value in os.environ.items() if not key.startswith(left_out)}, **GIT, **more}


def parity(root: Path, name: str, scratch: Path) -> tuple[Any, ...]:
    """A row of the table."""
    project = load_project(root)
    candidate = versions.fetch(project, versions.resolve(project, name), scratch / "version")
    key = list(load_use_case_config(project, name).key)
    differences = [batch(root, candidate, key, scratch / engine, engine) for engine in ("arrow", "spark")]
    rows = scratch / "rows.parquet"
    candidate.holdout()[list(candidate.manifest["problem"]["schema"])].to_parquet(rows)
    with serving(root, [".venv/bin/mlops", "serve", name, "--port", "0"]) as address:
        differences.append(service(address, candidate, rows))
    with contained(project, name, scratch) as address:
        differences.append(service(address, candidate, rows))
    equal = files_of(scratch / "arrow") == files_of(scratch / "spark")
    return name, len(candidate.holdout()), *differences, "equal" if equal else "differ"


def batch(root: Path, candidate: Candidate, key: list[str], to: Path, engine: str) -> str:
    """The difference of what an engine makes of all raw data, at the rows of the holdout."""
    name = candidate.manifest["use_case"]
    source = str(root / "data" / "raw" / name)
    run(root, ".venv/bin/mlops", "score", name, source, str(to), "--engine", engine, "--part-rows", "1000")
    scored = pd.read_parquet(to / "predictions")
    rows = candidate.holdout()[key].merge(scored, on=key, how="left", validate="one_to_one")
    names = [PROBABILITY.format(label).strip("_") for label in candidate.manifest["classes"] or ()]
    return difference(candidate, rows["prediction"], rows[names] if set(names) <= set(rows) else None)


def service(address: str, candidate: Candidate, rows: Path) -> str:
    """The difference of what a server answers for the rows of the holdout."""
    given = has_probabilities(candidate)
    reply = client.score_file(address, rows, None, "", wait=120, include=["probabilities"] if given else [])
    probabilities = pd.DataFrame(reply["probabilities"]) if given else None
    return difference(candidate, pd.Series(reply["predictions"]), probabilities)


def has_probabilities(candidate: Candidate) -> bool:
    """Whether training recorded probabilities."""
    return any(column.startswith("__probability_") for column in candidate.holdout())


def difference(candidate: Candidate, predictions: pd.Series, probabilities: pd.DataFrame | None) -> str:
    """The largest difference of numbers, or how many classes differ and the largest difference of probabilities."""
    holdout, classes = candidate.holdout(), candidate.manifest["classes"]
    if not classes:
        return furthest(predictions, holdout[PREDICTION])
    different = str((predictions.astype(str).to_numpy() != holdout[PREDICTION].astype(str).to_numpy()).sum())
    if not has_probabilities(candidate):
        return different
    assert probabilities is not None
    return f"{different} / {furthest(probabilities, holdout[[PROBABILITY.format(label) for label in classes]])}"


def furthest(ours: Any, recorded: Any) -> str:
    """The largest distance of two numbers; a number that is missing is infinitely far."""
    distance = np.abs(np.asarray(ours, dtype=float) - np.asarray(recorded, dtype=float))
    return f"{np.nan_to_num(distance, nan=np.inf).max():.1g}"


def files_of(folder: Path) -> dict[str, bytes]:
    """The files that an engine wrote."""
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@contextmanager
def contained(project: Project, name: str, scratch: Path) -> Iterator[str]:
    """The address of a server in an environment that holds what an image would, and nothing else."""
    context = scratch / "context"
    run(project.root, ".venv/bin/mlops", "image", name, "--context", str(context))
    settings = registered.image_settings(project, verify(context / "bundle"))
    python = image.environment(context, scratch / "environment")
    command = [str(python), "-P", "-s", "-m", "mlops.serving.run", str(context / "bundle")]
    values = {"PYTHONPATH": str(context / "app"), "MLOPS_SERVE_PORT": "0", **image.variables(settings)}
    with serving(context, command, **values) as address:
        yield address


@contextmanager
def serving(root: Path, command: list[str], **values: str) -> Iterator[str]:
    """The address of a server that a command starts."""
    values = {"MLOPS_SERVE_ACCESS_LOG": "false", **values}
    server = subprocess.Popen(command, cwd=root, env=environment(**values), stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        lines = []
        for line in server.stderr:
            lines.append(line)
            if address := re.search(r"listening on (http://\S+)", line):
                yield address[1]
                return
        raise SystemExit(f"{' '.join(command)}: {''.join(lines[-5:])}")
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*shipped.examples(), []], help="which of them; default: all")
    parser.add_argument(
        "--keep", type=Path, help="folder for the project, or with one from a run before; default: a temporary one"
    )
    options = parser.parse_args()
    for name in [name for name in os.environ if name.startswith("MLOPS__")]:
        del os.environ[name]  # places of the project in which this runs
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.keep or Path(scratch)).resolve()
        names = options.names or shipped.examples()
        if not (folder / "project").is_dir():
            created(folder / "project", names)
        rows = []
        for name in names:
            (Path(scratch) / name).mkdir()
            rows.append(parity(folder / "project", name, Path(scratch) / name))
        table("Largest difference from what training recorded for the holdout", HEAD, rows)


if __name__ == "__main__":
    main()
