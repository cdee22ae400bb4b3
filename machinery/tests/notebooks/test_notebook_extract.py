"""Functions moved from a notebook into a module: the notebook imports them and shows what it showed."""

import json
import subprocess
import sys

import pytest
from command import mlops
from samples import code, notebook, stream, text, write

from mlops.errors import UserError
from mlops.notebooks import content, execute, extract

CELLS = (
    text("# Features"),
    code("import math\nimport os\n\nimport pandas as pd"),
    code(
        "DAYS = 7\n\n\n# of a week\ndef share(day):\n    return half(day) / DAYS\n\n\nprint(share(7))",
        [stream("0.5\n")],
        tags=["features"],
    ),
    code("def half(x: float) -> float:\n    return math.floor(x) / 2 if isinstance(x, int) else 0.0", tags=["features"]),
    code("frame = pd.DataFrame({'a': [1]})\nprint(len(frame), os.sep)"),
)
ORDER = (0, 1, 3, 2, 4)  # as it runs: half comes first


@pytest.fixture
def project(tmp_path, monkeypatch):
    write(tmp_path / "config" / "project.yaml", {"name": "test", "default_use_case": "none"})
    (tmp_path / "src" / "shop_code").mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / ".ipynb_saveprocess").touch()
    monkeypatch.setenv("MLOPS_PROJECT", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "src"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(project, *cells):
    return write(project / "notebooks" / "a.ipynb", notebook(*cells))


def sources(path):
    return [cell["source"] for cell in content.read(path)["cells"]]


def test_functions_move_with_what_they_need_and_the_notebook_runs_as_before(project, monkeypatch):
    monkeypatch.setattr(execute, "_make_store", lambda folder: None)
    path = save(project, *(CELLS[n] for n in ORDER))
    target = project / "src" / "shop_code" / "features.py"
    target.write_text('"""Features."""\n\nimport os\n\n\ndef other():\n    return os.sep\n')
    done = mlops("notebooks", "extract", "a", "--cells", "tag:features", "--to", target, "--json")
    assert (done.code, done.value["moved"]) == (0, ["DAYS", "half", "share"])
    assert sources(path) == [
        "# Features",
        "import os\n\nimport pandas as pd",
        "from shop_code.features import DAYS, half, share",
        "print(share(7))",
        CELLS[4]["source"],
    ]
    module = target.read_text()
    assert module.startswith('"""Features."""\n\nimport math\nimport os\n') and "# of a week\ndef share(day):" in module
    assert "def other():" in module and module.index("def half") < module.index("DAYS = 7")
    program = "from shop_code.features import share; print(share(7))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=project / "src")
    assert ran.stdout == "0.5\n"
    assert "from shop_code.features" in (project / "notebooks" / "a" / "a.py").read_text()


def test_a_notebook_that_would_show_something_else_stays_as_it_is(project, monkeypatch):
    monkeypatch.setattr(execute, "_make_store", lambda folder: None)
    path = save(project, code("def where():\n    return __name__\n\n\nprint(where())", tags=["x"]))
    before = path.read_bytes()
    target = project / "src" / "shop_code" / "new.py"
    with pytest.raises(UserError, match="cell 1 shows something else; nothing was moved"):
        extract.extract(project, path, "tag:x", target)
    assert path.read_bytes() == before and not target.exists()


@pytest.mark.parametrize(
    ("cells", "selection", "message"),
    [
        ([code("def f():\n    return frame"), code("frame = 1")], "1", "uses frame, which the notebook defines in cell 2"),
        ([code("def f():\n    return nothing")], "1", "uses nothing, which is nowhere"),
        ([code("def f():\n    display(1)")], "1", "uses display, which is nowhere"),
        ([code("x = 1")], "1", "no function, class or CONSTANT is defined in 1"),
        ([code("%time 1\ndef f():\n    pass")], "1", "cell 1: it holds magics"),
        ([code("def f(:")], "1", "cell 1: Python cannot read it"),
        ([code("def old():\n    pass")], "1", "defines old already"),
        (
            [code("from json import dumps as there\ndef f():\n    return there")],
            "1",
            "there is `import os as there` in the module",
        ),
        ([text("x")], "1-9", "no code cell"),
        ([code("x")], "tag:none", "no code cell"),
        ([code("x")], "one", "tag:NAME or numbers"),
    ],
)
def test_what_cannot_move_is_refused_with_the_reason_and_nothing_is_written(project, cells, selection, message):
    path = save(project, *cells)
    target = project / "src" / "shop_code" / "features.py"
    target.write_text("import os as there\n\n\ndef old():\n    return there\n")
    before = path.read_bytes(), target.read_bytes()
    with pytest.raises(UserError, match=message):
        extract.extract(project, path, selection, target)
    assert (path.read_bytes(), target.read_bytes()) == before


@pytest.mark.parametrize("target", ["features.py", "src/use_cases/x.txt", "src/../x.py"])
def test_a_target_outside_of_src_is_refused(project, target):
    path = save(project, code("def f():\n    pass"))
    with pytest.raises(UserError, match="below src/"):
        extract.extract(project, path, "1", project / target)


def test_numbers_choose_cells_and_a_new_module_is_made(project):
    cells = [code("import json"), code("@staticmethod\ndef f():\n    return json"), code("class C:\n    pass"), code("f")]
    path = save(project, *cells)
    raw = json.loads(path.read_text())
    target = project / "src" / "shop_code" / "new.py"
    plan = extract.planned(raw, content.read(path), "a.ipynb", "2-3,3", target, "shop_code.new")
    assert plan.names == ["C", "f"] and plan.kept == [2, 4] and not target.exists()
    assert plan.module.startswith('"""Functions of a.ipynb."""\n\nimport json\n\n\n@staticmethod\ndef f():')
