"""The bundle of a registered version: fetched from the store, built once, kept by its number."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import console, folders, use_case_code
from mlops.bundle import build as bundles
from mlops.config import Project, load_use_case_config
from mlops.errors import UserError
from mlops.registry import versions
from mlops.scoring import as_trained, raw_bundle
from mlops.serving.manifest import MANIFEST, Bundle, BundleDamaged, verify
from mlops.serving.raw import FOLDER
from mlops.training.candidate import PREDICTION, Candidate
from mlops.training.personal import hidden

if TYPE_CHECKING:
    import pandas as pd


def bundle(project: Project, name: str, ref: str | None, to: Path | None, form: str | None) -> Bundle:
    """The verified bundle of a version, by default in output/bundles; built where it is not there or damaged.

    Raises UserError for an unknown use case or version, and for a model that cannot be bundled.
    """
    name = name or project.default_use_case
    config = load_use_case_config(project, name)
    version = versions.resolve(project, name, ref)
    if ref is None and "champion" not in version.aliases:
        console.note(f"{name} has no champion yet: {version.number}, the newest version, is taken")
    folder = to or project.output / "bundles" / name / (f"{version.number}-{form}" if form else version.number)
    identity = identity_of(version)
    allow_pickle, raw = config.serving.allow_pickle, config.serving.input == "raw"
    personal: tuple[str, ...] = ()
    if config.serving.require_signature or config.serving.personal:
        # Reading it asks for the signature: also a bundle that is here already is of a signed version.
        personal = _personal(config.serving.personal, versions.manifest_of(project, version))
    if not to and (kept := _kept(folder, identity, allow_pickle, personal, raw)):
        return kept
    if to and to.exists() and not (to / MANIFEST).is_file() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"{to} exists and is not a bundle: choose another folder with --to")
    with folders.work_folder() as temporary, console.step(f"bundling {name} {version.number}"):
        candidate = versions.fetch(project, version, temporary)
        identity |= {"metrics": candidate.manifest.get("metrics") or {}}
        options = {"form": form, "allow_pickle": allow_pickle, "personal": personal, "trusted": config.serving.trust}
        if not raw:
            return bundles.build(candidate.path, folder, name, identity, **options)  # type: ignore[arg-type]
        plain = bundles.build(candidate.path, temporary / "plain", name, identity, **options)  # type: ignore[arg-type]
        return raw_bundle.build(project, candidate, plain, folder, trusted=config.serving.trust, allow_pickle=allow_pickle)


def _personal(named: tuple[str, ...], manifest: dict[str, Any]) -> tuple[str, ...]:
    """The columns that a prediction log leaves out: those that are named, and what the version made of them."""
    return tuple(sorted(hidden(named, manifest))) if named else ()


def reader_of(project: Project, bundle: Bundle) -> dict[str, Any]:
    """What a server of the bundle may load, by the configuration of this commit: the settings `trust` and its kin."""
    serving = load_use_case_config(project, bundle.name).serving
    return {"trust": " ".join(serving.trust), "allow_pickle": serving.allow_pickle, "allow_code": serving.input == "raw"}


def image_settings(project: Project, bundle: Bundle) -> dict[str, Any]:
    """What an image of the bundle is built with: what its server may load, and where it sends traces."""
    return reader_of(project, bundle) | {"tracing": load_use_case_config(project, bundle.name).serving.tracing}


def rows_of(project: Project, bundle: Bundle) -> dict[str, Any]:
    """Rows of the holdout of a bundle's version, with what training recorded for them."""
    import pandas as pd

    from mlops.bundle.image import rows_of

    version = versions.resolve(project, bundle.name, bundle.number)
    with folders.work_folder() as scratch:
        if bundle.content.get("raw"):
            return rows_of(_raw_rows(project, versions.fetch(project, version, scratch), bundle), bundle)
        versions.fetch_files(project, version, ["holdout.parquet"], scratch)
        return rows_of(pd.read_parquet(next(scratch.rglob("holdout.parquet"))), bundle)


def _raw_rows(project: Project, candidate: Candidate, bundle: Bundle) -> pd.DataFrame:
    """Raw rows of the holdout, with what training recorded for them; columns that a request leaves out are left out."""
    with as_trained.use_case(project, candidate.manifest) as use_case:
        rows = raw_bundle.sample(project, candidate, use_case)
    key = bundle.content["raw"]["key"]
    return rows.merge(candidate.holdout()[[*key, PREDICTION]], on=key)


def identity_of(version: versions.Version) -> dict[str, Any]:
    """What a bundle says of its version; aliases move and are left out, so that the same version gives the same bytes."""
    tags = version.tags
    parts = {"number": version.number, "version": version.version, "run_id": version.run_id, "model_id": version.model_id}
    parts |= {"commit": tags.get("git_commit", ""), "key": tags.get("key", ""), "code": tags.get("code_digest", "")}
    return parts | {"created_ms": version.created}


def _kept(folder: Path, identity: dict[str, Any], allow_pickle: bool, personal: tuple[str, ...], raw: bool) -> Bundle | None:
    """The bundle that is there already, where it is whole and of this version."""
    try:
        bundle = verify(folder)
    except (BundleDamaged, json.JSONDecodeError):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    same = identity.items() <= bundle.content["version"].items() and bundle.content["personal"] == sorted(personal)
    pickled = bundle.content.get("pyfunc", {}).get("allow_pickle", allow_pickle)
    return bundle if same and pickled == allow_pickle and _has_code(bundle, identity["code"], raw) else None


def _has_code(bundle: Bundle, code: str, raw: bool) -> bool:
    """Whether a bundle brings the code of its version and no other, or none where none is wanted."""
    package = bundle.folder / FOLDER / use_case_code.PACKAGE / bundle.name
    if not raw:
        return not bundle.content.get("raw")
    return bool(bundle.content.get("raw")) and package.is_dir() and use_case_code.digest(package) == code
