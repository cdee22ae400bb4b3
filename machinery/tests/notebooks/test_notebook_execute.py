"""Notebooks run on a fresh kernel; what fails is reported and its executed copy kept."""

import json
from pathlib import Path

import pytest
from command import mlops
from samples import code, notebook, stream, write

from mlops.notebooks import execute


def run(tmp_path, *cells, **options):
    path = write(tmp_path / "notebooks" / "a.ipynb", notebook(*cells))
    [result] = execute.run([path], tmp_path / "out", **options)
    return path, result


pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def no_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLOPS_PROJECT", raising=False)


def test_a_notebook_runs_in_its_folder_and_can_keep_its_outputs(tmp_path):
    where = code("import os\nprint(os.path.basename(os.getcwd()))")
    store = code("print('MLOPS__PROJECT__STORE' in os.environ)")
    path, result = run(tmp_path, where, store, write=True)
    assert result.error is None and result.copy is None and result.differing == [1, 2]
    cells = json.loads(path.read_text())["cells"]
    assert [cell["outputs"][0]["text"] for cell in cells] == [["notebooks\n"], ["True\n"]]
    assert [cell["execution_count"] for cell in cells] == [1, 2]
    assert [cell["metadata"] for cell in cells] == [{}, {}]
    [again] = execute.run([path], tmp_path / "out")
    assert again.differing == [] and list((tmp_path / "out").iterdir()) == []


def test_written_outputs_leave_the_metadata_of_the_notebook(tmp_path):
    metadata = {"title": "Tossing a coin", "jupytext": {"formats": "ipynb,py:percent"}, "papermill": {"duration": 1}}
    path = write(tmp_path / "a.ipynb", notebook(code("1 + 1", tags=["volatile"]), **metadata))
    assert [result.error for result in execute.run([path], tmp_path / "out", write=True)] == [None]
    after = json.loads(path.read_text())
    assert set(after["metadata"]) == {"title", "jupytext", "kernelspec", "language_info"}
    assert after["metadata"]["jupytext"] == metadata["jupytext"] and after["cells"][0]["metadata"] == {"tags": ["volatile"]}


def test_a_failing_cell_is_named_and_the_executed_copy_is_kept(tmp_path):
    path, result = run(tmp_path, code("print('before')"), code("1 / 0"), code("print('after')"))
    assert result.error == "cell 2: ZeroDivisionError: division by zero"
    kept = json.loads((tmp_path / "out" / "a.ipynb").read_text())
    assert "before" in json.dumps(kept) and "ZeroDivisionError" in json.dumps(kept)
    assert json.loads(path.read_text())["cells"][0]["outputs"] == []


def test_a_dying_kernel_and_an_endless_cell_are_reported(tmp_path):
    _, died = run(tmp_path, code("import os\nos._exit(1)"))
    assert "kernel" in died.error.lower()
    _, endless = run(tmp_path, code("while True:\n    pass"), timeout=2)
    assert "longer than 2 s" in endless.error


def test_an_unreadable_notebook_has_failed_and_the_others_run(tmp_path):
    bad = write(tmp_path / "b" / "bad.ipynb", {"nbformat": 4, "metadata": "x", "cells": []})
    right = write(tmp_path / "a" / "x.ipynb", notebook(code("1 + 1")))
    done = mlops("notebooks", "run", bad, right, "--output", tmp_path / "out", "--json")
    errors = {item["notebook"]: item["error"] for item in done.value}
    assert (done.code, errors.pop(str(right)), list(errors)) == (1, None, [str(bad)])
    assert errors[str(bad)].startswith("not a notebook, its metadata cannot be read")


def test_failed_notebooks_of_one_name_keep_both_copies(tmp_path):
    paths = [write(tmp_path / folder / "x.ipynb", notebook(code("1 / 0"))) for folder in "ab"]
    copies = [result.copy for result in execute.run(paths, tmp_path / "out")]
    assert copies == [str(tmp_path / "out" / folder / "x.ipynb") for folder in "ab"]
    assert all(Path(copy).is_file() for copy in copies)


@pytest.mark.parametrize("command", ["run", "export"])
def test_an_output_that_is_a_file_is_one_line(tmp_path, command):
    path = write(tmp_path / "a.ipynb", notebook(code("1 + 1")))
    done = mlops("notebooks", command, path, "--output", path)
    assert (done.code, done.error.startswith(str(path)), "cannot be written" in done.error) == (2, True, True)


def test_progress_is_no_result_but_what_is_printed_is():
    progress = {**stream("data checked\n"), "name": "stderr"}
    before = notebook(code("a", [stream("1\n"), progress]), code("b", [stream("1\n")]))
    after = notebook(code("a", [stream("1\n")]), code("b", [progress]))
    assert execute.differing_cells(before, after) == [2]


def test_what_is_volatile_does_not_count():
    before = notebook(
        code("a", [stream("took 1.23 s at 0x7f0000001234, 2025-01-01 10:00:00\n")]),
        code("b", [stream("0.1234567891\n")]),
        code("c", [stream("1\n")], tags=["volatile"]),
        code("d", [stream("1\n")]),
    )
    after = notebook(
        code("a", [stream("took 9.87 s at 0x7f00000056cd, 2026-02-03 11:22:33\n")]),
        code("b", [stream("0.1234567899\n")]),
        code("c", [stream("2\n")], tags=["volatile"]),
        code("d", [stream("2\n")]),
    )
    assert execute.differing_cells(before, after) == [4]


@pytest.mark.parametrize("output", ["", "copies"])
def test_a_run_neither_replaces_nor_removes_a_notebook_of_a_person(tmp_path, output):
    path = write(tmp_path / "a.ipynb", notebook(code("1 + 1")))
    mine = path if not output else write(tmp_path / output / "a.ipynb", notebook(code("mine = 1")))
    words = mine.read_text()
    [result] = execute.run([path], tmp_path / output)
    assert "is no executed copy" in result.error and mine.read_text() == words


def test_what_is_saved_while_a_notebook_runs_stays(tmp_path):
    edit = "from pathlib import Path\nfile = Path('a.ipynb')\nfile.write_text(file.read_text().replace('draft', 'final'))"
    path, result = run(tmp_path, code(edit), code("x = 'draft'"), write=True)
    assert "changed while it ran" in result.error and "x = 'final'" in path.read_text()
    assert Path(result.copy).is_file()
