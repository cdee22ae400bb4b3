"""What a commit on a governed branch stands for: its candidates registered together, and the record commit → versions.

The record is a run in an experiment of its own, so that it lives in every store. A release reads it to know the exact
versions.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops import folders, git, keys, tracking
from mlops.config import Project, check_use_case
from mlops.data import stages
from mlops.errors import UserError
from mlops.registry import register as registration
from mlops.registry import runs, versions
from mlops.registry.versions import Version
from mlops.training import candidate as candidates
from mlops.training.candidate import Candidate
from mlops.use_case import UseCase, load_use_case

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "releases"
# Metrics of a retrained key agree to this relative difference, also between machines.
SAME = 1e-9
DIFFERS = (
    "Training the same key again gave other metrics. The gate judged the version in the store, the one that gets the alias; "
    "look for chance that `build` does not take from `seed`."
)


@dataclass(frozen=True)
class Entry:
    """What became of one use case: its version of this commit ("" for none), in words, and the report if one was made.

    passed: it has a version, or the gate refused it as its configuration expects.
    """

    use_case: str
    number: str
    passed: bool
    message: str
    reproduced: str
    report: Path | None

    @property
    def differs(self) -> bool:
        """Whether training a registered key again gave other metrics."""
        return self.reproduced.startswith("no")


def key_of(project: Project, use_case: UseCase) -> str:
    """Return the key of a use case as code, configuration and data stand now; no raw data have to be here for it."""
    return keys.parts_of(project, use_case, stages.raw_sha256(project, use_case)).key


def to_train(project: Project, alias: str) -> list[str]:
    """Return the use cases that have to be trained for a registration under `alias`, sorted.

    A key that is registered is not trained again, except for the champion: what goes to production is shown to reproduce.
    """
    if tracking.is_unused(project):
        return project.use_cases
    with tracking.open_store(project) as client:
        return [name for name in project.use_cases if _has_to(client, project, load_use_case(project, name), alias)]


def register_all(project: Project, folder: Path, alias: str, why: str, only: str = "") -> list[Entry]:
    """Register the candidates below `folder` under `alias` and, when none was refused, write the release record.

    A use case without a candidate there has its key in the store already: its version gets the alias after the gate was asked
    again, unless the alias points at it. `only` leaves the other use cases as they are; where one of them has no version made
    from this commit, there is no record. Raises UserError for a candidate that is missing or was not made from this commit's
    code, configuration and data.
    """
    if only:
        check_use_case(project, only)
    entries = []
    for name in project.use_cases:
        use_case = load_use_case(project, name)
        if only and name != only:
            entries.append(_as_it_is(project, use_case, alias))
        else:
            entries.append(_register(project, use_case, folder, alias, why))
    if all(entry.passed for entry in entries):
        write(project, {entry.use_case: entry.number for entry in entries if entry.number})
    return entries


def write(project: Project, numbers: dict[str, str]) -> None:
    """Write the record of the commit that is checked out, in place of an earlier one."""
    commit = git.commit(project.root)
    with tracking.locked(project), tracking.open_store(project) as client:
        name = versions.qualified(project, EXPERIMENT)
        experiment = runs.experiment(client, project, name, "Which versions belong to which commit")
        release_runs = client.search_runs([experiment], f"tags.git_commit = '{commit.sha}'", max_results=1)
        tags = {"git_commit": commit.sha, "git_branch": commit.branch, "versions": json.dumps(numbers, sort_keys=True)}
        if not release_runs:
            run = client.create_run(experiment, run_name=commit.sha[:12], tags=tags)
            client.set_terminated(run.info.run_id, "FINISHED")
        else:
            for tag, value in tags.items():
                client.set_tag(release_runs[0].info.run_id, tag, value)
        tracking.back_up(project)


def read(project: Project, commit: str) -> dict[str, str]:
    """Return use case → version number of a commit; raise UserError where no run has written its record."""
    with tracking.open_store(project) as client:
        experiment = client.get_experiment_by_name(versions.experiment_name(project, EXPERIMENT))
        ids = [experiment.experiment_id] if experiment else []
        entry = client.search_runs(ids, f"tags.git_commit = '{commit}'", max_results=1) if ids else []
    if not entry:
        raise UserError(
            f"commit {commit[:12]} has no release record: run the workflow `train` on it and wait for its job register"
        )
    return dict(json.loads(entry[0].data.tags["versions"]))


def markdown(entries: Sequence[Entry], alias: str) -> str:
    """Return the result as a table in GitHub's Markdown."""
    lines = [f"### Registered as {alias}", "", "| use case | version | result | metrics reproduced |", "|---|---|---|---|"]
    for entry in entries:
        sign, loud = "✅" if entry.passed else "❌", "❗ " if entry.differs else ""
        lines.append(
            f"| {entry.use_case} | {entry.number or '–'} | {sign} {entry.message} | {loud}{entry.reproduced or '–'} |"
        )
    if any(entry.differs for entry in entries):
        lines += ["", f"❗ {DIFFERS}"]
    if not all(entry.passed for entry in entries):
        lacking = ", ".join(entry.use_case for entry in entries if not entry.passed)
        lines += ["", f"{lacking}: no release record is written, and a release of this commit is not possible."]
    return "\n".join(lines)


def _has_to(client: MlflowClient, project: Project, use_case: UseCase, alias: str) -> bool:
    known = versions.all_of(client, versions.qualified(project, use_case.name))
    same = _of_key(known, key_of(project, use_case))
    return same is None or (alias == "champion" and alias not in same.aliases)


def _register(project: Project, use_case: UseCase, folder: Path, alias: str, why: str) -> Entry:
    key = key_of(project, use_case)
    with tracking.open_store(project) as client:
        same = _of_key(versions.all_of(client, versions.qualified(project, use_case.name)), key)
    trained = _below(folder, use_case.name, key)
    if trained is None and same is None:
        raise UserError(f"{use_case.name}: no candidate below {folder} and no version of its key: mlops train {use_case.name}")
    if trained is None and same is not None and alias in same.aliases:
        return Entry(use_case.name, same.number, True, "unchanged", "", None)
    if trained is not None and trained.key != key:
        raise UserError(f"{trained.path}: made from other code, configuration or data than this commit has; train again")
    reproduced = _reproduced(project, same, trained) if same and trained else ""
    with folders.work_folder() as scratch:
        candidate = trained or versions.fetch(project, same, scratch)  # type: ignore[arg-type]
        outcome = registration.register(project, use_case, candidate, alias, why)
    from mlops.registry.register import sentence

    if outcome.version is None and not outcome.accepted:
        return Entry(
            use_case.name, "", False, f"refused by the gate: {'; '.join(outcome.reasons)}", reproduced, outcome.report
        )
    number = outcome.version.number if outcome.version else ""
    return Entry(use_case.name, number, True, sentence(outcome), reproduced, outcome.report)


def _as_it_is(project: Project, use_case: UseCase, alias: str) -> Entry:
    """The entry of a use case that was not asked for: it passes where the alias points at a version made from this commit."""
    with tracking.open_store(project) as client:
        entry = versions.by_alias(versions.all_of(client, versions.qualified(project, use_case.name)), alias)
    if entry is None and use_case.config.expect:
        return Entry(use_case.name, "", True, "not asked for; its refusal is expected, so it has no version", "", None)
    if entry is None:
        return Entry(use_case.name, "", False, f"not asked for, and has no {alias}", "", None)
    if entry.tags.get("key") != key_of(project, use_case):
        message = f"not asked for, and {alias} {entry.number} was made from other code, configuration or data"
        return Entry(use_case.name, "", False, message, "", None)
    return Entry(use_case.name, entry.number, True, "not asked for", "", None)


def _below(folder: Path, name: str, key: str) -> Candidate | None:
    """Return the candidate of a use case in a folder of candidates (NAME/KEY/), None where there is none.

    Where there are several, it is that of the key, if it is there.
    """
    entry = [manifest.parent for manifest in sorted((folder / name).glob("*/manifest.json"))]
    chosen = next((path for path in entry if path.name == key[:16]), entry[0] if entry else None)
    return candidates.read(chosen) if chosen else None


def _reproduced(project: Project, same: Version, trained: Candidate) -> str:
    """Return in words whether retraining a registered key gave its metrics again."""
    before, now = versions.manifest_of(project, same)["metrics"], trained.manifest["metrics"]
    off = [name for name in before if not math.isclose(before[name], now.get(name, math.nan), rel_tol=SAME, abs_tol=1e-12)]
    return f"no: {', '.join(f'{name} {before[name]:.6g} → {now[name]:.6g}' for name in off)}" if off else "yes"


def _of_key(known: Sequence[Version], key: str) -> Version | None:
    return next((version for version in known if version.tags.get("key") == key), None)
