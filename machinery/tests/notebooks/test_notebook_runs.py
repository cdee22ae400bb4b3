"""What a run tells of its cells, on the page of a pull request too; parameters, tags, kernels, several at a time."""

import json
import re
from pathlib import Path

import pytest
from command import mlops
from samples import code, notebook, stream, text, write

from mlops.errors import UserError
from mlops.notebooks import commands, execute, execution, export, kernels

FAILING = "%%time\ntotal = 0\nfor number in [1]:\n    total / (number - 1)"

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def no_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLOPS_PROJECT", raising=False)


def test_a_failing_cell_is_in_the_summary_and_at_its_line_of_the_script(marked, monkeypatch):
    cells = (text("# Title\n\nwords"), code("x = 1\n!echo one\nx"), code("1 +\\\n  1"), code(FAILING))
    path = write(marked / "a.ipynb", notebook(*cells))
    export.export(path, ["py"])
    summary = marked / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(marked))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    done = mlops("notebooks", "run", path, "--output", marked / "out", "--json")
    (result,) = done.value
    assert (done.code, result["failure"]["cell"], result["failure"]["line"]) == (1, 4, 4)
    assert set(result["cells"]) == {"2", "3", "4"} and result["cells"]["2"] >= 0
    words = summary.read_text()
    assert ">   4     total / (number - 1)" in words and "ZeroDivisionError: division by zero" in words
    assert "<details><summary>Seconds of each cell" in words and re.search(r"^\| 2 \| \d+\.\d\d \|$", words, re.MULTILINE)
    annotation = next(line for line in done.err.splitlines() if line.startswith("::error"))
    match = re.match(
        r"::error file=a/a\.py,line=(\d+),title=a\.ipynb%3A cell 4%3A ZeroDivisionError[^:]*::cell 4: ", annotation
    )
    assert (marked / "a" / "a.py").read_text().splitlines()[int(match[1]) - 1] == "    total / (number - 1)"


@pytest.mark.parametrize("cell", range(1, 7))
def test_each_line_of_a_cell_has_its_line_in_the_script(cell):
    cells = [
        text("# Title\n\nmore"),
        code("first = 1\n\nlast = 2"),
        code("%%bash\nls\nlast"),
        code("%matplotlib inline\nfiles = !ls \\\n  -a\nlast = 3"),
        code("%%capture out\n%time x = 1\nlast = 4"),
        code("not python\nlast"),
    ]
    value = notebook(*cells)
    lines = export.script(value, "a").split("\n")
    last = len(cells[cell - 1]["source"].split("\n"))
    assert "last" in lines[export.line_of(value, cell, last) - 1] or cell == 1
    assert lines[export.line_of(value, cell) - 2].startswith("# %%")
    if cell == 1:
        assert lines[export.line_of(value, cell, 3) - 1] == "# more"


@pytest.mark.parametrize(
    ("traceback", "line"),
    [
        ("Cell In[3], line 7\n  5 x\n----> 7 y\nFile /a/b.py:12, in f()\n", 7),
        ("Cell In[3], line 7\nCell In[1], line 2, in f()\n", 2),
        ("File <timed exec>:3\n", 4),
        ("no place", None),
    ],
)
def test_the_line_is_the_last_of_the_notebook_that_a_traceback_passes(traceback, line):
    assert execution._line(traceback) == line


def test_tags_parameters_and_order_hold_for_several_at_a_time(tmp_path):
    announced = [
        code("1 / 0", tags=["raises-exception"]),
        code("print('kept')\n1 / 0", [stream("kept\n")], 7, tags=["skip-execution"]),
        code("import os\nprint(os.environ['MLOPS__PROJECT__STORE'])"),
    ]
    first = write(tmp_path / "a.ipynb", notebook(*announced))
    second = write(tmp_path / "b.ipynb", notebook(code("import time, os\nprint(os.getpid())\ntime.sleep(1)"), code("1 / 0")))
    results = list(execute.run([first, second], tmp_path / "out", write=True, jobs=2))
    assert [(result.notebook, result.error) for result in results] == [
        (str(first), None),
        (str(second), "cell 2: ZeroDivisionError: division by zero"),
    ]
    assert results[0].differing == [1, 3], "a cell that is not run keeps what it showed"
    cells = json.loads(first.read_text())["cells"]
    assert [output["output_type"] for output in cells[0]["outputs"]] == ["error"]
    assert (cells[1]["outputs"][0]["text"], cells[1]["execution_count"]) == ("kept\n", 7)
    assert len(cells) == 3 and cells[2]["outputs"][0]["text"][0].endswith("0/models\n")


def test_parameters_take_the_place_of_the_defaults_and_the_copy_is_kept(tmp_path):
    cells = (code("depth = 1\nnames = []", tags=["parameters"]), code("print(depth + 1, names)\n1 / (depth - 3)"))
    path = write(tmp_path / "a.ipynb", notebook(*cells))
    before = path.read_bytes()
    done = mlops("notebooks", "run", path, "-p", "depth=3", "-p", "names=[a, b]", "--output", tmp_path / "out", "--json")
    (result,) = done.value
    assert (result["failure"]["cell"], path.read_bytes()) == (2, before), "the cell of the parameters is not counted"
    assert "4 ['a', 'b']" in Path(result["copy"]).read_text()


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([code("x = 1")], "no cell has the tag `parameters`"),
        ([code("x = 1", tags=["parameters"])], "no parameter depth; its cell `parameters` has: x"),
    ],
)
def test_a_parameter_that_nothing_reads_is_refused(tmp_path, cells, message):
    path = write(tmp_path / "a.ipynb", notebook(*cells))
    (result,) = execute.run([path], tmp_path / "out", store=False, parameters={"depth": 3})
    assert message in result.error


@pytest.mark.parametrize("option", [["-p", "depth"], ["-p", "a b=1"], ["-p", "x=[1"], ["-p", "x=1", "--write"]])
def test_parameters_that_cannot_be_read_are_one_line(tmp_path, option):
    path = write(tmp_path / "a.ipynb", notebook(code("x = 1", tags=["parameters"])))
    done = mlops("notebooks", "run", path, *option, "--output", tmp_path / "out")
    assert done.code == 2 and done.error.startswith("-p") and "\n" not in done.error.strip()


def test_a_kernel_that_is_missing_is_named_with_how_to_install_it(tmp_path):
    other = {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}
    path = write(tmp_path / "a.ipynb", notebook(code("x <- 1")) | {"metadata": other})
    (result,) = execute.run([path], tmp_path / "out", store=False)
    assert "needs the kernel ir (r), which is not installed (there: python3" in result.error
    assert "IRkernel::installspec()" in result.error
    assert kernels.name(notebook()) == "python3"


def test_a_name_without_folder_and_ending_is_a_notebook_of_the_project(tmp_path, monkeypatch):
    write(tmp_path / "config" / "project.yaml", {"name": "test", "default_use_case": "none"})
    path = write(tmp_path / "notebooks" / "a.ipynb", notebook())
    monkeypatch.setenv("MLOPS_PROJECT", str(tmp_path))
    assert commands._find([Path("a")]) == [path]
    with pytest.raises(UserError, match="b: no notebook and no folder"):
        commands._find([Path("b")])
