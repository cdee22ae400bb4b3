# Exported from 02_features_ridership.ipynb by `mlops notebooks export`: change the notebook, not this file.

# %% [markdown]
# # Features for a forecast of 14 days
# A feature may only hold what is known 14 days before the day that is predicted. Here they are, with what each tells about the target.

# %%
import matplotlib.pyplot as plt
import pandas as pd

from mlops import load_project, load_use_case, stages
from use_cases.ridership.features import HORIZON, LAGS

project = load_project()
use_case = load_use_case(project, "ridership")
rows, _ = stages.read_processed(project, use_case)
inputs = use_case.inputs(rows)
print(f"{len(rows)} days, {len(inputs)} inputs, horizon {HORIZON} days, lags {LAGS}")
rows.iloc[:3, :9].round(2)

# %% [markdown]
# ## Memory
# The autocorrelation has its peaks at whole weeks, so the lags are whole weeks from the horizon on, and one year back.

# %%
rides = rows.set_index("date")["rides"]
lags = range(1, 57)
correlation = pd.Series({lag: rides.corr(rides.shift(lag, freq="D")) for lag in lags})
figure, axes = plt.subplots(figsize=(10, 2.8), layout="constrained")
colours = ["#0072B2" if lag in LAGS else "0.8" for lag in lags]
axes.bar(correlation.index, correlation, color=colours)
axes.axvline(HORIZON - 0.5, color="#D55E00", linewidth=1)
axes.set(xlabel="lag (days); blue: a feature; right of the line: known in time", ylabel="autocorrelation")
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## What each input tells
# Rank correlation with the target. The stations' rides say nearly the same as one another; the model may choose.

# %%
strength = rows[inputs].corrwith(rows["rides"], method="spearman").sort_values()
figure, axes = plt.subplots(figsize=(10, 5.5), layout="constrained")
axes.barh(strength.index, strength, color=["#0072B2" if value > 0 else "#D55E00" for value in strength])
axes.tick_params(axis="y", labelsize=7)
axes.set(xlabel="Spearman correlation with rides")
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## No look ahead
# The features of a day do not change when everything after the horizon is taken away: the proof that nothing leaks.

# %%
from mlops import read_data
from use_cases.ridership import features

tidy = read_data(stages.interim(project, use_case).path)
day = rows["date"].iloc[2000]
past = tidy[(tidy["date"] <= day - pd.DateOffset(days=HORIZON)) | (tidy["date"] == day)]
known = [name for name in inputs if name.startswith("rides")]
then = features(past).set_index("date").loc[day, known]
pd.testing.assert_series_equal(then, rows.set_index("date").loc[day, known])
print(f"{day:%Y-%m-%d}: {len(known)} features are the same without the {HORIZON} days before it")
