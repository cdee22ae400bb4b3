"""The notes of a GitHub release: the changelog's entry, then what was released, in numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlops.config import Metric
from mlops.release.manifest import Model, Release
from mlops.training.gate import goodness, limit

if TYPE_CHECKING:
    from mlops.registry.deployment_log import Deployment


def markdown(
    release: Release, entry: str, rules: Mapping[str, Mapping[str, Metric]], repository: str, attested: Mapping[str, str]
) -> str:
    """The notes in GitHub's Markdown.

    `entry` is the changelog's text on the version, `rules` the configured metrics of each use case, `attested` the address
    of the attestation of each use case that has one.
    """
    lines = [entry.strip() or "No entry in the changelog.", "", "## Models", ""]
    lines += ["| use case | version | metrics, with their limits | data |", "|---|---|---|---|"]
    for name, model in sorted(release.models.items()):
        metrics = _metrics(model, rules.get(name, {}))
        lines.append(f"| {name} | {model.number} | {metrics} | `sha256:{model.data[:12]}` |")
    lines += ["", "## Images", "", *(_image(name, model) for name, model in sorted(release.models.items()))]
    lines += ["", f"Commit {release.commit}, for {release.environment}. `release.json` holds all of this for programs."]
    lines += _how_to_verify(release, repository, attested)
    return "\n".join(lines) + "\n"


def _image(name: str, model: Model) -> str:
    return f"- {name}: `{model.image}`" + (f", the image of {model.promoted}, taken over unchanged" if model.promoted else "")


def _metrics(model: Model, rules: Mapping[str, Metric]) -> str:
    return "<br>".join(_metric(name, value, rules.get(name)) for name, value in sorted(model.metrics.items()))


def _metric(name: str, value: float, rule: Metric | None) -> str:
    if rule is None or rule.limit is None:
        return f"{name} {value:.4g}"
    kept = math.isfinite(value) and goodness(rule.direction, value) >= goodness(rule.direction, rule.limit)
    return f"{'✅' if kept else '❌'} {name} {value:.4g} ({limit(rule)})"


def _how_to_verify(release: Release, repository: str, attested: Mapping[str, str]) -> list[str]:
    if not attested:
        return ["", "The images carry no attestation: the plan of this repository has none."]
    images = [release.models[name].image for name in sorted(attested)]
    return ["", "```", *(f"gh attestation verify oci://{image} --repo {repository}" for image in images), "```"]


def deployments(entries: Sequence[Deployment]) -> str:
    """What a deployment or rollback did, for the summary page of its job."""
    from mlops.registry.deployment_log import VERIFIED

    lines = ["### Deployment", "", "| use case | to | result | before | after | by | why |", "|---|---|---|---|---|---|---|"]
    for item in entries:
        sign = "✅" if item.ok else "❌"
        runs = item.number if item.alias else item.before
        cells = (item.use_case, item.environment or item.alias, f"{sign} {item.result}", item.before, runs, item.who, item.why)
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    messages = [f"{item.use_case} {item.number}: {_cell(item.message)}" for item in entries if item.message]
    lines += ["", *messages] if messages else []
    if any(item.result == VERIFIED for item in entries):
        environment = entries[0].environment
        lines += [
            "",
            f"No target is configured for {environment}: the image was started on the runner and kept its contract, nothing "
            f"was deployed and no alias moved. Name a target under `deploy.{environment}` in `config/project.yaml`, see "
            "`mlops docs release`.",
        ]
    return "\n".join(lines) + "\n"


def _cell(value: str | None) -> str:
    return (value or "–").replace("|", "\\|").replace("\n", " ")
