"""Runs: what is logged of a candidate so that its page in MLflow is complete and can be searched by tag."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import folders, git, tracking, tracking_uri, uncommitted
from mlops.config import Project
from mlops.console import note
from mlops.errors import UserError
from mlops.registry.aliases import who
from mlops.training.candidate import Candidate
from mlops.training.evaluation import Evaluation
from mlops.training.report import summary

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Experiment

OWNER = "mlops.project"
RECENT = 20  # runs of an experiment whose commits tell whether it is of this repository


def experiment(client: MlflowClient, project: Project, name: str, description: str) -> str:
    """The id of the one experiment of a use case, created on first use; it follows a project that was renamed.

    Raises UserError when the name belongs to another project or was deleted.
    """
    place = tracking_uri.experiment_name(tracking.uri(project), name)
    existing = client.get_experiment_by_name(place) or _make_experiment(client, project, name, description)
    if existing.lifecycle_stage != "active":
        raise UserError(
            f"experiment {name} was deleted; restore it with: MLFLOW_TRACKING_URI={shlex.quote(tracking.uri(project))} "
            f"mlflow experiments restore -x {existing.experiment_id}"
        )
    owner = existing.tags.get(OWNER)
    if owner != project.name:
        if not _was_ours(client, project, existing.experiment_id):
            raise UserError(
                f"experiment {name} in {tracking.shown(project)} belongs to project {owner}, none of its runs is of a commit "
                "here; set namespace in config/project.yaml, so that this project has names of its own; if this project was "
                "renamed, fetch its history: git fetch --unshallow"
            )
        client.set_experiment_tag(existing.experiment_id, OWNER, project.name)
        note(f"experiment {name} follows the project from its name {owner} to {project.name}")
    return existing.experiment_id


def start(
    client: MlflowClient,
    experiment_id: str,
    name: str,
    tags: Mapping[str, str],
    candidate: Candidate,
    evaluation: Evaluation,
    report: Path,
) -> str:
    """Make a run and log parameters, metrics, tags, data, candidate and report; returns its id. It is still running then."""
    from mlflow.entities import Metric, Param

    manifest, now = candidate.manifest, int(time.time() * 1000)
    commit = manifest["git"]
    full = {
        **tags,
        "mlflow.user": who(),
        "mlflow.source.name": f"mlops run {candidate.use_case}",
        "mlflow.source.type": "PROJECT",
        "mlflow.source.git.commit": commit["sha"],
        "mlflow.source.git.branch": commit["branch"],
        "mlflow.note.content": f"{summary(candidate, evaluation, [])}\n\nPlots: see Artifacts, report/plots.",
    }
    run = client.create_run(experiment_id, run_name=name, tags=full)
    measured = {row.metric: row.candidate for row in evaluation.verdict.rows}
    measured |= {f"baseline/{row.metric}": row.baseline for row in evaluation.verdict.rows}
    measured |= {f"champion/{row.metric}": row.champion for row in evaluation.verdict.rows if row.champion is not None}
    measured["fit/seconds"] = manifest["fit_seconds"]
    measured |= _peak_memory()
    measured |= {"rows/training": manifest["rows"]["training"], "rows/holdout": manifest["rows"]["holdout"]}
    params = {
        **manifest["config"]["parameters"],
        "seed": manifest["config"]["seed"],
        "split": manifest["config"]["split"]["method"],
    }
    client.log_batch(
        run.info.run_id,
        metrics=[Metric(key, float(value), now, 0) for key, value in measured.items()],
        params=[Param(key, str(value)) for key, value in params.items()],
    )
    _log_datasets(client, run.info.run_id, _datasets(manifest))
    for file in ("manifest.json", "holdout.parquet", "reference.json", "features.skops", uncommitted.FILE):
        if (candidate.path / file).is_file():
            client.log_artifact(run.info.run_id, str(candidate.path / file), "candidate")
    with folders.work_folder() as scratch:
        # Another process may be writing the same report: its unfinished files, whose names begin with a dot, are left out.
        finished = shutil.copytree(report.parent, scratch / "report", ignore=shutil.ignore_patterns(".*"))
        client.log_artifacts(run.info.run_id, str(finished), "report")
    return str(run.info.run_id)


def _peak_memory() -> dict[str, float]:
    """The most memory in MB that this process has held so far; none where the system does not count it."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ModuleNotFoundError:  # Windows
        return {}
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere: getrusage(2)
    return {"process/peak_memory_mb": getrusage(RUSAGE_SELF).ru_maxrss * unit / 1e6}


def log_model(client: MlflowClient, experiment_id: str, run_id: str, name: str, candidate: Candidate) -> str:
    """Put the candidate's model into the store as a logged model of the run; returns its id."""
    from mlflow.entities import LoggedModelOutput

    parameters = {key: str(value) for key, value in candidate.manifest["config"]["parameters"].items()}
    model = client.create_logged_model(
        experiment_id, name=name, source_run_id=run_id, tags={"key": candidate.key}, params=parameters, model_type="sklearn"
    )
    client.log_model_artifacts(model.model_id, str(candidate.path / "model"))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return model.model_id


def renumber(client: MlflowClient, run_id: str, use_case: str, number: str) -> None:
    """Name a run after the number that its version got in the end, another process having been faster."""
    client.set_tag(run_id, "number", number)
    client.update_run(run_id, name=f"{use_case} {number}")


def end(client: MlflowClient, run_id: str) -> None:
    """Mark a run as finished."""
    client.set_terminated(run_id, "FINISHED")


def end_abandoned(client: MlflowClient, project: Project, experiment_id: str) -> None:
    """Mark the runs that a crash left behind as killed: who holds the embedded store's lock is its only writer."""
    if tracking.is_embedded(project):
        for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'"):
            client.set_terminated(run.info.run_id, "KILLED")


def make_registered_model(client: MlflowClient, name: str, description: str) -> None:
    """Make the registered model, unless another process was faster."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _make_experiment(client: MlflowClient, project: Project, name: str, description: str) -> Experiment:
    """Make an experiment, unless another process was faster."""
    from mlflow.entities import ViewType
    from mlflow.exceptions import MlflowException

    root, place = tracking.artifact_root(project), tracking_uri.experiment_name(tracking.uri(project), name)
    # The kind tells MLflow's page to show training runs, not conversations with language models.
    tags = {OWNER: project.name, "mlflow.note.content": description, "mlflow.experimentKind": "custom_model_development"}
    try:
        client.create_experiment(place, f"{root}/{name}" if root else None, tags)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.search_experiments(ViewType.ALL, filter_string=f"name = '{place}'")[0]


def _was_ours(client: MlflowClient, project: Project, experiment_id: str) -> bool:
    """Whether an experiment with another owner is this project's under a former name.

    The embedded store is the project's alone where it lies in its folder. On a server that projects share, a run of a commit
    that this repository holds tells; a copy of the template has commits of its own.
    """
    if tracking.is_embedded(project) and project.store.resolve().is_relative_to(project.root.resolve()):
        return True
    commits = {run.data.tags.get("git_commit", "") for run in client.search_runs([experiment_id], max_results=RECENT)}
    return any(git.run("cat-file", "-e", f"{sha}^{{commit}}", root=project.root).returncode == 0 for sha in commits if sha)


def _log_datasets(client: MlflowClient, run_id: str, datasets: list[DatasetInput]) -> None:
    """Log what a run was trained on.

    Runs of an experiment share their data sets. A server looks whether one is there and then inserts it, so of two runs that
    bring the same one for the first time the slower is refused by the database; asked again, the server finds it there.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.log_inputs(run_id, datasets)
    except MlflowException as error:
        if error.error_code not in tracking.DATABASE_ERRORS:
            raise
        client.log_inputs(run_id, datasets)


def _datasets(manifest: dict[str, Any]) -> list[DatasetInput]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    columns = [{"name": name, "type": kind} for name, kind in manifest["problem"]["schema"].items()]
    return [
        DatasetInput(
            Dataset(
                name=item["file"],
                digest=item["sha256"][:32],
                source_type="local",
                source=json.dumps({"uri": f"data/raw/{manifest['use_case']}/{item['file']}"}),
                schema=json.dumps({"mlflow_colspec": columns}),
                profile=json.dumps({"num_rows": item["rows"]}),
            ),
            [InputTag("mlflow.data.context", "training")],
        )
        for item in manifest["data"]
    ]
