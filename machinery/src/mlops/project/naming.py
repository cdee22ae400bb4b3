"""The places where a project is named, each one line of a file; the same edits serve a new project and an adopted one."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlops.project.answers import Answers


def named(files: Mapping[str, bytes], answers: Answers) -> dict[str, bytes]:
    """Return those of the files that name the project, with the names and choices of the answers in them."""
    edits = _edits(answers)
    return {path: _edited(files[path], edits[path]) for path in edits if path in files}


def _edits(answers: Answers) -> dict[str, list[tuple[str, str]]]:
    """Path → (pattern of what is replaced, replacement), each line by line."""
    name = answers.name
    classifiers = "".join(f'        "Programming Language :: Python :: {version}",\n' for version in answers.pythons)
    targets = {label.replace(".", ""): f"py{label.replace('.', '')}" for label in answers.pythons}
    return {
        "setup.py": [
            (r'^    name=".*",$', f'    name="{name}",'),
            (r'^    version=".*",$', '    version="0.1.0",'),
            (r'^    description=".*",$', f'    description="{answers.description}",'),
            (r'^    python_requires=".*",$', f'    python_requires=">={answers.pythons[0]}",'),
            (r'^(?:        "Programming Language :: Python :: 3\.\d+",\n)+', classifiers),
        ],
        "config/project.yaml": [
            (r"^name: .*$", f"name: {name}"),
            (r"^default_use_case: .*$", f"default_use_case: {answers.use_case}"),
            (r"^template: .*$", f'template: "{answers.template}"'),
        ],
        "conda-env.yml": [
            (r"^name: .*$", f"name: {name}"),
            (r"conda activate \S+", f"conda activate {name}"),
            (r"python=3\.\d+", f"python={_default_python(answers)}"),
        ],
        "python_env.yaml": [(r'^python: ".*"$', f'python: "{_default_python(answers)}"')],
        "MLproject": [(r"^name: .*$", f"name: {name}")],
        "docs/conf.py": [(r'^project = ".*"$', f'project = "{name}"'), (r'^author = ".*"$', f'author = "{answers.owner}"')],
        "tox.ini": [(r"^env_list = .*$", f"env_list = {', '.join(targets.values())}")],
    }


def _default_python(answers: Answers) -> str:
    return "3.12" if "3.12" in answers.pythons else answers.pythons[-1]


def _edited(content: bytes, edits: list[tuple[str, str]]) -> bytes:
    text = content.decode("utf-8")
    for pattern, replacement in edits:
        text = re.sub(pattern, replacement.replace("\\", r"\\"), text, flags=re.MULTILINE)
    return text.encode("utf-8")
