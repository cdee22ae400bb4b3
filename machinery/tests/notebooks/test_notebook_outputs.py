"""What of the outputs of a notebook goes into git: the policy, secrets, sizes."""

import json
import shutil
import subprocess

import pytest
from command import mlops
from samples import PNG, code, notebook, shown, stream, text, write

from mlops.errors import UserError
from mlops.notebooks import execute, export, outputs, rules, settings, setup

PICTURE = shown(image_png=PNG, text_plain="<Figure>")
WORD = "hunter" + "22"
TOKEN = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


@pytest.fixture
def project(tmp_path, monkeypatch):
    write(tmp_path / "config" / "project.yaml", {"name": "test", "default_use_case": "none"})
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / ".ipynb_saveprocess").touch()
    monkeypatch.setenv("MLOPS_PROJECT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configure(project, words):
    (project / "pyproject.toml").write_text(f"[tool.mlops.notebooks]\n{words}\n")


def save(project, *cells):
    path = write(project / "notebooks" / "a.ipynb", notebook(text("# Title"), *cells))
    export.export(path, ["py"])
    return path


def broken(project, path):
    return [(fault.rule, fault.where) for fault in rules.check(project, [path], flake8=False)]


@pytest.mark.parametrize(
    "output",
    [
        stream(f"token {TOKEN}\n"),
        shown(text_plain=TOKEN),
        shown(text_html=f"<td>{TOKEN}</td>"),
        shown(application_json={"key": [TOKEN]}),
        {"output_type": "error", "ename": "E", "evalue": f"postgres://me:{WORD}@db/x", "traceback": []},
    ],
)
def test_a_secret_in_an_output_is_refused_whatever_shows_it(project, output):
    configure(project, 'skip = ["error"]')
    assert broken(project, save(project, code("x", [output], 1))) == [("secret", "cell 2")]


def test_a_secret_in_the_source_is_refused_and_pictures_and_marked_lines_pass(project):
    assert broken(project, save(project, code(f"key = '{TOKEN}'", [], 1))) == [("secret", "cell 2")]
    marked = code(f"key = '{TOKEN}'  # pragma: allowlist secret", [shown(image_png=TOKEN)], 1)
    assert broken(project, save(project, marked)) == []


def test_outputs_over_the_limit_are_refused_and_the_limit_can_be_set(project):
    path = save(project, code("x", [stream("é" * 300_000), stream("é" * 300_000)], 1))
    (fault,) = rules.check(project, [path], flake8=False)
    assert (fault.rule, fault.where, "1.2 MB" in fault.what) == ("large", "cell 2", True)
    configure(project, "output_limit = 2_000_000")
    assert broken(project, path) == []


@pytest.mark.parametrize(
    "words",
    ["output_limit = 0", 'output_limit = "1 MB"', "output_limit = true", 'outputs = "some"', "outputs = 1", "output = 1"],
)
def test_a_setting_that_would_do_nothing_is_refused(project, words):
    configure(project, words)
    with pytest.raises(UserError, match=r"\[tool\.mlops\.notebooks\]"):
        settings.read(project)


KEPT = {"keep": [2, 1, 1], "strip": [0, 0, 1], "figures": [1, 0, 1]}


@pytest.mark.parametrize("policy", settings.POLICIES)
def test_the_policy_is_checked_and_an_export_applies_it(project, policy):
    cells = [
        code("a", [stream("words"), PICTURE], 1, scrolled=True),
        code("b", [stream("words")], 2),
        code("c", [stream("kept")], 3, tags=["keep_output"]),
    ]
    path = save(project, *cells)
    configure(project, f'outputs = "{policy}"')
    expected = {
        "keep": [],
        "strip": [("outputs", "cell 2"), ("outputs", "cell 3")],
        "figures": [("outputs", "cell 2"), ("outputs", "cell 3")],
    }
    assert broken(project, path) == expected[policy]
    before = path.read_bytes()
    assert mlops("notebooks", "export", "--format", "py").code == 0
    after = json.loads(path.read_text())["cells"][1:]
    assert [len(cell["outputs"]) for cell in after] == KEPT[policy]
    assert after[2] == json.loads(before)["cells"][3] and broken(project, path) == []
    assert (path.read_bytes() == before) == (policy == "keep")
    if policy == "figures":
        assert list(after[0]["outputs"][0]["data"]) == ["image/png"]


def test_git_applies_the_policy_at_the_commit_and_the_file_keeps_its_outputs(repository, monkeypatch):
    monkeypatch.setenv("MLOPS_PROJECT", str(repository.root))
    configure(repository.root, 'outputs = "strip"')
    path = write(repository.root / "notebooks" / "a.ipynb", notebook(code("1", [stream("1\n")], 1)))
    assert "commits no outputs" in setup.set_filter(repository.root, "strip")
    repository.commit()
    assert "stream" in path.read_text() and '"outputs": []' in repository.git("show", "HEAD:notebooks/a.ipynb").stdout
    assert rules.check(repository.root, [path], flake8=False) == []
    assert mlops("notebooks", "export", "--format", "py", path).code == 0 and "stream" in path.read_text()
    (repository.root / "notebooks" / "b.ipynb").write_text("no notebook")
    configure(repository.root, 'outputs = "keep"')
    setup.set_filter(repository.root, "keep")
    repository.commit()
    assert repository.git("show", "HEAD:notebooks/b.ipynb").stdout == "no notebook"
    assert not outputs.is_filtered(repository.root)


def test_what_is_no_notebook_passes_the_filter_as_it_is(project):
    configure(project, 'outputs = "strip"')
    (command,) = outputs.filter_settings().values()
    done = subprocess.run(["sh", "-c", command], input=b"<<<<<<< x", capture_output=True, cwd=project)
    assert (done.stdout, done.returncode) == (b"<<<<<<< x", 0)
    (command,) = outputs.filter_settings("/nowhere/python").values()
    assert shutil.which("cat") and subprocess.run(["sh", "-c", command], input=b"x", capture_output=True).stdout == b"x"


def test_a_run_compares_and_writes_what_the_policy_keeps(project):
    path = write(project / "notebooks" / "a.ipynb", notebook(code("print(1)")))
    (result,) = execute.run([path], project / "out", write=True, store=False, kept="strip")
    assert (result.error, result.differing) == (None, [])
    assert json.loads(path.read_text())["cells"][0]["outputs"] == []
