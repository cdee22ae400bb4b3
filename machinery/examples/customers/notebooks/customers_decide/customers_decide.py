# Exported from customers_decide.ipynb by `mlops notebooks export`: change the notebook, not this file.

# %% [markdown]
# # Customers: decide
# A probability that can be relied on, what each threshold costs, and why one customer is refused: all on loans that the
# model has not seen.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mlops import load_project, load_use_case, train

project = load_project()
use_case = load_use_case(project, "customers")
candidate, _ = train(project, use_case)
rows = candidate.holdout()
stated, bad = rows["__probability_bad__"], rows["__target__"] == "bad"
threshold = candidate.manifest["threshold"]["value"]
print(f"{len(rows)} loans held out, {bad.mean():.1%} bad; refused from a probability of {threshold:.3f} on")
pd.DataFrame({"model": candidate.manifest["metrics"], "baseline": candidate.manifest["baseline"]}).round(3)

# %% [markdown]
# ## Is the probability right?
# Loans in ten groups by the stated probability: the observed share of bad ones, with its 95 % interval.

# %%
groups = pd.qcut(stated, 10)
means = [values.groupby(groups, observed=True).mean() for values in (stated, bad)]
seen = pd.DataFrame(dict(zip(["stated", "observed"], means)))
spread = 1.96 * np.sqrt(seen["observed"] * (1 - seen["observed"]) / (len(rows) / 10))
figure, panels = plt.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
panels[0].errorbar(seen["stated"], seen["observed"], yerr=spread, fmt="o", color="#0072B2")
panels[0].plot([0, 0.2], [0, 0.2], color="#222222", linewidth=0.8, linestyle="--")
panels[0].set(xlabel="stated probability", ylabel="observed share", title="calibration")
costs = use_case.config.costs
places = np.linspace(0.01, 0.25, 100)
missed = np.array([(bad & (stated < place)).mean() for place in places])
refused = np.array([(~bad & (stated >= place)).mean() for place in places])
total = costs["bad"]["good"] * missed + costs["good"]["bad"] * refused
panels[1].plot(places, total, color="#0072B2")
panels[1].axvline(threshold, color="#D55E00", label="threshold, chosen on the training rows")
panels[1].axhline(costs["bad"]["good"] * bad.mean(), color="#222222", linewidth=0.8, linestyle="--", label="grant all")
panels[1].set(xlabel="refused from", ylabel="cost per loan", title="what a threshold costs")
panels[1].legend(frameon=False)
for axes in panels:
    axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## Why this customer?
# What each number adds to the log-odds of a bad loan, against the mean customer; the sum of all and the base is the answer.
# A server gives the same, for the other class and so with the other sign, to a request that includes contributions.

# %%
added = candidate.manifest["contributions"]
sign = 1 if added["of"] == "bad" else -1
customer = rows.loc[stated.idxmax()]
parts = {name: sign * item["coefficient"] * (customer[name] - item["mean"]) for name, item in added["inputs"].items()}
table = pd.DataFrame({"value": customer[list(parts)].astype(float), "adds": pd.Series(parts)})
print(f"loan {customer['loan']}: probability {customer['__probability_bad__']:.3f}")
table.loc[table["adds"].abs().nlargest(8).index].round(2)
