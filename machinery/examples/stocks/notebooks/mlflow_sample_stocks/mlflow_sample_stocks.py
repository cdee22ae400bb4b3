# Exported from mlflow_sample_stocks.ipynb by `mlops notebooks export`: change the notebook, not this file.

# %% [markdown]
# # A run in MLflow
# The smallest useful run: an experiment, three parameters, a metric, an artifact. `make ui` shows it; `make lab` presets where it goes.

# %%
import math
import random

import mlflow

from mlops import load_project, tracking

project = load_project()
artifacts = tracking.artifact_root(project)

# %% [markdown]
# ## Something to track
# The estimate of π from points thrown at a square: how far off is it?

# %%
parameters = {"points": 20_000, "seed": 3, "method": "monte carlo"}
draw = random.Random(parameters["seed"])
inside = sum(math.hypot(draw.random(), draw.random()) < 1 for _ in range(parameters["points"]))
estimate = 4 * inside / parameters["points"]
error = abs(estimate - math.pi)
print(f"pi is about {estimate:.4f}, off by {error:.4f}")

# %% [markdown]
# ## Track it
# The artifact is this notebook itself, so that the run says how it was made.

# %%
with tracking.open_store(project) as client:
    if client.get_experiment_by_name("mlflow_sample") is None:
        client.create_experiment("mlflow_sample", artifacts)
    mlflow.set_experiment("mlflow_sample")
    with mlflow.start_run(run_name="pi") as run:
        mlflow.log_params(parameters)
        mlflow.log_metric("error", error)
        mlflow.log_artifact(str(project.root / "notebooks" / "mlflow_sample_stocks.ipynb"))

# %% [markdown]
# ## Read it back

# %%
with tracking.open_store(project) as client:
    logged = client.get_run(run.info.run_id)
    kept = [item.path for item in client.list_artifacts(run.info.run_id)]
print(logged.data.params, {name: round(value, 4) for name, value in logged.data.metrics.items()}, kept)
