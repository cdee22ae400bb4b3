"""What a reviewer sees: the changed cells, as Markdown and as pages on which nothing of a notebook runs."""

import base64
import copy
import hashlib
import re
import shutil
import struct
import subprocess

import bs4
import pytest
from samples import PNG, code, notebook, shown, stream, text, write

from mlops.errors import UserError
from mlops.notebooks import changes, export, links, pages, plotly, review

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def long(cells):
    return notebook(*(code(f"value_{n} = {n}\nprint(value_{n})", [stream(f"{n}\n")], count=n) for n in range(cells)))


def change(before, after, path="notebooks/a.ipynb", has_script=False):
    rows, metadata = changes.compare(before, after), changes.metadata_changes(before, after)
    return changes.NotebookChange(path, "changed", before, after, rows, path, None, metadata, has_script)


def text_of(page):
    return bs4.BeautifulSoup(page, "html.parser").get_text(" ", strip=True)


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


@pytest.mark.parametrize("ids", [True, False])
def test_every_cell_of_both_notebooks_is_there_once_and_in_order(ids):
    before, after = long(30), long(30)
    after["cells"] = after["cells"][10:20] + after["cells"][:8] + [text("new")] + after["cells"][25:]
    if not ids:
        for cell in before["cells"] + after["cells"]:
            del cell["id"]
    rows = changes.compare(before, after)
    assert sorted(row.old for row in rows if row.old) == list(range(1, 31))
    assert [row.new for row in rows if row.new] == list(range(1, 25))
    assert [(row.old, row.new) for row in rows if row.kind == "moved"] == [(n, n + 10) for n in range(1, 9)]
    assert {row.old for row in rows if row.kind == "removed"} == {9, 10, 21, 22, 23, 24, 25}


def test_a_cell_that_moves_is_moved_and_may_change_on_its_way():
    before = long(6)
    after = copy.deepcopy(before)
    after["cells"].insert(0, after["cells"].pop(4))
    after["cells"][0]["source"] += "\n# more"
    (row,) = change(before, after).cells
    assert (row.kind, row.old, row.new, row.source_changed) == ("moved", 5, 1, True)
    assert review.title(row) == "Cell 1 moved from 5; changed: source"


def test_two_cells_of_one_id_are_not_taken_for_each_other():
    before, after = long(3), long(3)
    after["cells"].append(dict(text("something else"), id=after["cells"][0]["id"]))
    after["cells"][0]["source"] += "\n# more"
    assert [(row.kind, row.new) for row in change(before, after).cells] == [("changed", 1), ("added", 4)]


def test_tags_and_the_language_are_a_change_and_what_editors_write_is_none():
    before = notebook(code("x = 1", tags=["parameters"], vscode={"languageId": "python"}), title="Old")
    after = notebook(code("x = 1", tags=["skip-execution"]), title="New", widgets={"x": 1}, papermill={"version": "2"})
    (row,) = change(before, after).cells
    assert review.title(row) == "Cell 1 changed: metadata"
    page = pages.page([change(before, after)])
    assert '<span class="badge tag gone"' in page and '<span class="badge tag new" title="not run">' in page
    assert changes.metadata_changes(before, after) == {"title": ("Old", "New")}
    other = dict(before, metadata={"kernelspec": {"name": "ir", "language": "R"}, "title": "Old"})
    assert changes.metadata_changes(before, other) == {"language": ("python", "r")}


def test_unchanged_cells_can_be_opened_and_neighbours_are_shown():
    before = long(1000)
    after = copy.deepcopy(before)
    after["cells"][500]["source"] = "changed = True"
    page = pages.page([change(before, after)])
    soup = bs4.BeautifulSoup(page, "html.parser")
    shown = [cell["id"] for cell in soup.select("main section > article")]
    assert shown == ["n1-c500", "n1-c501", "n1-c502"]
    assert [gap.summary.text for gap in soup.select("details.gap")] == [
        "cells 1 to 499 are unchanged",
        "cells 503 to 1000 are unchanged",
    ]
    assert "value_42" in soup.select_one("#n1-c43").text and soup.select_one('#index a[href="#n1-c501"]')


def test_changes_within_a_line_are_marked():
    before, after = notebook(code("x = train(a, 1)\nsame\n<b>")), notebook(code("x = train(a, 22)\nsame\n<i>"))
    soup = bs4.BeautifulSoup(pages.page([change(before, after)]), "html.parser")
    assert [mark.text for mark in soup.select(".old mark")] == ["1", "b"]
    assert [mark.text for mark in soup.select(".new mark")] == ["22", "i"]
    assert [line["data-n"] for line in soup.select(".change > .new > div")] == ["1", "3"]


def test_cells_of_tables_that_changed_are_marked_beside_rows_and_columns_that_come():
    head = "<tr><th>m</th><th>mae</th></tr>"
    old = f"<table>{head}<tr><td>a</td><td>1</td></tr><tr><td>b</td><td>2</td></tr></table>"
    new = old.replace("<th>m</th>", "<th>m</th><th>n</th>").replace("<td>b</td>", "<td>b</td><td>7</td>")
    new = new.replace("<td>a</td><td>1</td>", "<td>a</td><td>6</td><td>1.5</td>").replace(
        "</table>", "<tr><td>c</td></tr></table>"
    )
    before, after = (notebook(code("t", [shown(text_html=html)])) for html in (old, new))
    soup = bs4.BeautifulSoup(pages.page([change(before, after)]), "html.parser")
    assert [cell.text for cell in soup.select(".old .changed")] == ["1"]
    assert [cell.text for cell in soup.select(".new .changed")] == ["n", "6", "1.5", "7", "c"]


PLOTLY = {
    "data": [{"type": "bar", "name": "rides", "x": ["a", "b"], "y": {"dtype": "f8", "bdata": "AAAAAAAA8D8AAAAAAAAAQA=="}}]
}


@pytest.mark.parametrize(
    ("output", "there"),
    [
        (shown(image_png=PNG), "image/png, 1 × 1, 0.1 kB"),
        ({"output_type": "display_data", "data": {"image/svg+xml": "<svg onload='x'/>"}}, 'src="data:image/svg+xml;base64,'),
        (
            {"output_type": "display_data", "data": {"application/vnd.plotly.v1+json": PLOTLY}},
            'src="data:image/svg+xml;base64,',
        ),
        (shown(application_json={"deep": {"x": 1}}), '"deep"'),
        (shown(application_javascript="alert(1)"), "application/javascript, not run"),
        (shown(text_markdown="**bold**"), "<strong>bold</strong>"),
        ({"output_type": "error", "ename": "E", "evalue": "no", "traceback": ["\x1b[31mline\x1b[0m"]}, "line"),
        (shown(application_pdf="x" * 4000), "application/pdf, 4.0 kB"),
    ],
)
def test_each_kind_of_output_is_shown_as_what_it_is(output, there):
    alone = pages.page([change(notebook(code("x")), notebook(code("x", [output])))])
    both = pages.page([change(notebook(code("x", [stream("1"), output])), notebook(code("x", [stream("2"), output])))])
    assert (there in alone or "not run" in there) and "undefined" not in alone
    assert there.removesuffix(", not run").removeprefix("application/javascript") in both


def test_a_plotly_figure_is_drawn_from_its_data_and_what_is_none_is_left_as_text():
    drawn = plotly.svg(PLOTLY)
    bars = bs4.BeautifulSoup(drawn, "html.parser").find_all("rect")[1:]
    assert float(bars[1]["height"]) == pytest.approx(2 * float(bars[0]["height"]), abs=0.2)
    for odd in ({}, {"data": 1}, {"data": [1, {"type": "pie"}, {"y": []}, {"y": [None, float("nan")]}]}, "x"):
        assert plotly.svg(odd) == ""


def test_attachments_are_shown_and_pictures_from_elsewhere_are_named():
    before = dict(text("![a](attachment:a.png)"), attachments={"a.png": {"image/png": PNG}})
    after = dict(
        text("![a](attachment:a.png) ![b](https://example.org/x.png) ![c](b.png)"), attachments={"a.png": {"image/png": PNG}}
    )
    soup = bs4.BeautifulSoup(pages.page([change(notebook(before), notebook(after))]), "html.parser")
    assert [image["src"] for image in soup.find_all("img")] == [f"data:image/png;base64,{PNG}"] * 2
    assert "[picture b]" in soup.text and "[picture b.png]" in soup.text


def test_each_cell_has_a_link_to_its_line_on_the_pull_request():
    before, after = long(4), long(4)
    after["cells"][1]["source"] = "value_1 = 1\nprint(value_1 + 1)"
    del after["cells"][3]
    found = links.Links("https://github.com/o/r/pull/5", "https://github.com/o/r/blob/abc")
    soup = bs4.BeautifulSoup(pages.page([change(before, after, has_script=True)], found), "html.parser")
    addresses = {cell["id"]: cell.select_one("a.line")["href"] for cell in soup.select("article")}
    anchor = "https://github.com/o/r/pull/5/files#diff-" + hashlib.sha256(b"notebooks/a/a.py").hexdigest()
    script = {side: export.script(one, "a").split("\n") for side, one in (("R", after), ("L", before))}
    assert addresses == {
        "n1-c1": "https://github.com/o/r/blob/abc/notebooks/a/a.py#L4",
        "n1-c2": f"{anchor}R{script['R'].index('print(value_1 + 1)') + 1}",
        "n1-c3": f"https://github.com/o/r/blob/abc/notebooks/a/a.py#L{script['R'].index('value_2 = 2') + 1}",
        "n1-r4": f"{anchor}L{script['L'].index('value_3 = 3') + 1}",
    }
    assert "a.line" not in pages.page([change(before, after)], found) and 'class="line"' not in pages.page(
        [change(before, after)]
    )


def test_figures_that_changed_are_named_in_the_comment_with_their_sizes():
    other = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(8) + struct.pack(">II", 640, 480) + bytes(3000)).decode()
    before = notebook(code("plot()", [shown(image_png=PNG)]), code("same()", [shown(image_png=PNG)]))
    after = notebook(code("plot()", [shown(image_png=other)]), code("same(1)", [shown(image_png=PNG)]))
    words = review.markdown([change(before, after)])
    row = "| `notebooks/a.ipynb` | 1 | image/png, 1 × 1, 0.1 kB | image/png, 640 × 480, 3.0 kB |"
    assert row in words and words.count("| `notebooks/a.ipynb` |") == 2


def test_a_thousand_cells_with_twenty_changed_are_reviewed_on_a_small_page(tmp_path):
    before = long(1000)
    after = copy.deepcopy(before)
    for number in range(0, 1000, 50):
        after["cells"][number]["source"] += "\n# changed"
    changed = change(before, after)
    page = pages.page([changed])
    assert len(changed.cells) == 20 and len(page) < 4_000_000


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
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["index.html"], "one file"
    soup = bs4.BeautifulSoup(index.read_text(), "html.parser")
    assert [heading.text for heading in soup.select("#index h2")] == sorted(changed)
    assert all(soup.select_one(link["href"]) for link in soup.select("#index a"))
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


def test_nothing_on_a_page_is_an_element_of_the_notebook():
    attack = "</script><script>window.ran = 1</script><!--\u2028 <style>body{display:none}</style> <form action=x>"
    cells = [text(attack), code(attack, [stream(attack), shown(text_html=attack), shown(text_markdown=attack)], tags=[attack])]
    page = pages.page([change(notebook(text("a")), notebook(*cells, title=attack), attack)])
    soup = bs4.BeautifulSoup(page, "html.parser")
    assert len(soup.find_all("script")) == len(soup.find_all("style")) == 1 and not soup.find_all("form")
    assert "window.ran" in soup.select_one("main").text
    assert not soup.select("main [onload], main [style], main .rendered [class]:not(.note), main .rendered [id]")


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
    page = pages.write([change(before, after)], tmp_path)
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += ["--virtual-time-budget=6000", "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    soup = bs4.BeautifulSoup(dom, "html.parser")
    assert soup.title.text == "Notebook review" and soup.select_one("#place").text == "2 changes", "our own script runs"
    assert "draw" in soup.select_one("#n1-c1").text and f"data:image/png;base64,{PNG}" in dom
    assert not soup.select("main [onerror], main [onload], main iframe, main svg")


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_in_a_browser_keys_and_buttons_move_and_change_the_view(tmp_path):
    before, after = long(9), long(9)
    for number in (2, 6):
        after["cells"][number]["source"] += "\n# more"
    page = pages.write([change(before, after)], tmp_path)
    press = "".join(f"document.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}'}}));" for key in "jjjkjuoed")
    policy = r'<meta http-equiv="Content-Security-Policy"[^>]*>'
    page.write_text(re.sub(policy, "", page.read_text()).replace("</body>", f"<script>{press}</script></body>"))
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=2000",
        "--dump-dom",
        page.as_uri(),
    ]
    soup = bs4.BeautifulSoup(subprocess.run(command, capture_output=True, text=True, timeout=120).stdout, "html.parser")
    assert soup.select_one("#place").text == "2 of 2 changes" and soup.select_one(".current")["id"] == "n1-c7"
    assert set(soup.body["class"]) == {"unified", "no-outputs", "unfolded"} and soup.html["data-theme"] in ("dark", "light")
    assert all("open" in gap.attrs for gap in soup.select("details.gap"))
    assert soup.select_one('[data-do="view"]')["aria-pressed"] == "true"


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_on_paper_unchanged_cells_are_open(tmp_path):
    before, after = long(200), long(200)
    after["cells"][100]["source"] += "\n# more"
    page = pages.write([change(before, after)], tmp_path)
    pdf = tmp_path / "review.pdf"
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--print-to-pdf={pdf}", page.as_uri()]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())) > 9
