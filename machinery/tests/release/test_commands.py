"""`mlops release` as a person calls it: what it says where a step is missing, and what it leaves in files."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from command import mlops

from mlops.config import Project
from mlops.registry import releases
from mlops.release import assets

from .samples import model


def git(project: Project, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=project.root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def tagged(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose commit is tagged v1.0.0 and has a release record, written in place of a store, which is slow to make."""
    os.environ["GITHUB_REPOSITORY"] = "ada/demo"
    git(project, "tag", "v1.0.0")
    monkeypatch.setattr(releases, "read", lambda project, commit: {"iris": "1.0.0", "ridership": "2.0.1"})
    return project


def artifacts(folder: Path, **models: dict[str, object]) -> Path:
    """What the jobs of the images left: folder/NAME/model.json and a bill of materials."""
    for name, content in models.items():
        place = folder / name
        place.mkdir(parents=True)
        (place / "model.json").write_text(json.dumps(content))
        (place / f"{name}.cdx.json").write_text("{}")
    return folder


def test_the_plan_is_what_training_has_recorded(tagged: Project) -> None:
    assert mlops("release", "plan", "v1.0.0", "--json").value == {
        "environment": "production",
        "use_cases": ["iris", "ridership"],
        "versions": {"iris": "1.0.0", "ridership": "2.0.1"},
    }


def test_a_use_case_that_is_not_served_has_no_image(tagged: Project) -> None:
    with open(tagged.root / "config" / "ridership.yaml", "a", encoding="utf-8") as config:
        config.write("serving: {image: false}\n")
    assert mlops("release", "plan", "v1.0.0", "--json").value["use_cases"] == ["iris"]
    refused = mlops("release", "image", "ridership", "--tag", "v1.0.0")
    os.environ["MLOPS__IRIS__SERVING__IMAGE"] = "false"
    assert "no use case that is served" in mlops("release", "plan", "v1.0.0").error
    assert (refused.code, "v1.0.0 releases no 'ridership'; it releases: iris" in refused.error) == (2, True)


@pytest.mark.parametrize(
    ("tag", "named"),
    [("v1.0", "is no release tag"), ("v1.1.0", "git fetch origin --tags"), ("v0.9.0", "git switch --detach v0.9.0")],
)
def test_a_tag_that_is_not_checked_out_is_refused(tagged: Project, tag: str, named: str) -> None:
    git(tagged, "commit", "--allow-empty", "--message=second")
    git(tagged, "tag", "v1.0.1")
    git(tagged, "tag", "v0.9.0", "HEAD~1")
    assert named in mlops("release", "plan", tag).error


def test_nothing_is_pushed_that_was_not_built(tagged: Project) -> None:
    assert "mlops release image iris --tag v1.0.0" in mlops("release", "push", "iris", "--tag", "v1.0.0").error


def test_a_dry_run_writes_manifest_and_notes_and_publishes_nothing(tagged: Project, tmp_path: Path) -> None:
    folder = artifacts(tmp_path / "artifacts", iris=model(), ridership=model(number="2.0.1", promoted="v1.0.0-rc.1"))
    done = mlops("release", "publish", "v1.0.0", folder, "--dry-run", "--json")
    assert done.value["url"] is None and done.value["assets"] == ["release.json", "iris.cdx.json", "ridership.cdx.json"]
    written = json.loads((tagged.output / "release" / "release.json").read_text())
    assert written["commit"] == git(tagged, "rev-parse", "HEAD") and set(written["models"]) == {"iris", "ridership"}
    assert ", the image of v1.0.0-rc.1, taken over unchanged" in (tagged.output / "release" / "notes.md").read_text()


def test_a_release_without_all_of_its_images_is_not_published(tagged: Project, tmp_path: Path) -> None:
    folder = artifacts(tmp_path / "artifacts", iris=model())
    refused = mlops("release", "publish", "v1.0.0", folder)
    assert (refused.code, "has no image of ridership" in refused.error) == (2, True)


def test_what_the_plan_names_is_expected_and_nothing_else(tagged: Project, tmp_path: Path) -> None:
    folder = artifacts(tmp_path / "artifacts", iris=model())
    done = mlops("release", "publish", "v1.0.0", folder, "--expect", '["iris"]', "--dry-run", "--json")
    assert set(done.value["release"]["models"]) == {"iris"}
    for wrong in ("iris", '{"iris": 1}', "[1]"):
        assert "is no list of use cases" in mlops("release", "publish", "v1.0.0", folder, "--expect", wrong).error


def test_an_image_that_is_not_named_by_its_digest_is_not_published(tagged: Project, tmp_path: Path) -> None:
    folder = artifacts(tmp_path / "artifacts", iris=model(), ridership=model(image="ghcr.io/ada/demo/ridership:v1.0.0"))
    assert "models.ridership.image" in mlops("release", "publish", "v1.0.0", folder).error


def test_what_is_not_attested_is_reported_and_no_failure(tagged: Project) -> None:
    done = mlops("release", "attested", "iris", "--outcome", "skipped", "--json")
    assert (done.code, done.value["attested"], "is not attested" in done.err) == (0, False, True)
    assert (
        mlops("release", "attested", "iris", "--outcome", "success", "--url", "https://x", "--json").value["url"]
        == "https://x"
    )
    (tagged.output / "release" / "iris" / "attestation.json").rename(tagged.output / "attestation.json")
    assert json.loads((tagged.output / "attestation.json").read_text()) == {"url": "https://x"}


def test_a_deployment_that_did_not_begin_is_reported(project: Project) -> None:
    done = mlops("release", "summary", project.output / "result.json")
    assert (done.code, "Nothing was tried" in done.err) == (0, True)


def test_the_same_pages_give_the_same_archive(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    (pages / "a").mkdir(parents=True)
    (pages / "a" / "one.html").write_text("<p>one</p>")
    (pages / "two.py").write_text("no page")
    first, second = assets.archive(pages, tmp_path / "1.zip"), assets.archive(pages, tmp_path / "2.zip")
    assert first and second and first.read_bytes() == second.read_bytes()
    (pages / "a" / "one.html").unlink()
    assert assets.archive(pages, tmp_path / "3.zip") is None
