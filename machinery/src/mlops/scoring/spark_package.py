"""What spark-submit takes for `mlops score`: the code of machinery and project as one zip, and the script of the driver.

project.zip   mlops/ and use_cases/, importable as they are, and project/ with the configuration
score.py      the driver: `spark-submit --py-files project.zip score.py NAME INPUT OUTPUT`
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import mlops
from mlops import files, git
from mlops.config import Project
from mlops.errors import UserError

ARCHIVE, SCRIPT = "project.zip", "score.py"
# What commands read of a project; its own code lies at the top of the archive.
CONFIGURATION = ("config/", "pyproject.toml", "setup.py", "requirements/base.txt")
DRIVER = '''"""The driver of `mlops score` in spark-submit; arguments and options are those of the command."""

import os
import sys
import tempfile
import zipfile

if not {"MLOPS_PROJECT", "MLFLOW_TRACKING_URI"} & os.environ.keys():
    print(
        "error: spark-submit does not know where the versions are: set MLOPS_PROJECT to the folder of the project, "
        "or MLFLOW_TRACKING_URI to its tracking server",
        file=sys.stderr,
    )
    sys.exit(2)
with tempfile.TemporaryDirectory() as folder:
    # The driver reads code and configuration as files; workers import from the archive as it is.
    archive = next(path for path in sys.path if os.path.basename(path) == "project.zip")
    with zipfile.ZipFile(archive) as members:
        members.extractall(folder)
    sys.path.insert(0, folder)
    os.environ.setdefault("MLOPS_PROJECT", os.path.join(folder, "project"))
    from mlops.cli import main

    sys.argv = ["mlops", "score", *sys.argv[1:], "--engine", "spark"]
    main()
'''


def package(project: Project, to: Path) -> list[Path]:
    """Write archive and script into a folder; gives both. The same content gives the same bytes.

    Raises UserError where the project is no git repository: what git knows is packed.
    """
    files.make_folder(to)
    with files.replacing(to / ARCHIVE) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in sorted(_members(project)):
            archive.writestr(zipfile.ZipInfo(name), file.read_bytes(), zipfile.ZIP_DEFLATED)
    files.write_text(to / SCRIPT, DRIVER)
    return [to / ARCHIVE, to / SCRIPT]


def _members(project: Project) -> Iterator[tuple[str, Path]]:
    """The names in the archive, and the files."""
    machinery = Path(mlops.__file__).parent
    for file in machinery.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            yield f"mlops/{file.relative_to(machinery).as_posix()}", file
    listed = git.run("ls-files", "-z", "src", *CONFIGURATION, root=project.root)
    if listed.returncode:
        raise UserError(f"{project.root}: is no git repository, and what git knows is packed; run: git init")
    for name in filter(None, listed.stdout.split("\0")):
        yield name.removeprefix("src/") if name.startswith("src/") else f"project/{name}", project.root / name
