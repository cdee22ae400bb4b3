"""Notebooks that no editor writes, or only a hostile one: refused in one line, or shown, in seconds."""

import json
import random

import pytest
from command import mlops
from samples import code, notebook, shown, stream, text, write

from mlops.errors import UserError
from mlops.notebooks import changes, content, execute, export, outputs, pages, plotly, review

HALF = "\ud800"  # of a surrogate pair: JSON may hold it, UTF-8 may not
OLDEST = {
    "nbformat": 3,
    "nbformat_minor": 0,
    "metadata": {"name": ""},
    "worksheets": [
        {
            "cells": [
                {
                    "cell_type": "code",
                    "input": ["def f():\n", "    return 1\n", "print(f())"],
                    "language": "python",
                    "outputs": [{"output_type": "stream", "stream": "stdout", "text": "1\n"}],
                }
            ]
        }
    ],
}


def both(before, after):
    """What a review writes of two notebooks: the Markdown and the page."""
    sides = [content.parse(json.dumps(side), "a") for side in (before, after)]
    changed = changes.NotebookChange("a.ipynb", "changed", *sides, changes.compare(*sides), "a.ipynb")
    return review.markdown([changed]), pages.page([changed])


@pytest.mark.parametrize(
    "cell",
    [
        code("x", tags=[{"a": 1}]),
        code("x", [{"output_type": "error", "ename": "E", "evalue": "", "traceback": 5}]),
        code("x", [shown(text_plain=[1])]),
        code("x", [shown(text_markdown={"a": 1})]),
        code("x", [shown(image_png=None)]),
        dict(code("x"), id=["x"]),
        dict(text("![x](attachment:x)"), attachments=["x"]),
        dict(text("![x](attachment:x)"), attachments={"x": "y"}),
    ],
)
def test_a_cell_that_is_not_built_as_nbformat_says_is_named(cell):
    with pytest.raises(UserError, match="a.ipynb: not a notebook, its cell 2 cannot be read"):
        content.parse(json.dumps({**notebook(), "cells": [code("x"), cell]}), "a.ipynb")


def deep(levels):
    value = "x"
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "cell",
    [
        code("x", m=deep(400)),
        code("x", [shown(application_json=deep(400))]),
        code("x", [{"output_type": "display_data", "data": {"application/vnd.plotly.v1+json": {"data": [{"y": [10**400]}]}}}]),
        text(f"{HALF} \0 ﻿"),
        code(f"x = '{HALF}'", [stream(f"{HALF}\0"), shown(text_html=f"<b>{HALF}\0</b>")]),
    ],
)
def test_odd_values_are_shown(tmp_path, cell):
    words, page = both(notebook(code("y")), notebook(cell))
    assert "Cell 1" in words and "n1-c1" in page
    words.encode()
    path = write(tmp_path / "a.ipynb", notebook(cell))
    assert content.parse(outputs.as_text(content.read(path)).encode(), "a") == content.read(path)


def test_a_figure_of_numbers_too_large_to_draw_leaves_them_out():
    assert plotly.svg({"data": [{"y": [10**400, 1e308, -1e308, float("inf")]}]}) == ""


# What ends in seconds now took minutes, or did not end.
ENDS = pytest.mark.timeout(120)


@ENDS
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([shown(text_html="<div>" * 20_000)], [shown(text_html="<script>x</script>" + "<b><div>" * 9_000)]),
        ([shown(text_html="<table><tr><td>" * 9_000)], []),
    ],
)
def test_what_is_nested_too_deeply_for_a_browser_is_shown_as_text(before, after):
    _, page = both(notebook(code("x", before)), notebook(code("x", after)))
    assert "&lt;" in page


@ENDS
def test_large_numbers_of_words_that_changed_are_compared_in_seconds():
    numbers = random.Random(1)
    sides = ["\n".join(",".join(f"{numbers.random():.3f}" for _ in range(99)) for _ in range(1_400)) for _ in range(2)]
    _, page = both(*(notebook(code(side, [shown(text_plain=side)])) for side in sides))
    assert len(page) < 4_000_000 and "more lines" in page


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
@pytest.mark.parametrize("ends", [b"\r\n", b"\n"])
def test_a_file_with_a_byte_order_mark_and_any_line_ends_is_handled(tmp_path, mark, ends):
    raw = json.dumps(notebook(code("print(1)", [stream("1\n")], 1)), indent=1).encode().replace(b"\n", ends)
    path = tmp_path / "a.ipynb"
    path.write_bytes(mark + raw)
    [script] = export.export(path, ["py"])
    assert "print(1)" in script.read_text()
    assert outputs.apply(path, "strip") and json.loads(path.read_bytes())["cells"][0]["outputs"] == []


def test_a_notebook_of_format_3_is_stripped_run_and_written_as_one_of_today(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLOPS_PROJECT", raising=False)
    path = write(tmp_path / "a.ipynb", OLDEST)
    assert not outputs.apply(path, "keep") and json.loads(path.read_text()) == OLDEST
    assert outputs.apply(path, "strip") and content.read(path)["cells"][0]["outputs"] == []
    write(path, OLDEST)
    (result,) = execute.run([path], tmp_path / "out", write=True, store=False)
    assert (result.error, content.read(path)["cells"][0]["outputs"][0]["text"]) == (None, "1\n")


@pytest.mark.parametrize("words", ["{", '{"nbformat": 4}'])
def test_extract_refuses_what_is_no_notebook_in_one_line(tmp_path, monkeypatch, words):
    write(tmp_path / "config" / "project.yaml", {"name": "test", "default_use_case": "none"})
    monkeypatch.setenv("MLOPS_PROJECT", str(tmp_path))
    path = tmp_path / "a.ipynb"
    path.write_text(words)
    done = mlops("notebooks", "extract", path, "--cells", "1", "--to", tmp_path / "src" / "x.py")
    assert done.code == 2 and "not a notebook" in done.error and "\n" not in done.error.strip()


@ENDS
def test_thousands_of_equal_cells_are_compared_in_seconds():
    sides = [
        {**notebook(), "cells": [dict(code("x" if n % step == 0 else ""), id=f"c{n}") for n in range(3_000)]}
        for step in (7, 11)
    ]
    rows = changes.compare(*sides)
    assert {row.kind for row in rows} == {"same", "changed"}


@ENDS
def test_a_large_value_of_json_of_which_much_changed_is_compared_in_seconds():
    sides = [{f"key {n}": [side, n, "value " * 9] for n in range(60_000)} for side in (0, 1)]
    _, page = both(*(notebook(code("x", [shown(application_json=side)])) for side in sides))
    assert len(page) < 4_000_000 and "more lines" in page
