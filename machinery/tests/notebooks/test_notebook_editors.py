"""A notebook that another editor wrote: exports and rules hold, and what the editor notes is no change.

VS Code as extensions/ipynb/src/serializers.ts of microsoft/vscode 08317b0b9a writes: keys sorted, lines in lists, no id where
the notebook had none. PyCharm and Colab as notebooks that they saved, in public repositories, have it.
"""

import json

import pytest
from samples import code, notebook, stream, text, write

from mlops.notebooks import changes, content, export

SOURCE = "from math import pi\n\nprint(pi)"


def lines(words):
    return [line for line in words.splitlines(keepends=True) if line]


def jupyterlab():
    return notebook(text("# Circles"), code(SOURCE, [stream("3.14\n")], 1, number=1))


def vs_code():
    """Lines in lists; the version of Python and what it was last run with."""
    saved = jupyterlab()
    for cell in saved["cells"]:
        cell["source"] = lines(cell["source"])
    saved["cells"][1]["outputs"][0]["text"] = ["3.14\n"]
    saved["cells"][1]["metadata"] = {"vscode": {"languageId": "python"}}
    saved["metadata"]["language_info"] = {"name": "python", "version": "3.13.1", "nbconvert_exporter": "python"}
    saved["metadata"]["kernelspec"] = {"display_name": ".venv", "language": "python", "name": "python3"}
    return json.dumps(saved, indent=1, sort_keys=True) + "\n"


def pycharm():
    """Format 4.0, which has no ids; notes in cells and in the notebook; no newline at the end."""
    saved = jupyterlab()
    for cell, mark in zip(saved["cells"], ("#%% md\n", "#%%\n"), strict=True):
        del cell["id"]
        cell["metadata"] |= {"collapsed": False, "pycharm": {"name": mark, "is_executing": False}}
        cell["source"] = lines(cell["source"])
    saved["metadata"]["pycharm"] = {"stem_cell": {"cell_type": "raw", "metadata": {"collapsed": False}, "source": []}}
    return json.dumps(saved | {"nbformat_minor": 0}, indent=1)


def colab():
    """Format 4.0 with Colab's own ids in the metadata; two spaces; accents as they are."""
    saved = jupyterlab()
    for cell in saved["cells"]:
        cell["metadata"] |= {"id": "aB3xQ", "outputId": "c0ffee-77", "colab": {"base_uri": "https://localhost:8080/"}}
        del cell["id"]
        cell["source"] = lines(cell["source"])
    saved["metadata"] |= {"colab": {"provenance": []}, "accelerator": "GPU"}
    return json.dumps(saved | {"nbformat_minor": 0}, indent=2, ensure_ascii=False)


@pytest.fixture(params=[vs_code, pycharm, colab])
def saved(request):
    return request.param()


@pytest.fixture
def path(tmp_path):
    (tmp_path / ".ipynb_saveprocess").touch()
    path = write(tmp_path / "circles.ipynb", jupyterlab())
    export.export(path, ["py"])
    return path


def test_what_an_editor_notes_is_no_change_and_the_export_stays_in_step(path, saved):
    script = (path.parent / "circles" / "circles.py").read_text()
    path.write_text(saved)
    before, after = content.parse(json.dumps(jupyterlab()), "before"), content.read(path)
    assert {row.kind for row in changes.compare(before, after)} == {"same"}
    assert changes.metadata_changes(before, after) == {}
    assert export.stale(path) is None
    export.export(path, ["py"])
    assert (path.parent / "circles" / "circles.py").read_text() == script


def test_an_edit_that_an_editor_saved_without_our_hook_is_a_stale_export(path, saved):
    path.write_text(saved.replace("print(pi)", "print(2 * pi)"))
    assert "circles.py" in export.stale(path)
