"""The commands of `mlops --help`, grouped by what a user is about to do."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

SECTIONS = {
    "Start": ("new", "add", "rename", "remove", "deps", "doctor", "docs"),
    "Data and training": ("run", "data", "save", "train", "report", "tune", "study", "notebooks"),
    "Versions": (
        *("history", "show", "compare", "diff", "card", "lineage", "reproduce"),
        *("register", "alias", "archive", "store", "ui", "stats"),
    ),
    "Predictions": ("score", "serve", "client", "bundle", "image", "verify", "contract", "spark-package"),
    "Deployment and monitoring": ("deploy", "rollback", "deployments", "monitor", "dashboards", "workbench"),
    "The machinery of this project": ("update", "sync", "requirements", "pythons", "adopt", "eject"),
    "Branches, tags and workflows": ("gitflow", "release", "monitored", "propose", "scored"),
}

# Characters; what is longer is cut.
SENTENCE = 150


class Sections(TyperGroup):
    """A group whose help lists its commands by section; one that no section names comes last, under "Other"."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a list of commands for each section."""
        commands = {name: command for name in self.list_commands(ctx) if (command := self.get_command(ctx, name))}
        shown = {name: command for name, command in commands.items() if not command.hidden}
        grouped = [name for names in SECTIONS.values() for name in names]
        other = tuple(name for name in shown if name not in grouped)
        for title, names in {**SECTIONS, "Other": other}.items():
            rows = [(name, shown[name].get_short_help_str(SENTENCE)) for name in names if name in shown]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows, col_max=max(map(len, shown)))
