"""The same image id whenever an image is built: its configuration holds the version's time and nothing of the builder's.

BuildKit takes the time from SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch). Docker's
classic builder writes its own times, host names and parents into an image; the configuration is then written anew over the
same layers.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from datetime import UTC, datetime
from typing import Any

from mlops.errors import UserError
from mlops.serving.manifest import Bundle

EPOCH = 946_684_800  # 2000-01-01: the time of every file, so that layers do not depend on when they were made
# What the image specification knows of a configuration (OCI image-spec, config.md); the rest is the builder's.
CONFIG = (
    *("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal"),
    "Healthcheck",
)


def moment_of(bundle: Bundle) -> int:
    """The time of a bundle's image in seconds: SOURCE_DATE_EPOCH, else when its version was registered.

    Raises UserError for a SOURCE_DATE_EPOCH that is no whole number of seconds.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given and not given.isdecimal():
        raise UserError(f"SOURCE_DATE_EPOCH is {given!r}: give it whole seconds since 1970, or unset it")
    return int(given) if given else int(bundle.content["version"].get("created_ms") or 1000 * EPOCH) // 1000


def settings(moment: int) -> dict[str, str]:
    """The environment for `docker build`: BuildKit dates what it makes so, and adds no attestation with times of its own."""
    return {"SOURCE_DATE_EPOCH": str(moment), "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


def configuration(details: dict[str, Any], moment: int, why: str) -> bytes:
    """The configuration of an image (`details` of docker image inspect) as of a moment, the same bytes each time."""
    created, layers = stamp(moment), details["RootFS"]["Layers"]
    content = {
        "created": created,
        "architecture": details["Architecture"],
        **({"variant": details["Variant"]} if details.get("Variant") else {}),
        "os": details["Os"],
        "config": {key: details["Config"][key] for key in CONFIG if details["Config"].get(key)},
        "rootfs": {"type": "layers", "diff_ids": layers},
        "history": [{"created": created, "created_by": why} for _ in layers],
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def archive(config: bytes, layers: int) -> tuple[str, bytes]:
    """The id of a configuration, and what `docker load` takes for it where the engine has all of its layers already."""
    name = hashlib.sha256(config).hexdigest()
    manifest = [{"Config": f"{name}.json", "RepoTags": None, "Layers": [f"{place}/layer.tar" for place in range(layers)]}]
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as file:
        for path, content in ((f"{name}.json", config), ("manifest.json", json.dumps(manifest).encode())):
            item = tarfile.TarInfo(path)
            item.size = len(content)
            file.addfile(item, io.BytesIO(content))
    return f"sha256:{name}", target.getvalue()


def is_dated(created: str, moment: int) -> bool:
    """Whether an image's time, as Docker shows it, is that moment."""
    return created.partition(".")[0].removesuffix("Z") == stamp(moment).removesuffix("Z")


def stamp(moment: int) -> str:
    """A moment in RFC 3339."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
