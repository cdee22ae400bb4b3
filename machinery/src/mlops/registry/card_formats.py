"""A version's card for others: Hugging Face's model card, the headings of Annex IV, CycloneDX's bill of materials of a model.

What the store knows is filled in, the rest is marked; `card_fields` has the list.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from mlops.registry import card_text
from mlops.registry.card_fields import ANNEX_IV, HUGGING_FACE, TO_WRITE, Field
from mlops.registry.card_text import table
from mlops.training import importance

NAMESPACE = uuid.UUID("0b4c4d0e-54cf-5a0a-8a37-3c1f5f0a9c52")
# Our names of metrics → those of https://hf.co/metrics; others keep theirs.
HF_METRICS = {"macro_f1": "f1", "r2": "r_squared"}


def hugging_face(facts: dict[str, Any], plots: str) -> str:
    """A model card for the Hugging Face Hub: metadata in YAML, sections as its template has them."""
    import yaml

    front = yaml.safe_dump(_metadata(facts), sort_keys=False, allow_unicode=True)
    unknown = "".join(f"# {name}: {TO_WRITE}\n" for name in ("license", "language", "datasets"))
    title = f"# Model Card for {facts['use_case']} {facts['number']}"
    links = [f"\n![{name.removesuffix('.png')}]({plots}/{name})" for name in facts["plots"]]
    return f"---\n{front}{unknown}---\n\n{title}\n{_sections(HUGGING_FACE, _hugging_face(facts, links))}"


def annex_iv(facts: dict[str, Any], plots: str) -> str:
    """Technical documentation under the headings of Annex IV of the EU AI Act; `plots` is not used."""
    title = f"# Technical documentation of {facts['use_case']} {facts['number']} (Regulation (EU) 2024/1689, Annex IV)"
    return f"{title}\n{_sections(ANNEX_IV, _annex_iv(facts))}"


def ml_bom(facts: dict[str, Any], plots: str) -> str:
    """A bill of materials of the model as CycloneDX 1.6 in JSON; `plots` is not used. The same version gives the same text."""
    model = _component(facts)
    packages = [_package(line) for line in facts["packages"]]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, facts['lineage']['run_id'])}",
        "version": 1,
        "metadata": {"timestamp": f"{facts['registered']}T00:00:00Z", "component": model},
        "components": [*_data_components(facts), *packages],
        "dependencies": [{"ref": model["bom-ref"], "dependsOn": [item["bom-ref"] for item in packages]}],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


FORMATS = {"markdown": card_text.markdown, "hf": hugging_face, "annex-iv": annex_iv, "mlbom": ml_bom}
WITH_PLOTS = ("markdown", "hf")


def _sections(fields: Sequence[Field], contents: Mapping[str, Sequence[str]]) -> str:
    """The fields in their order, each with its content; a person's and an empty one are marked."""
    lines: list[str] = []
    for field in fields:
        content = list(contents.get(field.name, ()))
        if field.level == 0:
            lines += [*([""] if lines and not lines[-1].startswith("- **") else [])]
            lines += [f"- **{field.name}:** {' '.join(content) or TO_WRITE}"]
            continue
        lines += ["", f"{'#' * field.level} {field.name}"]
        if content:
            lines += ["", *content]
        if field.by == "person" or (field.by and not content):
            lines += ["", TO_WRITE]
    return "\n".join([*lines, ""])


def _metadata(facts: dict[str, Any]) -> dict[str, Any]:
    """The fields of huggingface_hub's ModelCardData, with a model index as the Hub checks it."""
    task = f"tabular-{facts['task']}"
    measured = [
        {"type": HF_METRICS.get(item["metric"], item["metric"]), "value": item["value"], "name": item["metric"]}
        for item in facts["metrics"]
        if item["value"] is not None
    ]
    data = {
        "type": facts["use_case"],
        "name": ", ".join(item["file"] for item in facts["data"]) or facts["use_case"],
        "split": "test",
        "revision": facts["lineage"]["data"],
    }
    return {
        "library_name": "sklearn",
        "pipeline_tag": task,
        "tags": ["sklearn", "skops", task],
        "metrics": [item["type"] for item in measured],
        "model-index": [
            {
                "name": f"{facts['use_case']} {facts['number']}",
                "results": [{"task": {"type": task}, "dataset": data, "metrics": measured}],
            }
        ],
    }


def _hugging_face(facts: dict[str, Any], links: list[str]) -> dict[str, Sequence[str]]:
    origin = facts["lineage"]
    commands = ("```sh", f"mlops serve {facts['use_case']} {facts['number']}   # POST /invocations", "```")
    inputs = ", ".join(f"`{name}`" for name in card_text.inputs_of(facts))
    names = ", ".join(f"`{item['metric']}`" + (" (primary)" if item["primary"] else "") for item in facts["metrics"])
    return {
        "Model Description": [f"{facts['description']}. Registered on {facts['registered']}."],
        "Model type": [f"{_estimator(facts)}, {facts['task']}"],
        "Repository": [f"commit {origin['commit']}, run {origin['run_id']}"],
        "Direct Use": [f"To predict `{facts['target']}` of a row from {inputs or 'its inputs'}."],
        "Bias, Risks, and Limitations": _limits(facts),
        "How to Get Started with the Model": commands,
        "Training Data": card_text.from_data(facts),
        "Preprocessing": [" → ".join(facts["estimator"][:-1]) or "none within the model"] if facts["estimator"] else [],
        "Training Hyperparameters": _parameters(facts),
        "Speeds, Sizes, Times": _resources(facts),
        "Testing Data": [f"{facts['rows']['holdout']} rows; {card_text.split_in_words(facts['split'])}."],
        "Factors": card_text.parts(facts),
        "Metrics": [f"{names}."],
        "Results": [*card_text.quality(facts), *links],
        "Model Examination": _importance(facts),
        "Hours used": [f"{facts['fit_seconds'] / 3600:.4f} (the fit)"] if facts["fit_seconds"] is not None else [],
        "Model Architecture and Objective": _predicts(facts),
        "Software": [", ".join([f"Python {facts['python']}", *facts["packages"]])],
    }


def _annex_iv(facts: dict[str, Any]) -> dict[str, Sequence[str]]:
    origin, champion = facts["lineage"], facts["verdict"]["champion"]
    before = f"It was compared with {champion}." if champion else "There was no champion before it."
    request = f", pull request #{origin['pull_request']}" if origin["pull_request"] else ""
    primary = next(item["metric"] for item in facts["metrics"] if item["primary"])
    return {
        "1(a) Intended purpose and name of the provider": [f"In the configuration: {facts['description']}."],
        "1(a) Version, and its relation to previous versions": [
            f"{facts['number']}, registered on {facts['registered']}. {before}"
        ],
        "1(c) Versions of relevant software": [f"- {line}" for line in (f"Python {facts['python']}", *facts["packages"])],
        "2(a) Methods and steps of the development": [
            "Raw data, features, split, fit, comparison with a baseline and the champion, registration.",
            "",
            *table(("what", "is"), card_text.made_from(facts)),
        ],
        "2(b) General logic and what it is designed to optimise for": [
            *_predicts(facts),
            "",
            f"Versions are chosen by `{primary}`.",
            *(["", *_importance(facts)] if _importance(facts) else []),
        ],
        "2(c) System architecture and computational resources": [f"{_estimator(facts)}.", "", *_resources(facts)],
        "2(d) Training data sets, their provenance, scope and main characteristics": card_text.from_data(facts),
        "2(g) Validation and testing procedures, data and metrics": [
            *card_text.quality(facts),
            "",
            f"Split: {card_text.split_in_words(facts['split'])}.",
        ],
        "3 Capabilities and limitations in performance": _limits(facts),
        "3 Degrees of accuracy for specific groups": card_text.parts(facts),
        "3 Specifications on input data": _input_table(facts),
        "6. Relevant changes through the lifecycle": [f"{before} Changed by commit {origin['commit']}{request}."],
    }


def _component(facts: dict[str, Any]) -> dict[str, Any]:
    """The model with its model card, as a component."""
    name, number = facts["use_case"], facts["number"]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{name}@{number}",
        "supplier": {"name": TO_WRITE},
        "name": name,
        "version": number,
        "description": facts["description"],
        "hashes": [{"alg": "SHA-256", "content": item["sha256"]} for item in facts["model_files"] if _is_model(item["file"])],
        "licenses": [{"license": {"name": TO_WRITE}}],
        "modelCard": {
            "modelParameters": _model_parameters(facts),
            "quantitativeAnalysis": {"performanceMetrics": _performance(facts)},
            "considerations": {
                "users": [TO_WRITE],
                "useCases": [TO_WRITE],
                "technicalLimitations": facts["limits"],
                "performanceTradeoffs": [TO_WRITE],
                "ethicalConsiderations": [{"name": TO_WRITE}],
                "fairnessAssessments": [{"groupAtRisk": TO_WRITE}],
            },
            "properties": [
                {"name": f"mlops:{key}", "value": str(value)}
                for key, value in {**facts["lineage"], "seed": facts["seed"], **_prefixed(facts["parameters"])}.items()
                if value is not None
            ],
        },
    }


def _model_parameters(facts: dict[str, Any]) -> dict[str, Any]:
    classes = f": {', '.join(map(str, facts['classes']))}" if facts["classes"] else ""
    return {
        "approach": {"type": "supervised"},
        "task": facts["task"],
        "modelArchitecture": _estimator(facts),
        "datasets": [{"ref": f"data:{item['file']}"} for item in facts["data"]],
        "inputs": [{"format": f"{name} ({_kind(facts, name)})"} for name in card_text.inputs_of(facts)],
        "outputs": [{"format": f"{facts['target']} ({facts['task']}{classes})"}],
    }


def _performance(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The metrics on the holdout with their intervals, then those of its slices."""
    whole = []
    for item in facts["metrics"]:
        entry: dict[str, Any] = {"type": item["metric"], "value": str(item["value"]), "slice": "holdout"}
        if item["low"] is not None:
            entry["confidenceInterval"] = {"lowerBound": str(item["low"]), "upperBound": str(item["high"])}
        whole.append(entry)
    parts = [
        {"type": item["metric"], "value": str(item["candidate"]), "slice": f"{item['by']} {item['value']}"}
        for item in facts["slices"]
    ]
    classes = [
        {"type": "f1", "value": str(item["f1"]), "slice": f"{facts['target']} {item['value']}"}
        for item in facts["classes_found"]
    ]
    return [*whole, *parts, *classes]


def _data_components(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """The raw files; source and licence as their provenance note has them."""
    return [
        {
            "type": "data",
            "bom-ref": f"data:{item['file']}",
            "name": item["file"],
            "hashes": [{"alg": "SHA-256", "content": item["sha256"]}],
            "licenses": [{"license": {"name": item["licence"] or TO_WRITE}}],
            "description": f"{item['rows']} rows; source: {item['source'] or TO_WRITE}",
            "data": [{"type": "dataset", "name": item["file"]}],
        }
        for item in facts["data"]
    ]


def _package(line: str) -> dict[str, Any]:
    """A line of the model's requirements as a component."""
    name, _, version = line.partition("==")
    url = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    return {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}


def _kind(facts: dict[str, Any], name: str) -> str:
    if name in facts["personal"]:
        return "may hold personal data, values left out"
    known = facts["ranges"][name]
    if "low" not in known:
        return "text"
    return "time" if isinstance(known["low"], str) else "number"


def _input_table(facts: dict[str, Any]) -> list[str]:
    known = facts["ranges"]
    rows = [(f"`{name}`", _kind(facts, name), *card_text.ends(known.get(name, {}))) for name in card_text.inputs_of(facts)]
    return table(("input", "is", "from", "to"), rows, "llrr") if rows else []


def _estimator(facts: dict[str, Any]) -> str:
    return " → ".join(facts["estimator"]) or TO_WRITE


def _predicts(facts: dict[str, Any]) -> list[str]:
    """What it predicts; the line that points at a section of the Markdown card is left out."""
    return [line for line in card_text.predicts(facts) if not line.startswith("| inputs |")]


def _limits(facts: dict[str, Any]) -> list[str]:
    return [f"- {sentence}" for sentence in facts["limits"]]


def _parameters(facts: dict[str, Any]) -> list[str]:
    return [f"- {name}: {value}" for name, value in {**facts["parameters"], "seed": facts["seed"]}.items()]


def _prefixed(parameters: dict[str, Any]) -> dict[str, Any]:
    return {f"parameter.{name}": value for name, value in parameters.items()}


def _resources(facts: dict[str, Any]) -> list[str]:
    size = card_text.size(sum(item["bytes"] for item in facts["model_files"] if _is_model(item["file"])))
    took = f"The fit took {facts['fit_seconds']:g} s on " if facts["fit_seconds"] is not None else "It was fitted on "
    return [f"{took}{facts['rows']['training']} rows; the model has {size}."]


def _is_model(file: str) -> bool:
    return file.endswith("model.skops")


def _importance(facts: dict[str, Any]) -> list[str]:
    return list(importance.table(facts["importance"], next(i["metric"] for i in facts["metrics"] if i["primary"])))
