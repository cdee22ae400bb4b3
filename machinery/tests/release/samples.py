"""Releases to test with."""

from __future__ import annotations

import json
from typing import Any

from mlops.gitflow import tags
from mlops.release.manifest import Release, parse

DIGEST = "d" * 64


def model(**differs: Any) -> dict[str, Any]:
    """One use case of a release as release.json holds it."""
    fields = {
        "number": "1.0.0",
        "run_id": "0123456789abcdef",
        "key": "a" * 64,
        "commit": "c" * 40,
        "data": "b" * 64,
        "metrics": {"accuracy": 0.97, "log_loss": 0.12},
        "bundle": "e" * 64,
        "server": "f" * 64,
        "image": f"ghcr.io/ada/demo/iris@sha256:{DIGEST}",
        "promoted": "",
    }
    return fields | differs


def content(tag: str = "v1.0.0", **models: dict[str, Any]) -> dict[str, Any]:
    """What release.json of a tag holds; without models it is iris alone."""
    parsed = tags.parse(tag)
    fields = {"tag": tag, "version": parsed.version, "commit": "c" * 40, "environment": parsed.environment}
    return {**fields, "models": models or {"iris": model()}}


def release(tag: str = "v1.0.0", **models: dict[str, Any]) -> Release:
    """The release of a tag."""
    return parse(json.dumps(content(tag, **models)), "release.json")
