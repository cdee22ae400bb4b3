"""HTML of strangers made harmless: tables, headings, lists and images stay, scripts and styles go."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import Any

TAGS = frozenset(
    "a abbr acronym b bdi bdo blockquote br caption cite code col colgroup dd del details dfn div dl "
    "dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp section "
    "small span strong sub summary sup table tbody td tfoot th thead time tr tt u ul var wbr".split()
)
ANYWHERE = {"class", "id", "title", "dir", "lang"}
ATTRIBUTES = {
    "col": {"span", "width"},
    "colgroup": {"span", "width"},
    "details": {"open"},
    "img": {"alt", "height", "width"},
    "ol": {"start", "type"},
    "table": {"border"},
    "td": {"align", "colspan", "headers", "rowspan", "valign"},
    "th": {"align", "colspan", "headers", "rowspan", "scope", "valign"},
}
# Tags that are within each other until they end; the others end by themselves, as cells and paragraphs do.
NESTED = re.compile(
    r"<(/?)(?!(?:area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr|"
    r"p|li|d[dt]|t[dhr]|tbody|thead|tfoot|option)\b)[a-z][^<>]*",
    re.IGNORECASE,
)
DEEPEST = 500  # as browsers: below, reading takes the square of the depth
# What these elements hold is no text for a reader.
UNSEEN = re.compile(r"<(script|style|template|noscript|iframe|object)\b", re.IGNORECASE)
UNSEEN_TAGS = ["script", "style", "template", "noscript", "iframe", "object"]
LINK = re.compile(r"(?:https?:|mailto:|[^:]*$)", re.IGNORECASE)
# Images come with the page: an address elsewhere would tell a stranger who reads it.
IMAGE = re.compile(
    r"(?:data:image/(?:png|jpeg|gif|webp|bmp|svg\+xml);base64,|https://image\.invalid/|(?!//)[^:]*$)", re.IGNORECASE
)


def html(element: object, styled: bool = True) -> str:
    """Return HTML in which nothing runs; a tag that may not stay goes, and what it shows stays. What is nested too deeply
    for any browser is returned as text.

    styled: classes and ids stay; without them nothing takes the looks or the place of a part of the page around it.
    """
    text = element.decode() if isinstance(element, bytes) else str(element)
    if _depth(text) > DEEPEST:
        return escape(text)
    if UNSEEN.search(text):
        import bs4

        soup = bs4.BeautifulSoup(text, "html.parser")
        for tag in soup.find_all(UNSEEN_TAGS):
            tag.decompose()
        text = str(soup)
    return str(_cleaner(styled).clean(text))


@cache
def _cleaner(styled: bool) -> Any:
    """Building one takes longer than cleaning a small table."""
    import bleach

    protocols = {"http", "https", "mailto", "data"}
    return bleach.Cleaner(tags=TAGS, attributes=_stays if styled else _stays_plain, protocols=protocols, strip=True)


def _depth(text: str) -> int:
    depth = deepest = 0
    for match in NESTED.finditer(text):
        if not match[0].endswith("/"):
            depth = max(0, depth - 1) if match[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest


def _stays(tag: str, name: str, value: str) -> bool:
    if (tag, name) == ("a", "href"):
        return bool(LINK.match(value))
    if (tag, name) == ("img", "src"):
        return bool(IMAGE.match(value))
    return name in ANYWHERE or name in ATTRIBUTES.get(tag, ())


def _stays_plain(tag: str, name: str, value: str) -> bool:
    return name not in ("class", "id") and _stays(tag, name, value)
