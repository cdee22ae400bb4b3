"""What one job uploads and another downloads: the same layout for no, one and several artifacts, as the pinned actions behave.

The steps are those of the workflows; the stand-ins that run them are derived from the actions' own sources.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import offline
import pytest
import rules
import triggers

from mlops.errors import UserError
from mlops.gitflow import comment
from mlops.monitoring import proposed
from mlops.registry import deployment_log, releases
from mlops.release import assets

sys.path[:0] = [str(offline.ACTIONS / "upload-artifact"), str(offline.ACTIONS / "download-artifact")]
import download  # noqa: E402
import upload  # noqa: E402

WORKFLOWS = offline.TREE / ".github" / "workflows"
NAMES = ("iris", "ridership")


def steps(action: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (workflow, job, inputs) of every use of an action."""
    return [
        (file.name, job_id, step.get("with") or {})
        for file in sorted(WORKFLOWS.glob("*.yml"))
        for job_id, job in triggers.load(file)["jobs"].items()
        for step in job.get("steps", [])
        if step.get("uses", "").startswith(f"{action}@")
    ]


def inputs_of(step: dict[str, Any], use_case: str = "") -> dict[str, str]:
    """Return the inputs as the runner hands them over: text, with the use case of the matrix."""
    text = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in step.items()}
    return {key: value.replace("${{ matrix.use_case }}", use_case) for key, value in text.items()}


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def leave_candidate(root: Path, name: str) -> None:
    write(root / f"output/candidates/{name}/0123456789abcdef/manifest.json", json.dumps({"use_case": name}))


def leave_report(root: Path, name: str) -> None:
    write(root / f"output/reports/{name}/0123456789abcdef/report.md", f"# {name}")
    write(root / f"output/reports/{name}/0123456789abcdef/plot.svg", "<svg/>")


def leave_image(root: Path, name: str) -> None:
    write(root / f"output/release/{name}/model.json", json.dumps({"number": "1.0.0"}))
    write(root / f"output/release/{name}/attestation.json", json.dumps({"url": name}))
    write(root / f"output/release/{name}/{name}.cdx.json", "{}")


def leave_deployment(root: Path, name: str) -> None:
    write(root / "output/deploy/result.json", json.dumps({"deployments": []}))


def leave_proposal(root: Path, name: str) -> None:
    write(root / f"output/proposals/{name}/proposal.json", json.dumps({"branch": name}))
    write(root / f"output/proposals/{name}/branch.bundle", "")


def proposals_read(root: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(proposed, "_push", lambda root, folder, repository: folder.name)
    return proposed.push(root, root / path, None)  # type: ignore[arg-type]


def candidates_read(root: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(releases.candidates, "read", lambda path: path)
    candidates = {name: releases._below(root / path, name, "0123456789abcdef") for name in NAMES}
    return [name for name, place in candidates.items() if place is not None]


def reports_read(root: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return [text.removeprefix("# ") for text in comment.reports(root / path)]


def images_read(root: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    folder = root / path
    monkeypatch.setattr(assets, "parse", lambda text, where: json.loads(text)["models"])
    names = [name for name in NAMES if any(folder.glob(f"**/{name}.cdx.json"))]
    if not names:
        return []
    gathered = assets.gather("v1.0.0", "0" * 40, folder, names)
    assert [file.name for file in assets.beside(folder, names)] == [f"{name}.cdx.json" for name in names]
    return sorted(gathered)  # type: ignore[call-overload]


def deployment_read(root: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (command,) = [
        step["run"]
        for step in triggers.load(WORKFLOWS / "deploy.yml")["jobs"]["record"]["steps"]
        if "--record" in step.get("run", "")
    ]
    file = root / command.split("--record ")[1]
    return ["iris"] if deployment_log.read_result(file) == [] else []


# The workflow and job that download: the job that uploads, what lies there before, and what reads it afterwards.
READERS: dict[tuple[str, str], tuple[str, str, Callable[[Path, str], None], Callable[..., list[str]]]] = {
    ("train.yml", "register"): ("train.yml", "train", leave_candidate, candidates_read),
    ("report-comment.yml", "comment"): ("pull-request.yml", "report", leave_report, reports_read),
    ("release.yml", "publish"): ("release.yml", "image", leave_image, images_read),
    ("monitor.yml", "propose"): ("monitor.yml", "monitor", leave_proposal, proposals_read),
    ("deploy.yml", "record"): ("deploy.yml", "deploy", leave_deployment, deployment_read),
}


@pytest.mark.parametrize("names", [(), ("iris",), NAMES], ids=["none", "one", "two"])
@pytest.mark.parametrize("place", READERS, ids=" ".join)
def test_what_was_uploaded_is_read_whatever_the_count(
    place: tuple[str, str], names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow, job, leave, read = READERS[place]
    (taken,) = [step for file, name, step in steps("actions/download-artifact") if (file, name) == place]
    start = taken.get("pattern", taken.get("name", "")).rstrip("*")
    (sent,) = [
        step
        for file, name, step in steps("actions/upload-artifact")
        if (file, name) == (workflow, job) and step["name"].startswith(start)
    ]
    single = "matrix" not in sent["name"]
    names = names[:1] if single else names
    store = tmp_path / "store"
    store.mkdir()
    for name in names:
        leave(tmp_path / name, name)
        assert upload.upload(inputs_of(sent, name), tmp_path / name, store) == ""
    if single and not names:
        with pytest.raises(ValueError, match="not found"):
            download.download(inputs_of(taken), tmp_path / "there", store)
        return
    assert len(download.download(inputs_of(taken), tmp_path / "there", store)) == len(names)
    assert read(tmp_path / "there", taken["path"], monkeypatch) == list(names)


def test_the_review_of_notebooks_is_read_beside_and_without_a_model_report(tmp_path: Path) -> None:
    sent = {step["name"]: step for file, _, step in steps("actions/upload-artifact") if file == "pull-request.yml"}
    (taken,) = [step for file, _, step in steps("actions/download-artifact") if file == "report-comment.yml"]
    write(tmp_path / "output/notebooks/review.md", "# Review")
    write(tmp_path / "output/notebooks/pages/index.html", "")
    leave_report(tmp_path, "iris")
    for kept, expected in ((["report-notebooks-review"], ["# Review"]), (list(sent)[-1:], ["# iris", "# Review"])):
        for name in kept:
            (tmp_path / "store").mkdir(exist_ok=True)
            upload.upload(inputs_of(sent[name], "iris"), tmp_path, tmp_path / "store")
        download.download(inputs_of(taken), tmp_path / f"there{len(expected)}", tmp_path / "store")
        assert comment.reports(tmp_path / f"there{len(expected)}" / taken["path"]) == expected


def test_no_name_of_a_use_case_makes_the_name_of_another_artifact() -> None:
    """Of two artifacts of one name the second is refused: 409 Conflict."""
    names = [(file, step["name"]) for file, _, step in steps("actions/upload-artifact")]
    for file, name in names:
        pattern = re.escape(name).replace(re.escape("${{ matrix.use_case }}"), "[a-z][a-z0-9_]*")
        assert [other for place, other in names if place == file and re.fullmatch(pattern, other)] in ([], [name]), name


def test_every_download_is_tried_above() -> None:
    assert {(file, job) for file, job, _ in steps("actions/download-artifact")} == set(READERS)


def test_a_download_by_pattern_never_depends_on_the_count() -> None:
    for file, job, step in steps("actions/download-artifact"):
        assert step.get("name") or step.get("merge-multiple") is True, f"{file}: {job}"


def test_every_use_of_an_action_gives_it_only_inputs_that_it_has() -> None:
    known = {action: set(triggers.load(file)["inputs"]) for action, file in offline.stand_in_files().items()}
    places = [*WORKFLOWS.glob("*.yml"), *(offline.TREE / ".github" / "actions").glob("*/action.yml")]
    for pin, given in (use for file in places for use in rules.uses(triggers.load(file))):
        if not pin.startswith(("actions/checkout@", "github/", "./")):
            assert given <= known[pin], f"{pin}: {given - known[pin]}"


@pytest.mark.parametrize("folder", sorted(offline.ACTIONS.iterdir()), ids=lambda folder: folder.name)
def test_a_stand_in_names_the_source_that_it_is_derived_from(folder: Path) -> None:
    pins = [pin for pin, place in offline.stand_ins().items() if place.is_relative_to(folder)]
    text = "".join(file.read_text(encoding="utf-8") for file in sorted(folder.rglob("*")) if file.suffix in (".yml", ".py"))
    assert pins and "Derived from" in text and "src/" in text and all(pin.split("@")[1] in text for pin in pins)


UPLOADS = [
    # path, hidden, what the artifact holds
    ("a", "false", {"x.txt", "b/y.txt"}),
    ("a/", "false", {"x.txt", "b/y.txt"}),
    ("a", "true", {"x.txt", "b/y.txt", "b/.z"}),
    ("a/b/y.txt", "false", {"y.txt"}),
    ("a/*/y.txt", "false", {"b/y.txt"}),
    ("a/*", "false", {"x.txt", "b/y.txt"}),
    ("a/b\nc/w.txt", "false", {"a/b/y.txt", "c/w.txt"}),
    ("a/b\na/x.txt", "false", {"b/y.txt", "x.txt"}),
    ("a\na/b", "false", {"x.txt", "b/y.txt"}),
    (".hidden", "false", set()),
    (".hidden", "true", {"v.txt"}),
    ("nothing", "false", set()),
]


@pytest.mark.parametrize(("path", "hidden", "held"), UPLOADS)
def test_the_root_of_an_artifact_is_that_of_the_action(path: str, hidden: str, held: set[str], tmp_path: Path) -> None:
    for name in ("a/x.txt", "a/b/y.txt", "a/b/.z", "c/w.txt", ".hidden/v.txt"):
        write(tmp_path / "work" / name, name)
    inputs = {"name": "n", "path": path, "include-hidden-files": hidden}
    warning = upload.upload(inputs, tmp_path / "work", tmp_path / "store")
    files = {file.relative_to(tmp_path / "store/n").as_posix() for file in (tmp_path / "store").rglob("*") if file.is_file()}
    assert files == held and bool(warning) is not bool(held)


def test_no_files_the_same_name_twice_and_a_bad_name_end_as_the_action_does(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "1")
    store, inputs = tmp_path / "store", {"name": "n", "path": "a.txt"}
    upload.upload(inputs, tmp_path, store)
    with pytest.raises(ValueError, match="409"):
        upload.upload(inputs, tmp_path, store)
    write(tmp_path / "a.txt", "2")
    assert upload.upload({**inputs, "overwrite": "true"}, tmp_path, store) == ""
    assert (store / "n" / "a.txt").read_text() == "2"
    with pytest.raises(ValueError, match="not valid"):
        upload.upload({**inputs, "name": "a/b"}, tmp_path, store)
    nothing = {"name": "m", "path": "b.txt"}
    assert upload.upload({**nothing, "if-no-files-found": "ignore"}, tmp_path, store) == ""
    with pytest.raises(ValueError, match="No files were found"):
        upload.upload({**nothing, "if-no-files-found": "error"}, tmp_path, store)
    assert not (store / "m").exists()


def test_the_release_of_a_use_case_whose_image_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no image of iris"):
        assets.gather("v1.0.0", "0" * 40, tmp_path, ["iris"])
