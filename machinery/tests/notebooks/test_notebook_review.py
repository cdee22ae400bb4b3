"""What a reviewer sees: the changed cells, as Markdown and as pages on which nothing of a notebook runs."""

import copy
import json
import re
import shutil
import subprocess
import time

import pytest
from made import PNG, code, notebook, shown, stream, text, write

from mlops.errors import UserError
from mlops.notebooks import changes, pages, review

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def long(cells):
    return notebook(*(code(f"value_{n} = {n}\nprint(value_{n})", [stream(f"{n}\n")], count=n) for n in range(cells)))


def change(before, after, path="notebooks/a.ipynb"):
    base, head, diff = changes.compare(before, after)
    return changes.NotebookChange(path, "changed", base, head, diff, changes.cell_changes(base, head, diff), path)


def test_counts_ids_and_metadata_are_no_change():
    before = long(3)
    after = copy.deepcopy(before)
    for cell in after["cells"]:
        cell.update(id="x" + cell["id"], execution_count=9, metadata={"collapsed": True})
    assert change(before, after).cells == []


def test_each_kind_of_change_is_found_with_its_numbers():
    before = long(9)
    after = copy.deepcopy(before)
    after["cells"][1]["source"] += "\n# more"
    after["cells"][3]["outputs"] = [stream("other\n")]
    del after["cells"][5]
    after["cells"].insert(7, text("a completely new thought"))
    changed = [
        (cell.kind, cell.old, cell.new, cell.source_changed, cell.outputs_changed) for cell in change(before, after).cells
    ]
    assert changed == [
        ("changed", 2, 2, True, False),
        ("changed", 4, 4, False, True),
        ("removed", 6, None, True, True),
        ("added", None, 8, True, False),
    ]


def test_the_diff_turns_the_old_notebook_into_the_new_one():
    from nbdime import patch_notebook
    from nbdime.diff_utils import to_diffentry_dicts
    from nbformat import from_dict

    before, after = long(30), long(30)
    after["cells"] = after["cells"][10:20] + after["cells"][:8] + [text("new")] + after["cells"][25:]
    base, head, diff = changes.compare(before, after)
    assert patch_notebook(from_dict(base), to_diffentry_dicts(diff)) == head


def test_the_page_holds_changed_cells_and_their_neighbours():
    before = long(1000)
    after = copy.deepcopy(before)
    after["cells"][500]["source"] = "changed = True"
    changed = change(before, after)
    base, diff = pages.trimmed(changed.base, changed.diff)
    assert [cell["source"].split()[0] for cell in base["cells"]] == ["⋯", "value_499", "value_500", "value_501", "⋯"]
    assert "cells 1 to 499 are" in base["cells"][0]["source"] and "cells 503 to 1000 are" in base["cells"][4]["source"]
    assert diff[0]["diff"][0]["key"] == 2


def test_a_thousand_cells_with_twenty_changed_are_reviewed_in_seconds_on_a_small_page(tmp_path):
    before = long(1000)
    after = copy.deepcopy(before)
    for number in range(0, 1000, 50):
        after["cells"][number]["source"] += "\n# changed"
    started = time.perf_counter()
    changed = change(before, after)
    page = pages.notebook_page(changed)
    assert len(changed.cells) == 20 and len(page) < 4_000_000
    assert time.perf_counter() - started < 5


def test_the_markdown_shows_source_and_outputs_and_names_figures():
    before = notebook(code("plot()", [shown(image_png=PNG)]), code("x = 1", [stream("old\n")]))
    after = notebook(code("plot()", [shown(image_png=PNG + PNG)]), code("x = 2", [stream("new\n")]))
    words = review.markdown([change(before, after)], page="https://example.org/page")
    assert "-x = 1" in words and "+x = 2" in words and "-old" in words and "+new" in words
    assert "image/png" in words and "https://example.org/page" in words


def test_a_notebook_cannot_format_the_comment_or_outgrow_it():
    attack = "```\n</details>\n@everyone <img src=x onerror=alert(1)>\n````\n# Heading"
    before = notebook(*(code("x") for _ in range(50)))
    after = notebook(*(code(f"{attack}\n{number}" + ("\n" + "y" * 290) * 20) for number in range(50)))
    words = review.markdown([change(before, after, "notebooks/`|a`.ipynb")])
    assert len(words) <= review.COMMENT_LIMIT and "left out here" in words
    outside = re.sub(r"^(`{3,})diff\n.*?^\1$", "", words, flags=re.DOTALL | re.MULTILINE)
    assert "@everyone" not in outside and "onerror" not in outside and "Heading" not in outside


def test_the_review_between_two_refs_finds_changed_added_renamed_and_removed(repository, tmp_path):
    folder = repository.root / "notebooks"
    for name in ("changed", "removed", "old name", "same"):
        write(folder / f"{name}.ipynb", notebook(*(code(f"'{name}'\nx = {n}") for n in range(9))))
    repository.commit()
    repository.git("checkout", "-q", "-b", "feature")
    write(folder / "changed.ipynb", notebook(code("y = 2")))
    write(folder / "añadido.ipynb", notebook(code("z = 3")))
    (folder / "broken.ipynb").write_text("{")
    (folder / "removed.ipynb").unlink()
    (folder / "old name.ipynb").rename(folder / "new name.ipynb")
    repository.commit()
    changed = {item.path: item for item in changes.between(repository.root, "main", "feature")}
    assert {path.removeprefix("notebooks/"): item.status for path, item in changed.items()} == {
        "changed.ipynb": "changed",
        "añadido.ipynb": "added",
        "broken.ipynb": "added",
        "removed.ipynb": "removed",
        "new name.ipynb": "renamed",
    }
    assert "JSON" in changed["notebooks/broken.ipynb"].error
    index = pages.write(list(changed.values()), tmp_path / "out")
    links = re.findall(r'href="([^"]+)"', index.read_text())
    assert len(links) == 3 and all((tmp_path / "out" / link).is_file() for link in links)
    assert "was removed" in review.markdown(list(changed.values()))


def test_the_working_tree_is_compared_when_no_head_is_given(repository):
    path = write(repository.root / "notebooks" / "a.ipynb", notebook(code("x = 1")))
    repository.commit()
    write(path, notebook(code("x = 2")))
    write(repository.root / "notebooks" / "new one.ipynb", notebook(code("x = 3")))
    write(repository.root / "ignored" / "b.ipynb", notebook(code("x = 4")))
    (repository.root / ".gitignore").write_text("ignored/\n")
    changed = changes.between(repository.root, "main", None)
    assert [(item.status, item.cells[0].after["source"]) for item in changed] == [("changed", "x = 2"), ("added", "x = 3")]
    assert [item.path for item in changes.between(repository.root, "main", None, [str(path)])] == ["notebooks/a.ipynb"]
    assert changes.between(repository.root, "main", "HEAD") == []


def test_an_unknown_ref_is_one_line(repository):
    write(repository.root / "a.ipynb", notebook())
    repository.commit()
    with pytest.raises(UserError, match="nowhere: no such commit"):
        changes.between(repository.root, "nowhere", "main")


def test_nothing_on_a_page_can_close_its_script_element():
    attack = "</script><script>window.ran = 1</script><!--\u2028"
    page = pages.notebook_page(change(notebook(text("a")), notebook(text(attack), code(attack, [stream(attack)])), attack))
    assert "window.ran" in page and "<script>window.ran" not in page
    answer = re.search(r'id="review-answer" type="application/json">(.*?)</script>', page, re.DOTALL).group(1)
    assert "\u2028" not in answer and attack in str(json.loads(answer)["diff"]).replace("\\u2028", "\u2028")


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_in_a_browser_the_page_renders_and_no_script_of_the_notebook_runs(tmp_path):
    run = "document.title='ran'"
    attacks = [
        shown(text_html=f"<script>{run}</script><img src=x onerror=\"{run}\"><iframe srcdoc='<script>parent.{run}</script>'>"),
        shown(image_svg_plus_xml="")
        | {"data": {"image/svg+xml": f"<svg xmlns='http://www.w3.org/2000/svg' onload=\"{run}\"/>"}},
        shown(application_javascript=run),
        shown(text_markdown=f'<img src=x onerror="{run}"> [x](javascript:{run})'),
    ]
    before = notebook(code("draw()", [shown(image_png=PNG)]), text("# Title"))
    after = notebook(code("draw(2)", [shown(image_png=PNG), *attacks]), text(f'<img src=x onerror="{run}">'))
    index = pages.write([change(before, after)], tmp_path)
    page = next(path for path in tmp_path.glob("*.html") if path != index)
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += ["--virtual-time-budget=6000", "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    assert "<title>notebooks/a.ipynb</title>" in dom
    assert "Outputs changed" in dom and "draw" in dom and f"data:image/png;base64,{PNG}" in dom
    assert not re.search(r"<(img|svg)[^>]*on(error|load)", dom[dom.index('id="nbdime-root"') :])
