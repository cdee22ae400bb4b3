# Exported from stockpred_randomizer_stocks.ipynb by `mlops notebooks export`: change the notebook, not this file.

# %% [markdown]
# # Can a coin predict a share?
# The honest lower bound for every stock model: `RandomPredictor`, a pyfunc model that tosses a coin for each row, is logged, loaded and
# scored on 13 years of IBM's share. Whatever does not beat it knows nothing.

# %%
import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd

from mlops import load_project, tracking
from use_cases.stocks.rules import RandomPredictor

project = load_project()
artifacts = tracking.artifact_root(project)
prices = pd.read_csv(project.data / "raw" / "stocks" / "shares.csv", parse_dates=["date"])
returns = prices[prices["symbol"] == "IBM"].set_index("date")["adj_close"].pct_change().dropna()
up = (returns > 0).astype(int)
print(f"{len(returns)} trading days, {up.mean():.1%} of them up")

# %% [markdown]
# ## Logged, loaded, scored
# One value a row, 0 or 1; a seed in the model's parameters tosses the same coin again. The metrics are how many days it predicts to be up,
# and the share of days whose direction was right.

# %%
rows = returns.to_frame("return")
signature = mlflow.models.infer_signature(rows.head(3), np.array([0, 1, 1]), params={"seed": 0})
with tracking.open_store(project) as client:
    if client.get_experiment_by_name("stockpred_randomizer") is None:
        client.create_experiment("stockpred_randomizer", artifacts)
    mlflow.set_experiment("stockpred_randomizer")
    with mlflow.start_run(run_name="coin") as run:
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=RandomPredictor(),
            input_example=rows.head(3),
            signature=signature,
            pip_requirements=["mlflow"],
        )
        model = mlflow.pyfunc.load_model(logged.model_uri)
        tosses = {seed: model.predict(rows, params={"seed": seed}) for seed in range(200)}
        right = pd.Series({seed: float(np.mean(guesses == up)) for seed, guesses in tosses.items()})
        mlflow.log_metrics({"days_up": float(tosses[0].sum()), "days_right": right[0], "days_right_mean": right.mean()})
print(f"{len(tosses[0])} values for {len(rows)} rows, {tosses[0].sum()} of them up")
print(f"days right: {right[0]:.1%} for one coin, {right.min():.1%} to {right.max():.1%} for 200")

# %% [markdown]
# ## Two hundred coins
# One of two hundred coins looks like a strategy. That is what choosing the best of many backtests does.

# %%
wealth = pd.DataFrame({seed: (1 + returns.where(guesses == 1, 0)).cumprod() for seed, guesses in tosses.items()})
figure, axes = plt.subplots(figsize=(10, 3.4), layout="constrained")
axes.plot(wealth.sample(60, axis=1, random_state=0), color="0.85", linewidth=0.5)
axes.plot(wealth[wealth.iloc[-1].idxmax()], color="#D55E00", label="the luckiest of 200 coins")
axes.plot((1 + returns).cumprod(), color="#0072B2", label="hold the share")
axes.set(ylabel="value of 1 dollar", yscale="log")
axes.legend(frameon=False)
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## A model of prices
# What `mlops run stocks` trains, beside the rule that predicts up each day. The gate refuses it, as its configuration expects: the interval of
# the difference holds 0.

# %%
from mlops import load_use_case, train

use_case = load_use_case(project, "stocks")
candidate, _ = train(project, use_case)
pd.DataFrame({"model": candidate.manifest["metrics"], "always up": candidate.manifest["baseline"]}).round(3)
