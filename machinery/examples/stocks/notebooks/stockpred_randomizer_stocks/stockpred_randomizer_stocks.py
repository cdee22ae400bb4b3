# Exported from stockpred_randomizer.ipynb by `mlops notebooks export`: change the notebook, not this file.

# %% [markdown]
# # Can a coin predict a share?
# The honest lower bound for every stock model: a pyfunc model that tosses a coin for "up tomorrow" is logged, loaded and scored on 13
# years of IBM's share. Whatever does not beat it knows nothing.

# %%
import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd

from mlops import tracking
from mlops.config import load_project

project = load_project()
artifacts = tracking.artifact_root(project)
prices = pd.read_csv(project.data / "raw" / "stocks" / "ibm.csv", parse_dates=["date"]).set_index("date")
returns = prices["adj_close"].pct_change().dropna()
up = returns > 0
print(f"{len(returns)} trading days, {up.mean():.1%} of them up")

# %% [markdown]
# ## The model
# A seed in the model's parameters makes the same coin toss for the same number of rows.


# %%
class Randomizer(mlflow.pyfunc.PythonModel):
    """Says "up" for a share of the rows, at random."""

    def predict(self, context, model_input: pd.DataFrame, params: dict | None = None) -> np.ndarray:
        params = params or {}
        draw = np.random.default_rng(params.get("seed", 0))
        return draw.random(len(model_input)) < params.get("share_up", 0.5)


example = returns.to_frame("return").head(3)
signature = mlflow.models.infer_signature(example, np.array([True]), params={"seed": 0, "share_up": 0.5})

# %% [markdown]
# ## Logged, loaded, scored
# The metric is the share of days whose direction was right, and what following the model would have earned.

# %%
with tracking.open_store(project) as client:
    if client.get_experiment_by_name("stockpred_randomizer") is None:
        client.create_experiment("stockpred_randomizer", artifacts)
    mlflow.set_experiment("stockpred_randomizer")
    with mlflow.start_run(run_name="coin") as run:
        logged = mlflow.pyfunc.log_model(
            name="model", python_model=Randomizer(), input_example=example, signature=signature, pip_requirements=["mlflow"]
        )
        model = mlflow.pyfunc.load_model(logged.model_uri)
        tosses = {seed: model.predict(returns.to_frame("return"), params={"seed": seed}) for seed in range(200)}
        right = pd.Series({seed: float((guesses == up).mean()) for seed, guesses in tosses.items()})
        mlflow.log_metrics({"days_right": right[0], "days_right_mean": right.mean(), "days_up": float(up.mean())})
print(f"days right: {right[0]:.1%} for one coin, {right.min():.1%} to {right.max():.1%} for 200")

# %% [markdown]
# ## Two hundred coins
# One of two hundred coins looks like a strategy. That is what choosing the best of many backtests does.

# %%
wealth = pd.DataFrame({seed: (1 + returns.where(guesses, 0)).cumprod() for seed, guesses in tosses.items()})
figure, axes = plt.subplots(figsize=(10, 3.4), layout="constrained")
axes.plot(wealth.sample(60, axis=1, random_state=0), color="0.85", linewidth=0.5)
axes.plot(wealth[wealth.iloc[-1].idxmax()], color="#D55E00", label="the luckiest of 200 coins")
axes.plot((1 + returns).cumprod(), color="#0072B2", label="hold the share")
axes.set(ylabel="value of 1 dollar", yscale="log")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)
