"""The CSS selectors of nbconvert's pages, answered without soupsieve: compiling its patterns takes a fifth of an export.

`content.quick_imports` puts this module where bs4 finds soupsieve. Any other selector or call goes to soupsieve itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bs4 import Tag


class SoupSieve:
    """What bs4 tells a compiled selector by; here none is compiled."""


def select(selector: str, tag: Tag, *arguments: Any, **options: Any) -> list[Tag]:
    """Return the tags below `tag` that match, in the order of the document."""
    known = KNOWN.get(selector)
    if known and not any(arguments[1:]) and not options:  # after the namespaces, which HTML has none of: limit and flags
        matches = known(tag)
        if not any(match.find_parent("template") for match in matches):  # whether these count differs between versions
            return matches
    return list(_soupsieve().select(selector, tag, *arguments, **options))


def _in_notebook(name: str) -> Callable[[Tag], list[Tag]]:
    return lambda tag: [cell for cell in tag.find_all("div", class_=name) if cell.find_parent(class_="jp-Notebook")]


KNOWN: dict[str, Callable[[Tag], list[Tag]]] = {
    "img:not([alt])": lambda tag: tag.find_all("img", alt=False),
    ".jp-Notebook div.jp-Cell-inputWrapper": _in_notebook("jp-Cell-inputWrapper"),
    ".jp-Notebook div.jp-OutputArea-output": _in_notebook("jp-OutputArea-output"),
}


@cache
def _soupsieve() -> ModuleType:
    if sys.modules.get("soupsieve") is sys.modules[__name__]:
        del sys.modules["soupsieve"]
    return import_module("soupsieve")


def __getattr__(name: str) -> Any:
    return getattr(_soupsieve(), name)
