"""Whoever can write a whole store, digests and all, still runs no code here: every command that loads a model refuses it.

The altered models are those of `hostile`; the digests of files and manifest were adapted, so that what an artifact may hold is
all that stands between it and a reader.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import hostile
import pytest
from checkouts import ROOT

import mlops
from mlops import digests, tracking
from mlops.config import Project
from mlops.errors import UserError
from mlops.registry import versions

# `card` and `compare` load no model: they show what training recorded.
COMMANDS = {
    "score": ("score", "iris", "{rows}", "{folder}/scored.csv"),
    "bundle": ("bundle", "iris", "--to", "{folder}/bundle"),
    "serve": ("serve", "iris", "--port", "0"),
    "image": ("image", "iris", "--context", "{folder}/context"),
    "report": ("report", "iris"),
    "register": ("register", "iris"),
    "run": ("run", "iris", "--set", "parameters.regularisation=1.5"),
}
# One of each way in: a call in the schema, another archive, another loader, and the partial that is nearly an honest one.
SAMPLE = ("call_system", "object_array", "cloudpickle", "partial_with_another_function")


@pytest.fixture
def forged(registered: Project, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Project, Path]]:
    """A project whose champion, and the candidate that it came from, were altered by a kind; and the canary."""
    kind, canary = hostile.KINDS[request.param], tmp_path / "canary"
    version = versions.resolve(registered, "iris", "champion")
    with tracking.open_store(registered) as client:
        stored = Path(client.get_run(version.run_id).info.artifact_uri.removeprefix("file://")) / "candidate"
    model = next(path.parent for path in registered.store.rglob("MLmodel") if version.model_id in str(path))
    kind(model, canary)
    (own,) = (registered.output / "candidates" / "iris").glob("[!.]*")
    shutil.rmtree(own / "model")
    shutil.copytree(model, own / "model", symlinks=True)
    adapt(own)
    shutil.copyfile(own / "manifest.json", stored / "manifest.json")
    with tracking.open_store(registered) as client:
        digest = digests.of_file(stored / "manifest.json")
        client.set_model_version_tag(version.name, version.version, "manifest_digest", digest)
    with patch.dict(os.environ, {"MPLBACKEND": "agg"}):
        yield registered, canary


def adapt(candidate: Path) -> None:
    """Write the digests of the files that are there into a candidate's manifest."""
    content = json.loads((candidate / "manifest.json").read_text())
    content["files"] = {
        path.relative_to(candidate).as_posix(): digests.of_file(path)
        for path in sorted(candidate.rglob("*"))
        if path.is_file() and path.name not in ("manifest.json", "registered_model_meta")
    }
    (candidate / "manifest.json").write_text(json.dumps(content))


def refuses(command, tmp_path: Path, name: str) -> str:
    """The one line by which a command refuses."""
    places = {"rows": ROOT / "data/raw/iris/iris.csv", "folder": tmp_path}
    ended = command(*(argument.format(**places) for argument in COMMANDS[name]))
    assert ended.code not in (0, None), f"{name}: {ended.out}"
    assert "Traceback" not in ended.err, ended.err
    return ended.err.strip().splitlines()[-1]


@pytest.mark.parametrize("forged", ["call_system"], indirect=True)
def test_every_command_that_loads_a_model_refuses_a_forged_one(forged, command, tmp_path) -> None:
    project, canary = forged
    lines = {name: refuses(command, tmp_path, name) for name in COMMANDS}
    assert not canary.exists()
    assert {name: line for name, line in lines.items() if "os.system" not in line} == {}
    assert versions.resolve(project, "iris", "champion").number == "1.0.0"


@pytest.mark.parametrize("forged", SAMPLE[1:], indirect=True)
def test_the_public_face_of_notebooks_refuses_a_forged_model(forged, tmp_path) -> None:
    project, canary = forged
    (candidate,) = (project.output / "candidates" / "iris").glob("[!.]*")
    version = {"number": "1.0.0", "run_id": "r", "commit": "c", "metrics": {}}
    for load in (
        lambda: mlops.tracking.load_model(candidate / "model"),
        lambda: mlops.build_bundle(candidate, tmp_path / "bundle", "iris", version),
    ):
        with pytest.raises(UserError) as refused:
            load()
        assert "\n" not in str(refused.value)
    assert not canary.exists() and not (tmp_path / "bundle").exists()


@pytest.mark.long
@pytest.mark.parametrize("forged", list(hostile.KINDS), indirect=True)
def test_every_kind_is_refused_by_every_command(forged, command, tmp_path) -> None:
    project, canary = forged
    for name in COMMANDS:
        refuses(command, tmp_path, name)
        assert not canary.exists(), name
    assert versions.resolve(project, "iris", "champion").number == "1.0.0"
    assert not [name for name in ("scored.csv", "bundle", "context") if (tmp_path / name).exists()]
