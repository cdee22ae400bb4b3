"""What the page of a notebook shows and loads: pictures beside it, and what a sanitized page keeps."""

import base64
import json
import re

import bs4
import pytest
from samples import PNG, code, notebook, shown, stream, text, write

from mlops.notebooks import export


def attached(source, **attachments):
    return dict(text(source), attachments={name: {"image/png": PNG} for name in attachments})


IMAGES = {
    "a file": text("![words](figures/a.png)"),
    "a file in HTML": text('<img width="9" src="figures/a.png">'),
    "a file by reference": text("![words][one]\n\n[one]: figures/a.png"),
    "a name with a space": text("![words](figures/two%20words.png)"),
    "an attachment": attached("![words](attachment:image.png)", **{"image.png": 1}),
    "an attachment with a space": attached("![words](attachment:two%20words.png)", **{"two words.png": 1}),
    "an attachment in HTML": attached("<img src='attachment:image.png'/>", **{"image.png": 1}),
}


def sources(page):
    return [image.get("src", "") for image in bs4.BeautifulSoup(page, "html.parser").find_all("img")]


@pytest.fixture
def pictured(marked):
    (marked / "figures").mkdir()
    for name in ("a.png", "two words.png"):
        (marked / "figures" / name).write_bytes(base64.b64decode(PNG))
    return marked


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("sanitize", [False, True])
def test_images_beside_the_notebook_and_attached_are_in_the_page(pictured, name, sanitize):
    path = write(pictured / "a.ipynb", notebook(IMAGES[name]))
    _, page = export.export(path, sanitize=sanitize)
    assert sources(page.read_text(encoding="utf-8")) == [f"data:image/png;base64,{PNG}"]


def test_an_image_that_changes_makes_a_new_page(pictured):
    path = write(pictured / "a.ipynb", notebook(IMAGES["a file"]))
    export.export(path)
    assert export.export(path) == []
    (pictured / "figures" / "a.png").write_bytes(b"other")
    assert [target.suffix for target in export.export(path)] == [".html"]


@pytest.mark.parametrize(
    "address", ["../secret.png", "figures/link.png", "figures/none.png", "attachment:gone.png", "a.ipynb"]
)
def test_what_is_outside_missing_or_no_image_is_not_read_and_ends_nothing(pictured, tmp_path_factory, address):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.png"
    secret.write_bytes(b"secret words")
    (pictured.parent / "secret.png").write_bytes(b"secret words")
    (pictured / "figures" / "link.png").symlink_to(secret)
    path = write(pictured / "a.ipynb", notebook(text(f"`![x]({address})`"), text(f'<img src="{address}">')))
    _, page = export.export(path)
    assert base64.b64encode(b"secret words").decode() not in page.read_text(encoding="utf-8")
    assert address in page.read_text(encoding="utf-8")


def test_an_address_that_is_shown_as_text_stays_as_written(pictured):
    page = export.page(notebook(text("`![words](figures/a.png)`")), "a", folder=pictured)
    assert "![words](figures/a.png)" in page and "image.invalid" not in page


FRAME = """<div><style scoped>.dataframe tbody tr th {vertical-align: top;}</style>
<table border="1" class="dataframe"><thead><tr style="text-align: right;"><th></th><th>price</th></tr></thead>
<tbody><tr><th>0</th><td>12.5</td></tr></tbody>
</table></div>"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" onload="window.a=1"><script>window.a=1</script><circle r="4"/></svg>'
PROSE = (
    "# Title\n\nA *word*, ~~gone~~ and a [link](https://example.org).\n\n1. one\n\n> quoted\n\n"
    "| a | b |\n|--|--|\n| 1 | 2 |\n\n---\n"
)


def clean_page(*cells):
    page = export.page(notebook(*cells), "a", sanitize=True)
    main = bs4.BeautifulSoup(page, "html.parser").find("main")
    assert not re.search("</?(p|h1|table|thead|tr|th|td|img|style|svg|script)[ >/]", main.get_text()), "tags shown as text"
    return main


def test_a_sanitized_page_shows_what_markdown_shows():
    main = clean_page(text(PROSE))
    assert [main.find("h1").get_text(), main.find("em").get_text()] == ["Title¶", "word"]
    assert [cell.get_text() for cell in main.find("table").find_all(["th", "td"])] == ["a", "b", "1", "2"]
    assert main.find("a", href="https://example.org") and all(map(main.find, ["p", "ol", "li", "blockquote", "del", "hr"]))


def test_a_sanitized_page_shows_tables_figures_drawings_and_code():
    outputs = [
        shown(text_html=FRAME),
        shown(image_png=PNG),
        {**shown(), "data": {"image/svg+xml": SVG}},
        stream("<b>plain</b>"),
    ]
    main = clean_page(code("x = 1  # <b>", [*outputs, shown(text_html=f'<img src="data:image/png;base64,{PNG}">')]))
    assert [cell.get_text() for cell in main.find("table", class_="dataframe").find_all(["th", "td"])] == [
        "",
        "price",
        "0",
        "12.5",
    ]
    addresses = [image["src"].partition(",")[0] for image in main.find_all("img")]
    assert addresses == ["data:image/png;base64", "data:image/svg+xml;base64", "data:image/png;base64"]
    assert "vertical-align" not in main.get_text() and "<b>plain</b>" in main.get_text() and "# <b>" in main.get_text()


ATTACKS = [
    "<script>window.a=1</script>",
    "<scr<script>x</script>ipt>window.a=1</script>",
    "<style>*{background:url(https://evil.example)}</style>",
    "<img src=x onerror=window.a=1>",
    "<img src=https://evil.example/seen.png>",
    "<img src=//evil.example/seen.png>",
    "<a href='java\nscript:window.a=1'>x</a>",
    "<a href='&#106;avascript:window.a=1'>x</a>",
    "<a href='data:text/html,<script>window.a=1</script>'>x</a>",
    "<svg onload=window.a=1><script>window.a=1</script></svg>",
    "<iframe srcdoc='<script>window.a=1</script>'></iframe>",
    "<object data=https://evil.example></object><embed src=https://evil.example>",
    "<form action=https://evil.example><button>x</button></form>",
    "<p style='background:url(https://evil.example)'>x</p>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.a=1>",
    "<base href=https://evil.example><meta http-equiv=refresh content='0;url=https://evil.example'>",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_sanitized_page_runs_and_loads_nothing_of_the_notebook(attack):
    cells = text(attack), code("x", [shown(text_html=attack), shown(text_markdown=attack)])
    main = bs4.BeautifulSoup(export.page(notebook(*cells), "a", sanitize=True), "html.parser").find("main")
    for tag in main.find_all(True):
        assert tag.name not in {"script", "style", "svg", "iframe", "object", "embed", "form", "base", "meta", "math"}
        words = {name: str(value) for name, value in tag.attrs.items()}
        assert not any(name.startswith("on") or name in ("style", "srcdoc") for name in words)
        assert "evil" not in json.dumps(words) and not re.match(r"\W*(java|data:text)", words.get("href", ""))
