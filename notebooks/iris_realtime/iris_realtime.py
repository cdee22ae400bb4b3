# Exported from iris_realtime.ipynb by `mlops notebooks export`: change the notebook, not this file.

# %% [markdown]
# # Iris: score in real time
# The same model as in `iris_batch`, behind a server: one flower a request, as an application asks. It must give the answers of the batch, and
# it needs no second implementation for that.

# %%
import subprocess
import sys
import time

import matplotlib.pyplot as plt
import pandas as pd
import requests

from mlops import build_bundle, load_project, load_use_case, stages, tracking, train

project = load_project()
use_case = load_use_case(project, "iris")
candidate, _ = train(project, use_case)
version = {"number": "0.0.0", "commit": candidate.manifest["git"]["sha"]}
bundle = build_bundle(candidate.path, project.output / "bundles" / "iris" / "notebook", "iris", version)
print(f"a bundle in the format {bundle.format}")

# %% [markdown]
# ## Start the server
# `mlops serve iris` serves a registered version; with `--bundle` it takes the folder that was just made. Port 0 lets the system choose.

# %%
command = [sys.executable, "-m", "mlops", "serve", "--bundle", str(bundle.folder), "--port", "0"]
server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
url = server.stderr.readline().split()[-1]
while requests.get(f"{url}/v2/health/ready", timeout=10).status_code != 200:
    time.sleep(0.05)
print("the server is ready")

# %% [markdown]
# ## One flower
# Four lengths in centimetres, as they were measured: the scaler is part of the model.

# %%
rows, _ = stages.read_processed(project, use_case)
batch = rows[use_case.inputs(rows)]
flower = batch.iloc[[100]]
answer = requests.post(f"{url}/invocations", json={"dataframe_split": flower.to_dict(orient="split")}, timeout=10)
print(flower.iloc[0].to_dict(), "→", answer.json()["predictions"])

# %% [markdown]
# ## The same answers as the batch
# Every flower by itself through the server, and all of them at once through the model.

# %%
session = requests.Session()
answers, milliseconds = [], []
for number in range(len(batch)):
    started = time.perf_counter()
    body = {"dataframe_split": batch.iloc[[number]].to_dict(orient="split")}
    answers += session.post(f"{url}/invocations", json=body, timeout=10).json()["predictions"]
    milliseconds.append(1000 * (time.perf_counter() - started))
at_once = tracking.load_model(candidate.path / "model").predict(batch)
compared = pd.DataFrame({"real time": answers, "batch": at_once})
assert (compared["real time"] == compared["batch"]).all()
compared.value_counts().rename("flowers").to_frame()

# %% [markdown]
# ## How long a flower takes
# There and back, with the making of the request. The figure is of one run: the cell is tagged `volatile`, so that it is not compared.

# %%
figure, axes = plt.subplots(figsize=(10, 2.4), layout="constrained")
axes.hist(milliseconds, bins=40, color="#0072B2")
axes.axvline(pd.Series(milliseconds).median(), color="#D55E00", linewidth=1.5)
axes.set(xlabel="milliseconds a request; orange: the median", ylabel="requests", xlim=(0, None))
axes.spines[["top", "right"]].set_visible(False)

# %%
server.terminate()
print("stopped with code", server.wait(30))
