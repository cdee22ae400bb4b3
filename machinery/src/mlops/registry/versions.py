"""Versions of a registered model: found by alias, number or key, and fetched as the candidate that they came from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import digests, folders, signatures, tracking, tracking_uri
from mlops.config import Project, check_use_case, load_use_case_config, nearest
from mlops.errors import DataError, StoreUnreachable, UserError
from mlops.registry import embedded, numbers
from mlops.training import candidate as candidates
from mlops.training.candidate import Candidate

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

# Seconds until a version that another process made and did not number is taken for the remains of a crash.
PATIENCE = 15
# Versions that are read at a time to see whether some are new.
PAGE = 10
# The tags of a registered model that hold the last number of each target, as in last.1 = 1.0.2.
LAST = "last."


@dataclass(frozen=True)
class Version:
    """A registered version: `version` counts in MLflow from 1, `number` is target.performance.data."""

    name: str
    version: str
    number: str
    run_id: str
    model_id: str
    aliases: tuple[str, ...]
    tags: dict[str, str]
    created: int

    @property
    def target(self) -> int:
        """The first part of its number: the target that it was made for."""
        return numbers.parse(self.number)[0]

    @property
    def title(self) -> str:
        """The version in words, as in `ridership 1.0.0 (champion)`."""
        aliases = f" ({', '.join(self.aliases)})" if self.aliases else ""
        return f"{self.name} {self.number}{aliases}"


def qualified(project: Project, use_case: str) -> str:
    """The name of a use case's registered model in the store; raises UserError for what no name can be."""
    if "/" in use_case or ":" in use_case:
        raise UserError(f"{use_case!r} is no name of a use case; there are: {', '.join(project.use_cases)}")
    return f"{project.namespace}{use_case}"


def experiment_name(project: Project, use_case: str) -> str:
    """The name of a use case's experiment in the store; raises UserError as `qualified` does."""
    return tracking_uri.experiment_name(tracking.uri(project), qualified(project, use_case))


def all_of(client: MlflowClient, name: str) -> list[Version]:
    """Every version of a registered model, the newest first; none where the model is not registered."""
    model = _model(client, name)
    if model is None:
        return []
    return _numbered(client.search_model_versions(f"name = '{name}'", max_results=10_000), model.aliases)


def _numbered(listed: Iterable[Any], aliases: dict[str, str]) -> list[Version]:
    """Those of MLflow's versions that have their number, the newest first."""
    versions = [_version(item, aliases) for item in listed if "number" in item.tags]
    return sorted(versions, key=lambda item: int(item.version), reverse=True)


def of_use_case(client: MlflowClient, project: Project, use_case: str) -> list[Version]:
    """Every version of a use case, the newest first; one that has left the configuration keeps its versions.

    Raises UserError with suggestions for a use case that neither the configuration nor the store has.
    """
    listed = all_of(client, qualified(project, use_case))
    if not listed:
        check_use_case(project, use_case)
    return listed


def some_of_use_case(client: MlflowClient, project: Project, use_case: str) -> list[Version]:
    """As `of_use_case`; raises UserError where there is none, by its configuration or not yet."""
    return _some(project, use_case, of_use_case(client, project, use_case))


def _some(project: Project, use_case: str, listed: list[Version]) -> list[Version]:
    if not listed and load_use_case_config(project, use_case).expect == "refused":
        raise UserError(
            f"{use_case}: no version is registered, as its configuration expects a refusal and the baseline is the champion; "
            f"its runs are in: mlops compare {use_case}"
        )
    choose(use_case, listed, None)
    return listed


def by_alias(versions: list[Version], alias: str) -> Version | None:
    """The version that an alias points at, or None."""
    return next((item for item in versions if alias in item.aliases), None)


def by_key(versions: list[Version], key: str) -> Version | None:
    """The version that was made from what a key stands for, or None."""
    return next((item for item in versions if item.tags.get("key") == key), None)


def read(client: MlflowClient, name: str, version: str) -> Version:
    """A version by MLflow's count, without reading the others."""
    model_version = client.get_model_version(name, version)
    return _version(model_version, dict.fromkeys(model_version.aliases, model_version.version))


def refreshed(client: MlflowClient, name: str, known: list[Version]) -> list[Version]:
    """Versions that were read before, with those that came since and the aliases of now; a run reads all of them once."""
    model = _model(client, name)
    pointed = model.aliases if model else {}
    new = [_version(item, pointed) for item in _newer(client, name, known) if "number" in item.tags]
    return [*new, *(replace(item, aliases=_aliases(item.version, pointed)) for item in known)]


def settled_before(client: MlflowClient, project: Project, name: str, version: int, known: list[Version]) -> list[Version]:
    """The versions that MLflow counted before this one, when each of them has its number; `known` were read before.

    On a server two may register at once; MLflow's own count, which is given once, says who is first. One that gets no
    number within PATIENCE was left by a crash and is removed; under the embedded store's lock no other can be at work.
    """
    deadline = time.monotonic() + (0 if tracking.is_embedded(project) else PATIENCE)
    while True:
        before = [item for item in _newer(client, name, known) if int(item.version) < version]
        open_ones = [item for item in before if "number" not in item.tags]
        if not open_ones or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    for item in open_ones:
        client.delete_model_version(name, item.version)
    return [item for item in refreshed(client, name, known) if int(item.version) < version]


def choose(name: str, versions: list[Version], ref: str | None) -> Version:
    """The version of an alias (`champion`, `@champion`) or number (`1.2.3`); None is the champion, else the newest.

    Raises UserError naming what there is.
    """
    if not versions:
        raise UserError(f"{name}: no version is registered; make one with: mlops run {name}")
    if ref is None:
        return by_alias(versions, "champion") or versions[0]
    ref = ref.removeprefix("@")
    version = next((item for item in versions if item.number == ref or ref in item.aliases), None)
    if version is None:
        known = [*(item.number for item in versions), *(alias for item in versions for alias in item.aliases)]
        raise UserError(f"{name}: no version {ref!r}{nearest(ref, known)}; there are: {', '.join(known)}")
    return version


def resolve(project: Project, use_case: str, ref: str | None = None) -> Version:
    """The version of an alias or number in the project's store; raises UserError as `of_use_case` and `choose` do."""
    name = qualified(project, use_case)
    if (reader := embedded.opened(project)) is not None:
        listed = _numbered(*reader.model_versions(name))
        if not listed:
            check_use_case(project, use_case)
        return choose(use_case, _some(project, use_case, listed), ref)
    with tracking.open_store(project, make=False) as client:
        return choose(use_case, some_of_use_case(client, project, use_case), ref)


def fetch(project: Project, version: Version, to: Path) -> Candidate:
    """Download the candidate that a version was registered from into the folder `to`.

    Raises DataError when a file is not what training wrote, or the files are those of another version.
    """
    folder = to / "candidate"
    with _store(project, version) as bring:
        bring(to, run_id=version.run_id, artifact_path="candidate")
        bring(folder / "model", artifact_uri=f"models:/{version.model_id}")
    manifest = _checked(project, folder / "manifest.json", version)
    if wrong := next(candidates.differing(folder, manifest["files"]), None):
        raise damaged(version, f"{wrong[0]} is {wrong[1]}")
    return candidates.read(folder)


def damaged(version: Version, what: str) -> DataError:
    """The error for a version whose files are not what training wrote, with the way back."""
    back = (
        f"mlops store pull brings them back from the repository; or move the alias to another of: mlops history {version.name}"
    )
    return DataError(f"{version.title}: its files in the store are not those that were registered ({what}); {back}")


@contextmanager
def _store(project: Project, version: Version) -> Iterator[Callable[..., Path]]:
    """A function that brings files into a folder; an error says of which version the store has lost them."""
    try:
        reader = embedded.opened(project)
        if reader is None:
            with tracking.open_store(project):
                yield tracking.fetch
        else:
            yield lambda to, **place: reader.copy(to, **place) or _fetch(project, to, **place)
    except StoreUnreachable as error:
        raise StoreUnreachable(f"{version.title}: {error}") from None


def _fetch(project: Project, to: Path, **place: str) -> Path:
    with tracking.open_store(project):
        return tracking.fetch(to, **place)


def _checked(project: Project, file: Path, version: Version) -> dict[str, Any]:
    """A version's manifest, which the store's record of the version identifies; raises DataError for another one."""
    if not file.is_file():
        raise damaged(version, "manifest.json is missing")
    recorded = version.tags.get("manifest_digest")
    if recorded and digests.of_file(file) != recorded:
        raise damaged(version, "manifest.json is changed")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        same = manifest["key"] == version.tags.get("key") and isinstance(manifest["files"], dict)
    except (ValueError, KeyError, TypeError):
        raise damaged(version, "manifest.json is damaged") from None
    if not same:
        raise damaged(version, "manifest.json is another version's")
    if required := _required_key(project, version):
        signatures.verify(version.title, file, version.tags.get(signatures.TAG, ""), project.root / required)
    return dict(manifest)


def _required_key(project: Project, version: Version) -> str:
    """The public key that the reader's configuration asks for, "" where it asks for none or has no such use case."""
    name = version.name.removeprefix(project.namespace)
    return load_use_case_config(project, name).serving.require_signature if name in project.use_cases else ""


def manifest_of(project: Project, version: Version) -> dict[str, Any]:
    """Return what training recorded of a version."""
    with folders.work_folder() as scratch:
        return fetch_files(project, version, [], scratch)


def fetch_files(project: Project, version: Version, names: Sequence[str], to: Path) -> dict[str, Any]:
    """Download some files of a version's candidate into the folder `to`, those that it has; returns its manifest.

    Raises DataError as `fetch` does.
    """
    with _store(project, version) as bring:
        manifest = _checked(project, bring(to, run_id=version.run_id, artifact_path="candidate/manifest.json"), version)
        for name in (name for name in names if name in manifest["files"]):
            file = bring(to, run_id=version.run_id, artifact_path=f"candidate/{name}")
            if digests.of_file(file) != manifest["files"][name]:
                raise damaged(version, f"{name} is changed")
    return manifest


def next_number(client: MlflowClient, name: str, versions: list[Version], target: int, improved: bool) -> str:
    """The number of a new version after these and those that were pruned; see `numbers.following`.

    Raises UserError for a target below the champion's.
    """
    champion = by_alias(versions, "champion")
    if champion and target < champion.target:
        raise UserError(f"target.number is {target}, but the champion is {champion.number}; it may rise, never fall")
    model = _model(client, name)
    given = [value for tag, value in model.tags.items() if tag.startswith(LAST)] if model else []
    known = [*given, *(item.number for item in versions)]
    return numbers.show(numbers.following(map(numbers.parse, known), target, improved))


def give(client: MlflowClient, name: str, version: str, number: str) -> None:
    """Give a version its number; the registered model keeps the last one of each target, which outlives its version."""
    client.set_model_version_tag(name, version, "number", number)
    client.set_registered_model_tag(name, f"{LAST}{numbers.parse(number)[0]}", number)


def _newer(client: MlflowClient, name: str, known: list[Version]) -> list[ModelVersion]:
    """The versions that MLflow counted after the known ones, the newest first; no more of the others is read than a page."""
    last, newer, token = max((int(item.version) for item in known), default=0), [], None
    while True:
        order = ["version_number DESC"]
        page = client.search_model_versions(f"name = '{name}'", max_results=PAGE, order_by=order, page_token=token)
        new = [item for item in page if int(item.version) > last]
        newer += new
        token = page.token
        if len(new) < len(page) or not token:
            return newer


def _model(client: MlflowClient, name: str) -> RegisteredModel | None:
    """The registered model of that name, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _version(model_version: Any, aliases: dict[str, str]) -> Version:
    return Version(
        name=model_version.name,
        version=str(model_version.version),
        number=model_version.tags["number"],
        run_id=model_version.run_id,
        model_id=model_version.tags["model_id"],
        aliases=_aliases(str(model_version.version), aliases),
        tags=dict(model_version.tags),
        created=model_version.creation_timestamp,
    )


def _aliases(version: str, pointed: dict[str, str]) -> tuple[str, ...]:
    return tuple(sorted(alias for alias, to in pointed.items() if str(to) == version))
