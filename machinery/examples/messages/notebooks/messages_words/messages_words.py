# Exported from messages_words.ipynb by `mlops notebooks export`: change the notebook, not this file.

# %% [markdown]
# # Messages: words
# Which words speak for spam and which against it, and which messages the model gets wrong: all on messages that it has not
# seen. Texts are shown in part.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mlops import load_project, load_use_case, tracking, train
from mlops.spark.text import HashedWords, words

project = load_project()
use_case = load_use_case(project, "messages")
candidate, _ = train(project, use_case)
rows = candidate.holdout()
spam, predicted = rows["__target__"] == "spam", rows["__prediction__"] == "spam"
print(f"{len(rows)} messages held out, {spam.mean():.1%} spam")
pd.DataFrame({"model": candidate.manifest["metrics"], "baseline": candidate.manifest["baseline"]}).round(3)

# %% [markdown]
# ## Which words?
# The model knows columns, not words. Of the words that at least fifteen messages hold, those whose column weighs most; a word that
# shares its column with another shares its weight.

# %%
columns = use_case.config.parameters["columns"]
held = pd.Series([word for text in rows["text"] for word in set(words(text))]).value_counts()
common = held[held >= 15].index
model = tracking.load_model(candidate.path / "model", use_case.config.serving.trust)
weights = HashedWords(columns).transform(list(common)) @ model[-1].coef_[0]
ranked = pd.Series(weights, index=common).sort_values()
shown = pd.concat([ranked.head(10), ranked.tail(10)])
figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
axes.barh([word or "(two spaces)" for word in shown.index], shown, color=np.where(shown > 0, "#D55E00", "#0072B2"))
axes.axvline(0, color="#222222", linewidth=0.8)
axes.set(xlabel="weight in log-odds of spam", title="words that weigh most")
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## What is got wrong?
# Messages of friends that the model calls spam, and spam that it lets pass.

# %%
wrong = rows[spam != predicted].assign(text=rows["text"].str.slice(0, 50))
print(f"{int((predicted & ~spam).sum())} of friends called spam, {int((~predicted & spam).sum())} of spam let pass")
wrong[["message", "text", "__target__", "__probability_spam__"]].sort_values("__probability_spam__").tail(8).round(2)
