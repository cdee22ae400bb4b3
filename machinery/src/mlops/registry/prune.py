"""What the store in the repository can do without: versions and runs that no alias, no release and no recent work needs."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mlops import damage, tracking
from mlops.config import Project
from mlops.errors import StoreUnreachable
from mlops.registry import releases, versions

if TYPE_CHECKING:
    from mlflow import MlflowClient

RECENT_RUNS = 20
RECENT_DAYS = 30
# Records of these branches stand for what went, or may go, to production: they are kept for ever.
RELEASED = ("main", "release/", "hotfix/")


class Pruned(NamedTuple):
    """How many runs and versions went, and the bytes of the artifacts that went with them."""

    runs: int
    versions: int
    size: int


def prune(project: Project, recent_runs: int = RECENT_RUNS, recent_days: float = RECENT_DAYS) -> Pruned:
    """Remove from the embedded store what nothing needs and return what went; a tracking server is left alone.

    Kept are: versions with an alias or in a release record of main, release/* or hotfix/*, the `recent_runs` newest runs of
    each experiment, and all runs of the last `recent_days`.
    """
    if not tracking.is_embedded(project) or not _has_old(project.store / damage.DATABASE, recent_runs, recent_days):
        return Pruned(0, 0, 0)
    before = _size(project.store / damage.ARTIFACTS)
    with tracking.locked(project), tracking.open_store(project) as client:
        kept_versions = _released(client, project)
        gone_runs: list[str] = []
        gone_models: list[str] = []
        gone_versions = 0
        for name in project.use_cases:
            qualified = versions.qualified(project, name)
            known = versions.all_of(client, qualified)
            needed = {item.run_id for item in known if item.aliases or (name, item.number) in kept_versions}
            old = _old_runs(client, qualified, recent_runs, recent_days) - needed
            for item in (item for item in known if item.run_id in old):
                client.delete_model_version(qualified, item.version)
                client.delete_logged_model(item.model_id)
                gone_models.append(item.model_id)
                gone_versions += 1
            for run_id in old:
                client.delete_run(run_id)
            gone_runs += sorted(old)
    if gone_runs:
        _collect(project, gone_runs, gone_models)
    return Pruned(len(gone_runs), gone_versions, before - _size(project.store / damage.ARTIFACTS))


def _has_old(database: Path, recent_runs: int, recent_days: float) -> bool:
    """Return whether there may be anything to remove, without loading MLflow for it."""
    if not database.is_file():
        return False
    with contextlib.closing(sqlite3.connect(database)) as connection:
        count, oldest = connection.execute("SELECT count(*), min(start_time) FROM runs").fetchone()
    return bool(count > recent_runs and oldest < _since(recent_days))


def _since(days: float) -> float:
    """Return the moment `days` ago in milliseconds since 1970, as MLflow counts."""
    return (time.time() - days * 86_400) * 1000


def _released(client: MlflowClient, project: Project) -> set[tuple[str, str]]:
    """Return (use case, number) of every version in a release record that is kept."""
    experiment = client.get_experiment_by_name(versions.qualified(project, releases.EXPERIMENT))
    if experiment is None:
        return set()
    released: set[tuple[str, str]] = set()
    for run in client.search_runs([experiment.experiment_id], max_results=10_000):
        if run.data.tags["git_branch"].startswith(RELEASED):
            released |= set(json.loads(run.data.tags["versions"]).items())
    return released


def _old_runs(client: MlflowClient, experiment_name: str, recent_runs: int, recent_days: float) -> set[str]:
    experiment = client.get_experiment_by_name(experiment_name)
    if experiment is None:
        return set()
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"], max_results=10_000)
    return {run.info.run_id for run in runs[recent_runs:] if run.info.start_time < _since(recent_days)}


def _collect(project: Project, run_ids: list[str], model_ids: list[str]) -> None:
    """Delete the rows and the files of what was marked as deleted, and the room that the rows took."""
    uri = tracking.uri(project)
    command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", uri, "--tracking-uri", uri]
    command += ["--run-ids", ",".join(run_ids)] + (["--logged-model-ids", ",".join(model_ids)] if model_ids else [])
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise StoreUnreachable(f"{project.store}: what is not needed could not be removed ({reason}); fetch the store again")
    for folder in _emptied(project.store / damage.ARTIFACTS, {*run_ids, *model_ids}):
        shutil.rmtree(folder)
    with contextlib.closing(sqlite3.connect(project.store / damage.DATABASE)) as connection:
        connection.execute("VACUUM")


def _emptied(artifacts: Path, ids: set[str]) -> list[Path]:
    """Return the folders of what is gone, where gc has left them behind."""
    return [folder for folder in [*artifacts.glob("*/*"), *artifacts.glob("*/models/*")] if folder.name in ids]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
