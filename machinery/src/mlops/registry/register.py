"""Registration: ask the gate, log the run, make the version, move the alias last.

Whatever happens on the way, an alias points at a complete version: the version is made when all of its artifacts are in
the store, it counts from when it has its number, and the alias moves after that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import digests, folders, signatures, tracking
from mlops.config import Project
from mlops.console import note
from mlops.errors import GateRefused, StoreUnreachable, UserError, first_line
from mlops.registry import acknowledgements, aliases, runs, versions
from mlops.registry.versions import Version
from mlops.training import report
from mlops.training.candidate import Candidate
from mlops.training.evaluate import evaluate
from mlops.training.evaluation import Champion, Evaluation
from mlops.training.findings import spent_by
from mlops.training.rules import refuse_others

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

    from mlops.use_case import UseCase

# Without these a run cannot be traced back to what it was made from.
REQUIRED_TAGS = (
    "git_commit",
    "git_branch",
    "git_dirty",
    "key",
    "data_digest",
    "config_digest",
    "environment_digest",
    "use_case",
)


@dataclass(frozen=True)
class Outcome:
    """What a registration did: `version` is None where the gate refused, `created` is False for a known version."""

    use_case: str
    passed: bool
    version: Version | None
    created: bool
    alias: str
    moved: aliases.Move | None
    evaluation: Evaluation
    report: Path

    @property
    def accepted(self) -> bool:
        """Whether nothing is wrong: it passed, or was refused as its configuration expects."""
        return self.passed or self.evaluation.verdict.expected

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the gate refused; empty where it did not."""
        return self.evaluation.verdict.reasons


def judge(project: Project, use_case: UseCase, candidate: Candidate) -> tuple[Evaluation, Path]:
    """Evaluate a candidate beside the champion and write the report; nothing is registered.

    Where the store cannot be read, limits and baseline decide and the report says so.
    """
    notes: list[str] = []
    refuse_others(use_case.name, use_case.config, candidate.manifest["config"])
    try:
        with tracking.open_store(project) as client:
            known = versions.all_of(client, versions.qualified(project, use_case.name))
            champion = champion_of(project, known, acknowledgements.spent(client, versions.qualified(project, use_case.name)))
            evaluation = servable(use_case, candidate, evaluate(use_case, candidate, champion))
    except StoreUnreachable as error:
        notes.append(f"champion not readable here: {error}")
        evaluation = servable(use_case, candidate, evaluate(use_case, candidate, None))
    return evaluation, report.write(project, use_case, candidate, evaluation, notes)


def register(project: Project, use_case: UseCase, candidate: Candidate, alias: str, why: str) -> Outcome:
    """Ask the gate about a candidate; if it passes, register it and move the alias.

    The same key is registered once: again, the gate is asked about the version in the store, to which the alias would move.
    A refusal is logged as a run with its reasons.
    Raises UserError for a candidate without its tags or an invalid alias, StoreUnreachable as `open_store` does.
    """
    aliases.check(alias)
    tags = tags_of(candidate)
    if candidate.use_case != use_case.name:
        raise UserError(f"{candidate.path}: a candidate of {candidate.use_case}, not of {use_case.name}")
    refuse_others(use_case.name, use_case.config, candidate.manifest["config"])
    name = versions.qualified(project, use_case.name)
    with (
        folders.work_folder() as scratch,
        tracking.locked(project),
        tracking.open_store(project) as client,
    ):
        experiment = runs.experiment(client, project, name, use_case.config.description)
        runs.end_abandoned(client, project, experiment)
        known = versions.all_of(client, name)
        same = versions.by_key(known, candidate.key)
        judged = _stored(project, same, candidate, scratch) if same else candidate
        spent = acknowledgements.spent(client, name)
        evaluation, written = _ask(project, use_case, judged, known, spent)
        if not evaluation.verdict.passed:
            return _refuse(client, experiment, use_case, judged, evaluation, written, alias)
        if same and "archived" in same.tags:
            raise UserError(f"{same.title} has the same key and is archived ({same.tags['archived']}); @{alias} stays")
        version, created = (
            (same, False)
            if same
            else _make(client, project, experiment, known, use_case, candidate, tags, evaluation, written)
        )
        # On a server nothing keeps two registrations apart: the champion of a moment ago need not be the one of now, and
        # the version of this key may be another's.
        now, judged_on = versions.refreshed(client, name, known), judged
        judged = judged if same or created else _stored(project, version, candidate, scratch)
        if judged is not judged_on or _moved(known, now, version):
            evaluation, written = _ask(project, use_case, judged, now, spent)
            if not evaluation.verdict.passed:
                if created:
                    client.delete_model_version(name, version.version)
                return _refuse(client, experiment, use_case, judged, evaluation, written, alias)
        moved = aliases.move(client, now, alias, version, why)
        if alias == "champion":
            acknowledgements.spend(client, name, version, spent_by(evaluation.verdict.findings, use_case.config.acknowledge))
        tracking.back_up(project)
        version = versions.read(client, name, version.version)
    return Outcome(use_case.name, True, version, created, alias, moved, evaluation, written)


def _ask(
    project: Project, use_case: UseCase, judged: Candidate, known: list[Version], spent: dict[str, str]
) -> tuple[Evaluation, Path]:
    """Ask the gate beside the champion among the known versions, see that the model can be served, and write the report."""
    evaluation = servable(use_case, judged, evaluate(use_case, judged, champion_of(project, known, spent)))
    return evaluation, report.write(project, use_case, judged, evaluation, [])


def servable(use_case: UseCase, judged: Candidate, evaluation: Evaluation) -> Evaluation:
    """The evaluation, refused where no bundle of the model can be built and proved; an alias never moves to such a model."""
    if not evaluation.verdict.passed:
        return evaluation
    reason = _refusal_of_a_server(use_case, judged)
    if not reason:
        return evaluation
    verdict = replace(evaluation.verdict, passed=False, reasons=(*evaluation.verdict.reasons, reason))
    return replace(evaluation, verdict=verdict)


def _refusal_of_a_server(use_case: UseCase, judged: Candidate) -> str:
    """Why no bundle can take the model, "" where one can: it is built as skops, the form that any other may fall back to."""
    from mlops.bundle.build import build

    serving = use_case.config.serving
    form, version = ("pyfunc" if serving.allow_pickle else "skops"), {"number": "0.0.0"}
    options = {"form": form, "allow_pickle": serving.allow_pickle, "trusted": serving.trust}
    with folders.work_folder() as scratch:
        try:
            build(judged.path, scratch / "bundle", use_case.name, version, **options)  # type: ignore[arg-type]
        except Exception as error:  # whichever way the model or its rows fail, a server would fail so too
            return f"no server can take the model: {first_line(error)}"
    return ""


def _stored(project: Project, version: Version, candidate: Candidate, to: Path) -> Candidate:
    """What a version was registered from: `candidate` itself where it has the same files, else fetched from the store."""
    if versions.manifest_of(project, version)["files"] == candidate.manifest["files"]:
        return candidate
    note(f"{candidate.use_case}: {version.number} has this key and other files; the gate is asked about it, not the candidate")
    return versions.fetch(project, version, to)


def _moved(before: list[Version], now: list[Version], own: Version) -> bool:
    """Whether another registration moved the champion while this one was under way."""
    was, champion = versions.by_alias(before, "champion"), versions.by_alias(now, "champion")
    return champion is not None and champion.version not in (own.version, was.version if was else None)


def as_value(outcome: Outcome) -> dict[str, Any]:
    """An outcome as a value that JSON can hold."""
    from dataclasses import asdict

    return {
        "use_case": outcome.use_case,
        "passed": outcome.passed,
        "created": outcome.created,
        "number": outcome.version.number if outcome.version else None,
        "version": asdict(outcome.version) if outcome.version else None,
        "alias": outcome.alias,
        "moved": asdict(outcome.moved) if outcome.moved else None,
        "verdict": asdict(outcome.evaluation.verdict),
        "report": outcome.report,
    }


def refusal(outcome: Outcome) -> GateRefused:
    """The error that ends a command whose candidate was refused, naming each reason."""
    stays = f"@{outcome.alias} stays where it is, " if outcome.alias else ""
    return GateRefused(f"{outcome.use_case}: the gate refuses: {'; '.join(outcome.reasons)}; {stays}see {outcome.report}")


def champion_of(project: Project, known: list[Version], spent: Mapping[str, str] = {}) -> Champion | None:
    """The champion among the known versions; its model is fetched when it is asked. None where there is none."""
    champion = versions.by_alias(known, "champion")
    if champion is None:
        return None
    manifest = versions.manifest_of(project, champion)
    return Champion(
        number=champion.number,
        fetch=partial(_model_of, project, champion),
        problem=manifest["problem"],
        target_number=champion.target,
        manifest=manifest,
        holdout=partial(_holdout_of, project, champion),
        spent=dict(spent),
        recent=tuple((item.number, _metrics_of(item)) for item in known if item.target == champion.target),
    )


def _holdout_of(project: Project, version: Version) -> pd.DataFrame:
    """The holdout rows that a version was registered with."""
    import pandas as pd

    with folders.work_folder() as scratch:
        versions.fetch_files(project, version, ["holdout.parquet"], scratch)
        return pd.read_parquet(next(scratch.rglob("holdout.parquet")))


def _metrics_of(version: Version) -> dict[str, float]:
    """The metrics of a version, as its tags hold them."""
    prefix = "metric."
    return {tag[len(prefix) :]: float(value) for tag, value in version.tags.items() if tag.startswith(prefix)}


def _model_of(project: Project, version: Version) -> Path:
    """The folder of a version's model, every file of which has the digest that training recorded."""
    return versions.fetch(project, version, folders.lasting_work_folder()).path / "model"


def tags_of(candidate: Candidate) -> dict[str, str]:
    """The tags that identify a run; raises UserError naming the first required one that is missing."""
    manifest = candidate.manifest
    commit, parts = manifest.get("git", {}), manifest.get("parts", {})
    tags = {
        "use_case": manifest.get("use_case"),
        "key": manifest.get("key"),
        "git_commit": commit.get("sha"),
        "git_branch": commit.get("branch"),
        "git_dirty": str(commit.get("dirty", "")).lower(),
        "data_digest": parts.get("data"),
        "config_digest": parts.get("config"),
        "environment_digest": parts.get("lock"),
        "code_digest": parts.get("code"),
        "machinery_digest": parts.get("machinery"),
        "manifest_digest": digests.of_file(candidate.path / "manifest.json"),
    }
    missing = [name for name in REQUIRED_TAGS if not tags[name]]
    if missing:
        raise UserError(
            f"{candidate.path}/manifest.json: tag {missing[0]} is missing, so the run could not be identified; train again"
        )
    return {name: str(value) for name, value in tags.items()}


def _make(
    client: MlflowClient,
    project: Project,
    experiment: str,
    known: list[Version],
    use_case: UseCase,
    candidate: Candidate,
    tags: Mapping[str, str],
    evaluation: Evaluation,
    written: Path,
) -> tuple[Version, bool]:
    """Log the run with its model, make the version, number it last; False where another process was first with the key."""
    target, improved, name = (
        use_case.config.target.number,
        evaluation.verdict.improved,
        versions.qualified(project, use_case.name),
    )
    expected = versions.next_number(client, name, known, target, improved)
    full = {**tags, "gate": "passed", "verdict": evaluation.verdict.word}
    signature = signatures.sign(candidate.path / signatures.MANIFEST)
    signed = {signatures.TAG: signature} if signature else {}
    title = f"{use_case.name} {expected}"
    run_id = runs.start(client, experiment, title, {**full, "number": expected}, candidate, evaluation, written)
    model_id = runs.log_model(client, experiment, run_id, use_case.name, candidate)
    runs.end(client, run_id)
    runs.make_registered_model(client, name, use_case.config.description)
    metrics = {f"metric.{metric}": f"{value:.6g}" for metric, value in candidate.manifest["metrics"].items()}
    created = client.create_model_version(
        name=name,
        source=f"models:/{model_id}",
        run_id=run_id,
        model_id=model_id,
        tags={**full, "model_id": model_id, **metrics, **signed},
    )
    before = versions.settled_before(client, project, name, int(created.version), known)
    same = versions.by_key(before, candidate.key)
    if same:
        client.delete_model_version(name, str(created.version))
    number = same.number if same else versions.next_number(client, name, before, target, improved)
    if number != expected:
        runs.renumber(client, run_id, use_case.name, number)
    if same:
        return same, False
    client.update_model_version(name, str(created.version), _in_words(number, use_case, evaluation))
    versions.give(client, name, str(created.version), number)
    return versions.read(client, name, str(created.version)), True


def _refuse(
    client: MlflowClient,
    experiment: str,
    use_case: UseCase,
    candidate: Candidate,
    evaluation: Evaluation,
    written: Path,
    alias: str,
) -> Outcome:
    """Log the run with the reasons of the refusal; no version is made and no alias moves."""
    reasons = "; ".join(evaluation.verdict.reasons)
    expected = {"expected": "true"} if evaluation.verdict.expected else {}
    full = {**tags_of(candidate), "gate": "refused", **expected, "reasons": reasons[:5000], "verdict": evaluation.verdict.word}
    run_id = runs.start(
        client, experiment, f"{use_case.name} refused {candidate.key[:8]}", full, candidate, evaluation, written
    )
    runs.end(client, run_id)
    return Outcome(use_case.name, False, None, False, alias, None, evaluation, written)


def _in_words(number: str, use_case: UseCase, evaluation: Evaluation) -> str:
    """What stands on a version's page, whose title knows MLflow's own count only."""
    values = [f"{row.metric} {row.candidate:.4g} (baseline {row.baseline:.4g})" for row in evaluation.verdict.rows]
    return f"**{use_case.name} {number}** · {use_case.config.description}. {', '.join(values)}"


def sentence(outcome: Outcome) -> str:
    """What a registration that passed the gate did, or whose refusal was expected, in a sentence."""
    if outcome.version is None and outcome.evaluation.verdict.expected:
        return f"refused, as expected, and the baseline stays the champion: {'; '.join(outcome.reasons)}"
    assert outcome.version is not None, "a refused candidate has no version"
    version = f"version {outcome.version.number}"
    first = f"registered as {version}" if outcome.created else f"nothing to register: the same key is {version} already"
    if outcome.moved is None:
        return f"{first}; @{outcome.alias} points at it already"
    return f"{first}; @{outcome.alias} moved from {outcome.moved.before or 'nowhere'} to {outcome.moved.after}"
