"""A new project: a folder with the team's first files, the files that the machinery owns, and the machinery as one wheel."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import urllib.parse
import urllib.request
from pathlib import Path
from string import Template

from mlops import files, folders, vendored
from mlops.errors import UserError
from mlops.git import git
from mlops.project import naming, shipped, wheel
from mlops.project.answers import Answers
from mlops.project.wheel import Wheel

NOTHING = "none"


def create(folder: Path, answers: Answers, machinery: Wheel) -> list[str]:
    """Make a project in an empty or new folder; returns the paths of its files.

    Raises UserError for a folder that is not empty. The folder appears whole or not at all.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: choose a new folder, or in a copy of the template run mlops adopt")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: choose a new folder")
    contents = project_files(answers, machinery)
    if folder.is_dir():
        folder.rmdir()
    with files.new_folder(folder) as place:
        for path, content in contents.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(content)
    return sorted(contents)


def project_files(answers: Answers, machinery: Wheel) -> dict[str, bytes]:
    """Every file of a new project: path → content."""
    contents = dict(shipped.first())
    if answers.use_case != NOTHING:
        contents |= shipped.example(answers.use_case)
    contents |= texts(answers) | machinery.owned()
    contents |= naming.named(contents, answers)
    if answers.use_case == NOTHING:
        contents["config/project.yaml"] = contents["config/project.yaml"].replace(
            b"default_use_case: none", b'default_use_case: ""'
        )
    if answers.target == "kubernetes":
        contents |= manifests()
    if answers.tracking:
        contents[".env.example"] = f"# cp .env.example .env\nMLFLOW_TRACKING_URI={answers.tracking}\n".encode()
    contents[machinery.path] = machinery.content
    contents[str(vendored.LINE)] = vendored.line(machinery.path, machinery.sha256).encode()
    return contents


def texts(answers: Answers) -> dict[str, bytes]:
    """The pages of a new project that name it: README, changelog, licence, first page of the documentation."""
    values = {**answers.model_dump(), "year": str(datetime.date.today().year), "python": answers.pythons[0]}
    skeleton = shipped.skeleton()
    licence = skeleton.pop(f"licences/{answers.licence}.txt")
    kept = {path: text for path, text in skeleton.items() if not path.startswith("licences/")}
    filled = {path: Template(text).safe_substitute(values) for path, text in {**kept, "LICENSE": licence}.items()}
    return {path: text.encode("utf-8") for path, text in filled.items()}


def manifests() -> dict[str, bytes]:
    """What a cluster needs, below deploy/kubernetes; it is the team's from then on."""
    place = Path(__file__).parents[1] / "deploy" / "manifests"
    return {
        f"deploy/kubernetes/{file.relative_to(place).as_posix()}": file.read_bytes() for file in sorted(place.rglob("*.yaml"))
    }


def own_wheel() -> Wheel:
    """The wheel that this installation came from, or one built from the folder with the source.

    Raises UserError where the file is not there any more.
    """
    if not shipped.DATA.is_dir():
        with folders.work_folder() as folder:
            copy(shipped.REPOSITORY, folder)
            return wheel.built(folder)
    origin = json.loads(importlib.metadata.distribution("mlops-machinery").read_text("direct_url.json") or "{}")
    file = Path(urllib.request.url2pathname(urllib.parse.urlparse(origin.get("url", "")).path))
    if file.is_file():
        return wheel.opened(file)
    raise UserError("the wheel that mlops was installed from is not there any more: give it as --wheel FILE")


def copy(repository: Path, to: Path) -> None:
    """Copy what git knows of a repository, as the working tree has it."""
    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", root=repository)
    for path in filter(None, listed.split("\0")):
        if (repository / path).is_file():
            (to / path).parent.mkdir(parents=True, exist_ok=True)
            (to / path).write_bytes((repository / path).read_bytes())
