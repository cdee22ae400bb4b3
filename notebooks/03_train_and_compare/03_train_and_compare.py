# Exported from 03_train_and_compare.ipynb by `mlops notebooks export`: change the notebook, not this file.

# %% [markdown]
# # Train and compare
# Two settings of the ridership model, trained exactly as the pipeline trains, asked before the same gate and compared on the same
# holdout year. What is tried here goes to `config/ridership.yaml` when it is better.

# %%
get_ipython().run_line_magic('matplotlib', 'inline')
import pandas as pd

from mlops import evaluate, load_project, load_use_case, plots, train

project = load_project()
depths = (2, 4)
use_cases = {depth: load_use_case(project, "ridership", (f"parameters.max_depth={depth}",)) for depth in depths}
evaluations = {}
for depth, use_case in use_cases.items():
    candidate, _ = train(project, use_case)
    evaluations[depth] = evaluate(use_case, candidate, champion=None)

# %% [markdown]
# ## The metrics
# Thousands of rides a day. The baseline is the same weekday a fortnight before.

# %%
rules = {depth: {row.metric: row.candidate for row in evaluation.verdict.rows} for depth, evaluation in evaluations.items()}
table = pd.DataFrame(rules).T.rename_axis("max_depth").round(3)
table["gate"] = ["passed" if evaluation.verdict.passed else "refused" for evaluation in evaluations.values()]
table

# %% [markdown]
# ## The best one, day by day

# %%
best = table["mae"].astype(float).idxmin()
figure = plots.forecast(use_cases[best], evaluations[best])
print(f"max_depth={best}")
figure

# %%
plots.residuals(evaluations[best], "rides")
