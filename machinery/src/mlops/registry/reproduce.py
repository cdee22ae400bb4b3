"""A version trained again from its commit, elsewhere, and held against what was registered.

commit → worktree → what it does not hold, kept with the run → data by digest → lock and machinery of that time → train
→ metrics, predictions of the holdout, bytes

The worktree has no store and an empty output folder, so that nothing of the version can be taken in place of training.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlops
from mlops import digests, dvc, folders, git, keys, runner, uncommitted, vendored
from mlops.config import Project, load_project, load_use_case_config
from mlops.console import note, phase
from mlops.dvc import large
from mlops.errors import MlopsError, UserError
from mlops.registry import bytecode, versions
from mlops.registry.card_text import number
from mlops.registry.changes import leaves_that_differ, prefix
from mlops.registry.versions import Version
from mlops.training import candidate as candidates

if TYPE_CHECKING:
    import pandas as pd

    from mlops.training.candidate import Candidate

# The parts of a key, by the name that a reader knows.
PARTS = {"code": "code", "data": "data", "config": "configuration", "lock": "lock", "machinery": "machinery"}
# Variables that would lead the training elsewhere: to a store, to another project, to other values of the configuration.
LEADING = ("MLOPS_", "MLFLOW_", "GITHUB_", "PYTHON")


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, and on a processor, of this process and of those that it started."""

    seconds: float
    cpu: float


@dataclass(frozen=True)
class Reproduction:
    """A version and its repetition.

    parts: what of the key is not the same. metrics: name → both values. rows: of the holdout; largest: the greatest distance
    of a predicted number or probability. files: those with other bytes. seconds: of the fit. own_environment: not the packages
    and machinery that are here. costs: of each part. uncommitted: the files whose changes were kept with the run, as no commit
    holds them.
    """

    version: str
    commit: str
    parts: tuple[str, ...]
    environment: tuple[tuple[str, str, str], ...]
    metrics: dict[str, tuple[float | None, float | None]]
    rows: int
    rows_that_differ: int
    largest: float
    files: tuple[str, ...]
    seconds: float
    own_environment: bool = False
    costs: dict[str, Cost] = field(default_factory=dict)
    uncommitted: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether metrics and predictions are the same to the last digit."""
        return not self.rows_that_differ and self.largest == 0 and all(old == new for old, new in self.metrics.values())

    @property
    def verdict(self) -> str:
        """In a sentence: equal, or what differs and why."""
        if self.equal:
            bytes_ = f"; other bytes: {', '.join(self.files)}" if self.files else ", and so is every byte"
            return f"equal: {len(self.metrics)} metrics and {self.rows} predictions are the same{bytes_}"
        causes = [*self.parts, *(f"{name} ({old} then, {new} here)" for name, old, new in self.environment)]
        why = ", ".join(causes) or "no part of the key: the processor, or training that is not deterministic"
        much = f"{self.rows_that_differ} of {self.rows} predictions, by {self.largest:.3g} at most"
        return f"differs in {much}; not the same: {why}"


def reproduce(project: Project, name: str, ref: str | None = None) -> Reproduction:
    """Train a version of a use case again from its commit, and compare.

    Raises UserError for a version from changes that no commit holds, a commit or data that are not here, and where the
    training of that time fails; DataError for a version whose files are damaged.
    """
    start = _now()
    version = versions.resolve(project, name, ref)
    commit = _commit(project, version)
    with folders.work_folder() as scratch:
        fetched = versions.fetch(project, version, scratch / "registered")
        changed = _uncommitted(version, fetched)
        with _worktree(project, commit, scratch / "tree") as tree:
            if changed:
                uncommitted.apply(fetched.path / uncommitted.FILE, tree)
                note(f"{version.title}: changes that no commit holds are applied as they were kept: {', '.join(changed)}")
            _bring_data(project, name, tree, fetched)
            result, start = _reproduced(project, version, fetched, tree, {"worktree": _since(start)}), _now()
    return replace(result, uncommitted=tuple(changed), costs={**result.costs, "removal": _since(start)})


def _reproduced(project: Project, version: Version, registered: Candidate, tree: Path, costs: dict[str, Cost]) -> Reproduction:
    """Train in a checkout of the commit, with its data, and compare."""
    name, start = registered.use_case, _now()
    with phase(f"{version.title}: environment of {version.tags['git_commit'][:12]}"):
        python, paths = _environment(project, tree)
    costs, start = {**costs, "environment": _since(start)}, _now()
    with phase(f"{version.title}: trained again"):
        again = _train(name, tree, python, paths, _overrides(tree, name, registered.manifest["config"]))
    costs, start = {**costs, "training": _since(start)}, _now()
    result = compare(version, registered, again)
    return replace(result, own_environment=python != sys.executable, costs={**costs, "comparison": _since(start)})


def reported(project: Project, name: str, ref: str | None = None) -> Reproduction:
    """Train a version again; in a workflow the verdict, or why there is none, is put on the summary page of the job."""
    try:
        result = reproduce(project, name, ref)
    except MlopsError as refusal:
        _summarise(f"### {name}{f'@{ref}' if ref else ''} cannot be trained again\n\n{refusal}")
        raise
    _summarise(markdown(result))
    return result


def markdown(result: Reproduction) -> str:
    """The verdict and a table of the metrics, for a summary page."""
    verdict = result.verdict[0].upper() + result.verdict[1:]
    lines = [
        f"### {'✅' if result.equal else '❌'} {result.version}, trained again from {result.commit[:12]}",
        "",
        f"{verdict}.",
        "",
    ]
    lines += ["| metric | registered | again | difference |", "|:--|--:|--:|--:|"]
    for metric, (old, new) in result.metrics.items():
        distance = "–" if old is None or new is None else f"{abs(new - old):.3g}"
        lines.append(f"| {metric} | {number(old)} | {number(new)} | {distance} |")
    environment = "of its own" if result.own_environment else "the one that is here"
    kept = f"Changes that no commit holds, kept with the run: {', '.join(result.uncommitted)}. " if result.uncommitted else ""
    return "\n".join([*lines, "", f"{kept}Environment: {environment}. {spent(result)}."])


def spent(result: Reproduction) -> str:
    """Seconds of each part, in brackets those on a processor, in a sentence."""
    parts = [f"{part} {cost.seconds:.1f} ({cost.cpu:.1f})" for part, cost in result.costs.items()]
    return f"Seconds (on a processor): {', '.join(parts)}; fit {result.seconds:.1f}"


def compare(version: Version, registered: Candidate, again: Candidate) -> Reproduction:
    """What two candidates do not share: parts of the key, metrics, predictions of the holdout, bytes."""
    old, new = registered.manifest, again.manifest
    rows, differing, largest = _predictions(registered, again)
    names = sorted({*old["metrics"], *new["metrics"]})
    return Reproduction(
        version=version.title,
        commit=old["git"]["sha"],
        parts=tuple(label for part, label in PARTS.items() if old["parts"][part] != new["parts"][part]),
        environment=tuple(
            (name, str(old[name]), str(new[name]))
            for name in ("python", "processor")
            if name in old and old[name] != new.get(name)
        ),
        metrics={metric: (old["metrics"].get(metric), new["metrics"].get(metric)) for metric in names},
        rows=rows,
        rows_that_differ=differing,
        largest=largest,
        files=tuple(
            name for name, digest in old["files"].items() if new["files"].get(name) != digest and name != uncommitted.FILE
        ),
        seconds=new["fit_seconds"],
    )


def _now() -> Cost:
    """The clock, and the time on a processor of this process and of those that it started and that have ended."""
    times = os.times()
    return Cost(time.perf_counter(), times.user + times.system + times.children_user + times.children_system)


def _since(start: Cost) -> Cost:
    now = _now()
    return Cost(now.seconds - start.seconds, now.cpu - start.cpu)


def _summarise(text: str) -> None:
    if runner.event_name():
        runner.summary(text)


def _commit(project: Project, version: Version) -> str:
    """The commit of a version; raises UserError where it is not here."""
    commit = version.tags.get("git_commit", "")
    if not commit:
        raise UserError(
            f"{version.title}: its tag git_commit is gone from the store, so that nothing says what it was made of"
        )
    if not git.exists(commit, project.root):
        if git.git("rev-parse", "--is-shallow-repository", root=project.root) == "true":
            raise UserError(f"{version.title}: commit {commit[:12]} is not in this clone; git fetch --unshallow --all")
        why = "git fetch --all brings it where a branch or tag still has it"
        raise UserError(f"{version.title}: commit {commit[:12]} is not in this clone; {why}")
    return commit


def _uncommitted(version: Version, registered: Candidate) -> list[str]:
    """The files whose changes were kept with the run; raises UserError where no commit holds them and they were not kept."""
    commit = registered.manifest["git"]
    kept = commit.get("uncommitted", {})
    if commit["dirty"] and "files" not in kept:
        why = f", and that were not kept ({kept['reason']})" if kept else ""
        raise UserError(
            f"{version.title}: trained with changes that commit {commit['sha'][:12]} does not hold{why}, so there is nothing "
            "to go back to; commit first, then train"
        )
    return list(kept.get("files", ()))


@contextmanager
def _worktree(project: Project, commit: str, folder: Path) -> Iterator[Path]:
    """The project at a commit, in a worktree that is removed in the end."""
    git.run("worktree", "prune", root=project.root)  # what a killed one left is named no longer
    git.git("worktree", "add", "--detach", "--quiet", str(folder), commit, root=project.root)
    try:
        yield folder / prefix(project)
    finally:
        git.run("worktree", "remove", "--force", str(folder), root=project.root)


def _bring_data(project: Project, name: str, tree: Path, registered: Candidate) -> None:
    """See that each raw file lies in the tree with its digest; what git does not hold is taken from the project's folder."""
    for item in registered.manifest["data"]:
        place = tree / "data" / "raw" / name / item["file"]
        if place.is_file() and digests.of_file(place) == item["sha256"]:
            continue
        here = _held(project, tree, place, item["sha256"]) or project.data / "raw" / name / item["file"]
        if not here.is_file() or digests.of_file(here) != item["sha256"]:
            raise UserError(f"{here}: not the file that was trained on (sha256 {item['sha256'][:16]}…); restore that one")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(here, place)


def _held(project: Project, tree: Path, place: Path, sha256: str) -> Path | None:
    """The content that the pointer at a place names, in DVC's cache or at its remote; None where there is no pointer."""
    pointer = place.with_name(f"{place.name}.dvc")
    if not pointer.is_file():
        return None
    named = dvc.pointed(pointer)
    held, here = dvc.cached(project, named), project.data / place.relative_to(tree / "data")
    if not dvc.is_saved(project, named) and not (here.is_file() and digests.of_file(here) == sha256):
        large.fetch_into_cache(project, tree, pointer)
    return held if held.is_file() and digests.of_file(held) == sha256 else None


def _environment(project: Project, tree: Path) -> tuple[str, list[Path]]:
    """Python with the packages and machinery of the tree, and the folders to import from.

    That is this one where lock and machinery are as they are here, else a new one from the tree's lock and wheel.
    """
    same = all(_text(project.root / name) == _text(tree / name) for name in (vendored.LINE, keys.LOCK))
    paths = [tree / "src"]
    if (tree / "machinery" / "src").is_dir():  # the machinery is a folder of the repository: that of the commit
        paths.append(tree / "machinery" / "src")
        bytecode.share(Path(mlops.__file__).parents[1], paths[-1])
    if same:
        return sys.executable, paths
    # As in that folder, whatever a shell or a job names as its environment; with this Python.
    command = ["make", "-s", "VENV=.venv", f"PYTHON={sys.executable}", ".venv/.base"]
    done = subprocess.run(command, cwd=tree, env=_variables([]), capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"the environment of that commit cannot be created: {git.last_words(done.stderr)}")
    venv = tree / ".venv"
    theirs = sysconfig.get_path("purelib", "venv", {"base": str(venv), "platbase": str(venv)})
    bytecode.share(Path(sysconfig.get_path("purelib")), Path(theirs))
    return str(venv / "bin" / "python"), paths


def _text(file: Path) -> list[str]:
    """What a lock pins or a line names, without comments; empty where there is no file."""
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return keys.pins(text) if file.name == keys.LOCK.name else [line for line in text.splitlines() if not line.startswith("#")]


def _overrides(tree: Path, name: str, trained: dict[str, Any]) -> list[str]:
    """`--set` for each value of the configuration that the version was trained with and the commit's file does not have."""
    try:
        here = load_use_case_config(load_project(tree), name).model_dump(mode="json")
    except MlopsError:  # a configuration that this machinery cannot read: that of the commit can, and the digest is compared
        return []
    return [f"{path}={json.dumps(new)}" for path, _, new in leaves_that_differ(here, trained) if _has(trained, path)]


def _has(tree: Any, path: str) -> bool:
    """Whether a tree has a value at a path, be it null."""
    name, _, rest = path.partition(".")
    return isinstance(tree, dict) and name in tree and (not rest or _has(tree[name], rest))


def _train(name: str, tree: Path, python: str, paths: list[Path], overrides: list[str]) -> Candidate:
    settings = [part for override in overrides for part in ("--set", override)]
    command = [python, "-m", "mlops", "--project", str(tree), "train", name, "--again", "--json", *settings]
    done = subprocess.run(command, cwd=tree, env=_variables(paths), capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"the training of that commit fails: {git.last_words(done.stderr).removeprefix('error: ')}")
    return candidates.read(Path(json.loads(done.stdout)["path"]))


def _variables(paths: list[Path]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(LEADING)}
    return {**kept, "PYTHONPATH": os.pathsep.join(map(str, paths))} if paths else kept


def _predictions(registered: Candidate, again: Candidate) -> tuple[int, int, float]:
    """Rows of the holdout, how many are predicted otherwise or are on one side only, and the largest distance of a number."""
    key = registered.manifest["config"]["key"]
    old, new = (_answers(item.holdout(), key) for item in (registered, again))
    both, rows = old.index.intersection(new.index), len(old)
    outside = len(old.index.union(new.index)) - len(both)
    if not len(both):
        return rows, outside, 0.0
    old, new = old.loc[both], new.loc[both].reindex(columns=old.columns)
    differs = (old != new).any(axis=1)
    numbers = list(old.select_dtypes("number"))
    distances = abs(old[numbers].to_numpy(dtype=float) - new[numbers].to_numpy(dtype=float))
    return rows, int(differs.sum()) + outside, float(distances.max(initial=0.0))


def _answers(rows: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Predictions and probabilities by the row's key."""
    known = (candidates.PREDICTION, candidates.PROBABILITY.partition("{")[0])
    return rows.set_index(key)[[column for column in rows if str(column).startswith(known)]].sort_index()
