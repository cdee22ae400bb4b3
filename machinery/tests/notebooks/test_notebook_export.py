"""Exports are the same for the same notebook, can be read by Python, and stay within their folder."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import bs4
import pytest
from command import mlops
from samples import PNG, code, notebook, shown, stream, text, write

from mlops.errors import UserError
from mlops.notebooks import content, css_select, export, rules

WIDGET = {"application/vnd.jupyter.widget-view+json": {"model_id": "m1", "version_major": 2, "version_minor": 0}}
STATE = {"application/vnd.jupyter.widget-state+json": {"state": {"m1": {}}, "version_major": 2, "version_minor": 0}}


# What nbconvert looks for in a page: pictures without a description, and inputs and outputs within the notebook.
MARKUP = [
    "<img src=x><IMG SRC=x ALT=''><img src=x alt><svg><image/><img src=x></svg><!-- <img src=x> -->",
    "<div class='jp-OutputArea-output'></div><div class='x\n jp-OutputArea-output\ty'></div><DIV CLASS=jp-OutputArea-output>",
    "<span class='jp-OutputArea-output'></span><div class='JP-OutputArea-Output'></div><div class></div>",
    "<iframe srcdoc=x><img src=x><div class='jp-Cell-inputWrapper'></div></iframe>",
    "</main></body><div class='jp-Cell-inputWrapper'></div><main class='a jp-Notebook'><div class='jp-Cell-inputWrapper'>",
]
TEMPLATE = "<template><img src=x><div class='jp-OutputArea-output'>in</div></template>"


def rich():
    widget = {"output_type": "display_data", "metadata": {}, "data": {"text/plain": "Slider()", **WIDGET}}
    script = {"output_type": "display_data", "metadata": {}, "data": {"application/javascript": "window.shown = 1"}}
    picture = {"output_type": "display_data", "metadata": {}, "data": {"image/png": PNG}}
    return notebook(text("# Title\n\n*words*"), code("x = 1", [widget, script, picture, stream("hello")]), widgets=STATE)


def test_the_same_notebook_gives_the_same_bytes(tmp_path):
    path = write(tmp_path / "a.ipynb", rich())
    first = [target.read_bytes() for target in export.export(path, output=tmp_path / "one")]
    second = [target.read_bytes() for target in export.export(path, output=tmp_path / "two")]
    assert len(first) == 2 and first == second


def test_running_again_without_a_change_writes_nothing(marked):
    value = rich()
    path = write(marked / "a.ipynb", value)
    assert len(export.export(path)) == 2
    value["cells"][1]["execution_count"] = 7
    write(path, value)
    assert export.export(path) == []


def picture_of_a_size(value):
    value["cells"][1]["outputs"][2]["metadata"] = {"image/png": {"width": 7}}


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["cells"][1]["metadata"].update(jupyter={"source_hidden": True}),
        lambda value: value["cells"][1]["metadata"].update(tags=["mine"]),
        lambda value: value["cells"][1].update(id="other"),
        lambda value: value["metadata"].update(title="Another title"),
        picture_of_a_size,
    ],
)
def test_all_that_a_page_shows_makes_a_new_page(marked, change):
    value = rich()
    path = write(marked / "a.ipynb", value)
    export.export(path, ["html"])
    change(value)
    write(path, value)
    [page] = export.export(path, ["html"])
    assert page.read_text(encoding="utf-8") == export.page(content.read(path), "a")


def test_a_sanitized_page_does_not_stay_for_a_usual_one(marked):
    path = write(marked / "a.ipynb", rich())
    export.export(path, ["html"], sanitize=True)
    [page] = export.export(path, ["html"])
    assert page.read_text(encoding="utf-8") == export.page(content.read(path), "a")


def test_widgets_and_pictures_are_on_the_page():
    page = export.page(rich(), "a")
    assert "widget-view+json" in page and PNG in page and "window.shown" in page


def test_a_sanitized_page_has_no_script_of_the_notebook():
    attacks = ["<script>window.a=1</script>", "<img src=x onerror='window.a=1'>", "<a href='javascript:window.a=1'>x</a>"]
    cells = [text(attack) for attack in attacks] + [code("x", [shown(text_html=attack) for attack in attacks])]
    page = export.page(notebook(*cells, *rich()["cells"]), "a", sanitize=True)
    body = page[page.index("<body") :]
    assert not re.search(r"<[^>]*(onerror|javascript:window)", body)
    assert "window.a=1</script>" not in body and "window.shown" not in body


@pytest.mark.parametrize("selector", css_select.KNOWN)
@pytest.mark.parametrize("more", ["", TEMPLATE])
def test_quick_selectors_find_what_soupsieve_finds(selector, more):
    soup = bs4.BeautifulSoup(f"<main class='jp-Notebook'>{''.join(MARKUP)}{more}</main>{MARKUP[1]}", "html.parser")
    selected = css_select.select(selector, soup)
    assert selected and list(map(id, selected)) == list(map(id, css_select._soupsieve().select(selector, soup)))


def test_other_selectors_go_to_soupsieve():
    soup = bs4.BeautifulSoup("".join(MARKUP), "html.parser")
    assert css_select.select("div > img, svg img", soup) == soup.find_all("svg")[0].find_all("img")
    assert len(css_select.select("img:not([alt])", soup, None, 1)) == 1
    assert css_select.escape("a.b") == r"a\.b"


@pytest.mark.parametrize("options", [[], ["--sanitize"]])
def test_the_command_writes_what_nbconvert_writes_and_compiles_no_selector(tmp_path, monkeypatch, options):
    value = notebook(*map(text, MARKUP), *(code("x", [shown(text_html=markup)]) for markup in MARKUP), *rich()["cells"])
    path = write(tmp_path / "a.ipynb", value)
    command = ["mlops", "notebooks", "export", "--format", "html", *options, str(path)]
    run = subprocess.run([sys.executable, "-X", "importtime", "-m", *command], check=True, capture_output=True, text=True)
    monkeypatch.setattr("bs4.css.soupsieve", css_select._soupsieve())
    expected = export.page(content.read(path), "a", sanitize=bool(options))
    assert (tmp_path / "a" / "a.html").read_text(encoding="utf-8") == expected
    assert "nbconvert" in run.stderr and "soupsieve" not in run.stderr


@pytest.mark.parametrize(
    "source",
    [
        "%matplotlib inline\nx = 1",
        "!ls\nfor n in range(3):\n    %timeit n",
        "%%bash\necho 'a",
        "files = !ls",
        "print?",
        "def broken(:\n    pass",
        "await thing()",
        "'''a\n%b'''",
        "\ud800",
        "abc\0",
    ],
)
def test_the_script_of_any_cell_can_be_parsed(source):
    script = export.script(notebook(code(source)), "a")
    compile(script.encode("utf-8", "replace"), "a", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert source.split()[0].lstrip("%!")[:3].rstrip("?") in script


def test_another_language_becomes_comments():
    script = export.script(notebook(code("x <- 1"), language_info={"name": "R"}), "a")
    assert "# x <- 1" in script and not ast.parse(script).body


def test_cells_without_ids_and_old_formats_are_exported(tmp_path):
    old = {"nbformat": 4, "nbformat_minor": 2, "metadata": {}, "cells": [dict(code("x = 1"))]}
    del old["cells"][0]["id"]
    assert export.page(content.read(write(tmp_path / "a.ipynb", old)), "a") == export.page(old, "a")
    oldest = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": ""},
        "worksheets": [{"cells": [{"cell_type": "code", "input": ["y = 2"], "outputs": [], "language": "python"}]}],
    }
    assert "y = 2" in export.script(content.read(write(tmp_path / "b.ipynb", oldest)), "b")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("{", "line 1"),
        ("[]", "nbformat is missing"),
        ('{"nbformat": 4}', "cells"),
        ('{"nbformat": 4, "cells": [], "metadata": "x"}', "metadata"),
        ('{"nbformat": 4, "cells": [], "metadata": {"kernelspec": null}}', "metadata"),
        ('{"nbformat": 4, "cells": [{"cell_type": "raw"}, {"cell_type": "code", "source": [1]}]}', "cell 2"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "outputs": ["x"]}]}', "cell 1"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "outputs": [{"data": "x"}]}]}', "cell 1"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "metadata": {"tags": 1}}]}', "cell 1"),
        (
            '{"nbformat": 4, "cells": [{"cell_type": "code", "outputs": [{"output_type": "x"}]}]}',
            r"nbconvert refuses it .\w*ValidationError",
        ),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "id": ["x"]}]}', "cell 1"),
        ("", "line 1"),
        ("{\n<<<<<<< ours\n", "conflict"),
    ],
)
def test_what_is_no_notebook_is_refused_in_one_line(tmp_path, words, message):
    path = tmp_path / "a.ipynb"
    path.write_text(words)
    with pytest.raises(UserError, match=message) as refused:
        export.export(path)
    assert "a.ipynb" in str(refused.value) and "\n" not in str(refused.value)


def test_a_stale_or_missing_script_is_found(marked):
    path = write(marked / "a.ipynb", notebook(code("x = 1")))
    assert "missing" in export.stale(path)
    export.export(path, ["py"])
    assert export.stale(path) is None
    write(path, notebook(code("x = 2")))
    assert "older" in export.stale(path)


@pytest.mark.parametrize("source", ["x = 1\r\ny = 2\r\n", "x = 1\ry = 2", "'''a\r\nb'''", "x = '\ud800'"])
def test_an_export_is_in_step_whatever_the_line_ends_and_characters(marked, source):
    path = write(marked / "a.ipynb", notebook(code(source), text(source)))
    [written] = export.export(path, ["py"])
    assert export.stale(path) is None and b"\r" not in written.read_bytes()
    assert rules.check(marked, [path], flake8=False) == []
    written.write_bytes(written.read_bytes() + b"\xff")
    assert "older" in export.stale(path)


def test_notebooks_of_one_name_are_exported_side_by_side(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in "ab":
        write(tmp_path / folder / "x.ipynb", notebook(code(f"here = '{folder}'")))
    done = mlops("notebooks", "export", "--format", "py", "--output", "out", "a/x.ipynb", tmp_path / "b" / "x.ipynb")
    assert done.code == 0
    assert ["here = 'a'" in Path(f"out/{folder}/x/x.py").read_text() for folder in "ab"] == [True, False]
    assert mlops("notebooks", "export", "--format", "py", "--output", "out", "a/x.ipynb").code == 0
    assert "here = 'a'" in Path("out/x/x.py").read_text()


def test_exports_of_a_removed_notebook_go_and_other_files_stay(marked):
    path = write(marked / "a.ipynb", rich())
    export.export(path)
    (marked / "a" / "notes.txt").write_text("mine")
    (marked / "b").mkdir()
    (marked / "b" / "b.py").write_text("mine = 1\n")
    path.unlink()
    assert [gone.name for gone in export.prune(marked)] == ["a.py", "a.html"]
    assert (marked / "a" / "notes.txt").is_file() and (marked / "b" / "b.py").is_file()


def test_a_linked_file_is_not_written_through(marked, tmp_path_factory):
    target = tmp_path_factory.mktemp("elsewhere") / "a.py"
    path = write(marked / "a.ipynb", rich())
    (marked / "a").mkdir()
    (marked / "a" / "a.py").symlink_to(target)
    with pytest.raises(UserError, match="symbolic link"):
        export.export(path, ["py"])
    assert not target.exists()


def test_a_crash_while_writing_leaves_the_old_export(marked, monkeypatch):
    path = write(marked / "a.ipynb", notebook(code("x = 1")))
    export.export(path, ["py"])
    before = (marked / "a" / "a.py").read_text()
    write(path, notebook(code("x = 2")))

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(UserError, match="No space left"):
        export.export(path, ["py"])
    assert [(file.name, file.read_text()) for file in (marked / "a").iterdir()] == [("a.py", before)]


def test_long_outputs_are_cut_with_a_remark(tmp_path):
    page = export.page(notebook(code("x", [stream("y" * 3_000_000)])), "a")
    assert "2,000,000 more characters left out" in page and len(page) < 2_500_000
    assert len(json.dumps(content.limited(notebook(code("x", [stream("y" * 3_000_000)]))))) < 1_100_000


HAND_WRITTEN = ["def total(prices):\n    return sum(prices)\n", "# Exported from the old system\nx = 1\n", "", "\ufeffx = 1"]


@pytest.mark.parametrize("words", HAND_WRITTEN)
@pytest.mark.parametrize("kind", export.FORMATS)
def test_a_file_of_a_person_is_never_written_over_or_removed(marked, words, kind):
    mine = marked / "features" / f"features.{kind}"
    mine.parent.mkdir()
    mine.write_text(words, encoding="utf-8")
    path = write(marked / "features.ipynb", notebook(code("x = 1")))
    with pytest.raises(UserError, match=f"features.{kind}: not written by mlops notebooks export"):
        export.export(path)
    assert [file.name for file in mine.parent.iterdir()] == [mine.name], "the refused export writes nothing beside it"
    assert mlops("notebooks", "export", path).code != 0
    path.unlink()
    assert export.prune(marked) == []
    assert mine.read_text(encoding="utf-8") == words


def test_the_check_says_why_a_script_of_a_person_is_no_export(marked):
    (marked / "a").mkdir()
    (marked / "a" / "a.py").write_text("mine = 1\n")
    path = write(marked / "a.ipynb", notebook(code("x = 1")))
    assert "not written by mlops notebooks export" in export.stale(path)


def test_exports_with_other_line_ends_or_conflict_marks_are_replaced(marked):
    path = write(marked / "a.ipynb", notebook(code("x = 1")))
    for count, before in enumerate([b"", b"<<<<<<< ours\r\n"]):
        write(path, notebook(code(f"x = {count}")))
        [script] = export.export(path, ["py"])
        script.write_bytes(before + script.read_bytes().replace(b"\n", b"\r\n"))
    write(path, notebook(code("x = 2")))
    assert export.export(path, ["py"]) == [script]


def test_the_script_holds_as_code_what_ipython_runs():
    sources = ["files = !ls\nx = 1", "%%time\ny = await thing()", "%%capture out\n%matplotlib inline\nz = 3", "%%bash\nw = 4"]
    tree = ast.parse(export.script(notebook(*map(code, sources)), "a"))
    assigned = [node.targets[0].id for node in tree.body if isinstance(node, ast.Assign)]
    assert assigned == ["files", "x", "y", "z"]


def test_one_bad_notebook_does_not_end_the_batch(marked, monkeypatch):
    monkeypatch.chdir(marked)
    (marked / "a.ipynb").write_text("{")
    (marked / "b").mkdir()
    (marked / "b" / "b.py").write_text("mine = 1\n")
    for name in "bc":
        write(marked / f"{name}.ipynb", notebook(code("x = 1")))
    done = mlops("notebooks", "export", "--format", "py", marked)
    assert done.code != 0 and "a.ipynb" in done.error and "b.py" in done.err
    assert (marked / "c" / "c.py").is_file()
    done = mlops("notebooks", "export", "--format", "py", marked, "--json")
    assert (done.code, sorted(Path(path).name for path in done.value["failed"])) == (1, ["a.ipynb", "b.ipynb"])
    done = mlops("notebooks", "export", "--check", marked, "--json")
    assert (done.code, [Path(entry["notebook"]).name for entry in done.value]) == (1, ["a.ipynb", "b.ipynb"])


def test_exports_of_the_last_notebook_of_a_folder_are_found(marked):
    write(marked / "config" / "project.yaml", {"name": "test", "default_use_case": "none"})
    path = write(marked / "sub" / "a.ipynb", notebook(code("x = 1")))
    (path.parent / ".ipynb_saveprocess").touch()
    [script] = export.export(path, ["py"])
    path.unlink()
    done = mlops("notebooks", "export", "--check", marked, "--json")
    assert (done.code, [entry["notebook"] for entry in done.value]) == (1, [str(script)])
    done = mlops("notebooks", "export", marked, "--json")
    assert (done.code, done.value["removed"], script.exists()) == (0, [str(script)], False)
