# Exported from 01_explore_ridership.ipynb by `mlops notebooks export`: change the notebook, not this file.

# %% [markdown]
# # Daily rides at Clark/Lake
# How many people enter the station each day, and what moves the number? This notebook looks; the code that the pipeline uses is in
# `src/use_cases/ridership/`. Rides are in thousands a day.

# %%
import matplotlib.pyplot as plt

from mlops import load_project, load_use_case, read_data, stages

project = load_project()
use_case = load_use_case(project, "ridership")
rows = read_data(stages.interim(project, use_case).path)
rows[["date", "rides"]].describe().round(2)

# %% [markdown]
# ## Sixteen years
# The grey line is a day, the blue one the mean of four weeks: growth until 2008, a dip, growth again.

# %%
days = rows.set_index("date")["rides"]
figure, axes = plt.subplots(figsize=(10, 3.2), layout="constrained")
axes.plot(days, color="0.8", linewidth=0.5)
axes.plot(days.rolling("28D").mean(), color="#0072B2", linewidth=1.5)
axes.set(ylabel="rides (thousands)", ylim=(0, None))
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## The weekday decides
# Working days and weekends are two different worlds; within the working days there is little between Monday and Friday.

# %%
names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
groups = [days[days.index.dayofweek == number] for number in range(7)]
figure, axes = plt.subplots(figsize=(10, 3.2), layout="constrained")
axes.boxplot(groups, tick_labels=names, widths=0.6, flierprops={"markersize": 2}, medianprops={"color": "#D55E00"})
axes.set(ylabel="rides (thousands)", ylim=(0, None))
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## What the model has to explain
# Working days with very few rides: nearly all are federal holidays or the days around Christmas and Thanksgiving. That is why the
# features know the calendar.

# %%
from use_cases.ridership.features import calendar

working = days[days.index.dayofweek < 5]
low = working.nsmallest(12).to_frame().join(calendar(working.index)[["holiday", "holiday_neighbour"]])
low.sort_index()
