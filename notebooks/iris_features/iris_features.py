# Exported from iris_features.ipynb by `mlops notebooks export`: change the notebook, not this file.

# %% [markdown]
# # Iris: features
# Four lengths tell three species apart. The raw lengths are the features; scaling and polynomials are fitted, so they are part of the
# model (`src/use_cases/iris/model.py`).

# %%
import matplotlib.pyplot as plt

from mlops import load_project, load_use_case, stages
from use_cases.iris.data import LENGTHS, SPECIES

project = load_project()
use_case = load_use_case(project, "iris")
rows, _ = stages.read_processed(project, use_case)
rows.groupby("species")[LENGTHS].agg(["mean", "std"]).round(2)

# %% [markdown]
# ## Where the species overlap
# Setosa stands alone; versicolor and virginica touch, and only there a model can be wrong.

# %%
colours = dict(zip(SPECIES, ["#0072B2", "#D55E00", "#009E73"]))
figure, panels = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for axes, (x, y) in zip(panels, [LENGTHS[:2], LENGTHS[2:]]):
    for species, group in rows.groupby("species"):
        axes.scatter(group[x], group[y], s=14, alpha=0.7, color=colours[species], label=species)
    axes.legend(frameon=False)
    axes.set(xlabel=f"{x} (cm)", ylabel=f"{y} (cm)")
    axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## What the model makes of them
# 34 polynomials of the scaled lengths; these weigh most for each species.

# %%
import pandas as pd

model = use_case.estimator().fit(rows[LENGTHS], rows["species"])
names = model[:-1].get_feature_names_out(LENGTHS)
weights = pd.DataFrame(model[-1].coef_, index=model.classes_, columns=names)
weights[weights.abs().max().nlargest(6).index].round(2)
