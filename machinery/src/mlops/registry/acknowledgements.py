"""Acknowledgements that were spent: who registered the changed rule, when, and for which version. They excuse nothing more.

They are kept as tags of the registered model, as the moves of its aliases are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops.config.checks import Acknowledgement
from mlops.registry.aliases import as_tag, who
from mlops.registry.versions import Version
from mlops.training.findings import digest

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "acknowledged."


def spent(client: MlflowClient, name: str) -> dict[str, str]:
    """Digest of each acknowledgement that was spent → the key of the version that it was spent for."""
    from mlflow.exceptions import MlflowException

    try:
        tags = client.get_registered_model(name).tags
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise
    return {tag[len(PREFIX) :]: json.loads(value)["key"] for tag, value in tags.items() if tag.startswith(PREFIX)}


def spend(client: MlflowClient, name: str, version: Version, used: Sequence[Acknowledgement]) -> None:
    """Log what a registration was excused by; one that was spent before stays as it was logged."""
    before = spent(client, name) if used else {}
    for item in used:
        if digest(item) in before:
            continue
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        entry = {**item.model_dump(mode="json"), "version": version.number, "key": version.tags["key"], "who": who()}
        client.set_registered_model_tag(name, f"{PREFIX}{digest(item)}", as_tag({**entry, "when": when}, "reason"))
