"""The notebook `01_explore_<name>.ipynb` of a new use case: what is predicted, what is missing, what goes with the target."""

from __future__ import annotations

import json

from mlops.scaffold.understand import Table
from mlops.scaffold.write import description, quoted


def cells(name: str, table: Table) -> list[tuple[str, str]]:
    """The cells: markdown or code, and their text."""
    numbers, target = table.of_kind("number"), quoted(table.target)
    counted = (
        f"rows[{target}].value_counts(normalize=True).round(3)" if table.classes else f"rows[{target}].describe().round(3)"
    )
    parts = [
        ("markdown", f"# {name}: a first look\n{description(table)}. The code that the pipeline uses is in\n"
         f"`src/use_cases/{name}/`."),
        ("code", "import matplotlib.pyplot as plt\nfrom mlops import load_project, load_use_case, read_data, stages\n"
         f"from use_cases.{name} import features\n\n"
         f'project = load_project()\nuse_case = load_use_case(project, "{name}")\n'
         "rows = features(read_data(stages.interim(project, use_case).path))\nrows.head()"),
        ("markdown", f"## What is predicted\nHow `{table.target}` is spread; the simplest rule says the same for every row."),
        ("code", counted),
        ("markdown", "## What is missing\nThe share of the rows without a value, of the columns that have gaps."),
        ("code", "gaps = rows.isna().mean()\ngaps[gaps > 0].sort_values(ascending=False).round(3)"),
    ]  # fmt: skip
    if numbers:
        shown = numbers[:6]
        parts += [("markdown", f"## Numbers\nHow {len(shown)} of them are spread."), ("code", _figure(table, shown))]
    return parts


def _figure(table: Table, numbers: list[str]) -> str:
    listed = ",\n    ".join(map(quoted, numbers))
    by = f"for label, part in rows.groupby({quoted(table.target)}):\n"
    by += "        axis.hist(part[column].dropna(), bins=30, density=True, "
    spread = (
        by + "alpha=0.5, label=str(label))" if 0 < len(table.classes) <= 6 else "axis.hist(rows[column].dropna(), bins=30)"
    )
    legend = "\naxes[0].legend()" if 0 < len(table.classes) <= 6 else ""
    return (
        f"columns = [\n    {listed},\n]\n"
        'figure, grid = plt.subplots(1, len(columns), figsize=(14, 2.6), layout="constrained", squeeze=False)\n'
        f"axes = grid.ravel()\nfor axis, column in zip(axes, columns):\n    {spread}\n"
        f"    axis.set_title(column, fontsize=9){legend}"
    )


def document(name: str, table: Table) -> str:
    """The notebook as JSON, not yet run."""
    listed: list[dict[str, object]] = []
    for number, (kind, text) in enumerate(cells(name, table), 1):
        cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": text.splitlines(keepends=True)}
        listed.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    value = {"cells": listed, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
