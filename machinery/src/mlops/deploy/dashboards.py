"""What Prometheus and Grafana load for the services: alert rules and a dashboard, which the machinery carries."""

from __future__ import annotations

import shutil
from pathlib import Path

from mlops import files

SHIPPED = Path(__file__).parent / "dashboards"


def write(folder: Path) -> list[Path]:
    """Write the rules and the dashboard into a folder, which is created, and return the files; what is there is replaced."""
    written = []
    for source in sorted(SHIPPED.iterdir()):
        with files.replacing(folder / source.name) as temporary:
            shutil.copyfile(source, temporary)
        written.append(folder / source.name)
    return written
