# Exported from iris_batch.ipynb by `mlops notebooks export`: change the notebook, not this file.

# %% [markdown]
# # Iris: score a batch
# Train, or take the candidate that is there, load its model from the folder and score a file of flowers at once, as a nightly job would.

# %%
import pandas as pd

from mlops import load_project, load_use_case, stages, tracking, train

project = load_project()
use_case = load_use_case(project, "iris")
candidate, _ = train(project, use_case)
model = tracking.load_model(candidate.path / "model")
print(type(model).__name__, candidate.manifest["classes"])

# %% [markdown]
# ## The batch
# All flowers; in a project of yours these are new rows without a species.

# %%
rows, _ = stages.read_processed(project, use_case)
batch = rows[use_case.inputs(rows)]
predictions = pd.Series(model.predict(batch), index=rows["flower"], name="prediction")
predictions.value_counts()

# %% [markdown]
# ## Is it right?
# The flowers that were held out count; the training rows only flatter.

# %%
held_out = candidate.holdout()["flower"]
scored = rows.set_index("flower").join(predictions).loc[held_out]
pd.crosstab(scored["species"], scored["prediction"])

# %%
wrong = scored[scored["species"] != scored["prediction"]]
print(f"{len(scored)} flowers held out, {len(wrong)} wrong")
wrong
