"""Nothing tells anybody to install the project or the machinery by name from an index: the names there are not ours."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = r"mlops(?:[-_](?:template|machinery))?"
# What may stand before the name: an installer with options and other packages between, quotes or none.
INSTALLERS = r"\b(?:install|uvx|pipx run|uv add|poetry add|uv run --with|--with)\b"
PATTERNS = (
    re.compile(rf"{INSTALLERS}(?:[ \t]+(?![&|;#]|--from)\S+(?<!:))*?[ \t]+[\"'`]?{NAMES}(?![\w./:-])", re.IGNORECASE),
    # setup.py names the machinery with its extras, and the lock leaves it out: vendor/machinery.txt brings it.
    re.compile(r"(?<![\w./-])mlops(?:[-_]template)?\[[a-z]", re.IGNORECASE),
    re.compile(rf"(?<![\w./-]){NAMES}[ ]?(?:==|~=|>=)[ ]?\d", re.IGNORECASE),
    re.compile(rf"pypi\.org/(?:project|simple)/{NAMES}\b", re.IGNORECASE),
)
REQUIREMENT = re.compile(rf"(?m)^\s*(?:-\s*)?{NAMES}\s*(?:$|[\[;=<>~!@ ])", re.IGNORECASE)
REQUIREMENTS = (".in", "requirements.txt", "-env.yml", "_env.yaml")


def offers(text: str) -> list[str]:
    """Return what a text offers as something to install under one of the two names."""
    return [match[0].strip() for pattern in PATTERNS for match in pattern.finditer(text)]


def texts() -> Iterator[tuple[str, str]]:
    """Name and text of each file of the repository that is text, this one apart."""
    arguments = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in listed.split("\0"):
        file = ROOT / name
        if name and file.is_file() and file != Path(__file__).resolve():
            data = file.read_bytes()
            if b"\0" not in data:
                yield name, data.decode("utf-8", errors="replace")


@pytest.mark.parametrize(
    "text",
    [
        "pip install mlops",
        "pip install --upgrade 'mlops-template[notebooks,lint]'",
        'make setup, or: pip install "mlops-template"',
        "uv pip install numpy mlops",
        "uvx mlops new",
        "uv tool install mlops_template",
        "pipx run mlops doctor",
        "add mlops-template==0.1.0 to the requirements",
        "mlops[server]",
        "https://pypi.org/project/mlops-template/",
    ],
)
def test_an_offer_is_recognised(text: str) -> None:
    assert offers(text)


@pytest.mark.parametrize(
    "text",
    [
        "make setup installs everything; mlops run then works",
        "pip install --no-deps -e .",
        "# conda env create -f conda-env.yml && conda activate mlops-template && pip install --no-deps -e .",
        "uv pip install -r requirements/dev.txt && mlops doctor",
        "pip install ./vendor/mlops-1.0.0-py3-none-any.whl",
        "    # via mlops-template (setup.py)",
        "mlops run --set parameters.max_depth=5",
        "uvx --from ./mlops_machinery-1.0.0-py3-none-any.whl mlops new",
    ],
)
def test_what_names_the_command_or_a_file_is_no_offer(text: str) -> None:
    assert not offers(text)


def test_no_file_offers_a_distribution_that_is_not_ours() -> None:
    offered = {name: offers(text) for name, text in texts()}
    assert {name: lines for name, lines in offered.items() if lines} == {}


def test_no_list_of_requirements_names_one() -> None:
    lists = {
        name: text for name, text in texts() if name.endswith(REQUIREMENTS) or name.startswith(("requirements/", "vendor/"))
    }
    assert lists
    assert [name for name, text in lists.items() if REQUIREMENT.search(text)] == []
