"""One set of dependencies: setup.py names them, and lock files, tox, conda and black agree with it."""

import configparser
import re
import sys
import tomllib
from pathlib import Path
from unittest import mock

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = ("base", "dev", "bootstrap")


def setup_arguments() -> dict:
    """What setup.py hands to setuptools, which the tests' own environment need not have."""
    setuptools = mock.Mock()
    with mock.patch.dict(sys.modules, {"setuptools": setuptools}):
        source = (ROOT / "setup.py").read_text(encoding="utf-8")
        exec(compile(source, str(ROOT / "setup.py"), "exec"), {"__file__": str(ROOT / "setup.py"), "__name__": "setup"})
    return setuptools.setup.call_args.kwargs


def locked(name: str) -> dict[str, list[dict]]:
    """The pins of a lock file: package → version, marker, hashes and who asks for it; a package may have several."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    pins: dict[str, list[dict]] = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", block):
            pin = {
                "version": match[2],
                "hashes": block.count("--hash=sha256:"),
                "direct": " (setup.py)" in block,
            }
            pins.setdefault(canonicalize_name(match[1]), []).append(pin)
    return pins


ARGUMENTS = setup_arguments()
BASE = [Requirement(text) for text in ARGUMENTS["install_requires"]]
EXTRAS = [Requirement(text) for extra in ARGUMENTS["extras_require"].values() for text in extra]
PYTHONS = [line.rsplit(" ", 1)[1] for line in ARGUMENTS["classifiers"] if re.search(r":: 3\.\d+$", line)]


@pytest.mark.parametrize(("lock", "asked"), [("base", BASE), ("dev", BASE + EXTRAS)], ids=["base", "dev"])
def test_every_requirement_is_locked_in_a_version_that_it_allows(lock, asked):
    pins = locked(lock)
    stale = [
        str(item)
        for item in asked
        if not any(item.specifier.contains(pin["version"]) for pin in pins.get(canonicalize_name(item.name), []))
    ]
    assert stale == [], "make lock"


@pytest.mark.parametrize(("lock", "asked"), [("base", BASE), ("dev", BASE + EXTRAS)], ids=["base", "dev"])
def test_a_lock_holds_nothing_that_setup_no_longer_asks_for(lock, asked):
    direct = {name for name, pins in locked(lock).items() if any(pin["direct"] for pin in pins)}
    assert direct == {canonicalize_name(item.name) for item in asked}, "make lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_names_no_index(lock):
    assert [name for name, pins in locked(lock).items() for pin in pins if not pin["hashes"]] == []
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    assert not re.search(r"https?://|--index|--find-links|--extra", text)


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


def test_tox_runs_every_python_that_setup_names_on_the_locked_packages():
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    assert [name.strip() for name in tox["tox"]["env_list"].split(",")] == [
        f"py{version.replace('.', '')}" for version in PYTHONS
    ]
    assert tox["testenv"]["deps"] == "-r requirements/dev.txt"
    assert tox["testenv"]["package"] == "wheel"


def test_conda_installs_the_locked_packages_on_a_supported_python():
    environment = yaml.safe_load((ROOT / "conda-env.yml").read_text(encoding="utf-8"))
    python = next(item for item in environment["dependencies"] if isinstance(item, str) and item.startswith("python="))
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert python.removeprefix("python=") in PYTHONS
    assert pip == ["-r requirements/dev.txt"]


def test_black_and_setup_name_the_same_pythons():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["tool"]["black"]["target-version"] == [f"py{version.replace('.', '')}" for version in PYTHONS]
    assert ARGUMENTS["python_requires"] == f">={PYTHONS[0]}"
    assert settings["tool"]["mypy"]["python_version"] == PYTHONS[0]


def test_the_installed_package_names_the_same_pythons():
    from mlops.doctor import supported_pythons

    assert supported_pythons() == PYTHONS


def test_the_installed_package_has_the_files_that_its_pages_are_made_of():
    from importlib.resources import files

    there = {file.name: file.read_text(encoding="utf-8") for file in files("mlops.notebooks").iterdir() if file.is_file()}
    for name in ("review.css", "review.html", "review.js", "review_index.html"):
        assert there[name].strip(), name
    sources = [file for pattern in ARGUMENTS["package_data"][""] for file in (ROOT / "src" / "mlops").rglob(pattern)]
    found = {file.name for package in {file.parent for file in sources} for file in _installed(package).iterdir()}
    assert {file.name for file in sources} <= found


def _installed(package: Path):
    from importlib.resources import files

    return files(".".join(package.relative_to(ROOT / "src").parts))
