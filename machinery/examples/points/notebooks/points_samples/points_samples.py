# Exported from points_samples.ipynb by `mlops notebooks export`: change the notebook, not this file.

# %% [markdown]
# # Points: sample by sample
# Ten samples of red and blue points, whose axes change scale from one to the next, and an unseen set. A model of one sample
# is asked about the unseen set: how much does a scale cost that is gone?

# %%
import matplotlib.pyplot as plt
import pandas as pd

from mlops import load_project, load_use_case, stages
from use_cases.points.data import AXES
from use_cases.points.study import study

project = load_project()
use_case = load_use_case(project, "points")
rows, _ = stages.read_processed(project, use_case)
last = rows["day"].max()
training, unseen = rows[rows["day"] < last], rows[rows["day"] == last]
rows.groupby("day")[AXES].std().round(2).T

# %% [markdown]
# ## The first sample, the last one and the unseen set
# The clusters are the same ones; the axes are not.

# %%
colours = {"red": "#D55E00", "blue": "#0072B2"}
days = sorted(training["day"].unique())
ends = {"sample 1": days[0], "sample 10": days[-1], "unseen": last}
shown = {title: rows[rows["day"] == day] for title, day in ends.items()}
figure, panels = plt.subplots(1, 3, figsize=(11, 3.4), sharex=True, sharey=True, layout="constrained")
for axes, (title, part) in zip(panels, shown.items()):
    for colour, group in part.groupby("colour"):
        axes.scatter(group["x"], group["y"], s=7, alpha=0.5, color=colours[colour], label=colour)
    axes.set(title=title, xlabel="x", ylabel="y")
    axes.spines[["top", "right"]].set_visible(False)
panels[0].legend(frameon=False)

# %% [markdown]
# ## Accuracy on the unseen set
# Each model with the scaler of its own sample. `mlops study points` logs the same as one parent run and twenty child runs.

# %%
trials = list(study(training, unseen, use_case.config.parameters, use_case.config.seed))
accuracy = pd.DataFrame([{**trial["parameters"], **trial["metrics"]} for trial in trials])
table = accuracy.pivot(index="kind", columns="sample", values="accuracy").round(3)
table

# %%
figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
for kind, marker in zip(table.index, "os"):
    axes.plot(table.columns, table.loc[kind], marker=marker, label=kind)
axes.set(xlabel="sample that the model knows", ylabel="accuracy on the unseen set", xticks=list(table.columns))
axes.spines[["top", "right"]].set_visible(False)
axes.legend(frameon=False)

# %% [markdown]
# ## Another run's scaler
# One scaler file for all runs, written over by each, pairs the first model with the last scaler. The figure changes and
# nothing fails: so the scaler is a step of the model.

# %%
first, tenth = trials[0]["model"], trials[len(days) - 1]["model"]
mixed = first["classify"].predict(tenth["scale"].transform(unseen[AXES]))
own = (first.predict(unseen[AXES]) == unseen["colour"]).mean()
print(f"own scaler {own:.3f}, that of sample 10 {(mixed == unseen['colour']).mean():.3f}")
