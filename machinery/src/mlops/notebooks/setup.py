"""Setting up git and Jupyter for notebooks, and finding out what is missing.

Git's side is local to the repository. Each command asks first whether its program is there: a driver that is configured but
missing would make `git diff` and `git merge` fail.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from mlops import files, git
from mlops.doctor import Finding
from mlops.errors import UserError
from mlops.notebooks import content, export, outputs, savehook, settings
from mlops.notebooks.gitdriver import CONFLICT, MERGED

ATTRIBUTES = "*.ipynb diff=jupyternotebook merge=jupyternotebook"
HINT = "mlops notebooks setup"
# `git difftool` asks git for a difference with a program of its own, but a driver comes before it: it hands over.
TOOL = 'if test "$GIT_EXTERNAL_DIFF" = git-difftool--helper; then git difftool--helper "$@"; exit; fi; '
# What git does with a file that no driver is for.
MERGE_AS_TEXT = 'git merge-file -L ours -L base -L theirs "$2" "$1" "$3"'
DIFF_AS_TEXT = 'diff -u "$2" "$5"; true'


def git_settings(python: str = sys.executable) -> dict[str, str]:
    """Return the settings that make git understand notebooks, `{key: value}`."""
    program = shlex.quote(python)
    driver = f"{program} -P -m mlops.notebooks.gitdriver"
    merge = f'{driver} merge "$@"; case $? in {MERGED}) ;; {CONFLICT}) false;; *) {MERGE_AS_TEXT};; esac'
    return {
        "diff.jupyternotebook.command": _guarded(program, f'{driver} diff "$@" || {{ {DIFF_AS_TEXT}; }}', DIFF_AS_TEXT, TOOL),
        "merge.jupyternotebook.name": "notebooks, cell by cell",
        "merge.jupyternotebook.driver": _guarded(program, merge, MERGE_AS_TEXT) + " %O %A %B %L %P",
        "difftool.nbdime.cmd": f'{program} -m nbdime.vcs.git.difftool diff "$LOCAL" "$REMOTE" "$BASE"',
        "mergetool.nbdime.cmd": f'{program} -m nbdime.vcs.git.mergetool merge "$BASE" "$LOCAL" "$REMOTE" "$MERGED"',
        "mergetool.nbdime.trustExitCode": "true",
    }


def set_up(root: Path) -> list[str]:
    """Write git's settings, .gitattributes and the Jupyter server extension; return what was done, one line each.

    Raises UserError where the folder is no git repository or a file cannot be written.
    """
    done = []
    for key, value in git_settings().items():
        git.git("config", "--local", key, value, root=root)
    done.append("git compares and merges notebooks cell by cell; git difftool --tool=nbdime opens the browser")
    done.append(set_filter(root, settings.read(root).outputs))
    attributes = root / ".gitattributes"
    text = attributes.read_text(encoding="utf-8") if attributes.is_file() else ""
    try:
        if ATTRIBUTES not in text:
            files.write_text(attributes, f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{ATTRIBUTES}\n")
            done.append(f"{attributes} names the drivers: commit it")
        done.append(f"{enable_extension()} exports notebooks at each save")
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be written ({error.strerror}); run this as the owner of it") from error
    return done


def set_filter(root: Path, policy: str) -> str:
    """Have git apply the policy for outputs when a notebook is committed, in this clone; return what holds now."""
    attributes = Path(git.git("rev-parse", "--path-format=absolute", "--git-path", "info/attributes", root=root))
    line = f"*.ipynb filter={outputs.FILTER}"
    lines = attributes.read_text(encoding="utf-8").splitlines() if attributes.is_file() else []
    others = [text for text in lines if text != line]
    for key, value in outputs.filter_settings().items():
        if policy != "keep":
            git.git("config", "--local", key, value, root=root)
    wanted = others if policy == "keep" else [*others, line]
    if wanted != lines:
        files.write_text(attributes, "".join(f"{text}\n" for text in wanted))
    words = {"keep": "all outputs", "strip": "no outputs", "figures": "only pictures of the outputs"}
    return f"git commits {words[policy]} of a notebook (outputs in pyproject.toml)"


def extension_file() -> Path:
    """Return the file by which every Jupyter server of this environment loads the save hook."""
    return Path(sys.prefix) / "etc" / "jupyter" / "jupyter_server_config.d" / "mlops-notebooks.json"


def enable_extension() -> Path:
    """Write the file that enables the save hook, and return it."""
    path = extension_file()
    files.write_json(path, {"ServerApp": {"jpserver_extensions": {savehook.MODULE: True}}})
    return path


def examine(root: Path) -> list[Finding]:
    """Return what notebooks need and whether it is there, with the command that repairs it."""
    findings = [_packages(), *_git(root)]
    enabled = extension_file().is_file()
    findings.append(
        Finding("save hook", enabled, str(extension_file()) if enabled else "not enabled", "" if enabled else HINT)
    )
    findings.append(_kernel())
    return [*findings, *_exports(root)]


def _guarded(program: str, command: str, otherwise: str, first: str = "") -> str:
    return f"f() {{ {first}if test -x {program}; then {command}; else {otherwise}; fi; }}; f"


def _packages() -> Finding:
    from importlib.util import find_spec

    missing = [name for name in ("nbconvert", "nbdime", "papermill", "jupyterlab", "flake8") if find_spec(name) is None]
    hint = "make setup" if missing else ""
    return Finding("packages", not missing, f"missing: {', '.join(missing)}" if missing else "all there", hint)


def _git(root: Path) -> list[Finding]:
    try:
        git.git("rev-parse", "--git-dir", root=root)
    except UserError:
        return [Finding("git", False, f"{root} is no git repository", "git init")]
    findings = []
    wanted = git_settings()
    for what, key in (("git diff", "diff.jupyternotebook.command"), ("git merge", "merge.jupyternotebook.driver")):
        process = subprocess.run(["git", "-C", str(root), "config", "--get", key], capture_output=True, text=True, check=False)
        value = process.stdout.strip()
        state = (
            "cell by cell" if value == wanted[key] else "another program" if value else "as text: the driver is not configured"
        )
        findings.append(Finding(what, value == wanted[key], state, "" if value == wanted[key] else HINT))
    attribute = git.git("check-attr", "merge", "x.ipynb", root=root).rpartition(": ")[2]
    named = attribute == "jupyternotebook"
    state = "names the drivers" if named else f"merge is {attribute}"
    findings.append(Finding(".gitattributes", named, state, "" if named else HINT))
    policy = settings.read(root).outputs
    applied = outputs.is_filtered(root) == (policy != "keep")
    state = f"outputs = {policy!r}" if applied else f"git does not apply outputs = {policy!r} when it commits"
    return [*findings, Finding("outputs", applied, state, "" if applied else HINT)]


def _kernel() -> Finding:
    from jupyter_client.kernelspec import KernelSpecManager

    installed = "python3" in KernelSpecManager().find_kernel_specs()
    hint = "" if installed else "python -m ipykernel install --sys-prefix"
    return Finding("kernel", installed, "python3" if installed else "no kernel called python3", hint)


def _exports(root: Path) -> list[Finding]:
    """Exports of saves that failed and were not fixed since, and exports without a notebook."""
    findings = []
    for name, entry in sorted(savehook.last_results().items()):
        path = Path(name)
        if entry["error"] and path.is_file() and path.resolve().is_relative_to(root.resolve()):
            findings.append(
                Finding("export", False, f"{path} at {entry.get('at')}: {entry['error']}", "fix it and save again")
            )
    for folder in content.marked_folders([root]):
        findings.extend(
            Finding("export", False, f"{path} has no notebook", "mlops notebooks export") for path in export.orphans(folder)
        )
    return findings or [Finding("exports", True, "no failed export", "")]
