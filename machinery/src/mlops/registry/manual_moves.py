"""What a person does to the registry by hand: move an alias, archive a version. Both leave a trace."""

from __future__ import annotations

from mlops import tracking
from mlops.config import Project
from mlops.errors import UserError
from mlops.registry import aliases, versions
from mlops.registry.aliases import Move, who
from mlops.registry.versions import Version


def move(project: Project, use_case: str, alias: str, ref: str, why: str) -> tuple[Move | None, Version]:
    """Point an alias at the version of a number or alias; None as move where it points there already.

    Raises UserError for an unknown version, an archived one, or an invalid alias.
    """
    aliases.check(alias)
    with tracking.locked(project), tracking.open_store(project) as client:
        name = versions.qualified(project, use_case)
        known = versions.of_use_case(client, project, use_case)
        to = versions.choose(use_case, known, ref)
        if "archived" in to.tags:
            raise UserError(f"{use_case} {to.number} is archived ({to.tags['archived']}); choose another version")
        moved = aliases.move(client, known, alias, to, why)
        tracking.back_up(project)
        return moved, versions.choose(use_case, versions.all_of(client, name), to.number)


def archive(project: Project, use_case: str, ref: str, why: str) -> Version:
    """Mark a version as archived, with who and why; raises UserError for one that an alias points at."""
    with tracking.locked(project), tracking.open_store(project) as client:
        name = versions.qualified(project, use_case)
        version = versions.choose(use_case, versions.of_use_case(client, project, use_case), ref)
        if version.aliases:
            raise UserError(
                f"{version.title} is in use; move its aliases first: mlops alias {use_case} {version.aliases[0]} …"
            )
        client.set_model_version_tag(name, version.version, "archived", f"{who()}: {why}")
        tracking.back_up(project)
        return versions.choose(use_case, versions.all_of(client, name), version.number)
