"""The deployment log: what was deployed where, by whom, why and with which result; the aliases follow what really runs.

Kept as tags of the registered model, as the moves of aliases are, so that it lives in every store and moves with it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops import tracking
from mlops.config import Project
from mlops.errors import UserError
from mlops.registry import aliases, versions

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "deploy."
DEPLOYED = "deployed"
VERIFIED = "verified, not deployed"
RETURNED = "returned to the old one"
REFUSED = "refused"
MOVED = "alias moved"
# The characters of a reason.
LONGEST = 1_000


@dataclass(frozen=True)
class Deployment:
    """One deployment or rollback of one use case.

    `result` is one of: deployed, verified not deployed, returned to the old one, refused, alias moved. `before` is the number
    that ran before, None where nothing did. `alias` follows the version where the result is deployed or alias moved.
    `digest` is the image's, as the place that runs it knows it, "" where it has none.
    `stamp` is its moment in nanoseconds and identifies it, `when` the same in UTC, `seconds` how long it took.
    """

    use_case: str
    environment: str
    action: str
    result: str
    number: str
    image: str
    bundle: str
    tag: str
    before: str | None
    who: str
    why: str
    address: str = ""
    message: str = ""
    alias: str = ""
    seconds: float = 0.0
    stamp: int = field(default_factory=time.time_ns)
    when: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    digest: str = ""

    @property
    def ok(self) -> bool:
        """Whether it did what was asked for."""
        return self.result in (DEPLOYED, VERIFIED, MOVED)


def check_reason(why: str) -> str:
    """Return the reason without blanks around it; raise UserError for none or one that is too long."""
    if not why.strip():
        raise UserError("--reason is empty: say why, for those who read the deployment log")
    if len(why) > LONGEST:
        raise UserError(f"--reason has {len(why)} characters, {LONGEST} are kept")
    return why.strip()


def history(project: Project, use_case: str, environment: str = "") -> list[Deployment]:
    """Return the deployments of a use case, the newest first; those of one environment where it is named."""
    with tracking.open_store(project, make=False) as client:
        log = _read(client, versions.qualified(project, use_case))
    return [item for item in log if not environment or item.environment == environment]


def record(project: Project, deployments: Iterable[Deployment]) -> list[Deployment]:
    """Write what the log does not hold yet and return that; the alias follows the newest deployment of an environment.

    The entry is written first, its `message` and `why` cut where they are too long; the alias moves last. Recording the same
    again changes nothing.
    Raises UserError for a version that the store does not have.
    """
    written = []
    with tracking.locked(project), tracking.open_store(project) as client:
        for item in deployments:
            name = versions.qualified(project, item.use_case)
            known = versions.all_of(client, name)
            version = versions.choose(item.use_case, known, item.number)
            log = _read(client, name)
            if item.stamp not in {kept.stamp for kept in log}:
                entry = aliases.as_tag(asdict(item), "message", "why")
                client.set_registered_model_tag(name, f"{PREFIX}{item.stamp}", entry)
                written.append(item)
            moves = [kept.stamp for kept in [*log, item] if kept.alias and kept.alias == item.alias]
            if moves and item.stamp == max(moves):
                aliases.move(client, known, item.alias, version, f"{item.action}: {item.why}")
        tracking.back_up(project)
    return written


class Step(NamedTuple):
    """One change of what is live: the number before it, None where there was nothing, and the number after it."""

    before: str | None
    number: str


def before(steps: Iterable[Step | Deployment], now: str) -> str | None:
    """Return what to go back to from the version that is live now; None where there is nothing.

    steps: the changes that the log holds, the oldest first. Some may be missing, or stand in the wrong order where a clock was
    wrong: what was live before a step is what that step found, and `now` is what is live whatever the log holds.
    A version that was gone back from is never gone back to.
    """
    stack: list[str] = []
    for number in [*(number for step in steps for number in (step.before, step.number)), now]:
        if number:
            stack = stack[: stack.index(number) + 1] if number in stack else [*stack, number]
    return stack[-2] if len(stack) > 1 else None


def write_result(file: Path, deployments: Sequence[Deployment]) -> None:
    """Write outcomes to a file that `read_result` reads."""
    from mlops.files import write_json

    write_json(file, {"deployments": [asdict(item) for item in deployments]})


def read_result(file: Path) -> list[Deployment]:
    """Return the outcomes in a file; raise UserError for one that is not what mlops deploy wrote."""
    content = read_json(file)
    names = {item.name for item in fields(Deployment)}
    entries = content.get("deployments")
    if not isinstance(entries, list) or any(not isinstance(item, dict) or set(item) != names for item in entries):
        raise UserError(f"{file} is not a result of mlops deploy or rollback: --result writes one")
    return [Deployment(**item) for item in entries]


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file; raise UserError where there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror})") from None
    except ValueError:
        raise UserError(f"{file} is not JSON") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: an object is expected, found {type(content).__name__}")
    return content


def _read(client: MlflowClient, name: str) -> list[Deployment]:
    """Return the whole log of a registered model, the newest first; none where the model is not registered."""
    from mlflow.exceptions import MlflowException

    try:
        tags = client.get_registered_model(name).tags
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return []
        raise
    names = {item.name for item in fields(Deployment)}
    contents = [json.loads(value) for key, value in tags.items() if key.startswith(PREFIX)]
    # A later version of this log may hold more; what is known here is shown.
    entries = [Deployment(**{key: value for key, value in content.items() if key in names}) for content in contents]
    return sorted(entries, key=lambda item: item.stamp, reverse=True)
