"""The commands of the tutorial do what its page says, from an empty folder, one after the other."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text(encoding="utf-8")
# The first creates the project, below; the last needs Docker.
[_, *STEPS, _] = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
HEADINGS = re.findall(r"^## \d\. (.*)$", PAGE, re.MULTILINE)
IDENTITY = {f"GIT_{role}_{what}": "x@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def shell(script: str, folder: Path) -> str:
    """What a step prints; fails with all of it where one of its commands fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=os.environ | IDENTITY, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.servers
@pytest.mark.timeout(900)
def test_the_commands_of_the_tutorial_lead_from_a_file_to_a_commit_that_passes(tmp_path: Path) -> None:
    begin = f"{sys.executable} -m mlops new wine-models --defaults"
    assert "mlops new wine-models --defaults" in PAGE
    subprocess.run(begin.split(), cwd=tmp_path, check=True, capture_output=True)
    project = tmp_path / "wine-models"
    printed = [shell(STEPS[0].replace("cd wine-models\n", ""), project)]
    printed += [shell(step, project) for step in STEPS[1:]]
    shown = re.findall(r"│ (macro_f1|accuracy) +│ +([\d.]+) │", PAGE)
    assert shown and re.findall(r"│ (macro_f1|accuracy) +│ +([\d.]+) │", printed[2])[:2] == shown
    assert shell("git status --porcelain", project) == ""
    assert len(HEADINGS) == 7
