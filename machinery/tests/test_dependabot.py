"""What Dependabot does to requirements/, done here: dependabot-core 54c10285aa, uv/lib/dependabot/uv and python/lib.

file_fetcher.rb and shared_file_fetcher.rb say what it reads, compile_file_updater.rb what it runs and keeps.
"""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from checkouts import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from test_packaging import BASE, EXTRAS, locked

from mlops.project import locks, new, requirements, wheel

MAX_FILE_SIZE = 500_000
PATH_DEPENDENCY = re.compile(r"^(-e\s+)?['\"]?(?:file:)?\.[^\[#'\"\n;]*|^-e\s", re.MULTILINE)
CHILD = re.compile(r"^-[rc]\s?(.*\.(?:txt|in))", re.MULTILINE)
PYTHON_VERSION = re.compile(r"--python-version[=\s]+(\d+\.\d+(?:\.\d+)?)")
FOLDER = ROOT / "requirements"


def fetched(folder: Path) -> dict[str, str]:
    """The files that the fetcher takes."""
    files = [file for file in folder.iterdir() if file.suffix in (".txt", ".in") and file.stat().st_size <= MAX_FILE_SIZE]
    return {file.name: file.read_text(encoding="utf-8") for file in files}


def bump(folder: Path, name: str, version: str, environment: dict[str, str]) -> None:
    """Compile each lock that has an .in and holds the package, the .in asking for this version meanwhile."""
    files = fetched(folder)
    for source in sorted(file for file in files if file.endswith(".in")):
        lock = source.removesuffix(".in") + ".txt"
        if not re.search(rf"^{name}==", files.get(lock, ""), re.MULTILINE):
            continue
        options = ["--build-isolation", f"--output-file={lock}", "--generate-hashes"]
        options += ["--universal"] if "--universal" in files[lock] else []
        options += [f"--python-version={match[1]}"] if (match := PYTHON_VERSION.search(files[lock])) else []
        for other in (file for file in files if file.endswith(".in")):
            frozen = re.sub(rf"^{name}(?![\w-])[^;\n]*", f"{name}=={version}", files[other], flags=re.MULTILINE)
            (folder / other).write_text(frozen, encoding="utf-8")
        command = [str(Path(sys.executable).parent / "uv"), "pip", "compile", *options, "-P", f"{name}=={version}", source]
        done = subprocess.run(command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        header = "".join(re.findall(r"\A(?:#.*\n)*", files[lock]))
        compiled = re.sub(r"\A(?:#.*\n)*", "", (folder / lock).read_text(encoding="utf-8"))
        (folder / lock).write_text(header + compiled, encoding="utf-8")
    for source in (file for file in files if file.endswith(".in")):
        (folder / source).write_text(files[source], encoding="utf-8")


def make_wheel(folder: Path, name: str, version: str, *requires: str) -> None:
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {r}" for r in requires)]
        archive.writestr(f"{name}-{version}.dist-info/METADATA", "\n".join(lines) + "\n")
        archive.writestr(f"{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{name}-{version}.dist-info/RECORD", "")


@pytest.fixture
def index(tmp_path: Path) -> dict[str, str]:
    """Packages in a folder: alpha and its core are released in pairs, as mlflow and mlflow-skinny; tint is for Windows."""
    folder = tmp_path / "index"
    folder.mkdir()
    for version in ("1.0", "1.1"):
        make_wheel(folder, "alpha", version, f"core=={version}", "tint; sys_platform == 'win32'")
        make_wheel(folder, "core", version)
        make_wheel(folder, "tool", version, "alpha")
    make_wheel(folder, "tint", "1.0")
    return {"UV_FIND_LINKS": str(folder), "UV_NO_INDEX": "1"}


@pytest.fixture
def project(tmp_path: Path, index: dict[str, str]) -> Path:
    """The requirements of a small project, locked as the Makefile locks them, in the versions 1.0."""
    folder = tmp_path / "requirements"
    folder.mkdir()
    required = ["mlops-machinery", 'mlops-machinery[lint]; extra == "dev"']
    for path, text in requirements.inputs(["alpha<2,>=1.0", 'tool<2; extra == "lint"'], required).items():
        (folder.parent / path).write_text(text, encoding="utf-8")
    header = re.match(r"\A(?:#.*\n)*", (FOLDER / "base.txt").read_text(encoding="utf-8"))[0]
    options = PYTHON_VERSION.search(header)[0].split() if PYTHON_VERSION.search(header) else []
    for lock in ("dev", "base"):
        pins = (folder / f"{lock}.in").read_text(encoding="utf-8").replace("alpha<2,>=1.0", "alpha==1.0")
        (folder / "pinned.in").write_text(re.sub("tool<2", "tool==1.0", pins).replace("-r base.in", "alpha==1.0"))
        command = ["uv", "pip", "compile", "--universal", *options, "--generate-hashes", "-o", f"{lock}.txt", "pinned.in"]
        command[0] = str(Path(sys.executable).parent / "uv")
        subprocess.run(command, cwd=folder, env={**os.environ, **index}, check=True, capture_output=True)
        text = re.sub(r"\A(?:#.*\n)*", header, (folder / f"{lock}.txt").read_text(encoding="utf-8"))
        (folder / f"{lock}.txt").write_text(text, encoding="utf-8")
    (folder / "pinned.in").unlink()
    return folder


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w-]+)==(\S+)", text, re.MULTILINE))


def test_a_bump_brings_what_the_new_version_needs_to_every_lock_and_changes_nothing_else(project: Path, index: dict[str, str]):
    before = fetched(project)
    bump(project, "alpha", "1.1", index)
    after = fetched(project)
    assert pins(after["base.txt"]) == {"alpha": "1.1", "core": "1.1", "tint": "1.0"}
    assert pins(after["dev.txt"]) == {"alpha": "1.1", "core": "1.1", "tint": "1.0", "tool": "1.0"}
    assert {name: after[name] for name in ("base.in", "dev.in")} == {name: before[name] for name in ("base.in", "dev.in")}


@pytest.mark.parametrize("lock", ["base.txt", "dev.txt"])
def test_a_bump_keeps_the_pins_of_other_platforms_the_hashes_and_the_header(project: Path, index: dict[str, str], lock: str):
    before = fetched(project)[lock]
    bump(project, "alpha", "1.1", index)
    after = fetched(project)[lock]
    assert re.search(r"^tint==1\.0 ; sys_platform == 'win32'", after, re.MULTILINE), after
    assert after.count("--hash=sha256:") == len(pins(after))
    assert after.splitlines()[:2] == before.splitlines()[:2]


def test_without_the_options_in_the_header_the_pins_of_other_platforms_are_lost(project: Path, index: dict[str, str]):
    for lock in ("base.txt", "dev.txt"):
        text = (project / lock).read_text(encoding="utf-8")
        (project / lock).write_text(re.sub(r" # --universal.*", "", text), encoding="utf-8")
    bump(project, "alpha", "1.1", index)
    assert sys.platform == "win32" or "tint" not in pins(fetched(project)["base.txt"])


def test_every_lock_can_be_read_and_is_compiled_from_a_file_beside_it():
    files = fetched(FOLDER)
    assert sorted(files) == sorted(file.name for file in FOLDER.iterdir()), "a file above 500,000 bytes is not seen"
    locks = {name for name in files if name.endswith(".txt")}
    assert {name.removesuffix(".txt") + ".in" for name in locks} == files.keys() - locks
    assert [name for name in locks if not {"--universal", "--python-version"} <= set(files[name][:300].split())] == []


def test_a_package_that_is_added_by_command_is_locked_as_make_lock_does() -> None:
    (options,) = re.findall(r"(?m)^OPTIONS := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert tuple(options.split()) == locks.OPTIONS


def test_no_file_names_a_path_or_a_file_elsewhere():
    """A path that cannot be fetched ends the job: PathDependenciesNotReachable."""
    files = fetched(FOLDER)
    assert {name: PATH_DEPENDENCY.findall(text) for name, text in files.items() if PATH_DEPENDENCY.search(text)} == {}
    assert {path for text in files.values() for path in CHILD.findall(text)} <= files.keys()
    assert "mlops-machinery" not in "".join(re.findall(r"^[^#\n]+", "\n".join(files.values()), re.MULTILINE))


@pytest.mark.parametrize("requirement", BASE + EXTRAS, ids=str)
def test_the_next_patch_of_a_package_is_allowed_by_setup(requirement: Requirement):
    """Dependabot does not see setup.py: what is pinned there to one version could be bumped by nobody."""
    for pin in locked("dev")[canonicalize_name(requirement.name)]:
        major, minor, micro = (*Version(pin["version"]).release, 0, 0)[:3]
        assert requirement.specifier.contains(f"{major}.{minor}.{micro + 1}")


def test_what_the_locks_are_compiled_from_is_what_setup_and_the_machinery_ask_for():
    texts = requirements.of_project(ROOT)
    assert {path: (ROOT / path).read_text(encoding="utf-8") for path in texts} == texts, "make lock"


def test_the_wheel_asks_for_the_same_as_the_folder(tmp_path: Path):
    new.copy(ROOT, tmp_path)
    assert requirements.of_project(ROOT, wheel.built(tmp_path).requirements) == requirements.of_project(ROOT)


def test_dependabot_stays_within_what_is_asked_for():
    settings = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))
    uv = next(update for update in settings["updates"] if update["package-ecosystem"] == "uv")
    assert (uv["directory"], uv["versioning-strategy"]) == ("/requirements", "lockfile-only")
