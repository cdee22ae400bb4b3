"""Git with the drivers: merges that text cannot do, and no harm where the drivers are missing."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
import requests
from samples import code, eventually, notebook, stream, write

from mlops.notebooks import gitdriver, setup


@pytest.fixture
def drivers(repository, tmp_path, monkeypatch):
    monkeypatch.setattr(setup, "extension_file", lambda: tmp_path / "etc" / "mlops-notebooks.json")
    setup.set_up(repository.root)
    return repository


def conflict(repository):
    """Both sides ran the same cell again and changed another one: text conflicts, cells do not."""
    path = repository.root / "a.ipynb"

    def save(first, second, count):
        cells = [code(first, [stream(f"{count}\n")], count), code("middle = 0"), code(second, [stream("z\n")], count + 1)]
        path.write_text(json.dumps(notebook(*cells), indent=1))

    save("x = 1", "y = 1", 1)
    repository.commit()
    repository.git("checkout", "-q", "-b", "theirs")
    save("x = 1", "y = 'theirs'", 10)
    repository.commit()
    repository.git("checkout", "-q", "main")
    save("x = 'ours'", "y = 1", 20)
    repository.commit()
    return path, repository.git("merge", "-q", "theirs", "-m", "merge", check=False)


def test_git_alone_breaks_the_notebook(repository):
    path, merged = conflict(repository)
    assert merged.returncode != 0
    with pytest.raises(ValueError):
        json.loads(path.read_text())


def test_the_driver_merges_it(drivers):
    path, merged = conflict(drivers)
    assert merged.returncode == 0, merged.stderr
    sources = ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]
    assert sources == ["x = 'ours'", "middle = 0", "y = 'theirs'"]


def test_a_diff_shows_cells(drivers):
    path = write(drivers.root / "a.ipynb", notebook(code("x = 1", count=1)))
    drivers.commit()
    write(path, notebook(code("x = 2", count=9)))
    shown = drivers.git("diff").stdout
    assert "nbdiff" in shown and "x = 2" in shown


def test_where_the_program_is_gone_git_works_as_with_text(drivers):
    for key, value in setup.git_settings("/nowhere/bin/python").items():
        drivers.git("config", "--local", key, value)
    path = write(drivers.root / "a.ipynb", notebook(code("x = 1")))
    drivers.commit()
    write(path, notebook(code("x = 2")))
    assert "x = 2" in drivers.git("diff").stdout
    drivers.commit()
    _, merged = conflict(drivers)
    assert "CONFLICT" in merged.stdout


def test_the_fallback_merges_text(tmp_path):
    files = [tmp_path / name for name in ("base", "ours", "theirs")]
    for file, words in zip(files, ["a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n"], strict=True):
        file.write_text(words)
    assert gitdriver.plain("merge", [str(file) for file in files]) == 0
    assert files[1].read_text() == "A\nb\nC\n"


def test_setup_may_be_repeated(drivers):
    before = (drivers.root / ".gitattributes").read_text()
    setup.set_up(drivers.root)
    assert (drivers.root / ".gitattributes").read_text() == before == f"{setup.ATTRIBUTES}\n"


def test_the_doctor_names_what_is_missing_and_how_to_fix_it(repository, tmp_path, monkeypatch):
    monkeypatch.setattr(setup, "extension_file", lambda: tmp_path / "etc" / "mlops-notebooks.json")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    before = {finding.what: finding for finding in setup.examine(repository.root)}
    for what in ("git diff", "git merge", ".gitattributes", "save hook"):
        assert not before[what].ok and before[what].hint == setup.HINT
    setup.set_up(repository.root)
    assert [finding for finding in setup.examine(repository.root) if not finding.ok] == []


def test_the_doctor_reports_exports_that_failed_until_they_are_fixed(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    path = write(repository.root / "a.ipynb", notebook())
    log = tmp_path / "runtime" / "mlops-exports.jsonl"
    log.parent.mkdir()
    log.write_text(json.dumps({"notebook": str(path), "error": "disk full", "at": "now"}) + "\nnot json\n")
    assert any("disk full" in finding.detail for finding in setup.examine(repository.root) if not finding.ok)
    with log.open("a") as file:
        file.write(json.dumps({"notebook": str(path), "error": None, "at": "later"}) + "\n")
    assert not any("disk full" in finding.detail for finding in setup.examine(repository.root))


def python_that(tmp_path, *lines):
    """A Python in the configuration whose environment is as the lines say, as on an older branch or after a broken update."""
    program = tmp_path / "python"
    program.write_text("\n".join(["#!/bin/sh", *lines, f'exec {sys.executable} "$@"', ""]))
    program.chmod(0o755)
    return str(program)


def without(tmp_path, module, words):
    """Lines for `python_that`: a module of that name stands before the installed one."""
    package = tmp_path / "shadow" / module
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(words)
    return f"export PYTHONPATH={tmp_path / 'shadow'}"


FAILURES = {
    "an older branch": lambda tmp_path: without(tmp_path, "mlops", ""),
    "a broken import": lambda tmp_path: without(tmp_path, "mlops", "import no_such_module"),
    "no nbdime": lambda tmp_path: without(tmp_path, "nbdime", "raise ImportError('gone')"),
    "an nbdime that breaks": lambda tmp_path: without(tmp_path, "nbdime", "raise RuntimeError('broken')"),
    "an nbdime that exits": lambda tmp_path: without(tmp_path, "nbdime", "raise SystemExit(3)"),
    "a Python that is killed": lambda tmp_path: "kill -9 $$",
    "a Python that cannot start": lambda tmp_path: "exit 127",
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_driver_that_cannot_do_its_work_leaves_the_marks_of_git(drivers, tmp_path, failure):
    for key, value in setup.git_settings(python_that(tmp_path, FAILURES[failure](tmp_path))).items():
        drivers.git("config", "--local", key, value)
    path, merged = conflict(drivers)
    assert merged.returncode == 1 and "CONFLICT" in merged.stdout
    words = path.read_text()
    assert words.count("<<<<<<< ours") >= 1 and "'ours'" in words and "'theirs'" in words


@pytest.mark.parametrize("failure", FAILURES)
def test_a_driver_that_cannot_do_its_work_shows_the_difference_as_text(drivers, tmp_path, failure):
    for key, value in setup.git_settings(python_that(tmp_path, FAILURES[failure](tmp_path))).items():
        drivers.git("config", "--local", key, value)
    path = write(drivers.root / "a.ipynb", notebook(code("x = 1")))
    drivers.commit()
    write(path, notebook(code("x = 2")))
    assert "x = 2" in drivers.git("diff").stdout


def test_what_is_no_notebook_is_merged_as_text(drivers):
    path = drivers.root / "a.ipynb"
    path.write_text("{ one\n")
    drivers.commit()
    drivers.git("checkout", "-q", "-b", "theirs")
    path.write_text("{ theirs\n")
    drivers.commit()
    drivers.git("checkout", "-q", "main")
    path.write_text("{ ours\n")
    drivers.commit()
    merged = drivers.git("merge", "-q", "theirs", check=False)
    assert merged.returncode == 1
    assert path.read_text() == "<<<<<<< ours\n{ ours\n=======\n{ theirs\n>>>>>>> theirs\n"


def test_a_conflict_within_a_cell_stays_a_notebook_with_marks(drivers):
    path = drivers.root / "a.ipynb"
    write(path, notebook(code("x = 1")))
    drivers.commit()
    drivers.git("checkout", "-q", "-b", "theirs")
    write(path, notebook(code("x = 'theirs'")))
    drivers.commit()
    drivers.git("checkout", "-q", "main")
    write(path, notebook(code("x = 'ours'")))
    drivers.commit()
    merged = drivers.git("merge", "-q", "theirs", check=False)
    assert merged.returncode == 1 and "CONFLICT" in merged.stdout
    assert "<<<<<<<" in "".join(json.loads(path.read_text())["cells"][0]["source"])


def changed(repository):
    path = write(repository.root / "a.ipynb", notebook(code("x = 1")))
    repository.commit()
    write(path, notebook(code("x = 2")))


def test_git_difftool_starts_the_tool_that_is_asked_for(drivers, tmp_path):
    drivers.git("config", "difftool.mine.cmd", f'cat "$LOCAL" "$REMOTE" > {tmp_path / "seen"}')
    changed(drivers)
    drivers.git("difftool", "-y", "--tool=mine")
    seen = (tmp_path / "seen").read_text()
    assert "x = 1" in seen and "x = 2" in seen


@pytest.mark.servers
def test_git_difftool_with_nbdime_opens_the_browser(drivers, tmp_path, monkeypatch):
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path / "address"}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    changed(drivers)
    command = ["git", "-C", str(drivers.root), "difftool", "-y", "--tool=nbdime"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as tool:
        try:
            address = eventually(lambda: (tmp_path / "address").read_text().strip())
            page = requests.get(address, timeout=30)
        finally:
            os.killpg(tool.pid, signal.SIGTERM)
    assert page.ok and "/difftool" in address and "a.ipynb" in page.text


def saved_by(version, model):
    """What JupyterLab and VS Code write of their machine."""
    return {
        "kernelspec": {"name": f"venv-{version}", "display_name": f"Python {version}", "language": "python"},
        "language_info": {"name": "python", "version": version, "codemirror_mode": {"name": "ipython", "version": 3}},
        "widgets": {STATE: {"state": {model: {"model_name": "SliderModel"}}, "version_major": 2, "version_minor": 0}},
    }


STATE = "application/vnd.jupyter.widget-state+json"


def test_two_environments_are_no_conflict(drivers):
    path = write(drivers.root / "a.ipynb", notebook(code("x = 1"), code("y = 1"), **saved_by("3.11.1", "m1")))
    drivers.commit()
    drivers.git("checkout", "-q", "-b", "theirs")
    write(path, notebook(code("x = 1"), code("y = 2"), **saved_by("3.12.4", "m2")))
    drivers.commit()
    drivers.git("checkout", "-q", "main")
    write(path, notebook(code("x = 2"), code("y = 1"), **saved_by("3.13.0", "m3")))
    drivers.commit()
    merged = drivers.git("merge", "-q", "theirs", "-m", "merge", check=False)
    assert merged.returncode == 0, merged.stdout
    result = json.loads(path.read_text())
    assert ["".join(cell["source"]) for cell in result["cells"]] == ["x = 2", "y = 2"]
    assert result["metadata"]["language_info"]["version"] == "3.13.0" and "nbdime-conflicts" not in result["metadata"]
    assert set(result["metadata"]["widgets"][STATE]["state"]) >= {"m2", "m3"}


def test_another_environment_is_no_difference_and_another_language_is(drivers):
    path = write(drivers.root / "a.ipynb", notebook(code("x = 1"), **saved_by("3.11.1", "m1")))
    drivers.commit()
    write(path, notebook(code("x = 1"), **saved_by("3.13.0", "m3")))
    assert "3.13" not in drivers.git("diff").stdout and "m3" not in drivers.git("diff").stdout
    write(path, notebook(code("x = 1"), language_info={"name": "R"}))
    assert re.search(r"\+.*\br\b", drivers.git("diff").stdout)
