"""Keys, tokens and passwords in a text, by detect-secrets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from mlops.errors import UserError

# detect-secrets judges by form; these three guess by the look of a word, as `make secrets` leaves out too.
WORDS = "KeywordDetector"
GUESSES = ("HexHighEntropyString", "Base64HighEntropyString", WORDS)


@contextmanager
def detector(without: Collection[str] = GUESSES) -> Iterator[Callable[[str], Iterable[Any]]]:
    """A function from a line to the secrets in it, set as `make secrets` sets it, for as long as the block lasts.

    A line that has `pragma: allowlist secret` is passed over. Raises UserError where detect-secrets is not installed.
    """
    try:
        from detect_secrets.core.scan import scan_line
        from detect_secrets.settings import transient_settings
    except ImportError as error:
        raise UserError("detect-secrets is not installed: make setup") from error
    with transient_settings({"plugins_used": [{"name": name} for name in _plugins() if name not in without]}):
        yield scan_line


@cache
def _plugins() -> list[str]:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

    plugins: Iterable[Any] = get_mapping_from_secret_type_to_class().values()
    return sorted(plugin.__name__ for plugin in plugins)
