"""One set of dependencies: setup.py names them, lock files, tox, conda and black agree; the wheel has all that it needs."""

import configparser
import re
import sys
import tomllib
import zipfile
from io import BytesIO
from pathlib import Path
from unittest import mock

import pytest
import yaml
from checkouts import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mlops.project import new, requirements, shipped, wheel

LOCKS = ("base", "dev", "light")
MACHINERY = ROOT / "machinery"


def setup_arguments(folder: Path) -> dict:
    """What a setup.py hands to setuptools, which the tests' own environment need not have."""
    setuptools = mock.Mock()
    with mock.patch.dict(sys.modules, {"setuptools": setuptools, "packaged": mock.Mock()}):
        source = (folder / "setup.py").read_text(encoding="utf-8")
        exec(compile(source, str(folder / "setup.py"), "exec"), {"__file__": str(folder / "setup.py"), "__name__": "setup"})
    return setuptools.setup.call_args.kwargs


def locked(name: str) -> dict[str, list[dict]]:
    """The pins of a lock file: package → version, marker, hashes and who asks for it; a package may have several."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    pins: dict[str, list[dict]] = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", block):
            direct = re.search(r"^    #   -r (base|dev)\.in$|^    # via -r (base|dev)\.in$", block, re.MULTILINE)
            pin = {"version": match[2], "hashes": block.count("--hash=sha256:"), "direct": bool(direct)}
            pins.setdefault(canonicalize_name(match[1]), []).append(pin)
    return pins


ARGUMENTS, PROJECT = setup_arguments(MACHINERY), setup_arguments(ROOT)
BASE = [Requirement(text) for text in ARGUMENTS["install_requires"]]
# Spark, DVC and the workbench have locks of their own in the package; Prophet is for those who run its study.
DEV_EXTRAS = set(ARGUMENTS["extras_require"]) - {"workbench", "spark", "dvc", "prophet"}
EXTRAS = [Requirement(text) for extra in sorted(DEV_EXTRAS) for text in ARGUMENTS["extras_require"][extra]]
PYTHONS = [line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]


@pytest.mark.parametrize(("lock", "requirement"), [("base", BASE), ("dev", BASE + EXTRAS)], ids=["base", "dev"])
def test_every_requirement_is_locked_in_a_version_that_it_allows(lock, requirement):
    pins = locked(lock)
    stale = [
        str(item)
        for item in requirement
        if not any(item.specifier.contains(pin["version"]) for pin in pins.get(canonicalize_name(item.name), []))
    ]
    assert stale == [], "make lock"


@pytest.mark.parametrize(("lock", "requirement"), [("base", BASE), ("dev", BASE + EXTRAS)], ids=["base", "dev"])
def test_a_lock_holds_nothing_that_setup_no_longer_asks_for(lock, requirement):
    direct = {name for name, pins in locked(lock).items() if any(pin["direct"] for pin in pins)}
    assert direct == {canonicalize_name(item.name) for item in requirement}, "make lock"


def test_the_project_asks_for_every_extra_of_the_machinery():
    requirement = Requirement(PROJECT["extras_require"]["dev"][0])
    assert (requirement.name, requirement.extras) == (ARGUMENTS["name"], DEV_EXTRAS)
    assert PROJECT["install_requires"] == [ARGUMENTS["name"]]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_names_no_index_and_no_project(lock):
    assert [name for name, pins in locked(lock).items() for pin in pins if not pin["hashes"]] == []
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    assert not re.search(rf"https?://|--index|--find-links|--extra|{PROJECT['name']}", text)


def test_the_base_is_part_of_the_developers_environment():
    dev = locked("dev")
    differing = [
        name
        for name, pins in locked("base").items()
        if not {p["version"] for p in pins} <= {p["version"] for p in dev.get(name, [])}
    ]
    assert differing == []


def test_the_base_holds_nothing_heavy():
    assert not {"pyspark", "prophet", "jupyterlab", "optuna", "torch", "tensorflow", "evidently"} & set(locked("base"))


def test_what_make_run_installs_can_look_for_secrets_in_the_changes_that_a_run_keeps():
    assert "detect-secrets" in locked("base")


def test_the_lock_of_dvc_is_compiled_from_its_extra():
    (asked,) = requirements.of_extra(MACHINERY, "dvc")
    assert [Requirement(asked)] == [Requirement(text) for text in ARGUMENTS["extras_require"]["dvc"]]
    pins = (MACHINERY / "src/mlops/dvc/requirements.txt").read_text(encoding="utf-8")
    (version,) = re.findall(r"(?m)^dvc(?:\[s3\])?==([^ \\]+)", pins)
    assert Requirement(asked).specifier.contains(version)


@pytest.mark.parametrize("folder", [ROOT, MACHINERY], ids=["project", "machinery"])
def test_tox_black_and_setup_name_the_same_pythons(folder):
    tox = configparser.ConfigParser()
    tox.read(folder / "tox.ini")
    names = [f"py{version.replace('.', '')}" for version in PYTHONS]
    settings = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    assert [name.strip() for name in tox["tox"]["env_list"].split(",")] == names
    assert settings["tool"]["black"]["target-version"] == names
    assert settings["tool"]["mypy"]["python_version"] == PYTHONS[0]
    assert setup_arguments(folder)["python_requires"] == f">={PYTHONS[0]}"


def test_conda_installs_the_locked_packages_on_a_supported_python():
    environment = yaml.safe_load((ROOT / "conda-env.yml").read_text(encoding="utf-8"))
    python = next(item for item in environment["dependencies"] if isinstance(item, str) and item.startswith("python="))
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert python.removeprefix("python=") in PYTHONS
    assert pip == ["-r requirements/dev.txt"]


def test_the_commands_name_the_pythons_of_setup():
    from mlops.pythons import supported_pythons

    assert supported_pythons(ROOT) == PYTHONS


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> wheel.Wheel:
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("built")
    new.copy(ROOT, folder)
    return wheel.built(folder)


def test_the_wheel_is_the_same_to_the_byte_when_it_is_built_again(built: wheel.Wheel, tmp_path: Path):
    new.copy(ROOT, tmp_path)
    for file in (tmp_path / "machinery").rglob("*.py"):
        file.chmod(0o600)
    assert wheel.built(tmp_path).sha256 == built.sha256


def test_the_wheel_brings_every_file_of_the_package_and_no_use_case_to_import(built: wheel.Wheel):
    with zipfile.ZipFile(BytesIO(built.content)) as archive:
        names = set(archive.namelist())
    package = MACHINERY / "src" / "mlops"
    paths = {file.relative_to(package).as_posix() for file in package.rglob("*") if file.is_file()}
    assert {f"mlops/{path}" for path in paths if "__pycache__" not in path} <= names
    assert not [name for name in names if name.startswith("use_cases/")]
    assert built.owned() == shipped.owned()
    for name in shipped.examples():
        assert f"mlops/project/data/examples/{name}/config/{name}.yaml" in names
    assert "mlops/project/data/source/machinery/tests/conftest.py" in names
