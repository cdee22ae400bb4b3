# Exported from taxi_investigate.ipynb by `mlops notebooks export`: change the notebook, not this file.

# %% [markdown]
# # Taxi: investigate
# The ranked list of unusual rides with the reasons of each, from the candidate as the pipeline trains it. Rides of the holdout
# only: the model has not counted them.

# %%
import matplotlib.pyplot as plt
import pandas as pd

from mlops import load_project, load_use_case, stages, tracking, train
from use_cases.taxi.data import INPUTS
from use_cases.taxi.reasons import ranked

project = load_project()
use_case = load_use_case(project, "taxi")
candidate, _ = train(project, use_case)
served = tracking.load_model(candidate.path / "model", use_case.config.serving.trust)
model = served.estimator_
held_out = candidate.holdout()["ride"]
rides = stages.read_interim(project, use_case).set_index("ride", drop=False)
known, rows = rides[~rides["ride"].isin(held_out)], rides[rides["ride"].isin(held_out)]
print(f"{len(known)} rides counted, {len(rows)} held out, of which {(rows['planted'] != 'real').sum()} were planted")

# %% [markdown]
# ## The list
# A real ride on it is one to look at. A fact has bits where it is rarer than facts of its kind are on average.

# %%
with pd.option_context("display.max_colwidth", None, "display.width", 200):
    print(ranked(model, rows, known, top=15)[["ride", "bits", "reasons", "company", "tip", "planted"]].to_string(index=False))

# %% [markdown]
# ## What of the planted rides is found
# The share on the list, which holds the 2 % of all rides above the threshold.

# %%
listed = pd.Series(served.predict(rows[INPUTS]) == "yes", index=rows.index)
found = listed.groupby(rows["planted"]).agg(["mean", "sum", "size"]).round(3)
found.columns = ["share on the list", "on the list", "rides"]
found

# %% [markdown]
# ## Where they lie
# Each point is a ride that was held out; the dark ones are on the list.

# %%
figure, panels = plt.subplots(1, 2, figsize=(11, 3.6), sharey=True, layout="constrained")
for axes, (local, part) in zip(panels, rows.groupby("local")):
    on_it = listed[part.index]
    axes.scatter(part["hour"], part["distance"], s=6, color="#BBBBBB", label="usual")
    axes.scatter(part["hour"][on_it], part["distance"][on_it], s=14, color="#D55E00", label="on the list")
    axes.set(title=f"local: {local}", xlabel="hour", ylabel="miles")
    axes.spines[["top", "right"]].set_visible(False)
panels[0].legend(frameon=False)

# %% [markdown]
# ## One ride
# Its facts, and the bits that each adds.

# %%
first = ranked(model, rows, known, top=1)["ride"].iloc[0]
bits = model.bits(rows.loc[[first], INPUTS]).loc[first].round(2)
pd.DataFrame({"fact": rows.loc[first, bits.index], "bits": bits})
