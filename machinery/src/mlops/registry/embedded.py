"""The embedded store, read as the SQLite file and the folder that it is: importing MLflow costs more than scoring some rows.

Read so is only a database in one of the FORMS whose tables are known here. For any other, for a server and for all that
changes the store, MLflow is asked.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops import damage, tracking, tracking_uri
from mlops.config import Project

# The revisions of MLflow's tables, as MLflow itself writes them into a database, that these queries were compared with.
FORMS = frozenset({"dc11669786a5"})  # MLflow 3.17
# Settings by which MLflow would read something else than the tables of this database.
ELSEWHERE = ("MLFLOW_REGISTRY_URI", "MLFLOW_WORKSPACE")

VERSIONS = "SELECT version, run_id, creation_time FROM model_versions WHERE name = ? AND current_stage != 'Deleted_Internal'"
TAGS = "SELECT version, key, value FROM model_version_tags WHERE name = ?"
ALIASES = "SELECT alias, version FROM registered_model_aliases WHERE name = ?"
RUN = "SELECT artifact_uri FROM runs WHERE run_uuid = ? AND lifecycle_stage = 'active'"
MODEL = "SELECT artifact_location FROM logged_models WHERE model_id = ? AND lifecycle_stage = 'active'"


@dataclass(frozen=True)
class ModelVersion:
    """What MLflow's entity of that name says of a registered version, as far as it is used."""

    name: str
    version: int
    run_id: str
    creation_timestamp: int
    tags: dict[str, str]


@dataclass(frozen=True)
class Reader:
    """Versions and files of an embedded store."""

    database: Path
    artifacts: Path

    def model_versions(self, name: str) -> tuple[list[ModelVersion], dict[str, str]]:
        """The versions of a registered model, with which of them each alias points at."""
        tags: dict[int, dict[str, str]] = {}
        for version, key, value in self._rows(TAGS, name):
            tags.setdefault(version, {})[key] = value
        listed = [ModelVersion(name, row[0], row[1], row[2], tags.get(row[0], {})) for row in self._rows(VERSIONS, name)]
        return listed, {alias: str(version) for alias, version in self._rows(ALIASES, name)}

    def copy(self, to: Path, run_id: str = "", artifact_path: str = "", artifact_uri: str = "") -> Path | None:
        """Bring into the folder `to` what `tracking.fetch` does; None where it is not there, which MLflow can explain."""
        model = artifact_uri.removeprefix("models:/")
        found = self._rows(RUN, run_id) if run_id else self._rows(MODEL, model)
        if not found or not (place := Path(found[0][0])).is_relative_to(self.artifacts):
            return None
        source, target = place / artifact_path, to / Path(artifact_path).name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copyfile(source, target)
        except OSError:
            return None
        return target

    def _rows(self, query: str, name: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(query, (name,)).fetchall()


def opened(project: Project) -> Reader | None:
    """A reader of the project's embedded store; None where MLflow has to be asked.

    Raises UserError and StoreUnreachable as `tracking.open_store` does.
    """
    if not tracking.is_embedded(project) or any(map(os.environ.get, ELSEWHERE)):
        return None
    tracking_uri.refuse_untold()
    tracking.require(project)
    database = tracking.prepare(project)
    with closing(sqlite3.connect(database)) as connection:
        forms = {row[0] for row in connection.execute("SELECT version_num FROM alembic_version")}
    return Reader(database, project.store / damage.ARTIFACTS) if forms <= FORMS else None
