"""Each save in a marked folder is exported, by a real Jupyter server; no save fails or waits for it."""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from samples import PNG, code, eventually, notebook, shown, stream, text

from mlops.notebooks import export, savehook, setup

pytestmark = pytest.mark.servers

STATE = {"application/vnd.jupyter.widget-state+json": {"state": {"m1": {}}, "version_major": 2, "version_minor": 0}}
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
def test_a_linked_output_folder_is_refused_and_the_next_save_repairs_it(server, tmp_path):
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


ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def mounted():
    """Mount small file systems in memory, and take them away in the end; `mounted(folder, options)`."""
    places = []

    def mount(place, options):
        place.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if not ROOT or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("may not mount a file system here")
        places.append(place)

    yield mount
    for place in places:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def errors(server, name):
    return [entry["error"] for entry in server.log() if f"/{name}/" in entry["notebook"]]


def test_a_full_disk_fails_no_save_and_the_next_one_mends_it(server, mounted, monkeypatch):
    place = server.root / "full"
    mounted(place, "size=200k")
    (place / ".ipynb_saveprocess").touch()
    assert server.save("full/a.ipynb", SIMPLE).status_code == 201
    assert "No space left on device" in eventually(lambda: errors(server, "full"))[0]
    assert [path.name for path in (place / "a").iterdir()] == ["a.py"], "no half-written page"
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(server.runtime))
    (failed,) = [finding for finding in setup.examine(place) if finding.what == "export"]
    assert "No space left on device" in failed.detail and failed.hint == "fix it and save again"
    subprocess.run(["mount", "-o", "remount,size=9m", str(place)], check=True)
    assert server.save("full/a.ipynb", SIMPLE).ok
    eventually(lambda: errors(server, "full")[-1] is None and (place / "a" / "a.html").is_file())
    assert not [finding for finding in setup.examine(place) if finding.what == "export"]


def test_a_read_only_folder_fails_no_save_and_the_next_one_mends_it(server, mounted):
    place = folder(server, "readonly")
    mounted(place / "a", "size=1m,ro")
    assert server.save("readonly/a.ipynb", SIMPLE).status_code == 201
    assert "Read-only file system" in eventually(lambda: errors(server, "readonly"))[0]
    subprocess.run(["umount", str(place / "a")], check=True)
    assert server.save("readonly/a.ipynb", SIMPLE).ok
    eventually(lambda: errors(server, "readonly")[-1] is None and (place / "a" / "a.html").is_file())


def test_a_save_during_a_run_is_exported(server):
    place = folder(server, "running")
    kernel = server.run("while True: pass")
    try:
        assert server.save("running/a.ipynb", SIMPLE).ok
        eventually((place / "a" / "a.html").is_file)
        assert server.kernel(kernel)["execution_state"] == "busy"
    finally:
        server.stop(kernel)


def test_a_save_after_the_kernel_has_died_is_exported(server):
    place = folder(server, "died")
    # A moment of life, in which the kernel tells that it has taken the lines.
    kernel = server.run("import os, time; time.sleep(0.5); os._exit(1)")
    time.sleep(1)
    try:
        assert server.save("died/a.ipynb", SIMPLE).ok
        eventually((place / "a" / "a.html").is_file)
        assert server.status().ok
    finally:
        server.stop(kernel)


def test_widgets_scripts_pictures_and_cells_without_ids(server):
    place = folder(server, "rich")
    widget = shown(text_plain="Slider()") | {"data": {"application/vnd.jupyter.widget-view+json": {"model_id": "m1"}}}
    outputs = [widget, shown(application_javascript="window.ran = 1"), shown(image_png=PNG)]
    value = notebook(code("draw()", outputs), widgets=STATE)
    old = dict(notebook(code("x = 1")), nbformat_minor=4)
    del old["cells"][0]["id"]
    assert server.save("rich/new.ipynb", value).ok and server.save("rich/old.ipynb", old).ok
    eventually(lambda: (place / "new" / "new.html").is_file() and (place / "old" / "old.html").is_file())
    page = _read(place / "new" / "new.html")
    assert "widget-view+json" in page and "window.ran" in page and PNG in page
    assert "x = 1" in _read(place / "old" / "old.py")


def test_a_notebook_that_another_program_broke_is_logged_and_the_next_save_repairs_it(server):
    place = folder(server, "broken")
    (place / "a.ipynb").write_text("{ no notebook")
    assert savehook._run([str(place / "a.ipynb")])[0]["error"].startswith(f"{place}/a.ipynb: not a notebook")
    assert server.save("broken/a.ipynb", SIMPLE).ok
    eventually((place / "a" / "a.html").is_file)


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
