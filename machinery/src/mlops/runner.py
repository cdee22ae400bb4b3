"""What a workflow run tells a command, and what a command tells the run: event, summary, notices."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from mlops.console import note
from mlops.errors import UserError
from mlops.git import in_actions


def event_name() -> str:
    """Return the name of the event that started the workflow, "" outside of one."""
    return os.environ.get("GITHUB_EVENT_NAME", "") if in_actions() else ""


def event() -> dict[str, Any]:
    """Return the payload of the event, empty outside of a workflow; raise UserError where its file cannot be read."""
    path = os.environ.get("GITHUB_EVENT_PATH", "")
    if not path or not in_actions():
        return {}
    try:
        return dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(f"the event of the workflow cannot be read at {path}: {error}") from error


def summary(markdown: str) -> None:
    """Add to the summary page of the job; outside of a workflow print it."""
    path = os.environ.get("GITHUB_STEP_SUMMARY", "")
    if path and in_actions():
        with open(path, "a", encoding="utf-8") as file:
            file.write(markdown.rstrip("\n") + "\n\n")
    else:
        note(markdown.rstrip("\n"))


def notice(message: str, level: str = "notice") -> None:
    """Show a line on the page of the run (level: notice, warning or error); outside of a workflow print it."""
    if in_actions():
        sys.stderr.write(f"::{level}::{_escaped(message)}\n")
        sys.stderr.flush()
    else:
        note(message)


def annotation(message: str, file: str, line: int | None = None, title: str = "") -> None:
    """Show an error at a line of a file of the pull request; outside of a workflow do nothing.

    file: seen from the repository's root. GitHub shows ten errors of a step.
    """
    if not in_actions():
        return
    values = {"file": file, "line": str(line or ""), "title": title}
    properties = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in values.items() if value)
    sys.stderr.write(f"::error {properties}::{_escaped(message)}\n")
    sys.stderr.flush()


def page() -> str:
    """Return the address of the run's page, where its artifacts are; "" outside of a workflow."""
    if not in_actions():
        return ""
    server, repository = os.environ.get("GITHUB_SERVER_URL", "https://github.com"), os.environ.get("GITHUB_REPOSITORY", "")
    return f"{server}/{repository}/actions/runs/{os.environ.get('GITHUB_RUN_ID', '')}#artifacts"


def output(name: str, value: str) -> None:
    """Hand a value of one line to the later jobs of the run; does nothing outside of a workflow."""
    _assign("GITHUB_OUTPUT", f"output {name}", f"{name}={value}")


def variable(name: str, value: str) -> None:
    """Set a variable for the later steps of the job; does nothing outside of a workflow."""
    _assign("GITHUB_ENV", f"variable {name}", f"{name}={value}")


def path(folder: str) -> None:
    """Put a folder of programs in front of the path of the job's later steps; does nothing outside of a workflow."""
    _assign("GITHUB_PATH", "path", folder)


def _escaped(text: str, more: str = "") -> str:
    """A text in which neither a line end nor a sign of `more` ends the value of a workflow command."""
    return "".join(f"%{ord(sign):02X}" if sign in f"%\r\n{more}" else sign for sign in text)


def _assign(file: str, what: str, line: str) -> None:
    """Add a line to the file that a variable of the runner names."""
    path = os.environ.get(file, "")
    if path and in_actions():
        if "\n" in line:
            raise UserError(f"the {what} must be one line")
        with open(path, "a", encoding="utf-8") as target:
            target.write(f"{line}\n")
