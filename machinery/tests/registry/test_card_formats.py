"""Cards for others: valid by their specifications, filled from the store, and marked where a person has to write."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mlops.config import Project
from mlops.registry import card_fields
from mlops.registry.card_fields import TO_WRITE, Field

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
FIELDS = {"hf": card_fields.HUGGING_FACE, "annex-iv": card_fields.ANNEX_IV, "mlbom": card_fields.ML_BOM}
# The metadata that huggingface_hub's ModelCardData names, and what its model index requires of a result:
# https://huggingface.co/docs/huggingface_hub/package_reference/cards and github.com/huggingface/hub-docs, modelcard.md
METADATA = {"base_model", "datasets", "language", "library_name", "license", "license_link", "license_name", "metrics"}
METADATA |= {"model-index", "pipeline_tag", "tags"}
# Annex IV of Regulation (EU) 2024/1689 has nine points; the lettered ones of 1 and 2.
POINTS = [*(f"1({letter})" for letter in "abcdefgh"), *(f"2({letter})" for letter in "abcdefgh"), *"3456789"]


@pytest.fixture
def text(registered: Project, command: Callable) -> Callable[[str], str]:
    def text(form: str) -> str:
        result = command("card", "iris", "--format", form)
        assert result.code == 0, result.err
        return str(result.out)

    return text


def content_of(markdown: str, field: Field) -> str:
    """What stands below a heading, up to the next, or after the name of a line."""
    if field.level == 0:
        found = re.search(rf"^- \*\*{re.escape(field.name)}:\*\* (.*)$", markdown, re.MULTILINE)
    else:
        heading = rf"^{'#' * field.level} {re.escape(field.name)}\n(.*?)(?=^#|^- \*\*\w[\w ]+:\*\* |\Z)"
        found = re.search(
            heading, re.sub(r"```.*?```", lambda code: code[0].replace("#", ""), markdown, flags=re.DOTALL), re.M | re.S
        )
    assert found, f"{field.name} is not in the card"
    return found[1].strip()


def value_at(document: dict[str, Any], path: str) -> Any:
    value: Any = document["metadata"]["component"]
    for key in path.split("."):
        value = value.get(key)
    return value


def contents(form: str, text: str) -> dict[Field, str]:
    fields = [field for field in FIELDS[form] if field.by]
    if form == "mlbom":
        return {field: json.dumps(value_at(json.loads(text), field.name) or "") for field in fields}
    return {field: content_of(text, field) for field in fields}


@pytest.mark.parametrize("form", FIELDS)
def test_most_of_what_the_store_can_know_is_filled_and_the_rest_is_marked(form: str, text: Callable) -> None:
    known = contents(form, text(form))
    stores = [field for field in known if field.by == "store"]
    filled = [field for field in stores if known[field] not in ("", '""') and TO_WRITE not in known[field]]
    assert len(filled) >= 0.8 * len(stores) and len(stores) >= 8
    assert all(TO_WRITE in known[field] for field in known if field.by == "person")
    assert not [field for field in known if known[field] in ("", '""')], "a field without content and without the mark"


@pytest.mark.parametrize("form", FIELDS)
def test_the_page_lists_each_field_with_who_fills_it(form: str) -> None:
    section = PAGE.split(f"### `{form}`\n")[1].split("\n#")[0]
    listed = dict(re.findall(r"^\| (.+?) \| (store|person) \|$", section, re.MULTILINE))
    assert listed == {field.name: field.by for field in FIELDS[form] if field.by}


def test_hugging_face_metadata_are_fields_that_the_hub_knows(text: Callable, command: Callable) -> None:
    front = text("hf").split("---\n")[1]
    metadata = yaml.safe_load(front)
    assert set(metadata) <= METADATA and "# license: to be written by a person\n" in front
    assert (metadata["library_name"], metadata["pipeline_tag"]) == ("sklearn", "tabular-classification")
    (entry,) = metadata["model-index"]
    (result,) = entry["results"]
    assert result["task"]["type"] == "tabular-classification" and {"type", "name"} <= set(result["dataset"])
    facts = json.loads(command("card", "iris", "--json").out)
    assert {item["name"]: item["value"] for item in result["metrics"]} == {
        item["metric"]: item["value"] for item in facts["metrics"]
    }


def test_annex_iv_has_all_nine_points_in_their_order(text: Callable) -> None:
    heads = re.findall(r"^#{2,3} (\d(?:\([a-h]\))?)[ .]", text("annex-iv"), re.MULTILINE)
    assert [point for point in dict.fromkeys(heads) if point not in ("1", "2")] == POINTS


def test_the_bill_of_a_model_is_valid_by_the_schema_of_cyclonedx(text: Callable) -> None:
    bill = text("mlbom")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill.replace('"modelCard"', '"card"')) is not None


def test_the_bill_names_the_model_its_data_and_packages_by_what_training_recorded(text: Callable, registered: Project) -> None:
    bill = json.loads(text("mlbom"))
    model, parts = bill["metadata"]["component"], {item["name"]: item for item in bill["components"]}
    (folder,) = (registered.output / "candidates" / "iris").glob("*/")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert model["hashes"] == [{"alg": "SHA-256", "content": manifest["files"]["model/model.skops"]}]
    assert parts["iris.csv"]["hashes"] == [{"alg": "SHA-256", "content": manifest["data"][0]["sha256"]}]
    assert "CC BY 4.0" in parts["iris.csv"]["licenses"][0]["license"]["name"]
    assert parts["scikit-learn"]["purl"].startswith("pkg:pypi/scikit-learn@1.")
    inputs = {item["format"] for item in model["modelCard"]["modelParameters"]["inputs"]}
    assert "petal_width (number)" in inputs and not any("species" in item for item in inputs)


@pytest.mark.parametrize("form", FIELDS)
def test_the_same_version_gives_the_same_card_in_a_file_too(
    form: str, text: Callable, command: Callable, tmp_path: Path
) -> None:
    file = tmp_path / "iris.card"
    assert command("card", "iris", "--format", form, "--out", str(file)).code == 0
    assert file.read_text() == text(form).replace("(report/plots/", "(iris/")
    assert (tmp_path / "iris" / "confusion.png").exists() is (form == "hf")


def test_an_unknown_format_is_one_line(registered: Project, command: Callable) -> None:
    result = command("card", "iris", "--format", "pdf")
    assert (result.code, result.err) == (2, "error: --format pdf: there are markdown, hf, annex-iv, mlbom\n")
