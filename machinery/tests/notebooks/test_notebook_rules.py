"""What the gate refuses, and that what is right passes."""

import json
import subprocess

import pytest
from samples import code, notebook, stream, text, write
from typer.testing import CliRunner

from mlops.cli import app
from mlops.errors import UserError
from mlops.notebooks import execute, export, rules

RIGHT = ("from use_cases.shop import total\n\nprint(total([1]))", "x = 1\nprint(x)")


@pytest.fixture
def project(tmp_path, monkeypatch):
    write(tmp_path / "config" / "project.yaml", {"name": "test", "default_use_case": "none"})
    package = tmp_path / "src" / "use_cases"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "shop.py").write_text("def total(prices):\n    return sum(prices)\n")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / ".ipynb_saveprocess").touch()
    (tmp_path / ".flake8").write_text("[flake8]\nmax-line-length = 127\n")
    monkeypatch.setenv("MLOPS_PROJECT", str(tmp_path))
    return tmp_path


def save(project, *sources, exported=True, **metadata):
    cells = [code(source, [], number) for number, source in enumerate(sources, 1)]
    path = write(project / "notebooks" / "a.ipynb", notebook(text("# Title"), *cells, **metadata))
    if exported:
        export.export(path, ["py"])
    return path


def broken(project, path, flake8=False):
    return [(fault.rule, fault.where) for fault in rules.check(project, [path], flake8)]


def test_a_notebook_that_is_right_keeps_all_rules(project):
    assert broken(project, save(project, *RIGHT), flake8=True) == []


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("def total(prices):\n    return 0", "twice"),
        ("class total:\n    pass", "twice"),
        ("path = '/home/me/data.csv'", "path"),
        ("path = r'C:\\Users\\me'", "path"),
        ("path = '~/data.csv'", "path"),
        ("from use_cases.shpo import total", "imports"),
    ],
)
def test_a_broken_rule_names_its_cell(project, source, rule):
    assert broken(project, save(project, RIGHT[0], source)) == [(rule, "cell 3")]


@pytest.mark.parametrize(
    "source", ["url = 'https://example.org/home/x'", "route = '/api/status'", "x = 'a/home/b'", "%time\n!ls /home"]
)
def test_what_looks_like_a_path_but_is_none_passes(project, source):
    assert broken(project, save(project, RIGHT[0], source)) == []


def test_flake8_names_cell_and_line(project):
    faults = rules.check(project, [save(project, RIGHT[0], "import os\nx = undefined_name")])
    assert {(fault.rule, fault.where) for fault in faults} == {
        ("F401", "cell 3, line 1"),
        ("F821", "cell 3, line 2"),
    }
    assert all(fault.notebook.endswith("a.ipynb") for fault in faults)


def test_nothing_imported_from_the_project_is_refused(project):
    assert broken(project, save(project, "x = 1")) == [("imports", "notebook")]
    assert broken(project, save(project, "from mlops import load_project\n\nload_project()")) == []


def test_stale_missing_and_orphaned_exports_are_refused(project):
    path = save(project, *RIGHT, exported=False)
    assert broken(project, path) == [("stale", "export")]
    export.export(path, ["py"])
    path.rename(path.with_name("b.ipynb"))
    export.export(path.with_name("b.ipynb"), ["py"])
    assert broken(project, path.with_name("b.ipynb")) == [("stale", "file")]


@pytest.mark.parametrize("counts", [(2, 1), (1, None), (5, 6), (None, 1)])
def test_cells_run_out_of_order_are_refused(project, counts):
    cells = [code(source, [], count) for source, count in zip(RIGHT, counts, strict=True)]
    path = write(project / "notebooks" / "a.ipynb", notebook(*cells))
    export.export(path, ["py"])
    assert [rule for rule, _ in broken(project, path)] == ["order"]


def test_outputs_with_an_error_or_a_folder_of_one_machine_are_refused(project):
    error = {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}
    cells = [code(RIGHT[0], [error], 1), code(RIGHT[1], [stream("saved to /home/me/models\n")], 2)]
    path = write(project / "notebooks" / "a.ipynb", notebook(*cells))
    export.export(path, ["py"])
    assert broken(project, path) == [("error", "cell 1"), ("path", "cell 2")]


def test_an_unreadable_notebook_is_a_fault_beside_the_others(project):
    right = save(project, *RIGHT)
    bad = project / "notebooks" / "bad.ipynb"
    bad.write_text("{")
    assert [(fault.rule, fault.notebook) for fault in rules.check(project, [right, bad], False)] == [("readable", str(bad))]


def test_the_commands_end_with_1_where_something_is_wrong(project):
    path = save(project, *RIGHT)
    run = CliRunner().invoke
    assert run(app, ["notebooks", "check", "--no-flake8", str(path)]).exit_code == 0
    assert run(app, ["notebooks", "export", "--check", str(path)]).exit_code == 0
    save(project, RIGHT[0], "y = 2", exported=False)
    assert run(app, ["notebooks", "check", "--no-flake8", str(path)]).exit_code == 1
    assert run(app, ["notebooks", "export", "--check"]).exit_code == 1
    assert run(app, ["notebooks", "export", "--format", "py"]).exit_code == 0
    assert run(app, ["notebooks", "check", "--no-flake8"]).exit_code == 0


GIT_CONFLICT = "<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> theirs"
NBDIME_CONFLICT = '<span style="color:red"><b><<<<<<< local</b></span>'


def refused(project, *cells, **metadata):
    numbered = [dict(cell, execution_count=n) if "outputs" in cell else cell for n, cell in enumerate(cells, 2)]
    path = write(project / "notebooks" / "a.ipynb", notebook(code(RIGHT[0], count=1), *numbered, **metadata))
    export.export(path, ["py"])
    return broken(project, path)


def test_what_a_merge_left_is_refused_in_any_cell_and_language(project):
    assert refused(project, code(GIT_CONFLICT)) == [("conflict", "cell 2"), ("syntax", "cell 2")]
    assert refused(project, text(GIT_CONFLICT)) == [("conflict", "cell 2")]
    assert refused(project, text(NBDIME_CONFLICT)) == [("conflict", "cell 2")]
    assert refused(project, code("x = 1", [stream("<<<<<<< local\n")])) == [("conflict", "cell 2")]
    assert refused(project, code("x = 1", **{"nbdime-conflicts": {"local_diff": []}})) == [("conflict", "cell 2")]
    assert refused(project, **{"nbdime-conflicts": {"local_diff": []}}) == [("conflict", "notebook")]
    assert refused(project, code(GIT_CONFLICT), language_info={"name": "R"}) == [("conflict", "cell 2")]
    assert refused(project, text("A heading\n=======\n\n`a <<<<<<< b`")) == []


@pytest.mark.parametrize(
    "source", ["def broken(:\n    pass", "x = = 1", "return 1", "yield 1", "abc\0", "'a\n%time", "%%time\nx ="]
)
def test_a_cell_that_python_cannot_read_is_refused(project, source):
    assert refused(project, code(source)) == [("syntax", "cell 2")]
    assert refused(project, code(source, tags=["raises-exception"])) == []
    assert refused(project, code(source, tags=["skip-execution"])) == []


@pytest.mark.parametrize(
    "before",
    ["%%capture", "%%capture out", "%%time", "%%timeit -n 3", "\n%%time", "%%time\n%%capture", "files = !ls", "!ls", "print?"],
)
def test_what_stands_below_a_magic_is_judged(project, before):
    assert refused(project, code(f"{before}\ndef total(prices):\n    return 0")) == [("twice", "cell 2")]
    assert refused(project, code(f"{before}\npath = '/home/me/data.csv'")) == [("path", "cell 2")]


@pytest.mark.parametrize("magic", ["%%bash", "%%html", "%%writefile x.py", "%%sql", "%%R"])
def test_a_cell_in_another_language_is_not_judged_as_python(project, magic):
    assert refused(project, code(f"{magic}\ndef total(prices): it's no Python")) == []


def test_where_outputs_and_counts_are_stripped_no_order_is_asked(project):
    path = write(project / "notebooks" / "a.ipynb", notebook(*map(code, RIGHT)))
    export.export(path, ["py"])
    assert broken(project, path) == []


def test_cells_that_announce_a_failure_or_are_passed_over_may(project):
    error = {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}
    passed_over = dict(code("x = 1", tags=["skip-execution"]))
    cells = [
        code(RIGHT[0], count=1),
        code("1 / 0", [error], 2, tags=["raises-exception"]),
        passed_over,
        code("x = 2", count=3),
    ]
    path = write(project / "notebooks" / "a.ipynb", notebook(*cells))
    export.export(path, ["py"])
    assert broken(project, path) == []


IPYTHON = [
    "display(total)",
    "get_ipython().run_line_magic('pwd', '')",
    "print(In[1], Out.get(1), _, __, _i, _1, _i1, _oh)",
    "exit",
    "import asyncio\n\nawait asyncio.sleep(0)",
    "import asyncio\n\nx = 'ö', await asyncio.sleep(0, [await asyncio.sleep(0, n) for n in [1]])\nprint(x)",
    "async def answer():\n    return 1\n\n\nawait answer()",
    "%%time\nx = 1",
    "%%time\nimport numpy as np\n\nprint(np.pi)",
    "%%timeit -n 1\nsum([1])",
    "%%capture out\nprint(1)\n%matplotlib inline",
    "%%capture out\nprint(1)\n\n# %%",
    "files = !ls\nprint(files)",
    "%matplotlib inline\n!pip --version",
    "import numpy as np\n%timeit np.sum([1])",
    "folder = 'x'\n!echo {folder}",
    "total?",
    "total??",
    "%time values = [1]",
    "%load_ext autoreload\n%autoreload 2",
    "%%bash\necho $HOME",
    "%%html\n<b>x</b>",
    "for n in range(2):\n    !echo {n}\n    print(n)",
    "x = %pwd\nprint(x)",
    "print(1);",
    "from __future__ import annotations",
    "%run -i other.py\nprint(name_of_other)",
    "%store -r kept\nprint(kept)",
    f"!echo {'x' * 120}",
]


@pytest.mark.parametrize("source", IPYTHON)
def test_the_ordinary_of_ipython_passes(project, source):
    assert broken(project, save(project, f"{RIGHT[0]}", source), flake8=True) == []


@pytest.mark.servers
def test_what_is_ordinary_runs_on_a_kernel(tmp_path, monkeypatch):
    """The list above is judged by IPython itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "other.py").write_text("name_of_other = 1\n")
    sources = ["total = 1\ntotal", "kept = 1\n%store kept", *(source for source in IPYTHON if source != "exit")]
    path = write(tmp_path / "a.ipynb", notebook(*map(code, sources)))
    assert [result.error for result in execute.run([path], tmp_path / "out")] == [None]


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("%%time\nx = undefined_name", ("F821", "cell 3, line 2")),
        ("files = !ls\n\nimport os", ("F401", "cell 3, line 3")),
        ("!echo \\\n  more\nx=1", ("E225", "cell 3, line 3")),
        ("%matplotlib inline\nprint( 1)", ("E201", "cell 3, line 2")),
        ("\n\n%time 1\nprint(other)", ("F821", "cell 3, line 4")),
    ],
)
def test_flake8_names_the_line_beside_magics(project, source, fault):
    assert broken(project, save(project, RIGHT[0], source), flake8=True) == [fault]


def test_rules_and_flake8_codes_can_be_switched_off(project):
    path = save(project, "x=1\npath = '/home/me/x.csv'")
    assert {rule for rule, _ in broken(project, path, flake8=True)} == {"imports", "path", "E225"}
    (project / "pyproject.toml").write_text('[tool.mlops.notebooks]\nskip = ["path", "imports", "E2"]\n')
    assert broken(project, path, flake8=True) == []


@pytest.mark.parametrize("words", ['skip = ["pth"]', 'skip = "path"', 'skipp = ["path"]', "skip = [1]", "skip ="])
def test_a_rule_that_does_not_exist_cannot_be_switched_off(project, words):
    (project / "pyproject.toml").write_text(f"[tool.mlops.notebooks]\n{words}\n")
    with pytest.raises(UserError, match=r"pyproject\.toml"):
        broken(project, save(project, *RIGHT))


def test_flake8_that_cannot_start_is_no_pass(project):
    (project / ".flake8").write_text("[flake8]\nmax-line-length = wide\n")
    with pytest.raises(UserError, match="flake8 cannot check"):
        broken(project, save(project, *RIGHT), flake8=True)


def test_exports_left_in_a_folder_without_notebooks_are_refused(project):
    save(project, *RIGHT).unlink()
    done = CliRunner().invoke(app, ["notebooks", "check", "--no-flake8", "--json"])
    assert (done.exit_code, [fault["rule"] for fault in json.loads(done.stdout)]) == (1, ["stale"])


def test_a_notebook_in_git_without_its_script_is_refused(project):
    def git(*arguments):
        subprocess.run(["git", "-C", str(project), *arguments], check=True, capture_output=True)

    git("init", "-q")
    path = save(project, *RIGHT)
    assert broken(project, path) == [], "both are not in git"
    git("add", str(path))
    [fault] = rules.check(project, [path], flake8=False)
    assert (fault.rule, fault.hint) == ("stale", f"git add {project / 'notebooks' / 'a' / 'a.py'}")
    git("add", "notebooks/a/a.py")
    assert broken(project, path) == []


def test_an_export_that_fails_after_a_run_ends_only_its_notebook(project):
    path = save(project, "x = 1", exported=False)
    (project / "notebooks" / "a").mkdir()
    (project / "notebooks" / "a" / "a.py").write_text("mine = 1\n")
    other = write(project / "notebooks" / "b.ipynb", notebook(code("x = 1")))
    first, second = execute.run([path, other], project / "out", write=True)
    assert "it ran, but is not exported" in first.error and second.error is None


@pytest.mark.parametrize(("ids", "words"), [(("a", "a"), "have the id a"), ((None, "a"), "no id")])
def test_cells_without_an_id_of_their_own_are_refused(project, ids, words):
    cells = [dict(code(source), id=one) for source, one in zip(RIGHT, ids, strict=True)]
    cells = [{key: value for key, value in cell.items() if value is not None or key != "id"} for cell in cells]
    path = write(project / "notebooks" / "a.ipynb", notebook() | {"cells": cells})
    export.export(path, ["py"])
    (fault,) = rules.check(project, [path], flake8=False)
    assert fault.rule == "ids" and words in fault.what
