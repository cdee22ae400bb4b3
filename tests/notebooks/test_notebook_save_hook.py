"""Each save in a marked folder is exported, by a real Jupyter server; no save fails or waits for it."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlops.notebooks import export, savehook
from made import code, eventually, notebook, stream, text

pytestmark = pytest.mark.servers

SIMPLE = notebook(text("# Title"), code("x = 1"))


def folder(server, name, marker=".ipynb_saveprocess"):
    place = server.root / name
    place.mkdir(parents=True, exist_ok=True)
    if marker:
        (place / marker).touch()
    return place


@pytest.mark.parametrize("marker", [".ipynb_saveprocess", ".ipynb_saveprogress"])
def test_a_save_in_a_marked_folder_writes_script_and_page(server, marker):
    place = folder(server, f"marked{marker[-8:]}", marker)
    assert server.save(f"{place.name}/a.ipynb", SIMPLE).ok
    eventually((place / "a" / "a.html").is_file)
    assert "x = 1" in (place / "a" / "a.py").read_text()
    assert "Title" in (place / "a" / "a.html").read_text()


def test_a_save_in_another_folder_writes_nothing(server):
    unmarked, marked = folder(server, "unmarked", None), folder(server, "beside")
    assert server.save("unmarked/a.ipynb", SIMPLE).ok
    assert server.save("beside/a.ipynb", SIMPLE).ok
    eventually((marked / "a" / "a.py").is_file)
    assert sorted(path.name for path in unmarked.iterdir()) == [".ipynb_checkpoints", "a.ipynb"]


def test_nested_and_unicode_names(server):
    place = folder(server, "outer/Größe und 数据")
    assert server.save("outer/Größe und 数据/día 1.ipynb", SIMPLE).ok
    eventually((place / "día 1" / "día 1.py").is_file)


def test_a_renamed_notebook_leaves_no_old_export(server):
    place = folder(server, "renamed")
    server.save("renamed/old.ipynb", SIMPLE)
    eventually((place / "old" / "old.html").is_file)
    (place / "old.ipynb").rename(place / "new.ipynb")
    server.save("renamed/new.ipynb", SIMPLE)
    eventually(lambda: (place / "new" / "new.py").is_file() and not (place / "old").exists())


def test_twenty_saves_at_once_all_succeed_and_the_last_one_is_exported(server):
    place = folder(server, "twenty")
    before = len(server.log())
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: server.save("twenty/a.ipynb", notebook(code(f"x = {n}"))).status_code, range(20)))
    assert set(answers) <= {200, 201}
    server.save("twenty/a.ipynb", notebook(code("x = 'last'")))
    eventually(lambda: "'last'" in (place / "a" / "a.py").read_text())
    assert len(server.log()) - before < 15, "saves that come during an export share the next one"


def test_a_system_exit_in_the_exporter_is_logged_and_the_save_succeeds(server):
    folder(server, "exits")
    assert server.save("exits/system_exit.ipynb", SIMPLE).status_code == 201
    entry = eventually(lambda: [e for e in server.log() if "system_exit" in e["notebook"]])[0]
    assert "SystemExit: 7" in entry["error"]
    assert server.status().ok


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights there")
def test_a_linked_output_folder_is_refused_and_the_next_save_mends_it(server, tmp_path):
    place = folder(server, "linked")
    (place / "a").symlink_to(tmp_path, target_is_directory=True)
    assert server.save("linked/a.ipynb", SIMPLE).status_code == 201
    entry = eventually(lambda: [e for e in server.log() if "linked" in e["notebook"]])[0]
    assert "symbolic link" in entry["error"]
    assert list(tmp_path.iterdir()) == []
    (place / "a").unlink()
    server.save("linked/a.ipynb", SIMPLE)
    eventually((place / "a" / "a.html").is_file)
    eventually(lambda: [e for e in server.log() if "linked" in e["notebook"]][-1]["error"] is None)


def test_a_file_where_the_folder_should_be_is_logged(server):
    place = folder(server, "blocked")
    (place / "a").write_text("in the way")
    assert server.save("blocked/a.ipynb", SIMPLE).status_code == 201
    entry = eventually(lambda: [e for e in server.log() if "blocked" in e["notebook"]])[0]
    assert "cannot be written" in entry["error"]


def test_fifty_megabytes_of_output_are_cut_and_the_server_keeps_answering(server):
    place = folder(server, "large")
    big = notebook(code("loop()", [stream(("x" * 99 + "\n") * 500_000)]))
    assert server.save("large/a.ipynb", big).ok
    slowest = 0.0
    end = time.monotonic() + 60
    while "more characters left out" not in _read(place / "a" / "a.html") and time.monotonic() < end:
        started = time.monotonic()
        assert server.status().ok
        slowest = max(slowest, time.monotonic() - started)
        time.sleep(0.1)
    assert (place / "a" / "a.html").stat().st_size < 3_000_000
    assert slowest < 5


def test_the_hook_never_raises(monkeypatch):
    def ends(path):
        raise SystemExit(1)

    monkeypatch.setattr(savehook, "_ask", ends)
    monkeypatch.setattr(savehook.content, "is_marked", lambda folder: True)
    assert savehook.after_save({"type": "notebook"}, "/nowhere/a.ipynb") is None
    assert savehook.after_save({}, None) is None


def test_the_exporter_reports_each_notebook_and_goes_on(marked, capsys, monkeypatch):
    monkeypatch.setattr(export.content, "quick_imports", lambda: None)
    monkeypatch.setattr(export.os, "nice", lambda by: 0, raising=False)
    (marked / "bad.ipynb").write_text("{ no json")
    (marked / "good.ipynb").write_text(json.dumps(SIMPLE))
    assert export.main([str(marked / "bad.ipynb"), str(marked / "good.ipynb")]) == 1
    first, second = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "line 1" in first["error"] and second["error"] is None
    assert (marked / "good" / "good.py").is_file()


def _read(path):
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
