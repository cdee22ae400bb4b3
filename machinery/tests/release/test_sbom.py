"""The bill of materials: valid by its schema, complete, the same for the same image."""

from __future__ import annotations

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mlops.release import sbom

from .samples import DIGEST

IMAGE = f"ghcr.io/ada/demo/iris@sha256:{DIGEST}"
INVENTORY = {
    "python": [
        ["numpy", "2.3.0", "BSD-3-Clause AND MIT"],
        ["Some_Package", "1.0", "no licence that SPDX knows"],
        ["x", "1", ""],
    ],
    "system": [["libc6", "2.36-9+deb12u10", "amd64"], ["tzdata", "2025b-0", "all"]],
    "interpreter": "3.12.1",
    "distribution": "debian",
    "release": "12",
}
MADE = "2026-11-21T07:00:00+00:00"


@pytest.fixture(scope="module")
def text() -> str:
    return sbom.cyclonedx(IMAGE, "1.0.0", INVENTORY, MADE)


def test_it_is_valid_by_the_schema_of_cyclonedx(text: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace('"components"', '"parts"')) is not None


def test_it_names_the_image_by_its_digest_and_everything_in_it(text: str) -> None:
    bill = json.loads(text)
    subject = bill["metadata"]["component"]
    assert (subject["name"], subject["version"], subject["type"], subject["bom-ref"]) == ("iris", "1.0.0", "container", IMAGE)
    assert {part["name"]: part["version"] for part in bill["components"]} == {
        "cpython": "3.12.1",
        "numpy": "2.3.0",
        "Some_Package": "1.0",
        "x": "1",
        "libc6": "2.36-9+deb12u10",
        "tzdata": "2025b-0",
    }
    urls = {part["name"]: part.get("purl") for part in bill["components"]}
    assert urls["numpy"] == "pkg:pypi/numpy@2.3.0" and urls["Some_Package"] == "pkg:pypi/some-package@1.0"
    assert urls["libc6"].startswith("pkg:deb/debian/libc6@2.36-9") and "distro=debian-12" in urls["libc6"]


def test_licences_stand_as_far_as_they_are_known(text: str) -> None:
    licences = {part["name"]: part.get("licenses") for part in json.loads(text)["components"]}
    assert licences["numpy"] == [{"expression": "BSD-3-Clause AND MIT", "acknowledgement": "declared"}] or licences[
        "numpy"
    ] == [{"expression": "BSD-3-Clause AND MIT"}]
    assert licences["x"] is None and licences["Some_Package"]


def test_the_same_image_gives_the_same_document(text: str) -> None:
    assert sbom.cyclonedx(IMAGE, "1.0.0", INVENTORY, MADE) == text
    assert sbom.cyclonedx(IMAGE.replace("d" * 64, "e" * 64), "1.0.0", INVENTORY, MADE) != text
