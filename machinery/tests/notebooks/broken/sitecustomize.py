"""Loaded by every Python that the test server starts: the exporter ends at once where a notebook is called after it."""

import sys

if any("system_exit" in argument for argument in sys.argv[1:]):
    raise SystemExit(7)
